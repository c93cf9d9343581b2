"""Whether a run collapsed, drifted or stayed: a rule that anyone can check against its table.

    verdicts_table(measures, runs)      # one row per run: verdict, a sentence, and the numbers behind it

Knutsen et al. 2025 (§III A) keep the word *collapse* for a loss of modes, and call it *drift* when the images stay
varied while their quality falls. Variety is read from the generated images alone, without regard to where real ones
lie: images that drift off the real ones lose recall and coverage, too, at full variety.

collapse    A quantity of variety falls past its limit, and its fall is clear.
drift       No variety is lost by that rule, and a quantity of quality gets worse past its limit, clearly.
stable      Everything is surely within its limit.
not clear   Neither: the reason says how much worse it may have got.
too short   Fewer than 3 generations; or 3 of one seed.
not measured   Nothing of variety, or nothing of quality, is measured.

The quantities and their limits stand in QUANTITIES. "Clearly" is the t-test of trends.Change, one-sided, with its p
adjusted for all quantities of all runs of the table (trends.holm): where nothing happens, the chance of any false
collapse or drift in the whole table is at most 5 %. "Surely" is the 95 % interval. What a quantity began with is generation 1's value, or
that of real images where they have less: losing a surplus is no collapse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bigloop.analysis.series import REAL
from bigloop.analysis.trends import CONFIDENCE, Change, change, holm, number, series

GENERATIONS = 3  # the steps of one seed need more
GENERATIONS_OF_ONE_SEED = 4

COLLAPSE, DRIFT, STABLE, NOT_CLEAR = "collapse", "drift", "stable", "not clear"
TOO_SHORT, NOT_MEASURED = "too short", "not measured"
PARTS = ("first", "last", "change", "low", "high", "real")


@dataclass(frozen=True)
class Kind:
    """A quantity that verdicts read: the measure that it comes from, and the change from which on it is worse.

    limit: of what it began with, the value of real images (NaN where unknown) → the change, with its sign.
    """

    measure: str
    words: str
    variety: bool
    limit: Callable[[float, float], float]
    convert: Callable[[pd.Series], pd.Series] = lambda values: values


def kept(share: float) -> Callable[[float, float], float]:
    """A limit: this share of what it began with, or of the real value where that is less, has to be left."""
    return lambda first, real: share * float(np.fmin(first, real)) - first


QUANTITIES = {
    # Of ten equally frequent classes one may not go: nine of ten are 90 %.
    "effective_classes": Kind(
        "class_entropy", "the effective number of classes", True, kept(0.9), lambda values: np.exp(values)
    ),
    "intra_class_variance": Kind("intra_class_variance", "the variance within classes", True, kept(0.5)),
    "fid": Kind("fid", "FID", False, lambda first, real: 0.5 * first),
    # One image in ten more that no real one is like; far above the sampling error of a share of 1 000 images.
    "precision": Kind("precision", "precision", False, lambda first, real: -0.1),
}
EFFECTIVE = "effective_classes"


@dataclass(frozen=True)
class Quantity:
    """A quantity of one run over its generations; real: of real images, NaN where not measured.

    adjusted: the p of its getting worse, adjusted for the table.
    """

    kind: Kind
    change: Change
    real: float
    adjusted: float = math.nan

    @property
    def limit(self) -> float:
        return self.kind.limit(self.change.first, self.real)

    @property
    def p(self) -> float:
        """How probable so large a change for the worse is where nothing happens: the one-sided p."""
        half = self.change.p() / 2
        return half if self.change.value * self.limit > 0 else 1 - half

    @property
    def passed(self) -> bool:
        """Whether it changed by its limit or more, be that clear or not."""
        return abs(self.change.value) >= abs(self.limit) and self.change.value * self.limit > 0

    @property
    def lost(self) -> bool:
        return self.passed and self.adjusted <= 1 - CONFIDENCE

    @property
    def kept(self) -> bool:
        """Whether it is surely within its limit."""
        return self.worst < abs(self.limit)

    @property
    def worst(self) -> float:
        """The end of the change's interval on the worse side; above 0 where it may have got worse."""
        return math.copysign(1.0, self.limit) * self.change.value + self.change.margin

    @property
    def text(self) -> str:
        real = f", real {number(self.real)}" if math.isfinite(self.real) else ""
        ends = f"{number(self.change.first)} → {number(self.change.last)}"
        return f"{self.kind.words} {ends} ({self.change.text}{real})"


