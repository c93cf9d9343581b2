"""Seconds, bytes and the places of jobs as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def duration(seconds: float) -> str:
    """A duration in readable units: 42 s, 3 min 05 s, 2 h 10 min, 12 days."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    if seconds < 4 * 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds / 86_400:,.0f} days"


def between(low: float, high: float) -> str:
    """Two durations as people read them, each to two digits: 20 to 40 s, 50 min to 2 h, 3.1 to 4.5 days."""
    ends = [_rounded(seconds, *_unit(seconds)) for seconds in sorted((low, high))]
    (first, unit), (second, larger) = ends
    if ends[0] == ends[1]:
        return f"{second} {larger}"
    return f"{first} to {second} {larger}" if unit == larger else f"{first} {unit} to {second} {larger}"


def _unit(seconds: float) -> tuple[float, str]:
    units = ((1, "s"), (60, "min"), (3_600, "h"), (86_400, "days"))
    return next((unit for unit in reversed(units) if seconds >= 1.5 * unit[0]), units[0])


def _rounded(seconds: float, unit: float, name: str) -> tuple[str, str]:
    number = seconds / unit
    return (f"{number:.1f}" if number < 10 and unit > 1 else f"{float(f'{number:.2g}'):,.0f}"), name


def size(number: float) -> str:
    """A size in readable units: 640 B, 3.8 MB, 1.2 GB; 1 kB is 1,000 bytes."""
    units = iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while round(number, 1) >= 1_000 and unit != "TB":
        number, unit = number / 1_000, next(units)
    return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"


def place(log_file: Path, names: Mapping[str, str] | None = None) -> str:
    """Where a job stands, from its log file: "vae-mnist-1f0c9a42 seed 0 generation 3 train".

    names: what to call folders by, as their run's name in the config; "" leaves one out.
    """
    parts = list(log_file.with_suffix("").parts)
    if "results" in parts:
        parts = parts[len(parts) - parts[::-1].index("results") :]
    words = (_part(part) if names is None else names.get(part, _part(part)) for part in parts)
    return " ".join(filter(None, words))


def _part(name: str) -> str:
    """A folder's name in words: seed-0 as seed 0, gens-1-50 as generations 1–50; the rooms of results say nothing."""
    if name in ("runs", "logs"):
        return ""
    kind, _, numbers = name.partition("-")
    kinds = {"seed": "seed", "seeds": "seeds", "gen": "generation", "gens": "generations"}
    return f"{kinds[kind]} {numbers.replace('-', '–')}" if kind in kinds else name
