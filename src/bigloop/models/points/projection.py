"""One Gaussian fitted to a known density itself, under a divergence: what a model of too little capacity ends at.

Forward KL(p‖q), which likelihood maximises, covers all of p's mass, and χ²(p‖q) even more so; reverse KL(q‖p) seeks a
mode; the Jensen–Shannon divergence, which GANs minimise (Goodfellow et al. 2014), squared Hellinger and total variation
lie between. No rows, no sampling noise: only the criterion. f-GANs (`mlp_gan` with the loss `f_gan`) estimate the same
six from rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from bigloop.data.densities import Density
from bigloop.models.points.gaussian import Gaussian, Moments
from bigloop.models.points.stacked import Streams
from bigloop.runtime.progress import Report
from bigloop.spec.loops import Budget
from bigloop.spec.options import SpecError, option

WIDTHS = (1, 1 / 4, 1 / 16)  # of a search's start, in standard deviations of the density
POINTS = 2_001  # of each grid
REACH = 9.0  # standard deviations that the model's grid spans on each side: all of a Gaussian but 1e-18


class Projection(Gaussian):
    """Points of R^1. Sampling bias λ: from N(μ, λσ²)."""

    revision = 1
    sees_density = True

    @dataclass(frozen=True)
    class Options:
        divergence: Literal[
            "forward_kl", "reverse_kl", "jensen_shannon", "chi_squared", "hellinger", "total_variation"
        ] = option("forward_kl", "divergence between density and Gaussian that the fit minimises")

    def __init__(self, options: Any, dimension: int, streams: Streams, density: Density) -> None:
        if dimension != 1:
            raise SpecError(f"projection: expected a density in 1 dimension, got {dimension}")
        super().__init__(options, dimension, streams)
        self.density = density

    @classmethod
    def fresh(  # type: ignore[override]  # the one family that sees the density
        cls, options: Any, dimension: int, streams: Streams, density: Density
    ) -> Self:
        """N(0, 1) as many times as there are streams; raises SpecError for another dimension than 1."""
        return cls(options, dimension, streams, density)

    @property
    def by_moments(self) -> bool:
        """Never: a fit looks at no rows."""
        return False

    def fit(
        self, rows: Tensor | Moments, budget: Budget, streams: Streams, report: Report = lambda line: None
    ) -> dict[str, np.ndarray]:
        """Minimise the divergence from the density; of the arguments only the streams play a part.

        All but the forward KL may have several minima. Each replicate starts at a point of its own,
        uniform in the density's box, and takes the least minimum that it finds from there at three widths.
        Returns {}.
        """
        starts = streams.uniform(1, dtype=self.dtype)[:, 0].tolist()
        found = np.array([projected(self.density, self.options.divergence, start) for start in starts])
        self.mean = torch.from_numpy(found[:, :1].copy())
        self.covariance = torch.from_numpy(found[:, 1:, None] ** 2)
        return {}


def projected(density: Density, divergence: str, start: float) -> tuple[float, float]:
    """Mean and standard deviation of the Gaussian nearest to a density of R^1, from `start` in [0, 1) along its box."""
    from scipy.optimize import minimize

    mean, sd = moments(density)
    if divergence == "forward_kl":
        return mean, sd
    distance = DISTANCES[divergence]
    first = density.low[0] + start * (density.high[0] - density.low[0])
    minima = []
    for width in WIDTHS:
        corner = np.array([first, math.log(width * sd)])
        minimum = minimize(
            lambda at: distance(density, at[0], math.exp(at[1])),
            corner,
            method="Nelder-Mead",
            options={
                "initial_simplex": corner + np.array([[0, 0], [width * sd, 0], [0, 0.5]]),
                "xatol": 1e-5,
                "fatol": 1e-9,
            },
        )
        minima.append(minimum)
    least = min(minima, key=lambda minimum: minimum.fun)
    return float(least.x[0]), math.exp(least.x[1])


def moments(density: Density) -> tuple[float, float]:
    """Mean and standard deviation of a density of R^1, by quadrature: the Gaussian of least KL(p‖q)."""
    x, p = _on_box(density)
    mean = p @ x
    return float(mean), math.sqrt(p @ (x - mean) ** 2)


def reverse_kl(density: Density, mean: float, sd: float) -> float:
    """KL(q‖p) ≥ 0 of q = N(mean, sd²) from a density p of R^1, nats."""
    x, q, log_q = _on_gaussian(mean, sd)
    return float(q @ (log_q - _log_density(density, x)))


def jensen_shannon(density: Density, mean: float, sd: float) -> float:
    """½ KL(p‖m) + ½ KL(q‖m), m = (p + q)/2, of q = N(mean, sd²) and a density p of R^1, in [0, ln 2], nats."""
    y, p = _on_box(density)
    x, q, log_q = _on_gaussian(mean, sd)
    log_p_y, log_q_y = _log_density(density, y), _log_gaussian(y, mean, sd)
    real = p @ _over_mixture(log_p_y, log_q_y)
    modelled = q @ _over_mixture(log_q, _log_density(density, x))
    return float(0.5 * (real + modelled))


def chi_squared(density: Density, mean: float, sd: float) -> float:
    """ln(1 + χ²(p‖q)) = ln ∫ p²/q of a density p of R^1 and q = N(mean, sd²); as far as the density's box reaches."""
    y, p = _on_box(density)
    log_ratio = _log_density(density, y) - _log_gaussian(y, mean, sd)
    most = log_ratio.max()
    return float(most + np.log(p @ np.exp(log_ratio - most)))


