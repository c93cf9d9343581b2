"""Whether a run collapsed, drifted or stayed: a rule that anyone can check against its table.

    verdicts_table(measures, runs)      # one row per run: verdict, a sentence, and the numbers behind it

Knutsen et al. 2025 (§III A) keep the word *collapse* for a loss of modes, and call it *drift* when the images stay
varied while their quality falls. Variety is read from the generated images in their own scale, without regard to where
real ones lie: images that drift off the real ones lose recall and coverage, too, at full variety.

collapse    A quantity of variety falls past its limit, and its fall is clear.
drift       No variety is lost by that rule, and a quantity of quality gets worse past its limit, clearly.
stable      Everything is surely within its limit.
not clear   Neither: the reason says how much worse it may have got.
too short   Fewer than 3 generations; or 3 of one seed.
not measured   Nothing of variety is measured, or of a run on images nothing of quality.

The quantities and their limits stand in OF_IMAGES, OF_POINTS and OF_SYMBOLS. Of images without classes, recall and
coverage stand for variety, too, and drift may be called collapse. "Clearly" is the t-test of trends.Change, one-sided,
with its p adjusted for all quantities of all runs of the table (trends.holm): where nothing happens, the chance of any
false collapse or drift in the whole table is at most 5 %. "Surely" is the 95 % interval. What a quantity began with is
generation 1's value, or that of real data where they have less: losing a surplus is no collapse. Where the truth is
known, variance that doubles is a loss of quality.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bigloop.analysis.expected import beside
from bigloop.analysis.series import REAL, against
from bigloop.analysis.trends import CONFIDENCE, Change, change, holm, in_seeds, number, series

GENERATIONS = 3  # the steps of one seed need more
GENERATIONS_OF_ONE_SEED = 4

COLLAPSE, DRIFT, STABLE, NOT_CLEAR = "collapse", "drift", "stable", "not clear"
TOO_SHORT, NOT_MEASURED = "too short", "not measured"
PARTS = ("first", "last", "change", "low", "high", "real")


# Of the value that a quantity began with and the real one: the change that is too much.
Limit = Callable[[float, float], float]


def kept(share: float) -> Limit:
    """This share of what it began with, or of the real value where that is less, has to be left."""
    return lambda first, real: share * float(np.fmin(first, real)) - first


def grown(times: float) -> Limit:
    """So many times what it began with, or the real value where that is more, is too much."""
    return lambda first, real: times * float(np.fmax(first, real)) - first


def falls(by: float) -> Limit:
    """This much less than what it began with is too little."""
    return lambda first, real: -by


def rises(by: float) -> Limit:
    """This much more than what it began with is too much."""
    return lambda first, real: by


@dataclass(frozen=True)
class Kind:
    """What verdicts read of a measure: its name in a sentence, its limit, and whether it speaks of variety.

    without_classes: whether it does so where the images have no classes. excess: of variety, from where on there is too
    much of it, which is a loss of quality; None: never.
    """

    words: str
    limit: Limit
    variety: bool = False
    without_classes: bool = False
    excess: Limit | None = None


QUALITY = {
    # A tenth of the variance of real features.
    "fid_relative": Kind("FID relative to the variance of real features", rises(0.1)),
    # One image in ten: that no real one is like any more, or real ones that none is like any more.
    "precision": Kind("precision", falls(0.1)),
    "recall": Kind("recall", falls(0.1), without_classes=True),
    "coverage": Kind("coverage", falls(0.1), without_classes=True),
}
OF_IMAGES = {
    # Of ten equally frequent classes two may not go, which leaves 80 %; noise costs a classifier up to 10 %.
    "effective_classes": Kind("the effective number of classes", kept(0.85), variety=True),
    # Where the images of each class draw together to half of their distances, while the classes stay where they are.
    "spacing": Kind("the spacing of images", kept(0.5), variety=True),
    **QUALITY,
}
OF_POINTS = {
    "modes_covered": Kind("the number of modes", kept(0.9), variety=True),
    "modal_variance": Kind("the variance within modes", kept(0.5), variety=True),
    # Half of it gone, or as much again, where there is a truth.
    "variance": Kind("the total variance", kept(0.5), variety=True, excess=grown(2)),
    "trace": Kind("the variance of the model", kept(0.5), variety=True, excess=grown(2)),
    "good_share": Kind("the share of good samples", falls(0.1)),
    **QUALITY,
}
OF_SYMBOLS = {
    # As many rare symbols as two of ten classes are.
    "symbols_left": Kind("the number of symbols", kept(0.85), variety=True),
    # One symbol in ten is another than it should be.
    "symbol_tv": Kind("total variation of the symbols", rises(0.1)),
}


@dataclass(frozen=True)
class Quantity:
    """A quantity of one run over its generations; real: of real images, NaN where not measured.

    adjusted: the p of its getting worse, adjusted for the table. known: what theory makes of it, in words.
    """

    kind: Kind
    change: Change
    real: float = math.nan
    adjusted: float = math.nan
    known: str = ""

    @property
    def limits(self) -> list[float]:
        """The changes that are too much: one, or one down and one up."""
        given = (self.kind.limit, self.kind.excess)
        return [limit(self.change.first, self.real) for limit in given if limit]

    @property
    def limit(self) -> float:
        """The one of them that the change goes towards; if it goes towards none, the first."""
        return next((limit for limit in self.limits if limit * self.change.value > 0), self.limits[0])

    @property
    def variety(self) -> bool:
        """Whether passing its limit is a loss of variety."""
        return self.kind.variety and self.limit == self.limits[0]

    @property
    def p(self) -> float:
        """How probable so large a change for the worse is where nothing happens: the one-sided p, of two limits the
        two-sided one."""
        if len(self.limits) > 1:
            return self.change.p()
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
        """Whether it is surely within its limits."""
        return all(self.worst(limit) < abs(limit) for limit in self.limits)

    def worst(self, limit: float) -> float:
        """The end of the change's interval on the side of a limit; above 0 where it may have got worse."""
        return math.copysign(1.0, limit) * self.change.value + self.change.margin

    @property
    def doubt(self) -> str:
        """By how much it may have got worse, in words."""
        limit = max(self.limits, key=lambda limit: self.worst(limit) - abs(limit))
        return f"{self.text} may be worse by {number(self.worst(limit))}, limit {number(abs(limit))}"

    @property
    def text(self) -> str:
        real = f", real {number(self.real)}" if math.isfinite(self.real) else ""
        ends = f"{number(self.change.first)} → {number(self.change.last)}"
        known = f"; {self.known}" if self.known else ""
        return f"{self.kind.words} {ends} ({self.change.text}{real}{known})"


