"""What a job is told: frozen dataclasses, parsed strictly from JSON.

    run = parse(RunSpec, json.loads(text), where="run")
    run.folder      # "vae-mnist-1f0c9a42": the same words for the same science, whatever the run is called

A dataclass field is declared with `option(default, description, minimum=…)`; `parse` checks type and range
and names the key at fault, `schema_of` turns the same declaration into JSON Schema.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, TypeVar

T = TypeVar("T")


Scalar = bool | int | float | str


class SpecError(ValueError):
    """A configuration or spec that cannot be run. The message is one line that names the key."""


def option(
    default: Any = dataclasses.MISSING,
    description: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    sampling: bool = False,
) -> Any:
    """A dataclass field with a description and a range: minimum ≤ value ≤ maximum, above < value < below.

    `sampling` marks an option of a family that training does not depend on.
    """
    bounds = {"minimum": minimum, "maximum": maximum, "exclusiveMinimum": above, "exclusiveMaximum": below}
    given = {k: v for k, v in bounds.items() if v is not None}
    return field(
        default=default, metadata={"description": description, "bounds": given, "sampling": sampling}
    )


def parse(cls: type[T], data: Any, where: str) -> T:
    """`data` (as json.loads returns it) as a `cls`; raises SpecError naming the key below `where`."""
    if not isinstance(data, Mapping):
        raise SpecError(f"{where}: expected a mapping, got {_shown(data)}")
    hints = typing.get_type_hints(cls)
    fields = {_key(f): f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise SpecError(f"{where}.{key}: unknown key (known: {', '.join(fields)})")
    values = {}
    for key, declared in fields.items():
        if key in data:
            values[declared.name] = _convert(hints[declared.name], data[key], f"{where}.{key}")
            _check_bounds(declared, values[declared.name], f"{where}.{key}")
        elif declared.default is dataclasses.MISSING:
            raise SpecError(f"{where}.{key}: missing")
    try:
        return cls(**values)
    except SpecError as error:  # a rule between keys; the dataclass does not know where it stands
        raise SpecError(where + str(error).removeprefix(cls.__name__.lower())) from None


def to_dict(spec: Any) -> dict[str, Any]:
    """The JSON form of a spec; fields that are None are left out, so that `parse` gives the spec back."""
    if dataclasses.is_dataclass(spec):
        items = {_key(f): getattr(spec, f.name) for f in dataclasses.fields(spec)}
        return {k: to_dict(v) for k, v in items.items() if v is not None}
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


def schema_of(cls: type) -> dict[str, Any]:
    """JSON Schema of the options declared by the dataclass `cls`, all of them optional."""
    hints = typing.get_type_hints(cls)
    properties = {}
    for f in dataclasses.fields(cls):
        if "description" not in f.metadata:  # not declared by `option`: no key of a config
            continue
        entry: dict[str, Any] = {"description": f.metadata["description"]}
        if typing.get_origin(hints[f.name]) is Literal:
            entry["enum"] = list(typing.get_args(hints[f.name]))
        else:
            entry["type"] = {int: "integer", float: "number", str: "string", bool: "boolean"}[hints[f.name]]
        entry |= f.metadata["bounds"] | {"default": f.default}
        properties[f.name] = entry | ({"sampling": True} if f.metadata["sampling"] else {})
    return properties


def _key(declared: dataclasses.Field) -> str:
    return declared.name.rstrip("_")  # `from_` stands for the key "from"


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if hint == Scalar:
        if isinstance(value, Scalar):
            return value
        raise SpecError(f"{where}: expected a number, a word or true/false, got {_shown(value)}")
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        *others, last = (a for a in args if a is not type(None))
        for other in others:
            try:
                return _convert(other, value, where)
            except SpecError:
                continue
        return _convert(last, value, where)
    if origin is Literal:
        if value not in args or isinstance(value, bool) != any(isinstance(a, bool) for a in args):
            raise SpecError(f"{where}: expected one of {', '.join(map(str, args))}, got {_shown(value)}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise SpecError(f"{where}: expected a list, got {_shown(value)}")
        return tuple(_convert(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise SpecError(f"{where}: expected a mapping, got {_shown(value)}")
        return {str(k): _convert(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return parse(hint, value, where)  # type: ignore[arg-type]
    return _convert_scalar(hint, value, where)


def _convert_scalar(hint: type, value: Any, where: str) -> Any:
    if hint is bool and isinstance(value, bool):
        return value
    if hint is str and isinstance(value, str):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    finite = number and math.isfinite(value)
    if hint is int and finite and value == int(value):
        return int(value)
    if hint is float and finite:
        return float(value)
    expected = {bool: "true or false", str: "a word", int: "a whole number", float: "a number"}[hint]
    misread = misread_number(value)
    advice = "" if misread is None else f" (in YAML, write {misread:.1e})"
    raise SpecError(f"{where}: expected {expected}, got {_shown(value)}{advice}")


def misread_number(value: Any) -> float | None:
    """The finite number in a word, such as the 1e-4 that YAML 1.1 takes for one; None for anything else."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _check_bounds(declared: dataclasses.Field, value: Any, where: str) -> None:
    bounds = declared.metadata.get("bounds", {})
    if not bounds or value is None:
        return
    tests = {
        "minimum": ("at least", lambda v, b: v >= b),
        "maximum": ("at most", lambda v, b: v <= b),
        "exclusiveMinimum": ("above", lambda v, b: v > b),
        "exclusiveMaximum": ("below", lambda v, b: v < b),
    }
    for name, bound in bounds.items():
        words, holds = tests[name]
        if not holds(value, bound):
            raise SpecError(f"{where}: expected {words} {bound}, got {value}")


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)
