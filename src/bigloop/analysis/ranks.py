"""Whether one value of a run goes with another: rank correlation over its generations, with an interval over seeds.

found = rank_correlation(pairs(material, "wgan", "loss_generator", "fid"))
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

LOSS = "final_loss"
LEAST = 3  # generations that a correlation is worth computing of
CONFIDENCE = 0.95


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


def pairs(material: Tables, run: str, loss: str, measure: str) -> pd.DataFrame:
    """Columns seed, generation, loss and value, of the generations that have both a loss of this name and the measure.

    Raises ValueError where the measure has several values a generation.
    """
    losses, values = rows_of(material, run, LOSS), rows_of(material, run, measure)
    key = ["seed", "generation"]
    if values.duplicated(key).any():
        raise ValueError(f"measure {measure} has several values in a generation; choose one that has one")
    losses = losses[losses["detail"].astype(str) == loss].rename(columns={"value": "loss"})
    return losses[[*key, "loss"]].merge(values[[*key, "value"]], on=key).sort_values(key, ignore_index=True)


def rank_correlation(found: pd.DataFrame) -> RankCorrelation:
    """Of the columns loss and value of `pairs`; seeds with constants or fewer than LEAST generations are left out."""
    from scipy.stats import spearmanr, t

    known = [
        float(spearmanr(rows["loss"], rows["value"]).statistic)
        for _, rows in found.groupby("seed")
        if len(rows) >= LEAST and (np.ptp(rows[["loss", "value"]].to_numpy(), axis=0) > 0).all()
    ]
    n = len(known)
    if n < 2:
        return RankCorrelation(known[0] if known else math.nan, None, n)
    mean = float(np.mean(known))
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(known, ddof=1) / math.sqrt(n))
    return RankCorrelation(mean, (max(-1.0, mean - half), min(1.0, mean + half)), n)
