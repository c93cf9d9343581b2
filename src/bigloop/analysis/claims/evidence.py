"""What speaks for a claim and against it, and what follows from all of it.

A piece of evidence is a comparison: which way it points, and how probable that is by chance, its p. It counts where p,
adjusted for all pieces of the table (trends.holm), is at most 0.05: where nothing happens in an experiment, the chance
that its table holds one false word is at most 5 %, however many runs and claims there are.

That something stays as it is takes more than the absence of a clear change: it must be surely less than SAME.

A claim is *verified* where every piece that counts agrees, and *contradicted* where one or more disagree, since papers
state their claims without exceptions. Both words are kept for runs that the config calls faithful to the paper: its
models, data and budgets. Of other runs it is said that *reduced models agree* or *disagree*. Where comparisons were
made and none counts, the claim is *not clear at this scale*; where none could be made, it is *not tested*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from bigloop.analysis import verdicts as rule
from bigloop.analysis.expected import Find, beside
from bigloop.analysis.series import against
from bigloop.analysis.trends import CONFIDENCE, Change, change, in_seeds, number

VERIFIED, CONTRADICTED = "verified", "contradicted"
NOT_CLEAR, NOT_TESTED = "not clear at this scale", "not tested"
AGREES, DISAGREES = "reduced models agree", "reduced models disagree"
SAME = 0.25  # relative

Run = Mapping[str, Any]  # a row of the runs table
Mask = Callable[[Run], bool]
Way = Literal["up", "down"]


class Judged(NamedTuple):
    """A run's verdict, its reason and its p."""

    verdict: str
    reason: str
    p: float


@dataclass(frozen=True)
class Tables:
    """The tables: rows of each (run, measure); of each run its row of the runs table and its verdict."""

    rows: Mapping[tuple[str, str], pd.DataFrame]
    runs: Mapping[str, Run]
    critics: pd.DataFrame
    verdicts: Mapping[str, Judged]

    def like(self, mask: Mask) -> list[str]:
        """Names of the runs that a mask takes."""
        return [name for name, run in self.runs.items() if mask(run)]


@dataclass(frozen=True)
class Evidence:
    """A comparison of runs in words, which way it points, and with what p; None and NaN, and why, where it cannot."""

    text: str
    agrees: bool | None
    p: float = math.nan
    runs: tuple[str, ...] = ()
    why: str = ""


Test = Callable[[Tables], Iterable[Evidence]]


@dataclass(frozen=True)
class Finding:
    """What became of a claim: the verdict, the evidence in words, and how much agrees or why none counts."""

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


def conclude(evidence: Sequence[Evidence], adjusted: Sequence[float], faithful: Sequence[bool]) -> Finding:
    """The finding from all evidence of a claim, by the rule above.

    adjusted: the p of each piece after it was adjusted. faithful: whether all its runs are faithful to the paper.
    """
    numbers = "; ".join(piece.text for piece in evidence)
    for words, these in (((VERIFIED, CONTRADICTED), True), ((AGREES, DISAGREES), False)):
        pieces = [(e, p) for e, p, f in zip(evidence, adjusted, faithful, strict=True) if f == these]
        agree, disagree = (
            sum(e.agrees is answer and p <= 1 - CONFIDENCE for e, p in pieces) for answer in (True, False)
        )
        if agree + disagree:
            counts = f"{agree} of {len(pieces)} agree, {disagree} disagree"
            return Finding(words[bool(disagree)], numbers, counts)
    why = "; ".join(dict.fromkeys(e.why or "within the error" for e in evidence))
    compared = any(e.agrees is not None or not e.why for e in evidence)
    return Finding(NOT_CLEAR if compared else NOT_TESTED, numbers, why or "no such runs")


def together(name: str, evidence: Iterable[Evidence]) -> Evidence:
    """Points to yes where all its parts do, with the largest p; else to no, as surely as the surest no of so many."""
    parts = list(evidence)
    no = [part.p for part in parts if part.agrees is False]
    if no:
        return _joined(name, parts, False, min(no) * len(parts))
    yes = all(part.agrees for part in parts)
    return _joined(name, parts, True if yes else None, max(part.p for part in parts) if yes else math.nan)


