"""Kernel density estimation with a Gaussian kernel: a model that keeps every row that it is shown.

    model = KDE.fresh(KDE.Options(), 2, streams)
    model.fit(rows, Budget(epochs=1), streams)               # rows: Tensor (replicates, n, 2)

A loop on it smooths again and again what it smoothed before: the variance grows by n^(−2/(d+4)) − 1/n of itself each
generation (ours, exact), where other models lose it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from bigloop.models.points.stacked import Streams
from bigloop.runtime.progress import Report
from bigloop.spec.loops import Budget
from bigloop.spec.options import SpecError, option

TINY = torch.finfo(torch.float64).tiny
BLOCK = 2**22  # squared distances held at once


class KDE:
    """Points of R^d. Sampling bias λ: one of the rows, then from a kernel of λ times the variance."""

    revision: ClassVar[int] = 1
    stacked: ClassVar[bool] = True
    has_log_density: ClassVar[bool] = True
    dtype: ClassVar[torch.dtype] = torch.float64

    @dataclass(frozen=True)
    class Options:
        bandwidth: float | None = option(
            None,
            "standard deviation of the kernel; if not given, that of the rows in each direction times "
            "n^(−1/(d+4)) (Scott's rule)",
            above=0,
        )

    def __init__(self, options: Any, dimension: int, replicates: int) -> None:
        self.options = options
        self.rows = torch.zeros(replicates, 1, dimension, dtype=self.dtype)
        self.bandwidths = torch.ones(replicates, dimension, dtype=self.dtype)

    @classmethod
    def fresh(cls, options: Any, dimension: int, streams: Streams) -> Self:
        """One row at the origin, as many times as there are streams."""
        return cls(options, dimension, len(streams))

    def fit(
        self, rows: Tensor, budget: Budget, streams: Streams, report: Report = lambda line: None
    ) -> dict[str, np.ndarray]:
        """Keep rows (replicates, n, d), n ≥ 2; budget and streams play no part. Raises SpecError for one row."""
        _, n, d = rows.shape
        if n < 2:
            raise SpecError(f"kde: expected two or more rows, got {n}")
        self.rows = rows.double()
        fixed = self.options.bandwidth
        scott = self.rows.var(1).sqrt() * n ** (-1 / (d + 4))
        self.bandwidths = scott if fixed is None else torch.full_like(scott, fixed)
        return {}

    def sample(self, n: int, bias: float, streams: Streams) -> Tensor:
        """n new points of each replicate, (replicates, n, d), with sampling bias λ = `bias` in [0, 1]."""
        replicates, rows, d = self.rows.shape
        chosen = self.rows[torch.arange(replicates)[:, None], streams.integers(rows, n)]
        noise = streams.normal(n, d, dtype=self.dtype)
        return chosen + math.sqrt(bias) * self.bandwidths[:, None] * noise

    def log_density(self, points: Tensor) -> Tensor:
        """Natural logarithm of the density at points (replicates, n, d), (replicates, n)."""
        scale = self.bandwidths.clamp(min=TINY)[:, None]
        rows, n = self.rows / scale, self.rows.shape[1]
        constant = -scale.log().sum((1, 2)) - math.log(n) - self.rows.shape[2] / 2 * math.log(2 * math.pi)
        size = max(1, BLOCK // (n * len(rows)))
        parts = [
            (-0.5 * torch.cdist(part / scale, rows).square()).logsumexp(2) for part in points.split(size, 1)
        ]
        return torch.cat(parts, 1) + constant[:, None]

    def state(self) -> dict[str, np.ndarray]:
        """Rows and bandwidths, the replicate first."""
        return {"rows": self.rows.numpy().copy(), "bandwidths": self.bandwidths.numpy().copy()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` gave, for as many replicates as this model has."""
        self.rows = torch.from_numpy(np.array(state["rows"]))
        self.bandwidths = torch.from_numpy(np.array(state["bandwidths"]))
