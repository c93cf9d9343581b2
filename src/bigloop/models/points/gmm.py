"""A Gaussian mixture by expectation maximisation (Dempster et al. 1977), many replicates at once.

    model = GMM.fresh(GMM.Options(components=25), 2, streams)
    model.fit(rows, Budget(epochs=100), streams)             # at most 100 iterations from a new seeding
    model.fit(rows, Budget(epochs=20), streams)              # at most 20 more, from where the first ended

A log-density is linear in the products of coordinates x_i x_j, the coordinates and 1: an E-step is one matrix product
with these features, an M-step another. The features grow as n d²/2: made for few dimensions.
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
from bigloop.spec.options import option

VANISHED = 10 * torch.finfo(torch.float64).eps  # rows: a component that answers for fewer is left as it was
TINY = torch.finfo(torch.float64).tiny
NOTHING = -600.0  # log of the least responsibility: below, numbers are subnormal and arithmetic slow


@dataclass(frozen=True)
class Mixture:
    """R mixtures of K Gaussians in R^d, float64."""

    weights: Tensor  # (R, K), of sum 1
    means: Tensor  # (R, K, d)
    covariances: Tensor  # (R, K, d, d), positive definite

    def __getitem__(self, replicates: Tensor) -> Mixture:
        return Mixture(self.weights[replicates], self.means[replicates], self.covariances[replicates])

    def put(self, replicates: Tensor, mixture: Mixture) -> None:
        """Replace some replicates by those of `mixture`."""
        self.weights[replicates] = mixture.weights
        self.means[replicates] = mixture.means
        self.covariances[replicates] = mixture.covariances

    def shifted(self, by: Tensor) -> Mixture:
        """Every replicate moved by its vector, (R, d)."""
        return Mixture(self.weights, self.means + by[:, None], self.covariances)


class GMM:
    """Points of R^d. Sampling bias λ: a component by its weight, then N(μ_k, λΣ_k)."""

    revision: ClassVar[int] = 1
    stacked: ClassVar[bool] = True
    continues: ClassVar[bool] = True
    has_log_density: ClassVar[bool] = True
    dtype: ClassVar[torch.dtype] = torch.float64

    @dataclass(frozen=True)
    class Options:
        components: int = option(25, "Gaussians in the mixture", minimum=1)
        regularisation: float = option(1e-6, "added to the diagonal of each covariance", above=0)
        tolerance: float = option(
            1e-6,
            "a replicate stops when an iteration raises its mean log-likelihood by at most this",
            minimum=0,
        )

    def __init__(self, options: Any, dimension: int, streams: Streams) -> None:
        self.options = options
        self.dimension = dimension
        self.replicates = len(streams)
        shape = (self.replicates, options.components)
        self.mixture = Mixture(
            torch.full(shape, 1 / options.components, dtype=self.dtype),
            torch.zeros(*shape, dimension, dtype=self.dtype),
            torch.eye(dimension, dtype=self.dtype).repeat(*shape, 1, 1),
        )
        self.initialised = torch.zeros(self.replicates, dtype=torch.bool)

    @classmethod
    def fresh(cls, options: Any, dimension: int, streams: Streams) -> Self:
        """Mixtures for points of R^dimension, as many as there are streams; their first fit seeds them."""
        return cls(options, dimension, streams)

    def fit(
        self, rows: Tensor, budget: Budget, streams: Streams, report: Report = lambda line: None
    ) -> dict[str, np.ndarray]:
        """Iterations of EM on rows (replicates, n, d), an iteration an epoch; the first fit seeds the mixture before.

        Returns `log_likelihood`, the mean over the rows before the last iteration, float64 (replicates,), nats.
        """
        rows = rows.double()
        if not self.initialised.all():
            self.mixture = seeded(rows, self.options.components, self.options.regularisation, streams)
            self.initialised[:] = True
        iterations = budget.steps(rows.shape[1], rows.shape[1])
        o = self.options
        self.mixture, found = maximised(self.mixture, rows, iterations, o.regularisation, o.tolerance)
        return {"log_likelihood": found.numpy()}

    def sample(self, n: int, bias: float, streams: Streams) -> Tensor:
        """n new points of each replicate, (replicates, n, d), with sampling bias λ = `bias` in [0, 1]."""
        upto = self.mixture.weights.cumsum(1)
        drawn = streams.uniform(n, dtype=self.dtype) * upto[:, -1:]
        component = torch.searchsorted(upto, drawn, right=True).clamp(max=self.options.components - 1)
        replicate = torch.arange(self.replicates)[:, None]
        roots = torch.linalg.cholesky(self.mixture.covariances)[replicate, component]
        noise = streams.normal(n, self.dimension, 1, dtype=self.dtype)
        return self.mixture.means[replicate, component] + math.sqrt(bias) * (roots @ noise)[..., 0]

    def log_density(self, points: Tensor) -> Tensor:
        """Natural logarithm of the density at points (replicates, n, d), (replicates, n)."""
        centre = (self.mixture.weights[:, None] @ self.mixture.means)[:, 0]
        joint = coefficients(self.mixture.shifted(-centre)) @ features(points - centre[:, None])
        return joint.logsumexp(1)

    def state(self) -> dict[str, np.ndarray]:
        """Weights, means, covariances and whether they were seeded, the replicate first."""
        m = self.mixture
        found = {"weights": m.weights, "means": m.means, "covariances": m.covariances}
        found["initialised"] = self.initialised
        return {name: tensor.numpy().copy() for name, tensor in found.items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` gave, for as many replicates as this model has."""
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
        self.mixture = Mixture(tensors["weights"], tensors["means"], tensors["covariances"])
        self.initialised = tensors["initialised"].bool()


