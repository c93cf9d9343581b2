"""Specifications of jobs: frozen dataclasses, declared once, parsed strictly by pydantic, digested canonically.

    run = parse(RunSpec, json.loads(text), where="run")
    run.folder      # "vae-mnist-1f0c9a42": the same words for the same science, whatever the run is called

A field is declared with `option(default, description, minimum=…)`. Parsing, the schema, the shipped declarations and
the error messages are all made from that.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cache
from typing import Any, TypeVar

from pydantic_core import SchemaValidator, ValidationError

from bigloop.spec.faults import SpecError, in_words, shown
from bigloop.spec.hints import Scalar, core_of, key_of, typed_fields

T = TypeVar("T")


def option(
    default: Any = dataclasses.MISSING,
    description: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    each: tuple[float, float] | None = None,
    at_most: str = "",
    divides: str = "",
    where: Mapping[str, Scalar] | None = None,
    sampling: bool = False,
    kind: str = "",
    only: Mapping[str, tuple[Scalar, ...]] | None = None,
    neutral: Any = dataclasses.MISSING,
) -> Any:
    """A dataclass field with a description and a range: minimum ≤ value ≤ maximum, above < value < below.

    Of a list, a mapping or a word, minimum and maximum bound the length, and `each` the numbers in a list. `at_most`
    names another option that this one may not exceed, `where` other options have the given values; `divides` one that
    it must divide. `sampling` marks an option of a family that training does not depend on. `kind`: it names a
    registered thing of this kind, with its options. `only`: where another option has none of these values, this one
    has no effect, and must have its default.
    An option that is younger than finished results declares the value at which it changes nothing, its default, as
    `neutral`: there it is left out of canonical JSON.
    """
    if neutral is not dataclasses.MISSING and neutral != default:
        raise ValueError(f"neutral={neutral!r} is not the default, {default!r}: old configs would change")
    bounds = {"minimum": minimum, "maximum": maximum, "exclusiveMinimum": above, "exclusiveMaximum": below}
    metadata: dict[str, Any] = {
        "description": description,
        "bounds": {k: v for k, v in bounds.items() if v is not None},
    }
    more: dict[str, Any] = {
        "each": each,
        "at_most": at_most,
        "divides": divides,
        "where": where and dict(where),
        "sampling": sampling,
        "kind": kind,
        "only": only and dict(only),
    }
    metadata |= {k: v for k, v in more.items() if v}
    if neutral is not dataclasses.MISSING:
        metadata["neutral"] = neutral
    return field(default=default, metadata=metadata)


def again(cls: type, name: str, default: Any) -> Any:
    """An option of `cls` as a dataclass derived from it declares it anew, with another default."""
    inherited = next(f for f in dataclasses.fields(cls) if f.name == name)
    metadata = dict(inherited.metadata)
    if "neutral" in metadata and metadata["neutral"] != default:
        del metadata["neutral"]  # left out, it would come back as the new default
    return field(default=default, metadata=metadata)


def parse(cls: type[T], data: Any, where: str) -> T:
    """`data` (as json.loads or YAML returns it) as a `cls`; raises SpecError naming the key below `where`.

    Whole floats are taken for integers, and integers for floats; words and true or false are taken for neither.
    """
    try:
        spec = _validator(cls).validate_python(data)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SpecError(in_words(error, where)) from None
    _check_order(spec, where)
    _check_effect(spec, where)
    return spec


def to_dict(spec: Any) -> dict[str, Any]:
    """The JSON form of a spec; fields that are None or neutral are left out, so that `parse` gives the spec back."""
    if dataclasses.is_dataclass(spec):
        items = [(key, getattr(spec, name), left_out) for key, name, left_out in _members(type(spec))]  # type: ignore[arg-type]
        return {k: to_dict(v) for k, v, left_out in items if not left_out(v)}
    if isinstance(spec, Mapping):
        return {k: to_dict(v) for k, v in spec.items()}
    if isinstance(spec, list | tuple):
        return [to_dict(v) for v in spec]  # type: ignore[return-value]
    return spec


def to_json(spec: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, shortest exact floats. Equal specs give equal text."""
    return json.dumps(to_dict(spec), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(spec: Any, digits: int = 8) -> str:
    """The first hex digits, of 64, of SHA-256 over the canonical JSON of `spec`."""
    return hashlib.sha256(to_json(spec).encode()).hexdigest()[:digits]


def without(cls: type, *names: str) -> type:
    """The dataclass `cls` with fewer fields: what a config may say of it, where the rest is not the config's."""
    kept = [(f.name, hint, _copy(f)) for f, hint in typed_fields(cls) if f.name not in names]
    return dataclasses.make_dataclass(cls.__name__, kept, frozen=True)


def _copy(f: dataclasses.Field) -> Any:
    return field(default=f.default, metadata=f.metadata)


@cache
def _validator(cls: type) -> SchemaValidator:
    return SchemaValidator(core_of(cls))


@cache
def _members(cls: type) -> list[tuple[str, str, Callable[[Any], bool]]]:
    """Key and name of each field, and which of its values are left out: the neutral one, and None where a field that is
    not given is that."""

    def left_out(f: dataclasses.Field) -> Callable[[Any], bool]:
        neutral = f.metadata.get("neutral", cls)  # a class equals none of its values
        optional = f.default is None or f.default is dataclasses.MISSING
        return lambda value: value == neutral or (value is None and optional)

    return [(key_of(f), f.name, left_out(f)) for f in dataclasses.fields(cls)]


def _check_order(spec: Any, where: str) -> None:
    """Hold the options to what `at_most` says of them."""
    for f in dataclasses.fields(spec):
        limit = f.metadata.get("at_most")
        conditions = f.metadata.get("where") or {}
        if limit and all(getattr(spec, key) == value for key, value in conditions.items()):
            value, most = getattr(spec, f.name), getattr(spec, limit)
            if value > most:
                raise SpecError(f"{where}.{key_of(f)}: expected at most {limit}, {most}, got {shown(value)}")
        if (divided := f.metadata.get("divides")) and getattr(spec, divided) % getattr(spec, f.name):
            whole, value = getattr(spec, divided), getattr(spec, f.name)
            raise SpecError(
                f"{where}.{key_of(f)}: expected a divisor of {divided}, {whole}, got {shown(value)}"
            )


def _check_effect(spec: Any, where: str) -> None:
    """Refuse options that have no effect beside the others, see `only`."""
    for f in dataclasses.fields(spec):
        for name, values in (f.metadata.get("only") or {}).items():
            if getattr(spec, name) not in values and getattr(spec, f.name) != f.default:
                raise SpecError(
                    f"{where}.{key_of(f)}: has no effect with {name}: {getattr(spec, name)}, only with "
                    f"{' or '.join(map(str, values))}"
                )
