"""A declared type and its range, as pydantic checks it and as JSON Schema says it."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from pydantic_core import PydanticCustomError
from pydantic_core import core_schema as core

from bigloop.spec.faults import HIDDEN, named

Scalar = bool | int | float | str
Metadata = Mapping[str, Any]

CORE_BOUNDS = {"minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt", "exclusiveMaximum": "lt"}
NAMES = {bool: "boolean", str: "string", int: "integer", float: "number"}
MOST = 10**6  # of a count that declares no upper bound


def typed_fields(cls: type) -> list[tuple[dataclasses.Field, Any]]:
    """The fields of a dataclass with their types, references resolved."""
    hints = typing.get_type_hints(cls)
    return [(f, hints[f.name]) for f in dataclasses.fields(cls)]


def key_of(declared: dataclasses.Field) -> str:
    """The key of a field: `from_` stands for "from"."""
    return declared.name.rstrip("_")


def core_of(cls: type) -> core.CoreSchema:
    """What pydantic checks of a mapping that is to become a `cls`."""
    fields = typed_fields(cls)
    declared = [
        core.dataclass_field(f.name, _or_default(hint, f), validation_alias=key_of(f)) for f, hint in fields
    ]
    made = core.dataclass_schema(
        cls,
        core.dataclass_args_schema(cls.__name__, declared, extra_behavior="forbid"),
        [f.name for f, _ in fields],
        post_init=hasattr(cls, "__post_init__"),
    )
    known = {key_of(f): None for f, _ in fields}

    def only_known(value: Any) -> Any:
        for key in value if isinstance(value, Mapping) else ():
            if key not in known:
                raise PydanticCustomError("unknown_key", "", {"key": named(key), "known": ", ".join(known)})
        return dict(value) if isinstance(value, Mapping) else value

    return core.no_info_before_validator_function(only_known, made)


def schema_of(cls: type) -> dict[str, Any]:
    """JSON Schema of the options declared by the dataclass `cls`: option → schema."""
    properties = {}
    for f, hint in typed_fields(cls):
        if "description" not in f.metadata:  # not declared by `option`: no key of a config
            continue
        words = f.metadata["description"]
        entry: dict[str, Any] = {"description": words} if words else {}
        kind = f.metadata.get("kind")
        entry |= {"$ref": f"#/$defs/{kind}"} if kind else schema_of_hint(hint, f.metadata)
        if f.default is not dataclasses.MISSING and f.default is not None:
            entry["default"] = list(f.default) if isinstance(f.default, tuple) else f.default
        properties[key_of(f)] = entry
    return properties


def schema_of_hint(hint: Any, metadata: Metadata) -> dict[str, Any]:
    """JSON Schema of a type with the range that `option` declared."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    bounds = bounds_of(hint, metadata)
    if hint == Scalar:
        return {"type": [*NAMES.values()]}
    if origin in (typing.Union, types.UnionType):
        several = [schema_of_hint(a, metadata) for a in args if a is not type(None)]
        several += [{"type": "null"}] * (type(None) in args)
        return {"anyOf": several}
    if origin is Literal:
        return {"enum": list(args)}
    if origin is tuple:
        items = schema_of_hint(args[0], {"bounds": _range(metadata.get("each"))})
        return {"type": "array", "items": items} | _sizes(bounds, "Items")
    if origin is dict:
        return {"type": "object"} | _sizes(bounds, "Properties")
    if hint is str:
        return {"type": "string"} | _sizes(bounds, "Length")
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return object_schema(schema_of(hint), required_of(hint))
    return {} if hint is Any else {"type": NAMES[hint]} | bounds


def bounds_of(hint: Any, metadata: Metadata) -> dict[str, Any]:
    """The declared range; a count without an upper bound is at most MOST."""
    bounds = dict(metadata.get("bounds", {}))
    if hint is int and "description" in metadata and not {"maximum", "exclusiveMaximum"} & bounds.keys():
        bounds["maximum"] = MOST
    return bounds