def seeded(rows: Tensor, components: int, regularisation: float, streams: Streams) -> Mixture:
    """Where EM starts on rows (R, n, d): equal weights, k-means++ seeds, one round covariance for all components.

    The seeds are greedy: each the best of 2 + ⌊ln K⌋ rows drawn by their squared distance to the nearest seed before
    (Arthur & Vassilvitskii 2007). The variance is that of the rows about their nearest seed.
    """
    replicates, n, d = rows.shape
    replicate = torch.arange(replicates)[:, None]
    tried = 2 + int(math.log(components))
    seeds = rows[replicate, streams.integers(n, 1)]
    nearest = (rows - seeds).square().sum(2)
    for _ in range(1, components):
        upto = nearest.cumsum(1)
        drawn = streams.uniform(tried, dtype=rows.dtype) * upto[:, -1:]
        chosen = torch.searchsorted(upto, drawn, right=True).clamp(max=n - 1)
        candidates = rows[replicate, chosen]
        squares = (rows[:, None] - candidates[:, :, None]).square().sum(3)
        left = torch.minimum(squares, nearest[:, None])
        best = left.sum(2).argmin(1, keepdim=True)
        seeds = torch.cat([seeds, candidates[replicate, best]], dim=1)
        nearest = left[replicate, best][:, 0]
    variance = nearest.mean(1) / d + regularisation
    round_ = variance[:, None, None] * torch.eye(d, dtype=rows.dtype)
    weights = torch.full((replicates, components), 1 / components, dtype=rows.dtype)
    return Mixture(weights, seeds, round_[:, None].repeat(1, components, 1, 1))


def maximised(
    start: Mixture, rows: Tensor, iterations: int, regularisation: float, tolerance: float
) -> tuple[Mixture, Tensor]:
    """The mixture after EM on rows (R, n, d), and the mean log-likelihood before each replicate's last iteration, (R,).

    A replicate stops after `iterations`, or after one that began with a log-likelihood not more than `tolerance`
    above that before.
    """
    centre = rows.mean(1)
    x = features(rows - centre[:, None])
    mixture = start.shifted(-centre)
    found = Mixture(*(torch.empty_like(t) for t in (start.weights, start.means, start.covariances)))
    reached = torch.empty(len(rows), dtype=rows.dtype)
    moving = torch.arange(len(rows))
    before = torch.full((len(rows),), -math.inf, dtype=rows.dtype)
    for iteration in range(iterations):
        sums, likelihood = expected(mixture, x)
        mixture = most_likely(mixture, sums, regularisation)
        done = (likelihood - before <= tolerance) | (iteration == iterations - 1)
        if done.any():
            found.put(moving[done], mixture[done])
            reached[moving[done]] = likelihood[done]
            moving, mixture, x, likelihood = moving[~done], mixture[~done], x[~done], likelihood[~done]
        if not len(moving):
            break
        before = likelihood
    return found.shifted(centre), reached


def expected(mixture: Mixture, x: Tensor) -> tuple[Tensor, Tensor]:
    """E-step: each component's sums of features weighted by its responsibilities, and the mean log-likelihood.

    x: (R, p, n), from `features`; returns (R, K, p) and (R,).
    """
    joint = coefficients(mixture) @ x
    top = joint.amax(1, keepdim=True)
    shares = joint.sub_(top).clamp_(min=NOTHING).exp_()
    total = shares.sum(1, keepdim=True)
    return shares @ (x / total).mT, (top + total.log()).mean((1, 2))


def most_likely(mixture: Mixture, sums: Tensor, regularisation: float) -> Mixture:
    """M-step from the sums (R, K, p) of `expected`; components that answer for no row keep mean and covariance."""
    d = mixture.means.shape[2]
    i, j = torch.triu_indices(d, d)
    rows = sums[:, :, -1]
    alive = rows > VANISHED
    per_row = sums / torch.where(alive, rows, 1.0)[:, :, None]
    means = per_row[:, :, len(i) : -1]
    covariances = torch.empty_like(mixture.covariances)
    covariances[:, :, i, j] = covariances[:, :, j, i] = (
        per_row[:, :, : len(i)] - means[:, :, i] * means[:, :, j]
    )
    covariances.diagonal(dim1=2, dim2=3).add_(regularisation)
    return Mixture(
        rows / rows.sum(1, keepdim=True),
        torch.where(alive[:, :, None], means, mixture.means),
        torch.where(alive[:, :, None, None], covariances, mixture.covariances),
    )


def features(rows: Tensor) -> Tensor:
    """x_i x_j for i ≤ j, x_i, and 1, for rows (R, n, d); returns (R, p, n), p = (d+1)(d+2)/2."""
    x = rows.mT
    i, j = torch.triu_indices(rows.shape[2], rows.shape[2])
    return torch.cat([x[:, i] * x[:, j], x, torch.ones_like(x[:, :1])], dim=1)


def coefficients(mixture: Mixture) -> Tensor:
    """(R, K, p), which times `features` are the components' log-densities with their log-weights added, (R, K, n)."""
    d = mixture.means.shape[2]
    i, j = torch.triu_indices(d, d)
    factor = torch.linalg.cholesky(mixture.covariances)
    precision = torch.cholesky_inverse(factor)
    slope = (precision @ mixture.means[..., None])[..., 0]
    log_scale = factor.diagonal(dim1=2, dim2=3).log().sum(2)
    constant = (
        mixture.weights.clamp(min=TINY).log()
        - log_scale
        - 0.5 * ((slope * mixture.means).sum(2) + d * math.log(2 * math.pi))
    )
    squares = precision[:, :, i, j] * torch.where(i == j, -0.5, -1.0)
    return torch.cat([squares, slope, constant[:, :, None]], dim=2)
