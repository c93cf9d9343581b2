"""Whether one value of a run goes with another: rank correlation over its generations, with an interval over seeds.

found = rank_correlation(pairs(material, "wgan", ("final_loss", "loss_generator"), ("fid", "")))
str(found)      # "ρ = 0.83 [0.61, 1.00], 3 seeds"
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bigloop.analysis.series import Tables, rows_of

if TYPE_CHECKING:
    import pandas as pd

LEAST = 3  # generations that a correlation is worth computing of

Value = tuple[str, str]  # a measure and which of its values, empty where it has one


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's ρ, mean over seeds, and the standard error of that mean, NaN for one seed.

    Generations of a seed are no independent values, so that no error follows from them. Seeds that agree exactly are
    taken to scatter as values do that are rounded to the steps that ρ makes.
    """

    rho: float
    error: float
    seeds: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """The confidence interval of the mean by Student's t, None for one seed."""
        from scipy.stats import t

        from bigloop.analysis.trends import CONFIDENCE

        if math.isnan(self.error):
            return None
        half = float(t.ppf((1 + CONFIDENCE) / 2, self.seeds - 1)) * self.error
        return max(-1.0, self.rho - half), min(1.0, self.rho + half)

    def p(self, beyond: float) -> float:
        """How probable so large a distance from `beyond`, in either direction, is if the true mean is that."""
        from scipy.stats import t

        return float(2 * t.sf(abs(self.rho - beyond) / self.error, self.seeds - 1))

    def __str__(self) -> str:
        if math.isnan(self.rho):
            return "no rank correlation"
        words = f"ρ = {self.rho:.2f}, one seed"
        if self.interval is not None:
            words = f"ρ = {self.rho:.2f} [{self.interval[0]:.2f}, {self.interval[1]:.2f}], {self.seeds} seeds"
        return words.replace("-", "−")


def pairs(material: Tables, run: str, x: Value, y: Value) -> pd.DataFrame:
    """Columns seed, generation, x and y, of the generations that have both values.

    Raises ValueError where a measure has several values a generation.
    """
    return joined(*(_values(material, run, value) for value in (x, y)))


def joined(x: pd.DataFrame, y: pd.DataFrame) -> pd.DataFrame:
    """The values of two tables with seed, generation and value, where they have both, as columns x and y."""
    key = ["seed", "generation"]
    left, right = (
        side[[*key, "value"]].rename(columns={"value": name}) for side, name in ((x, "x"), (y, "y"))
    )
    return left.merge(right, on=key).sort_values(key, ignore_index=True)


def _values(material: Tables, run: str, value: Value) -> pd.DataFrame:
    measure, detail = value
    rows = rows_of(material, run, measure)
    rows = rows[rows["detail"].fillna("").astype(str) == detail] if detail else rows
    if rows.duplicated(["seed", "generation"]).any():
        raise ValueError(f"measure {measure} has several values in a generation; choose one that has one")
    return rows


def rank_correlation(found: pd.DataFrame) -> RankCorrelation:
    """Of the columns x and y of `pairs`; seeds with constants or fewer than LEAST generations are left out."""
    from scipy.stats import spearmanr

    known, rounding = [], []
    for _, rows in found.groupby("seed"):
        n = len(rows)
        if n >= LEAST and (np.ptp(rows[["x", "y"]].to_numpy(), axis=0) > 0).all():
            known.append(float(spearmanr(rows["x"], rows["y"]).statistic))
            step = 12 / (n * (n**2 - 1))  # where two neighbouring ranks change places
            rounding.append(step / math.sqrt(12))
    seeds = len(known)
    if seeds < 2:
        return RankCorrelation(known[0] if known else math.nan, math.nan, seeds)
    spread = max(float(np.std(known, ddof=1)), float(np.mean(rounding)))
    return RankCorrelation(float(np.mean(known)), spread / math.sqrt(seeds), seeds)
