"""The standard normal distribution in any dimension, the density whose loops have closed-form theory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bigloop.spec.options import option


class Gaussian:
    """N(0, I_d): one mode at the origin, of spread 1. Box: ±4, outside of which a coordinate has mass 6.3e-5."""

    @dataclass(frozen=True)
    class Options:
        dimension: int = option(1, "dimension d", minimum=1, maximum=1_000)

    def __init__(self, options: Options) -> None:
        self.dimension = d = options.dimension
        self.mean, self.covariance = np.zeros(d), np.eye(d)
        self.low, self.high = np.full(d, -4.0), np.full(d, 4.0)
        self.modes, self.spread = np.zeros((1, d)), 1.0

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """n independent points, float64 (n, d)."""
        return generator.standard_normal((n, self.dimension))

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """ln p at points (n, d), float64 (n,)."""
        squares = np.square(np.asarray(points, dtype=np.float64)).sum(axis=1)
        return -squares / 2 - self.dimension / 2 * math.log(2 * math.pi)
