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
CONFIDENCE = 0.95

Value = tuple[str, str]  # a measure and which of its values, empty where it has one


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's ρ, mean over seeds; the interval of that mean by Student's t, None for one seed.

    Generations of a seed are no independent values, so that no interval follows from them.
    """

    rho: float
    interval: tuple[float, float] | None
    seeds: int

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
    key = ["seed", "generation"]
    found = [_values(material, run, value)[[*key, "value"]] for value in (x, y)]
    return (
        found[0]
        .merge(found[1], on=key, suffixes=("_x", "_y"))
        .rename(columns={"value_x": "x", "value_y": "y"})
        .sort_values(key, ignore_index=True)
    )


def _values(material: Tables, run: str, value: Value) -> pd.DataFrame:
    measure, detail = value
    rows = rows_of(material, run, measure)
    rows = rows[rows["detail"].fillna("").astype(str) == detail] if detail else rows
    if rows.duplicated(["seed", "generation"]).any():
        raise ValueError(f"measure {measure} has several values in a generation; choose one that has one")
    return rows


def rank_correlation(found: pd.DataFrame) -> RankCorrelation:
    """Of the columns x and y of `pairs`; seeds with constants or fewer than LEAST generations are left out."""
    from scipy.stats import spearmanr, t

    known = [
        float(spearmanr(rows["x"], rows["y"]).statistic)
        for _, rows in found.groupby("seed")
        if len(rows) >= LEAST and (np.ptp(rows[["x", "y"]].to_numpy(), axis=0) > 0).all()
    ]
    n = len(known)
    if n < 2:
        return RankCorrelation(known[0] if known else math.nan, None, n)
    mean = float(np.mean(known))
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(known, ddof=1) / math.sqrt(n))
    return RankCorrelation(mean, (max(-1.0, mean - half), min(1.0, mean + half)), n)
