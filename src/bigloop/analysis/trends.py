"""Trends over generations and differences between runs, with errors that account for the number of seeds.

    rows = series(measures)["vae", "fid"]
    change(rows).sign                # "up", "down" or "not clear"
    difference(rows, other).text     # "-41.2 ± 3.1"

Errors are taken over seeds. One seed has only the scatter of its generations about their line to judge by: that says
whether this lineage moved, not whether another would, and is too small where deviations are passed on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import stdtrit

# Two-sided. The quantile of t follows the seeds: 4.3 standard errors for a trend over 3 seeds, 12.7 over 2.
CONFIDENCE = 0.95
# Fewer generations leave a line through one seed less than two degrees of freedom.
GENERATIONS_OF_ONE_SEED = 4
# Relative to the values: less is the rounding of sums, which would be a clear change where nothing scatters.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Change:
    """`value` ± `error`, a standard error with `freedom` degrees of freedom; both NaN where unknown.

    first, last: what is compared, means over seeds. seeds: on the side that has fewer.
    """

    value: float = math.nan
    error: float = math.nan
    freedom: float = math.nan
    first: float = math.nan
    last: float = math.nan
    seeds: int = 0
    generations: tuple[float, ...] = ()

    @property
    def margin(self) -> float:
        """Half the width of the confidence interval; NaN where the error is unknown."""
        return float(stdtrit(self.freedom, (1 + CONFIDENCE) / 2)) * self.error

    @property
    def sign(self) -> Literal["up", "down", "not clear"]:
        """Which way, if the confidence interval leaves out 0."""
        if not abs(self.value) > self.margin + ROUNDING * max(abs(self.first), abs(self.last)):
            return "not clear"
        return "up" if self.value > 0 else "down"

    @property
    def text(self) -> str:
        error = f"± {number(self.error)}" if math.isfinite(self.error) else "with unknown error"
        return f"{number(self.value, '+')} {error}"


def series(measures: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """The rows of each (run, measure) of a measures table, without those that have a detail."""
    if "detail" in measures:
        measures = measures[measures["detail"].isna() | (measures["detail"] == "")]
    return {(str(run), str(name)): rows for (run, name), rows in measures.groupby(["run", "measure"])}


def change(rows: pd.DataFrame) -> Change:
    """By how much a line through the generations rises from the first to the last: least squares, one line per seed.

    value: mean over seeds. error: standard error over seeds; of a single seed, the line's own, from its residuals, if
    it has GENERATIONS_OF_ONE_SEED.
    """
    generations, values = (table := _grid(rows)).columns.to_numpy(float), table.to_numpy(float)
    if len(generations) < 2:
        return Change(seeds=len(values), generations=tuple(generations))
    place, span, error, freedom = generations - generations.mean(), np.ptp(generations), math.nan, math.nan
    slopes = values @ place / (place @ place)
    if len(slopes) > 1:
        error, freedom = float(slopes.std(ddof=1)) / math.sqrt(len(slopes)), len(slopes) - 1
    elif len(generations) >= GENERATIONS_OF_ONE_SEED:
        residuals = values[0] - values[0].mean() - slopes[0] * place
        freedom = len(generations) - 2
        error = math.sqrt(residuals @ residuals / freedom / (place @ place))
    value, (first, *_, last) = float(slopes.mean() * span), values.mean(axis=0).tolist()
    return Change(value, error * span, freedom, first, last, len(slopes), tuple(generations))


def difference(a: pd.DataFrame, b: pd.DataFrame, over: Literal["last", "all"] = "last") -> Change:
    """a − b at the last generation that both have, or of their means over all that both have; Welch's error over seeds.

    Seeds of both runs are taken as independent, which errs on the careful side where they share a generation 1. With
    one seed on one side, the other side's spread stands for both; with one seed on each, the error is NaN.
    """
    left, right = _grid(a), _grid(b)
    common = left.columns.intersection(right.columns).sort_values()[-1 if over == "last" else 0 :]
    x, y = (side[common].mean(axis=1).to_numpy(float) for side in (left, right))
    first, last = float(y.mean()), float(x.mean())
    return Change(last - first, *_welch(x, y), first, last, min(len(x), len(y)), tuple(common))


def number(value: float, sign: str = "") -> str:
    """Three significant digits, or all before the point: 0.0123, 4.56, 1235."""
    return f"{value:{sign}.0f}" if abs(value) >= 1000 else f"{value:{sign}.3g}"


def _grid(rows: pd.DataFrame) -> pd.DataFrame:  # seeds × the generations that every seed has
    return rows.pivot_table(index="seed", columns="generation", values="value").dropna(axis=1)


def _welch(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    sizes = np.array([len(x), len(y)])
    spread = np.array([np.var(side, ddof=1) if len(side) > 1 else math.nan for side in (x, y)])
    if sizes.min() < 2:
        return math.sqrt(np.fmax(*spread) * (1 / sizes).sum()), float(sizes.max() - 1)
    total = (squares := spread / sizes).sum()
    return math.sqrt(total), float(total**2 / (squares**2 / (sizes - 1)).sum() if total else sizes.sum() - 2)
