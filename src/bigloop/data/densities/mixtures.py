"""Mixtures of isotropic Gaussians: a grid, a ring, the eight Gaussians, and two modes on a line."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bigloop.spec.options import option

BLOCK = 2**18  # distances held at once: what fits a processor's cache


def mixture_log_density(
    points: np.ndarray, modes: np.ndarray, spread: float, weights: np.ndarray
) -> np.ndarray:
    """ln Σ_k w_k N(x; μ_k, s² I) at points (n, d), float64 (n,), of modes (m, d), spread s and weights (m,) > 0."""
    x = np.asarray(points, dtype=np.float64)
    constant = np.log(weights) - x.shape[1] / 2 * math.log(2 * math.pi * spread**2)
    rows = max(1, BLOCK // len(modes))
    blocks = [
        _log_sum_exp(constant - _squared_distances(x[start : start + rows], modes) / (2 * spread**2))
        for start in range(0, len(x), rows)
    ]
    return np.concatenate([np.empty(0), *blocks])


class Mixture:
    """Isotropic Gaussian modes of one spread. Box: all modes ± 4 spreads. mean: (d,) and covariance: (d, d)."""

    def __init__(self, modes: np.ndarray, spread: float, weights: np.ndarray | None = None) -> None:
        """modes: (m, d); spread: standard deviation; weights: (m,), positive, of sum 1 (None: all equal)."""
        self.dimension = modes.shape[1]
        self.modes, self.spread = modes, spread
        self.weights = np.full(len(modes), 1 / len(modes)) if weights is None else weights
        self.mean = self.weights @ modes
        apart = modes - self.mean
        self.covariance = spread**2 * np.eye(self.dimension) + (self.weights[:, None] * apart).T @ apart
        self.low, self.high = modes.min(axis=0) - 4 * spread, modes.max(axis=0) + 4 * spread

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """n independent points, float64 (n, d)."""
        centres = self.modes[generator.choice(len(self.modes), size=n, p=self.weights)]
        return centres + self.spread * generator.standard_normal((n, self.dimension))

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """ln p at points (n, d), float64 (n,)."""
        return mixture_log_density(points, self.modes, self.spread, self.weights)


class Grid(Mixture):
    """side² modes on a square grid around the origin: by default the field's "25 Gaussians" (Lin et al. 2018)."""

    @dataclass(frozen=True)
    class Options:
        side: int = option(5, "modes along each side", minimum=1, maximum=100)
        spacing: float = option(2.0, "distance between neighbouring modes", above=0)
        sd: float = option(0.05, "standard deviation of each mode", above=0)

    def __init__(self, options: Options) -> None:
        axis = options.spacing * (np.arange(options.side) - (options.side - 1) / 2)
        super().__init__(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2), options.sd)


class Ring(Mixture):
    """Modes evenly around a circle, the first at angle 0. At radius 1 the default modes' 3 sd discs overlap."""

    @dataclass(frozen=True)
    class Options:
        modes: int = option(8, "modes on the circle", minimum=1, maximum=10_000)
        radius: float = option(2.0, "radius of the circle", above=0)
        variance: float = option(0.05, "variance of each mode in every direction", above=0)

    def __init__(self, options: Options) -> None:
        super().__init__(circle(options.modes, options.radius), math.sqrt(options.variance))


class Gaussians8(Mixture):
    """Eight modes in the compass directions, after the example of torchcfm that Bertrand et al. 2024 train on.

    torchcfm's function hands √variance to PyTorch as the covariance: its samples at "var=0.1" are those of
    variance 0.316 here.
    """

    @dataclass(frozen=True)
    class Options:
        scale: float = option(5.0, "distance of the modes from the origin", above=0)
        variance: float = option(0.1, "variance of each mode in every direction", above=0)

    def __init__(self, options: Options) -> None:
        super().__init__(circle(8, options.scale), math.sqrt(options.variance))


class Bimodal(Mixture):
    """Two modes on a line, at ±separation / 2."""

    @dataclass(frozen=True)
    class Options:
        separation: float = option(4.0, "distance between the modes", above=0)
        sd: float = option(0.5, "standard deviation of each mode", above=0)
        weight: float = option(0.5, "weight of the left mode", above=0, below=1)

    def __init__(self, options: Options) -> None:
        half, left = options.separation / 2, options.weight
        super().__init__(np.array([[-half], [half]]), options.sd, np.array([left, 1 - left]))


def circle(count: int, radius: float) -> np.ndarray:
    """`count` points evenly on a circle around the origin, from angle 0 on, shape (count, 2)."""
    angles = 2 * math.pi * np.arange(count) / count
    return radius * np.column_stack([np.cos(angles), np.sin(angles)])


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    squares = np.zeros((len(x), len(y)))
    for a, b in zip(x.T, y.T, strict=True):
        squares += np.square(a[:, None] - b[None, :])
    return squares


def _log_sum_exp(values: np.ndarray) -> np.ndarray:
    """ln Σ_k exp values[:, k] of values (n, m), without overflow, in place."""
    largest = values.max(axis=1)
    values -= largest[:, None]
    return largest + np.log(np.exp(values, out=values).sum(axis=1))
