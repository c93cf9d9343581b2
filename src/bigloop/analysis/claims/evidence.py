"""What speaks for a claim and against it, and what follows from all of it.

A piece of evidence agrees, disagrees, or is not clear (the 95 % interval of trends.Change holds 0). A claim is
*verified* where every clear piece agrees, *contradicted* where one or more disagree, since the papers state their
claims without exceptions, and *not tested at this scale* where none is clear. No allowance is made for how many they
are. That something stays as it is takes more than the absence of a clear change: the whole interval has to lie within
SAME.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pandas as pd

from bigloop.analysis import verdicts as rule
from bigloop.analysis.trends import Change, change, number

VERIFIED, CONTRADICTED, NOT_TESTED = "verified", "contradicted", "not tested at this scale"
SAME = (rule.FID_RISE - 1) / 2  # relative: half of the rise in FID that verdicts call drift

Run = Mapping[str, Any]  # a row of the runs table
Mask = Callable[[Run], bool]
Way = Literal["up", "down"]


@dataclass(frozen=True)
class Tables:
    """The tables: rows of each (run, measure); of each run its row of the runs table and its (verdict, reason)."""

    rows: Mapping[tuple[str, str], pd.DataFrame]
    runs: Mapping[str, Run]
    critics: pd.DataFrame
    verdicts: Mapping[str, tuple[str, str]]

    def like(self, mask: Mask) -> list[str]:
        """Names of the runs that a mask takes."""
        return [name for name, run in self.runs.items() if mask(run)]


@dataclass(frozen=True)
class Evidence:
    """A comparison in words, and whether it agrees with the claim; None, and why, where that is not clear."""

    text: str
    agrees: bool | None
    why: str = ""


Test = Callable[[Tables], Iterable[Evidence]]


@dataclass(frozen=True)
class Finding:
    """What became of a claim: the verdict, the evidence in words, and how much agrees or why none is clear."""

    verdict: str
    numbers: str
    reason: str


@dataclass(frozen=True)
class Claim:
    """A paper's claim and where to find its evidence."""

    id: str
    paper: str
    sentence: str
    test: Test


def claims_of(paper: str, claims: Iterable[tuple[str, str, Test]]) -> list[Claim]:
    """A paper's claims from their names, sentences and tests."""
    return [Claim(name, paper, sentence, test) for name, sentence, test in claims]


def conclude(evidence: Iterable[Evidence]) -> Finding:
    """The finding from all evidence, by the rule above."""
    pieces = list(evidence)
    agree, disagree = (sum(piece.agrees is answer for piece in pieces) for answer in (True, False))
    numbers = "; ".join(piece.text for piece in pieces)
    if not agree + disagree:
        return Finding(NOT_TESTED, numbers, "; ".join(dict.fromkeys(p.why for p in pieces)) or "no such runs")
    counts = f"{agree} of {len(pieces)} agree, {disagree} disagree"
    return Finding(CONTRADICTED if disagree else VERIFIED, numbers, counts)


def together(name: str, evidence: Iterable[Evidence]) -> Evidence:
    """One piece of evidence that agrees only where all its parts do, and disagrees where one does."""
    parts = list(evidence)
    answers = {part.agrees for part in parts}
    agrees = False if False in answers else None if None in answers else True
    why = "; ".join(dict.fromkeys(part.why for part in parts if part.why))
    return Evidence(f"{name} ({', '.join(part.text for part in parts)})", agrees, why)


Find = Callable[..., Change]
Answer = Callable[[Change], bool | None]


def compare(
    tables: Tables, runs: tuple[str, ...], measure: str, find: Find, answer: Answer, least: int
) -> Evidence:
    """Evidence from what `find` makes of the rows of one run (a trend) or of two (a difference)."""
    rows = [tables.rows.get((run, measure)) for run in runs]
    if any(own is None for own in rows):
        return Evidence(f"{' and '.join(runs)}: no {measure}", None, f"{measure} not measured")
    found = find(*rows)
    first, last, end = number(found.first), number(found.last), max(found.generations, default=math.nan)
    values = f"{first} → {last} until" if len(runs) == 1 else f"{last} against {first} at"
    text = f"{' − '.join(runs)}: {measure} {values} generation {end:g}"
    return weigh(text, found, answer(found), least)


def weigh(text: str, found: Change, agrees: bool | None, least: int = 1) -> Evidence:
    """Evidence from a change, which has to reach generation `least`."""
    text += f" ({found.text}, {'one seed' if found.seeds == 1 else f'{found.seeds} seeds'})"
    why = "" if agrees is not None else "within the error"
    if not math.isfinite(found.error):
        why = "one seed: the error is unknown" if found.seeds == 1 else "no common generations"
    if max(found.generations, default=least) < least:
        why = f"fewer than {least} generations"
    return Evidence(text, None if why else agrees, why)


def moves(found: Change, way: Way) -> bool | None:
    """Whether a change goes this way; None where it is not clear."""
    return None if found.sign == "not clear" else found.sign == way


def stays(found: Change, value: float) -> bool | None:
    """Whether `value`, the part of the change that matters, is surely less than SAME of what it began with."""
    limit = SAME * abs(found.first)
    if value + found.margin < limit:
        return True
    return False if value >= limit and found.sign != "not clear" else None


def trend(tables: Tables, run: str, measure: str, way: Way, least: int = rule.GENERATIONS) -> Evidence:
    """Evidence from the trend of a measure of one run."""
    return compare(tables, (run,), measure, change, partial(moves, way=way), least)
