"""Which distinct Gaussians the seeds of a run found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bigloop.analysis.series import Tables, rows_of

if TYPE_CHECKING:
    import pandas as pd

NEAR = 0.5  # of the smaller standard deviation: fits no further apart are one solution


@dataclass(frozen=True)
class Solution:
    """One of the Gaussians that a run's seeds found: mean and standard deviation over them, and their share."""

    run: str
    mean: float
    sd: float
    share: float


def first_generation(material: Tables, run: str, measure: str) -> pd.Series:
    """Seed → value of the measure in generation 1."""
    rows = rows_of(material, run, measure)
    return rows[rows["generation"] == 1].groupby("seed")["value"].mean().dropna()


def solutions(material: Tables, run: str) -> list[Solution]:
    """The distinct Gaussians among the seeds of a run, from left to right.

    Two seeds share one if a chain of seeds joins them in which no Wasserstein-2 distance between neighbours' fits is
    more than half of the smaller standard deviation.
    """
    sd = first_generation(material, run, "sd")
    mean, deviation = first_generation(material, run, "mean")[sd.index].to_numpy(), sd.to_numpy()
    apart = np.hypot(mean[:, None] - mean, deviation[:, None] - deviation)
    joined = apart <= NEAR * np.minimum(deviation[:, None], deviation)
    for _ in range(len(mean).bit_length()):  # each step doubles the length of the chains
        joined = joined @ joined
    parts = [joined[i] for i in range(len(mean)) if joined[i].argmax() == i]
    found = [Solution(run, float(mean[p].mean()), float(deviation[p].mean()), float(p.mean())) for p in parts]
    return sorted(found, key=lambda solution: solution.mean)
