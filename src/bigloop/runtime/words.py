"""Seconds and bytes as people read them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Seconds as people read them: 42 s, 3 min 05 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def size(number: float) -> str:
    """A number of bytes as people read it: 640 B, 3.8 MB, 1.2 GB; 1 kB is 1,000 bytes."""
    units = iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while round(number, 1) >= 1_000 and unit != "TB":
        number, unit = number / 1_000, next(units)
    return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