def verdicts_table(measures: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row a run, as in `runs`: verdict, reason, p, and of each quantity the PARTS or NaN.

    p: of what the verdict rests on, adjusted for the quantities of this run alone.
    """
    rows = series(measures)
    found = {str(run): _quantities(str(run), rows) for run in runs["run"]}
    places = [(run, name) for run, several in found.items() for name in several]
    adjusted = holm([found[run][name].p for run, name in places])
    for (run, name), p in zip(places, adjusted, strict=True):
        q = found[run][name]
        found[run][name] = Quantity(q.kind, q.change, q.real, p)
    return pd.DataFrame([_row(run, several) for run, several in found.items()])


def judge(found: Mapping[str, Quantity]) -> tuple[str, str, float]:
    """Verdict, reason and p from the measured quantities."""
    variety = [q for q in found.values() if q.kind.variety]
    quality = [q for q in found.values() if not q.kind.variety]
    for several, wanted in ((variety, True), (quality, False)):
        if not several:
            sources = (kind.measure for kind in QUANTITIES.values() if kind.variety == wanted)
            return NOT_MEASURED, f"none of {', '.join(dict.fromkeys(sources))} is measured", math.nan
    seeds, generations = variety[0].change.seeds, min(len(q.change.generations) for q in found.values())
    many = "one seed" if seeds == 1 else f"{seeds} seeds"
    if generations < (GENERATIONS if seeds > 1 else GENERATIONS_OF_ONE_SEED):
        least = f"{GENERATIONS} are needed, {GENERATIONS_OF_ONE_SEED} of one seed"
        return TOO_SHORT, f"{generations} generations of {many}; {least}", math.nan
    lost, worse = ([q for q in several if q.lost] for several in (variety, quality))
    if lost:
        also = f"; quality falls, too: {_texts(worse)}" if worse else ""
        return COLLAPSE, f"variety is lost: {_texts(lost)}{also}; {many}", _least(lost, len(found))
    unsure = [q for q in found.values() if not q.kept and not q.lost]
    if any(q.kind.variety and q.passed for q in unsure) or (unsure and not worse):
        may = ", ".join(
            f"{q.text} may be worse by {number(q.worst)}, limit {number(abs(q.limit))}" for q in unsure
        )
        return NOT_CLEAR, f"{may}; {many}", math.nan
    if worse:
        stays = f"while variety stays: {_texts(variety)}"
        return DRIFT, f"quality falls: {_texts(worse)}; {stays}; {many}", _least(worse, len(found))
    p = max(q.change.p(q.limit) for q in found.values())
    return STABLE, f"variety and quality stay within their limits: {_texts([*found.values()])}; {many}", p


def _least(several: list[Quantity], among: int) -> float:
    return min(1.0, among * min(q.p for q in several))


def _row(run: str, found: Mapping[str, Quantity]) -> dict[str, object]:
    verdict, reason, p = judge(found)
    longest = max((q.change for q in found.values()), key=lambda c: len(c.generations), default=Change())
    row = {"run": run, "seeds": longest.seeds, "generations": len(longest.generations)}
    row |= {"verdict": verdict, "reason": reason, "p": p}
    for name, kind in QUANTITIES.items():
        of = found.get(name, Quantity(kind, Change(), math.nan))
        values = (of.change.first, of.change.last, of.change.value, *of.change.interval, of.real)
        row |= {f"{name}_{part}": value for part, value in zip(PARTS, values, strict=True)}
    return row


def _quantities(run: str, rows: Mapping[tuple[str, str], pd.DataFrame]) -> dict[str, Quantity]:
    return {n: _quantity(kind, run, rows) for n, kind in QUANTITIES.items() if (run, kind.measure) in rows}


def _quantity(kind: Kind, run: str, rows: Mapping[tuple[str, str], pd.DataFrame]) -> Quantity:
    own = rows[run, kind.measure]
    real = rows.get((REAL, kind.measure), own.iloc[:0])
    for column in ("dataset", "n", "k"):
        if column in own and own[column].notna().any():
            real = real[real[column] == own[column].dropna().iloc[0]]
    own, real = (table.assign(value=kind.convert(table["value"])) for table in (own, real))
    return Quantity(kind, change(own), float(real["value"].mean()))


def _texts(quantities: list[Quantity]) -> str:
    return ", ".join(q.text for q in quantities)
