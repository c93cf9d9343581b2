"""What a section of the benchmark is, and how its rows look on the screen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

NAME = 46  # columns of a row's name
WIDTH = 13  # of every other column


class Column(NamedTuple):
    """A field of a section's rows: its name there and in the JSON, its head on the screen, and its value in words."""

    field: str
    head: str
    text: Callable[[Any], str]


@dataclass(frozen=True)
class Section:
    """One table: what is measured, in words, its columns beside `name`, and the rows, NamedTuples, as they are found.

    in_checkout: whether it needs the Snakefile and config.yaml of the working directory.
    """

    name: str
    about: str
    columns: tuple[Column, ...]
    rows: Callable[[Any], Iterator[Any]]
    in_checkout: bool = False


def doing(what: str) -> None:
    """Say on a terminal what is being measured now; the next row takes its place."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[2K{what} …\r")
        sys.stderr.flush()


def head(section: Section) -> str:
    """The heads of a section's columns."""
    return (" " * NAME + "".join(f"{column.head:>{WIDTH}}" for column in section.columns)).rstrip()


def line(section: Section, row: Any) -> str:
    """A row on the screen; what was not measured is left blank."""
    values = ((column, getattr(row, column.field)) for column in section.columns)
    words = ("" if value is None else column.text(value) for column, value in values)
    return (f"{row.name:<{NAME}}" + "".join(f"{word:>{WIDTH}}" for word in words)).rstrip()


def time_text(seconds: float) -> str:
    """Seconds with their unit and three digits or so: 12.3 s, 4.6 ms, 120 µs."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale or unit == "µs":
            value = seconds / scale
            return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"
    raise AssertionError


def number(digits: int) -> Callable[[float], str]:
    """How to write a number with so many digits after the point."""
    return lambda value: f"{value:,.{digits}f}"