def either(name: str, evidence: Iterable[Evidence]) -> Evidence:
    """Points to yes where one of its parts does, as surely as the surest of so many; to no where all do."""
    parts = list(evidence)
    yes = [part.p for part in parts if part.agrees]
    if yes:
        return _joined(name, parts, True, min(yes) * len(parts))
    no = all(part.agrees is False for part in parts)
    return _joined(name, parts, False if no else None, max(part.p for part in parts) if no else math.nan)


def _joined(name: str, parts: Sequence[Evidence], agrees: bool | None, p: float) -> Evidence:
    runs = tuple(dict.fromkeys(run for part in parts for run in part.runs))
    why = "; ".join(dict.fromkeys(part.why for part in parts if part.why))
    return Evidence(f"{name} ({', '.join(part.text for part in parts)})", agrees, min(1.0, p), runs, why)


Answer = Callable[[Change], tuple[bool, float]]  # which way a change points, and its p


def compare(
    tables: Tables, runs: tuple[str, ...], measure: str, find: Find, answer: Answer, least: int
) -> Evidence:
    """Evidence from what `find` makes of the rows of one run (a trend) or of two (a difference).

    Where theory knows the values, the text has what it makes of them beside what was measured.
    """
    rows = [tables.rows[run, measure] for run in runs if (run, measure) in tables.rows]
    if len(rows) < len(runs):
        why = f"{measure} not measured"
        return Evidence(f"{' and '.join(runs)}: no {measure}", None, math.nan, runs, why)
    found = find(*rows)
    first, last, end = number(found.first), number(found.last), max(found.generations, default=math.nan)
    values = f"{first} → {last} until" if len(runs) == 1 else f"{last} against {first} at"
    named = " ".join(filter(None, (measure, against(rows[0]))))
    text = f"{' − '.join(runs)}: {named} {values} generation {end:g}"
    known = beside(find, [(tables.runs[run], own) for run, own in zip(runs, rows, strict=True)], found)
    return weigh(text, runs, found, answer, least, known)


def weigh(
    text: str, runs: tuple[str, ...], found: Change, answer: Answer, least: int = 1, known: str = ""
) -> Evidence:
    """Evidence from a change, which has to reach generation `least`; known: what is known of it, in words."""
    text += f" ({found.text}, {in_seeds(found.seeds)}{'; ' + known if known else ''})"
    why = ""
    if not math.isfinite(found.error):
        why = "one seed: the error is unknown" if found.seeds == 1 else "no common generations"
    if max(found.generations, default=least) < least:
        why = f"fewer than {least} generations"
    return Evidence(text, None, math.nan, runs, why) if why else Evidence(text, *answer(found), runs)


def moves(found: Change, way: Way) -> tuple[bool, float]:
    """Whether a change goes this way."""
    return (found.value > 0) == (way == "up"), found.p()


def stays(found: Change, *, may_fall: bool = False) -> tuple[bool, float]:
    """Whether a change is less than SAME of what it began with; may_fall: however far it falls.

    Seeds that go apart do not stay: where their spread makes for the larger error, it is taken.
    """
    if found.seeds > 1:
        found = replace(found, error=float(np.fmax(found.error, found.between / math.sqrt(found.seeds))))
    limit = SAME * abs(found.first)
    ends = [limit] if may_fall else [limit, -limit]
    inside = all((found.value < end) == (end > 0) for end in ends)
    chances = [found.p(end) for end in ends]
    return inside, max(chances) if inside else min(chances)


def trend(tables: Tables, run: str, measure: str, way: Way, least: int = rule.GENERATIONS) -> Evidence:
    """Evidence from the trend of a measure of one run."""
    return compare(tables, (run,), measure, change, partial(moves, way=way), least)