def hellinger(density: Density, mean: float, sd: float) -> float:
    """∫ (√p − √q)² = 2 − 2 ∫ √(pq) of a density p of R^1 and q = N(mean, sd²), in [0, 2]."""
    x, q, log_q = _on_gaussian(mean, sd)
    return float(2 - 2 * (q @ np.exp((_log_density(density, x) - log_q) / 2)))


def total_variation(density: Density, mean: float, sd: float) -> float:
    """½ ∫ |p − q| = 1 − ∫ min(p, q) of a density p of R^1 and q = N(mean, sd²), in [0, 1]."""
    x, q, log_q = _on_gaussian(mean, sd)
    return float(1 - q @ np.exp(np.minimum(0, _log_density(density, x) - log_q)))


DISTANCES = {
    "reverse_kl": reverse_kl,
    "jensen_shannon": jensen_shannon,
    "chi_squared": chi_squared,
    "hellinger": hellinger,
    "total_variation": total_variation,
}


def _over_mixture(log_one: np.ndarray, log_other: np.ndarray) -> np.ndarray:
    """log(p / m) for m = (p + q)/2."""
    return math.log(2) - np.logaddexp(0, log_other - log_one)


def _on_box(density: Density) -> tuple[np.ndarray, np.ndarray]:
    """A grid over the density's box, widened by half on each side, and its share of the mass at each point."""
    low, high = float(density.low[0]), float(density.high[0])
    half = (high - low) / 2
    x = np.linspace(low - half, high + half, POINTS)
    p = np.exp(_log_density(density, x))
    return x, p / p.sum()


def _on_gaussian(mean: float, sd: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grid over a Gaussian, its share of the mass at each point, and its log-density there."""
    x = mean + sd * np.linspace(-REACH, REACH, POINTS)
    log_q = _log_gaussian(x, mean, sd)
    q = np.exp(log_q)
    return x, q / q.sum(), log_q


def _log_gaussian(x: np.ndarray, mean: float, sd: float) -> np.ndarray:
    return -0.5 * ((x - mean) / sd) ** 2 - math.log(sd * math.sqrt(2 * math.pi))


def _log_density(density: Density, x: np.ndarray) -> np.ndarray:
    return density.log_density(x[:, None])
