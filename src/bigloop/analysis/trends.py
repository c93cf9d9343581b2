"""Trends over generations and differences between runs, and how sure they are.

    rows = series(measures)["vae", "fid"]
    change(rows).sign                # "up", "down" or "not clear"
    difference(rows, other).text     # "-41.2 [-47.3, -35.1]", the 95 % interval

A generation inherits the deviations of the one before, so a lineage that nothing drives is a random walk, and a line
through a random walk looks like a trend. A trend is therefore judged by its steps from one measured generation to the
next: their mean against their own scatter, those of all seeds together. For random walks that is Student's t-test and
errs as often as it says; where deviations are not passed on it errs less, and finds less. With several seeds their
changes as wholes are a second sample, which finds what happens in one abrupt step.

The steps of one seed say whether this lineage moved. Whether another would is said by other seeds: `another` is the
interval that one more is expected in. A drift that differs from seed to seed makes the pooled interval too short, and
shows in `another`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import stdtr, stdtrit

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95  # two-sided
# Relative to the values: less is the rounding of sums, which would be a clear change where nothing scatters.
ROUNDING = 1e-9

Interval = tuple[float, float]


@dataclass(frozen=True)
class Change:
    """`value` ± `error`, a standard error with `freedom` degrees of freedom; both NaN where unknown.

    first, last: what is compared, means over seeds. seeds: on the side that has fewer. between: the standard deviation
    of the changes of single seeds, NaN of one.
    """

    value: float = math.nan
    error: float = math.nan
    freedom: float = math.nan
    first: float = math.nan
    last: float = math.nan
    seeds: int = 0
    generations: tuple[float, ...] = ()
    between: float = math.nan

    @property
    def margin(self) -> float:
        """Half the width of the confidence interval; NaN where the error is unknown."""
        return _quantile(self.freedom) * self.error

    @property
    def interval(self) -> Interval:
        """The confidence interval of the change."""
        return self.value - self.margin, self.value + self.margin

    @property
    def another(self) -> Interval:
        """Where the change of one more seed is expected with the same confidence; NaN where there is one seed."""
        half = (
            _quantile(self.seeds - 1) * self.between * math.sqrt(1 + 1 / self.seeds)
            if self.seeds
            else math.nan
        )
        return self.value - half, self.value + half

    def p(self, beyond: float = 0.0) -> float:
        """How probable so large a change is, in either direction, if the true one is `beyond`; NaN where unknown.

        The p of the t-test by `error`; with several seeds, twice the smaller of that and of the t-test of the seeds'
        changes, which finds an abrupt change that all seeds share.
        """
        apart = abs(self.value - beyond)
        if math.isnan(apart + self.error):
            return math.nan
        if apart <= ROUNDING * max(abs(self.first), abs(self.last)):
            return 1.0
        tests = [(self.error, self.freedom)]
        if math.isfinite(self.between):
            tests.append((self.between / math.sqrt(self.seeds), self.seeds - 1))
        found = (2 * float(stdtr(freedom, -apart / error)) if error > 0 else 0.0 for error, freedom in tests)
        return min(1.0, len(tests) * min(found))

    @property
    def sign(self) -> Literal["up", "down", "not clear"]:
        """Which way, if that is clear: if p is at most 0.05."""
        if not self.p() <= 1 - CONFIDENCE:
            return "not clear"
        return "up" if self.value > 0 else "down"

    @property
    def text(self) -> str:
        if not math.isfinite(self.error):
            return f"{number(self.value, '+')} with unknown error"
        text = f"{number(self.value, '+')} {_shown(self.interval)}"
        return f"{text}, another seed {_shown(self.another)}" if math.isfinite(self.between) else text


def series(measures: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """The rows of each (run, measure) of a measures table, without those that have a detail."""
    if "detail" in measures:
        measures = measures[measures["detail"].isna() | (measures["detail"] == "")]
    return {(str(run), str(name)): rows for (run, name), rows in measures.groupby(["run", "measure"])}


def change(rows: pd.DataFrame) -> Change:
    """By how much a measure changes from the first generation to the last, mean over seeds.

    error: from the steps between neighbouring generations of all seeds, as those of a random walk with a drift: a step
    over g generations has g times the variance of one. Unknown with fewer than two steps in all.
    """
    generations, values = (table := grid(rows)).columns.to_numpy(float), table.to_numpy(float)
    if len(generations) < 2:
        return Change(seeds=len(values), generations=tuple(generations))
    value, error, freedom = drift(values, generations)
    changes = values[:, -1] - values[:, 0]
    between = float(changes.std(ddof=1)) if len(values) > 1 else math.nan
    first, last = float(values[:, 0].mean()), float(values[:, -1].mean())
    of = (len(values), tuple(generations), between)
    return Change(float(value), float(error), freedom, first, last, *of)


def drift(values: np.ndarray, generations: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """What lineages gain from the first generation to the last, its standard error, and the degrees of freedom.

    values: shape (…, seeds, generations), one answer for each place of the leading axes; NaN where there are fewer
    than two steps. generations: their numbers, rising. Steps x_t − x_s are taken as independent normal deviates of mean
    δ (t − s) and variance σ² (t − s); δ and σ² are then estimated as by weighted least squares.
    """
    gaps, steps = np.diff(generations), np.diff(values, axis=-1)
    seeds, freedom = steps.shape[-2], steps.shape[-2] * steps.shape[-1] - 1
    gain = (values[..., -1] - values[..., 0]).mean(axis=-1)
    residuals = steps - (gain / gaps.sum())[..., None, None] * gaps
    squares = (np.square(residuals) / gaps).sum(axis=(-2, -1))
    scatter = np.sqrt(squares / freedom) if freedom else np.full_like(squares, math.nan)
    return gain, scatter * math.sqrt(gaps.sum() / seeds), freedom if freedom else math.nan


def slope(rows: pd.DataFrame) -> Change:
    """By how much a least-squares line rises over points that inherit nothing from each other, such as the ends of
    runs that differ in one option; their places stand in the column generation.

    error: from the residuals of all seeds. Unknown with fewer than three points in all.
    """
    places, values = (table := grid(rows)).columns.to_numpy(float), table.to_numpy(float)
    if len(places) < 2:
        return Change(seeds=len(values), generations=tuple(places))
    centred, span = places - places.mean(), float(np.ptp(places))
    squares = len(values) * (centred @ centred)
    rise = float((values @ centred).sum() / squares)
    freedom = values.size - 2
    residuals = values - values.mean() - rise * centred
    error = math.sqrt(np.square(residuals).sum() / freedom / squares) if freedom else math.nan
    first, last = float(values[:, 0].mean()), float(values[:, -1].mean())
    return Change(rise * span, error * span, freedom, first, last, len(values), tuple(places))


def difference(a: pd.DataFrame, b: pd.DataFrame, over: Literal["last", "all"] = "last") -> Change:
    """a − b at the last generation that both have, or of their means over all that both have; Welch's error over seeds.

    Seeds of both runs are taken as independent, which errs on the careful side where they share a generation 1. With
    one seed on one side, the other side's spread stands for both; with one seed on each, the error is unknown.
    """
    left, right = grid(a), grid(b)
    common = left.columns.intersection(right.columns).sort_values()[-1 if over == "last" else 0 :]
    x, y = (side[common].mean(axis=1).to_numpy(float) for side in (left, right))
    first, last = float(y.mean()), float(x.mean())
    return Change(last - first, *_welch(x, y), first, last, min(len(x), len(y)), tuple(common))


def holm(p: Sequence[float]) -> list[float]:
    """Each p adjusted for how many there are (Holm 1979): the chance that any of those at most α after it is false is
    at most α, whatever depends on what. NaN, a question without an answer, counts for nothing and stays."""
    order = sorted((i for i in range(len(p)) if not math.isnan(p[i])), key=lambda i: p[i])
    adjusted, least = [math.nan] * len(p), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p[place]))
        adjusted[place] = least
    return adjusted


def grid(rows: pd.DataFrame) -> pd.DataFrame:
    """The values of one run and measure, seeds × the generations that every seed has."""
    return rows.pivot_table(index="seed", columns="generation", values="value").dropna(axis=1)


def in_seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def number(value: float, sign: str = "") -> str:
    """Three significant digits, or all before the point: 0.0123, 4.56, 1235."""
    return f"{value:{sign}.0f}" if abs(value) >= 1000 else f"{value:{sign}.3g}"


def _shown(interval: Interval) -> str:
    return f"[{', '.join(number(end, '+') for end in interval)}]"


def _quantile(freedom: float) -> float:
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) if freedom > 0 else math.nan


def _welch(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    sizes = np.array([len(x), len(y)])
    spread = np.array([np.var(side, ddof=1) if len(side) > 1 else math.nan for side in (x, y)])
    if sizes.min() < 2:
        return math.sqrt(np.fmax(*spread) * (1 / sizes).sum()), float(sizes.max() - 1)
    total = (squares := spread / sizes).sum()
    return math.sqrt(total), float(total**2 / (squares**2 / (sizes - 1)).sum() if total else sizes.sum() - 2)
