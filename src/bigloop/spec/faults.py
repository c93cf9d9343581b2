"""What is wrong with a config or a spec, in one line that names the key."""

from __future__ import annotations

import math
import reprlib
from decimal import Decimal
from typing import Any

from pydantic_core import ErrorDetails, ValidationError

HIDDEN = "·"  # before a name in the place of a fault that is no key of the data
EXPECTED = {
    "int_type": "integer",
    "float_type": "number",
    "finite_number": "number",
    "bool_type": "boolean",
    "string_type": "string",
    "dict_type": "object",
    "dataclass_type": "object",
    "tuple_type": "list",
}
BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("above", "gt"),
    "less_than": ("below", "lt"),
}
SIZES = {"too_short", "string_too_short", "too_long", "string_too_long"}
LONGEST = 120  # characters of a value that a message repeats
LONGEST_LINE = 2_000  # characters of a message
HUGE = 256  # bits of an integer that is not written out


class SpecError(ValueError):
    """A configuration or spec that cannot be run. The message is one line that names the key."""

    def __init__(self, message: str) -> None:
        printable = message.encode(errors="backslashreplace").decode()
        line = " ".join(printable.split())
        super().__init__(line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …")


def in_words(error: ValidationError, where: str) -> str:
    """The first fault that pydantic found in the data that stand at `where`."""
    first = error.errors(include_url=False)[0]
    keys = [named(key) for key in first["loc"] if not str(key).startswith(HIDDEN) and key != "[key]"]
    at = ".".join([*([where] if where else []), *keys])
    return _fault(first, at)


def _fault(error: ErrorDetails, at: str) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    at_top = at or "config"
    if kind == "missing":
        return f"{at}: missing"
    if kind == "unknown_key":
        return f"{at}{'.' * bool(at)}{context['key']}: unknown key (known: {context['known']})"
    if kind == "value_error":  # a rule between keys; the dataclass does not know where it stands
        words = str(context["error"])
        return at + words[len(words.split(":")[0].split(".")[0]) :]
    if kind == "expected":
        return f"{at_top}: expected {context['words']}, got {shown(value)}"
    if kind in BOUNDS:
        words, name = BOUNDS[kind]
        return f"{at}: expected {words} {_plain(context[name])}, got {shown(value)}"
    if kind in SIZES:
        return _size(context, at, value)
    if kind not in EXPECTED:
        return f"{at_top}: {error['msg']}, got {shown(value)}"
    expected = EXPECTED[kind]
    return f"{at_top}: expected {expected}, got {shown(value)}{_hint(expected, value)}"


def _size(context: dict[str, Any], at: str, value: Any) -> str:
    what = "character" if isinstance(value, str) else "entry"
    if not value:
        return f"{at}: is empty, expected at least {context['min_length']} {what}"
    bound = "at least " if "min_length" in context else "at most "
    number = context.get("min_length", context.get("max_length"))
    several = what if number == 1 else {"character": "characters", "entry": "entries"}[what]
    return f"{at}: expected {bound}{number} {several}, got {len(value)}"


def _hint(expected: str, value: Any) -> str:
    """What was meant by a word that is a number to people, such as the 1e-4 of YAML 1.1."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    if expected == "integer":
        whole = number.is_integer() and abs(number) < 1e15
        return f" (a word in YAML; write {int(number)})" if whole else ""
    if expected != "number":
        return ""
    return f" (a word in YAML; write {_scientific(number) if 'e' in value.lower() else number})"


def _scientific(number: float) -> str:
    """As YAML 1.1 reads a float with an exponent: 1.0e-4."""
    exact = Decimal(repr(number))
    mantissa = f"{exact.scaleb(-exact.adjusted()).normalize():f}"
    return f"{mantissa}{'' if '.' in mantissa else '.0'}e{exact.adjusted():+d}"


def _plain(bound: float) -> str:
    return str(int(bound)) if float(bound).is_integer() and abs(bound) < 1e15 else str(bound)


def named(key: Any) -> str:
    """A key as a message writes it; one in a config may be anything."""
    return key.encode(errors="backslashreplace").decode() if isinstance(key, str) else shown(key)


def shown(value: Any) -> str:
    """A value as a message repeats it: short, on one line."""
    if value is None:
        return "nothing"
    if isinstance(value, int) and value.bit_length() > HUGE:
        return f"an integer of {value.bit_length()} bits"
    return _SHORT.repr(value)


class _Short(reprlib.Repr):
    """Short also for what is deep, or holds itself."""

    def repr_int(self, value: int, level: int) -> str:
        return repr(value) if value.bit_length() <= HUGE else "…"


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = LONGEST
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 6
_SHORT.maxlevel = 3