def object_schema(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """JSON Schema of a mapping that has these keys and no others."""
    needed = {"required": required} if required else {}
    return {"type": "object", "additionalProperties": False, **needed, "properties": properties}


def required_of(cls: type) -> list[str]:
    """The keys that have to be given."""
    return [key_of(f) for f, hint in typed_fields(cls) if _default(hint, f) is dataclasses.MISSING]


def _core(hint: Any, metadata: Metadata) -> core.CoreSchema:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    bounds = metadata.get("bounds", {})
    lengths = {CORE_SIZES[k]: v for k, v in bounds.items() if k in CORE_SIZES}
    if hint is Any:
        return core.any_schema()
    if hint == Scalar:
        return _expecting("a number, a word or true/false", _any_of(EXACT))
    if origin in (typing.Union, types.UnionType):
        members = [a for a in args if a is not type(None)]
        one = _core(members[0], metadata) if len(members) == 1 else _union(members, metadata)
        return core.nullable_schema(one) if type(None) in args else one
    if origin is Literal:
        return _expecting("one of " + ", ".join(map(_word, args)), core.literal_schema(list(args)))
    if origin is tuple:
        items = _core(args[0], {"bounds": _range(metadata.get("each"))})
        return core.tuple_schema([items], variadic_item_index=0, **lengths)
    if origin is dict:
        keys = core.any_schema() if args[0] is Any else core.str_schema(strict=True)
        return core.dict_schema(keys, _core(args[1], {}), **lengths)
    if dataclasses.is_dataclass(hint):
        return core_of(typing.cast(type, hint))
    if hint is bool:
        return core.bool_schema(strict=True)
    if hint is str:
        return core.str_schema(strict=True, **lengths)
    limits = {CORE_BOUNDS[k]: v for k, v in bounds_of(hint, metadata).items()}
    if hint is float:
        return core.float_schema(strict=True, allow_inf_nan=False, **limits)
    return core.no_info_before_validator_function(_whole, core.int_schema(strict=True, **limits))


EXACT: list[core.CoreSchema] = [
    core.bool_schema(strict=True),
    core.int_schema(strict=True),
    core.float_schema(strict=True, allow_inf_nan=False),
    core.str_schema(strict=True),
]
CORE_SIZES = {"minimum": "min_length", "maximum": "max_length"}


def _whole(value: Any) -> Any:
    """400.0 is the integer 400, in YAML and in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _any_of(several: list[core.CoreSchema]) -> core.CoreSchema:
    return core.union_schema(typing.cast(Any, several), mode="left_to_right")


def _union(members: list[Any], metadata: Metadata) -> core.CoreSchema:
    """One of several types: which one is meant is seen from whether the value is a mapping, a list or neither."""
    kinds: dict[str, list[Any]] = {}
    for member in members:
        kinds.setdefault(_kind(member), []).append(member)
    words = " or ".join(_expected(member, metadata) for member in members)
    several = {kind: _branch(of, metadata, words) for kind, of in kinds.items()}
    if len(several) == 1:
        return next(iter(several.values()))

    def chosen(value: Any) -> str:
        shape = "mapping" if isinstance(value, Mapping) else "list" if isinstance(value, list | tuple) else ""
        return HIDDEN + shape

    return core.tagged_union_schema(
        {HIDDEN + kind: branch for kind, branch in several.items()},
        chosen,
        custom_error_type="expected",
        custom_error_message="{words}",
        custom_error_context={"words": words},
    )


def _branch(members: list[Any], metadata: Metadata, words: str) -> core.CoreSchema:
    """Types of one kind; what fits none of them is told all that was possible."""
    if len(members) == 1 and typing.get_origin(members[0]) is not Literal:
        return _core(members[0], metadata)
    return _expecting(words, _any_of([_core(member, metadata) for member in members]))


def _kind(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin is dict or dataclasses.is_dataclass(hint):
        return "mapping"
    return "list" if origin is tuple else ""


def _expected(hint: Any, metadata: Metadata) -> str:
    """A type in words."""
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(_word, typing.get_args(hint)))
    if _kind(hint):
        return {"mapping": "object", "list": "list"}[_kind(hint)]
    least = metadata.get("bounds", {}).get("minimum")
    return NAMES[hint] + (f" of at least {least}" if least is not None and hint in (int, float) else "")


def _word(value: Any) -> str:
    """A value as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _expecting(words: str, schema: core.CoreSchema) -> core.CoreSchema:
    return core.custom_error_schema(
        schema, "expected", custom_error_message="{words}", custom_error_context={"words": words}
    )


def _or_default(hint: Any, f: dataclasses.Field) -> core.CoreSchema:
    schema, default = _core(hint, f.metadata), _default(hint, f)
    return schema if default is dataclasses.MISSING else core.with_default_schema(schema, default=default)


def _default(hint: Any, f: dataclasses.Field) -> Any:
    """The value where the key is not given: also of a mapping all of whose keys have one."""
    if f.default is dataclasses.MISSING and isinstance(hint, type) and dataclasses.is_dataclass(hint):
        try:
            return dataclasses.MISSING if required_of(hint) else hint()
        except ValueError:  # a rule between its keys asks for one of them
            return dataclasses.MISSING
    return f.default


def _range(each: tuple[float, float] | None) -> dict[str, float]:
    return dict(zip(("minimum", "maximum"), each, strict=True)) if each else {}


def _sizes(bounds: Mapping[str, float], what: str) -> dict[str, float]:
    names = {"minimum": f"min{what}", "maximum": f"max{what}"}
    return {names[k]: v for k, v in bounds.items() if k in names}
