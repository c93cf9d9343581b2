"""One Gaussian by its unbiased moments, the model of which theory knows the most (Alemohammad et al. 2024, eq. 1).

    model = Gaussian.fresh(Gaussian.Options(), 2, streams)
    model.fit(rows, Budget(epochs=1), streams)               # rows: Tensor (replicates, n, 2)

A loop on it needs no rows: their mean and scatter are all that a fit looks at, and their laws are known. With
`draws: moments` these are drawn instead, at a cost that does not grow with the number of rows. It is also what is
exact when the model has collapsed: rows lose their spread in the rounding of their mean below 1e-16 of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor

from bigloop.models.points.stacked import Streams
from bigloop.runtime.progress import Report
from bigloop.spec.loops import Budget
from bigloop.spec.options import option

TINY = torch.finfo(torch.float64).tiny


@dataclass(frozen=True)
class Moments:
    """What a Gaussian's fit looks at: for R replicates of n rows in R^d, their mean and scatter, float64."""

    n: int
    mean: Tensor  # (R, d)
    scatter: Tensor  # (R, d, d): sum over the rows of the outer products of their deviations from the mean

    @classmethod
    def of(cls, rows: Tensor) -> Moments:
        """The moments of rows (R, n, d), n ≥ 1."""
        rows = rows.double()
        mean = rows.mean(1)
        deviations = rows - mean[:, None]
        return cls(rows.shape[1], mean, deviations.mT @ deviations)

    @classmethod
    def drawn(cls, n: int, mean: Tensor, covariance: Tensor, streams: Streams) -> Moments:
        """The moments of n independent rows of N(mean, covariance), without the rows where n > d.

        mean: (R, d), covariance: (R, d, d), positive semidefinite. The mean is drawn from N(mean, covariance/n), the
        scatter from Wishart(n − 1, covariance), by Bartlett's decomposition (Bartlett 1934).
        """
        d = mean.shape[1]
        root = symmetric_root(covariance)
        if n <= d:  # the scatter is singular, and Bartlett's decomposition has no chi-squared for it
            return cls.of(mean[:, None] + streams.normal(n, d, dtype=torch.float64) @ root)
        centre = mean + (streams.normal(1, d, dtype=torch.float64) @ root)[:, 0] / math.sqrt(n)
        freedom = n - 1.0 - np.arange(d)
        squares = torch.from_numpy(np.stack([g.chisquare(freedom) for g in streams.generators]))
        factor = root * squares.sqrt()[:, None]
        if d > 1:
            lower = streams.normal(d, d, dtype=torch.float64).tril(-1)
            factor = root @ (lower + squares.sqrt().diag_embed())
        return cls(n, centre, factor @ factor.mT)

    @classmethod
    def pooled(cls, parts: Sequence[Moments]) -> Moments:
        """The moments of all rows of `parts` together (Chan et al. 1979); raises ValueError for none."""
        if not parts:
            raise ValueError("parts: expected one or more, got none")
        n = sum(part.n for part in parts)
        mean = torch.stack([part.mean * (part.n / n) for part in parts]).sum(0)
        scatter = torch.stack([part.scatter for part in parts]).sum(0)
        for part in parts:
            off = part.mean - mean
            scatter = scatter + part.n * off[:, :, None] * off[:, None]
        return cls(n, mean, scatter)

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance, (R, d, d); raises ValueError for one row."""
        if self.n < 2:
            raise ValueError(f"covariance: expected two or more rows, got {self.n}")
        return self.scatter / (self.n - 1)


class Gaussian:
    """Points of R^d. Sampling bias λ: from N(μ, λΣ)."""

    revision: ClassVar[int] = 1
    stacked: ClassVar[bool] = True
    has_moments: ClassVar[bool] = True
    has_log_density: ClassVar[bool] = True
    dtype: ClassVar[torch.dtype] = torch.float64

    @dataclass(frozen=True)
    class Options:
        draws: Literal["rows", "moments"] = option(
            "rows",
            "draw the generated rows, or their mean and covariance from the exact laws",
        )

    def __init__(self, options: Any, dimension: int, streams: Streams) -> None:
        self.options = options
        self.dimension = dimension
        self.replicates = len(streams)
        self.mean = torch.zeros(self.replicates, dimension, dtype=self.dtype)
        self.covariance = torch.eye(dimension, dtype=self.dtype).repeat(self.replicates, 1, 1)

    @classmethod
    def fresh(cls, options: Any, dimension: int, streams: Streams) -> Self:
        """N(0, I) in R^dimension, as many times as there are streams."""
        return cls(options, dimension, streams)

    @property
    def by_moments(self) -> bool:
        """Whether a loop is to pass on moments (`sample_moments`) instead of rows."""
        return self.options.draws == "moments"

    def fit(
        self, rows: Tensor | Moments, budget: Budget, streams: Streams, report: Report = lambda line: None
    ) -> dict[str, np.ndarray]:
        """Take the mean and the unbiased covariance of rows (replicates, n, d), n ≥ 2, or of their moments.

        The budget plays no part, and there is no history. Raises ValueError for one row.
        """
        moments = rows if isinstance(rows, Moments) else Moments.of(rows)
        self.mean, self.covariance = moments.mean, moments.covariance
        return {}

    def sample(self, n: int, bias: float, streams: Streams) -> Tensor:
        """n new points of each replicate, (replicates, n, d), with sampling bias λ = `bias` in [0, 1]."""
        noise = streams.normal(n, self.dimension, dtype=self.dtype)
        return self.mean[:, None] + noise @ symmetric_root(bias * self.covariance)

    def sample_moments(self, n: int, bias: float, streams: Streams) -> Moments:
        """The moments of n new points of each replicate, in law as those of `sample`'s."""
        return Moments.drawn(n, self.mean, bias * self.covariance, streams)

    def log_density(self, points: Tensor) -> Tensor:
        """Natural logarithm of the density at points (replicates, n, d), (replicates, n).

        Large or infinite, never NaN, where the covariance is singular.
        """
        values, vectors = torch.linalg.eigh(self.covariance)
        values = values.clamp(min=TINY)[:, None]
        whitened = (points - self.mean[:, None]) @ vectors / values.sqrt()
        return -0.5 * (whitened.square() + (2 * math.pi * values).log()).sum(2)

    def state(self) -> dict[str, np.ndarray]:
        """Mean and covariance, the replicate first."""
        return {"mean": self.mean.numpy().copy(), "covariance": self.covariance.numpy().copy()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` gave, for as many replicates as this model has."""
        self.mean = torch.from_numpy(np.array(state["mean"]))
        self.covariance = torch.from_numpy(np.array(state["covariance"]))


def symmetric_root(covariance: Tensor) -> Tensor:
    """The symmetric square root of covariances (R, d, d); eigenvalues that rounding made negative count as 0."""
    if covariance.shape[-1] == 1:
        return covariance.clamp(min=0).sqrt()
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()[:, None]) @ vectors.mT
