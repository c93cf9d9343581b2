"""Whether a run collapsed, drifted or stayed: a rule that anyone can check against its table.

    verdicts_table(measures, runs)      # one row per run: verdict, a sentence, and the numbers behind it

Knutsen et al. 2025 (§III A) keep the word *collapse* for a loss of modes, and call it *drift* when the images stay
varied while their quality falls. Variety is read from the generated images themselves, as the effective
number of classes (the exponential of the entropy of the predicted classes) and as the variance of features
within a class; recall alone cannot tell the two apart, since images that drift off the real ones lose recall, too.

collapse    The effective number of classes falls clearly and ends below 90 % of what it began with; or the variance
            within classes falls clearly and ends below half of it.
drift       Variety stays by that rule, but FID rises clearly and ends at 1.5 times generation 1's or more; or precision
            falls clearly and ends 0.1 or more below generation 1's.
stable      None of these limits is passed.
not clear   A limit is passed, but by a change within its error.
too short   Fewer than 3 generations; or 3 of one seed, whose error is unknown.
not measured   No class_entropy, or no fid.

"Clearly" is trends.Change.sign: a line through the generations whose 95 % confidence interval leaves out 0. "What it
began with" is generation 1's value, or that of real images where they have less: losing a surplus is no collapse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bigloop.analysis.series import REAL
from bigloop.analysis.trends import GENERATIONS_OF_ONE_SEED, Change, change, number, series

GENERATIONS = 3  # a line fits any two points
# Of ten equally frequent classes one may not go: nine of ten are 90 %.
CLASSES_KEPT = 0.9
# Blur and fading contrast draw features together, too: contrast at 0.8 leaves 0.64 of their variance. Collapse within
# classes goes far beyond: sampling bias λ takes it to about λ^(t-1) by generation t (Alemohammad et al. 2024).
VARIANCE_KEPT = 0.5
# More than seeds of one model differ by at one generation, less than a degradation that pictures show.
FID_RISE = 1.5
# One image in ten more that no real one is like; far above the sampling error of a share of 1 000 images.
PRECISION_FALL = 0.1

COLLAPSE, DRIFT, STABLE, NOT_CLEAR = "collapse", "drift", "stable", "not clear"
TOO_SHORT, NOT_MEASURED = "too short", "not measured"
EFFECTIVE = "effective_classes"
SOURCES = {"fid": "fid", EFFECTIVE: "class_entropy"} | {
    name: name for name in ("intra_class_variance", "precision", "recall")
}
PARTS = ("first", "last", "change", "error", "real")
WORDS = {
    "fid": "FID",
    EFFECTIVE: "the effective number of classes",
    "intra_class_variance": "the variance within classes",
    "precision": "precision",
}


@dataclass(frozen=True)
class Quantity:
    """A quantity of one run over its generations, and the same of real images (NaN where not measured)."""

    name: str
    change: Change
    real: float

    @property
    def text(self) -> str:
        real = f", real {number(self.real)}" if math.isfinite(self.real) else ""
        ends = f"{number(self.change.first)} → {number(self.change.last)}"
        return f"{WORDS[self.name]} {ends} (trend {self.change.text}{real})"

    @property
    def passed(self) -> bool:
        """Whether it ends beyond its limit, be the trend clear or not."""
        first, last = self.change.first, self.change.last
        if self.name == "fid":
            return last >= FID_RISE * first
        if self.name == "precision":
            return first - last >= PRECISION_FALL
        kept = CLASSES_KEPT if self.name == EFFECTIVE else VARIANCE_KEPT
        return last < kept * float(np.fmin(first, self.real))

    @property
    def clear(self) -> bool:
        return self.change.sign == ("up" if self.name == "fid" else "down")


def verdicts_table(measures: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row a run, as in `runs`: verdict, reason, and first, last, change, error and real of each quantity or NaN."""
    rows = series(measures)
    return pd.DataFrame([_row(str(run), rows) for run in runs["run"]])


def judge(found: Mapping[str, Quantity]) -> tuple[str, str]:
    """Verdict and reason from the measured quantities."""
    missing = [SOURCES[name] for name in ("fid", EFFECTIVE) if name not in found]
    if missing:
        return NOT_MEASURED, f"{' and '.join(missing)}: not measured"
    fid, classes = found["fid"], found[EFFECTIVE]
    seeds, generations = fid.change.seeds, min(len(q.change.generations) for q in (fid, classes))
    many = "one seed" if seeds == 1 else f"{seeds} seeds"
    if generations < (GENERATIONS if seeds > 1 else GENERATIONS_OF_ONE_SEED):
        least = f"{GENERATIONS} are needed, {GENERATIONS_OF_ONE_SEED} of one seed"
        return TOO_SHORT, f"{generations} generations of {many}; {least}"
    variety = [found[name] for name in (EFFECTIVE, "intra_class_variance") if name in found]
    quality = [found[name] for name in ("fid", "precision") if name in found]
    lost, worse = ([q for q in several if q.passed and q.clear] for several in (variety, quality))
    if lost:
        return COLLAPSE, f"variety is lost: {_texts(lost)}; {many}"
    unsure = [q for q in variety + quality if q.passed and not q.clear]
    if any(q in variety for q in unsure) or (unsure and not worse):
        return NOT_CLEAR, f"past its limit, but the trend is within its error: {_texts(unsure)}; {many}"
    if worse:
        return DRIFT, f"quality falls: {_texts(worse)}; while variety stays: {_texts(variety)}; {many}"
    return STABLE, f"variety and quality stay within their limits: {_texts(variety + quality)}; {many}"


def _row(run: str, rows: Mapping[tuple[str, str], pd.DataFrame]) -> dict[str, object]:
    found = {name: _quantity(name, run, rows) for name, source in SOURCES.items() if (run, source) in rows}
    verdict, reason = judge(found)
    longest = max((q.change for q in found.values()), key=lambda c: len(c.generations), default=Change())
    row = {"run": run, "seeds": longest.seeds, "generations": len(longest.generations)}
    row |= {"verdict": verdict, "reason": reason}
    for name in SOURCES:
        of = found.get(name, Quantity(name, Change(), math.nan))
        values = (of.change.first, of.change.last, of.change.value, of.change.error, of.real)
        row |= {f"{name}_{part}": value for part, value in zip(PARTS, values, strict=True)}
    return row


def _quantity(name: str, run: str, rows: Mapping[tuple[str, str], pd.DataFrame]) -> Quantity:
    own = rows[run, SOURCES[name]]
    real = rows.get((REAL, SOURCES[name]), own.iloc[:0])
    for column in ("dataset", "n", "k"):
        if column in own and own[column].notna().any():
            real = real[real[column] == own[column].dropna().iloc[0]]
    own, real = (t.assign(value=np.exp(t["value"])) if name == EFFECTIVE else t for t in (own, real))
    return Quantity(name, change(own), float(real["value"].mean()))


def _texts(quantities: list[Quantity]) -> str:
    return ", ".join(q.text for q in quantities)
