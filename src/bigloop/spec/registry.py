"""Things that a config may name: a line says where each is, and a shipped declaration what planning has to know of it.

    FAMILIES = Registry("families", {"vae": "bigloop.models.images.vae:VAE"})     # in the room of the families
    FAMILIES["vae"]                            # the class, imported when it is asked for
    declared("families")["vae"].has_critic     # from registered.json: no import of torch or of the class

`python -m bigloop schema` writes registered.json from the things themselves. What lies outside the package is added
by plugins: modules with tables of the same names and lines, such as FAMILIES = {"mine": "my_module:Mine"}.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import os
import sys
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bigloop.spec.faults import SpecError, shown
from bigloop.spec.hints import Scalar, typed_fields
from bigloop.spec.options import to_dict

REGISTERED = Path(__file__).with_name("registered.json")
PLUGINS = "BIGLOOP_PLUGINS"  # environment variable: what jobs are to import, names with commas between
GROUP = "bigloop.plugins"  # of entry points, whose modules are plugins of every experiment


class Kind(NamedTuple):
    """A kind of thing: one of it in words, and the attributes that planning has to know, with their defaults."""

    noun: str
    abilities: Mapping[str, Any] = {}


KINDS = {
    "families": Kind(
        "family",
        {
            "revision": 1,
            "conditional": False,
            "has_critic": False,
            "continues": False,
            "reaches_modes": True,
            "stacked": False,
            "has_moments": False,
            "has_log_density": False,
            "sees_density": False,
            "discrete": False,
            "guides": False,
            "extrapolates": False,
            "takes_bytes": False,
            "takes_snapshots": False,
            "records_steps": False,
            "parallel": False,
            "multiple": 1,
            "least": 1,
        },
    ),
    "sources": Kind("dataset", {"planes": ""}),
    "densities": Kind("density"),
    "measures": Kind(
        "measure",
        {
            "revision": 1,
            "on": (),
            "limit": 0,
            "per_side": 1,
            "matrices": 0,
            "against": "subset",
            "has_rows": True,
            "of_images": True,
            "of_points": True,
            "needs_classes": False,
            "needs_critic": False,
            "on_features": False,
            "on_planes": False,
        },
    ),
    "features": Kind("kind of features", {"revision": 1, "trained_here": False}),
    "figures": Kind("figure", {"needs": (), "caption": "", "animated": False}),
    "claims": Kind("list of claims"),
    "rules": Kind("rule", {"revision": 1}),
    "scores": Kind("score", {"revision": 1, "on": ()}),
}


class Registry(dict[str, Any]):
    """Things of one kind by name: "module:attribute", imported when asked for, or the thing itself."""

    all: dict[str, Registry] = {}  # noqa: RUF012

    def __init__(self, kind: str, lines: Mapping[str, Any]) -> None:
        super().__init__(lines)
        self.kind = kind
        self.update(_added.get(kind, {}))
        self.all[kind] = self

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise unknown(self.kind, name, self)
        return _thing(super().__getitem__(name))

    def values(self) -> Any:
        return [self[name] for name in self]

    def items(self) -> Any:
        return [(name, self[name]) for name in self]


def unknown(kind: str, name: str, known: Iterable[str]) -> SpecError:
    """That nothing of this kind has this name, and what the names are."""
    noun = KINDS[kind].noun
    return SpecError(f"{noun}: unknown {noun} {shown(name)} (known: {', '.join(known)})")


@dataclasses.dataclass(frozen=True)
class Declared:
    """What planning knows of a registered thing: its options, and its abilities as attributes."""

    name: str
    about: str
    options: Mapping[str, Mapping[str, Any]]
    abilities: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["abilities"][name]
        except KeyError:
            raise AttributeError(name) from None

    @cached_property
    def Options(self) -> type:
        """The dataclass of its options, as the thing itself declares it."""
        fields = [(name, _type(given["type"]), _field(given)) for name, given in self.options.items()]
        return dataclasses.make_dataclass(f"{self.name}_options", fields, frozen=True)


class Declarations(dict[str, Declared]):
    """The declared things of one kind by name."""

    def __init__(self, kind: str, things: Mapping[str, Declared]) -> None:
        super().__init__(things)
        self.kind = kind

    def __missing__(self, name: str) -> Declared:
        if name in Registry.all.get(self.kind, ()):  # added to the registry of this process
            return _live(self.kind, name, Registry.all[self.kind][name])
        raise unknown(self.kind, name, self)


@cache
def declared(kind: str) -> Declarations:
    """Everything of a kind that a config may name: what is shipped, and what plugins added."""
    things = {name: Declared(name, **about) for name, about in _registered()[kind].items()}
    things |= {name: _live(kind, name, line) for name, line in _added.get(kind, {}).items()}
    return Declarations(kind, things)


def describe(kind: str, thing: Any) -> dict[str, Any]:
    """The declaration of a registered thing, in the form of registered.json."""
    options = (
        {}
        if not hasattr(thing, "Options")
        else {f.name: _option(f, h) for f, h in typed_fields(thing.Options)}
    )
    speaks = thing if isinstance(thing, type) else getattr(thing, "function", None)
    words = getattr(thing, "about", "") or (speaks and inspect.getdoc(speaks)) or ""
    abilities = {k: _json(getattr(thing, k, default)) for k, default in KINDS[kind].abilities.items()}
    return {"about": words.split("\n\n")[0].replace("\n", " "), "options": options, "abilities": abilities}


def registered_text() -> str:
    """The text of registered.json, from the things themselves."""
    found = {
        kind: {
            name: describe(kind, thing)
            for name, thing in Registry.all[kind].items()
            if name not in _added.get(kind, {})
        }
        for kind in KINDS
        if kind in Registry.all
    }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def forget() -> None:
    """Read registered.json anew when it is next needed."""
    _registered.cache_clear()
    declared.cache_clear()


# --- plugins ---

_added: dict[str, dict[str, Any]] = {}
_loaded: dict[str, None] = {}


def load_plugins(named: Iterable[str] = ()) -> tuple[str, ...]:
    """Import these modules, and those that the environment or else entry points name; returns all that are loaded.

    They are looked for in the working directory, too. Raises SpecError where one cannot be imported or names a thing
    that there is already.
    """
    if PLUGINS in os.environ:
        standing = [name for name in os.environ[PLUGINS].split(",") if name]
    else:
        standing = [point.module for point in entry_points(group=GROUP)]
    here = str(Path.cwd())
    for name in [*standing, *named]:
        if name in _loaded:
            continue
        if here not in sys.path:
            sys.path.insert(0, here)
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise SpecError(
                f"plugins: {name}: cannot be imported ({type(error).__name__}: {error})"
            ) from None
        for kind in KINDS:
            _add(kind, getattr(module, kind.upper(), {}), name)
        _loaded[name] = None
        declared.cache_clear()
    return tuple(_loaded)


def _add(kind: str, lines: Mapping[str, Any], plugin: str) -> None:
    for name, line in lines.items():
        if name in _registered()[kind] or name in _added.get(kind, {}):
            raise SpecError(f"plugins: {plugin}: there is a {KINDS[kind].noun} {name!r} already")
        _added.setdefault(kind, {})[name] = line
        if kind in Registry.all:
            Registry.all[kind].setdefault(name, line)


def _live(kind: str, name: str, line: Any) -> Declared:
    try:
        return Declared(name, **describe(kind, _thing(line)))
    except (ImportError, AttributeError) as error:
        raise SpecError(f"plugins: {KINDS[kind].noun} {name!r}: {error}") from None


def _thing(line: Any) -> Any:
    if not isinstance(line, str):
        return line
    module, _, attribute = line.partition(":")
    return getattr(importlib.import_module(module), attribute)


# --- options as JSON, and back ---

TYPES: dict[str, Any] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "tuple": tuple,
    "dict": dict,
    "None": None,
}
TYPES |= {"Literal": Literal, "Any": Any}


@cache
def _registered() -> dict[str, Any]:
    found = json.loads(REGISTERED.read_text()) if REGISTERED.is_file() else {}
    return {kind: found.get(kind, {}) for kind in KINDS}


def _option(f: dataclasses.Field, hint: Any) -> dict[str, Any]:
    words = inspect.formatannotation(hint).replace("typing.", "")
    given = {"type": "Scalar" if hint == Scalar else words, **f.metadata}
    if f.default is not dataclasses.MISSING:
        given["default"] = f.default
    return _json(given)


def _field(given: Mapping[str, Any]) -> Any:
    metadata = {key: value for key, value in given.items() if key not in ("type", "default")}
    if isinstance(metadata.get("neutral"), list):
        metadata["neutral"] = tuple(metadata["neutral"])
    default = given.get("default", dataclasses.MISSING)
    return dataclasses.field(
        default=tuple(default) if isinstance(default, list) else default, metadata=metadata
    )


def _type(words: str) -> Any:
    return eval(
        words, {"__builtins__": {}, "Scalar": Scalar, **TYPES}
    )  # our own file, or a plugin's own class


def _json(value: Any) -> Any:
    if isinstance(value, frozenset | set):
        value = sorted(value)
    return to_dict(value)
