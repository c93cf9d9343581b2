"""What a section of the benchmark is, and how its rows look on the screen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, get_type_hints

NAME = 46  # columns of a row's name
WIDTH = 13  # of every other column


class Column(NamedTuple):
    """How a field of a section's rows is shown: its head on the screen, and its value in words."""

    head: str
    text: Callable[[Any], str]


@dataclass(frozen=True)
class Section:
    """One table, and what it measures, in words.

    row: the NamedTuple of its rows, each field of which but `name` is annotated with its Column. rows: yields them as
    they are found. in_checkout: whether it needs the Snakefile and config.yaml of the working directory.
    """

    name: str
    about: str
    row: type
    rows: Callable[[Any], Iterator[Any]]
    in_checkout: bool = False

    @property
    def columns(self) -> dict[str, Column]:
        """Field → column, in order."""
        hints = get_type_hints(self.row, include_extras=True)
        return {field: hint.__metadata__[0] for field, hint in hints.items() if field != "name"}


def doing(what: str) -> None:
    """Say on a terminal what is being measured now; the next row takes its place."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[2K{what} …\r")
        sys.stderr.flush()


def head(section: Section) -> str:
    """The heads of a section's columns."""
    return (" " * NAME + "".join(f"{column.head:>{WIDTH}}" for column in section.columns.values())).rstrip()


def line(section: Section, row: Any) -> str:
    """A row on the screen; what was not measured is left blank."""
    values = ((column, getattr(row, field)) for field, column in section.columns.items())
    words = ("" if value is None else column.text(value) for column, value in values)
    return (f"{row.name:<{NAME}}" + "".join(f"{word:>{WIDTH}}" for word in words)).rstrip()


def time_text(seconds: float) -> str:
    """Seconds with their unit and three digits or so: 12.3 s, 4.6 ms, 120 µs."""
    unit, scale = ("s", 1.0) if seconds >= 1 else ("ms", 1e-3) if seconds >= 1e-3 else ("µs", 1e-6)
    value = seconds / scale
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"


def number(digits: int) -> Callable[[float], str]:
    """How to write a number with so many digits after the point."""
    return f"{{:,.{digits}f}}".format
