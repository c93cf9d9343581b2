"""How many seeds and images stand behind what is drawn, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bigloop.analysis.series import n_of, seeds_of

if TYPE_CHECKING:
    import pandas as pd


def rows_note(tables: Sequence[pd.DataFrame]) -> str:
    """What a mean over the seeds of some runs, a table of rows each, was taken of: "n = 500, mean over 3 seeds"."""
    return ", ".join(filter(None, (n_note(map(n_of, tables)), seeds_note(map(seeds_of, tables), "mean"))))


def seeds_note(counts: Iterable[int], what: str = "mean ± s.d.") -> str:
    """What a line is, given the number of seeds of each run: "mean ± s.d. over 3 seeds", or "one seed"."""
    fewest, *_, most = [*sorted(counts)] * 2
    if most == 1:
        return "one seed"
    return f"{what} over {most if fewest == most else f'{fewest}–{most}'} seeds"


def n_note(sizes: Iterable[int | None]) -> str:
    """The numbers of images measured, "n = 1 000"; empty where the table does not say."""
    known = [grouped(size) for size in sorted({size for size in sizes if size is not None})]
    if len(known) > 2:
        return f"n = {known[0]} to {known[-1]}"
    return f"n = {' and '.join(known)}" if known else ""


def grouped(number: float) -> str:
    """A number as it is read, its thousands set apart: 2 000 000, 0.5."""
    return f"{number:,.10g}".replace(",", chr(0x2009))