def verdicts_table(measures: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row a run, as in `runs`: verdict, reason, p, and of each quantity the PARTS or NaN.

    p: of what the verdict rests on, adjusted for the quantities of this run alone.
    """
    rows = series(measures)
    found = {str(run["run"]): _quantities(run, rows) for run in runs.astype(object).to_dict("records")}
    places = [(run, name) for run, several in found.items() for name in several]
    adjusted = holm([found[run][name].p for run, name in places])
    for (run, name), p in zip(places, adjusted, strict=True):
        found[run][name] = replace(found[run][name], adjusted=p)
    return pd.DataFrame([_row(run, several) for run, several in found.items()])


def judge(found: Mapping[str, Quantity]) -> tuple[str, str, float]:
    """Verdict, reason and p from the measured quantities."""
    variety = [q for q in found.values() if q.kind.variety]
    quality = [q for q in found.values() if not q.kind.variety]
    if not variety or (not quality and not OF_POINTS.keys() >= found.keys()):
        wanted = OF_IMAGES if OF_IMAGES.keys() >= found.keys() else OF_POINTS
        missing = [name for name, kind in wanted.items() if kind.variety != bool(variety)]
        return NOT_MEASURED, f"none of {', '.join(missing)} is measured", math.nan
    seeds, generations = variety[0].change.seeds, min(len(q.change.generations) for q in found.values())
    many = in_seeds(seeds)
    if generations < (GENERATIONS if seeds > 1 else GENERATIONS_OF_ONE_SEED):
        least = f"at least {GENERATIONS_OF_ONE_SEED} are needed, or {GENERATIONS} of several seeds"
        return TOO_SHORT, f"{generations} generations of {many}; {least}", math.nan
    lost = [q for q in found.values() if q.lost and q.variety]
    worse = [q for q in found.values() if q.lost and not q.variety]
    if lost:
        also = f"; quality falls, too: {_texts(worse)}" if worse else ""
        return COLLAPSE, f"variety is lost: {_texts(lost)}{also}; {many}", _least(lost, len(found))
    unsure = [q for q in found.values() if not q.kept and not q.lost]
    if any(q.variety and q.passed for q in unsure) or (unsure and not worse):
        return NOT_CLEAR, f"{', '.join(q.doubt for q in unsure)}; {many}", math.nan
    if worse:
        still = [q for q in variety if q.variety]
        stays = f"while variety stays: {_texts(still)}" if still else "no variety is lost"
        return DRIFT, f"quality falls: {_texts(worse)}; {stays}; {many}", _least(worse, len(found))
    p = max(q.change.p(limit) for q in found.values() for limit in q.limits)
    return STABLE, f"variety and quality stay within their limits: {_texts([*found.values()])}; {many}", p


def _least(several: list[Quantity], among: int) -> float:
    return min(1.0, among * min(q.p for q in several))


def _row(run: str, found: Mapping[str, Quantity]) -> dict[str, object]:
    verdict, reason, p = judge(found)
    longest = max((q.change for q in found.values()), key=lambda c: len(c.generations), default=Change())
    row = {"run": run, "seeds": longest.seeds, "generations": len(longest.generations)}
    row |= {"verdict": verdict, "reason": reason, "p": p}
    for name, kind in (OF_IMAGES | OF_POINTS | OF_SYMBOLS).items():
        of = found.get(name, Quantity(kind, Change()))
        values = (of.change.first, of.change.last, of.change.value, *of.change.interval, of.real)
        row |= {f"{name}_{part}": value for part, value in zip(PARTS, values, strict=True)}
    return row


def _quantities(run: Mapping[str, Any], rows: Mapping[tuple[str, str], pd.DataFrame]) -> dict[str, Quantity]:
    name = str(run["run"])
    of_density = bool(run.get("density")) and not pd.isna(run["density"])
    kinds = (OF_SYMBOLS if (name, "symbols_left") in rows else OF_POINTS) if of_density else OF_IMAGES
    classes = of_density or str(run.get("classes", "[]")) != "[]"
    given = {key: value for key, value in run.items() if not pd.isna(value)}
    return {
        measure: _quantity(
            kind if classes else replace(kind, variety=kind.variety or kind.without_classes), own, rows, given
        )
        for measure, kind in kinds.items()
        if (own := rows.get((name, measure))) is not None
    }


def _quantity(
    kind: Kind, own: pd.DataFrame, rows: Mapping[tuple[str, str], pd.DataFrame], run: Mapping[str, Any]
) -> Quantity:
    real = rows.get((REAL, str(own["measure"].iloc[0])), own.iloc[:0])
    for column in ("dataset", "n", "k", "reference"):
        if column in own and own[column].notna().any():
            real = real[real[column] == own[column].dropna().iloc[0]]
    if which := against(own):
        kind = replace(kind, words=f"{kind.words} {which}")
    found = change(own)
    known = beside(change, [(run, own)], found)
    return Quantity(kind, found, float(real["value"].mean()), known=known)


def _texts(quantities: list[Quantity]) -> str:
    return ", ".join(q.text for q in quantities)
