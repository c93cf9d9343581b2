"""The Rosenbrock density: a thin curved ridge."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


class Rosenbrock:
    """p ∝ exp(−x₁²/2 − (x₂ − x₁²)²), that is x₁ ~ N(0, 1), x₂ ~ N(x₁², ½) (Alemohammad et al. 2024, App. B.4).

    Box: [−3.5, 3.5] × [−2.5, 12.5], outside of which is a mass of 6e-4.
    """

    @dataclass(frozen=True)
    class Options:
        """None."""

    dimension = 2
    modes = None
    spread = None

    def __init__(self, options: Options) -> None:
        self.low, self.high = np.array([-3.5, -2.5]), np.array([3.5, 12.5])

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """n independent points, float64 (n, 2)."""
        first = generator.standard_normal(n)
        return np.column_stack([first, first**2 + math.sqrt(0.5) * generator.standard_normal(n)])

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """ln p at points (n, 2), float64 (n,)."""
        first, second = np.asarray(points, dtype=np.float64).T
        return -(first**2) / 2 - (second - first**2) ** 2 - math.log(math.sqrt(2) * math.pi)
