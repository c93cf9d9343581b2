"""Zipf's law over symbols: the cheapest stand-in for language, with the rare symbols that a loop forgets first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bigloop.spec.options import option


class Zipf:
    """p_k ∝ (k + 1)^−s over the symbols k = 0 … K − 1, each of them a point of R^1 (Dohmatob et al. 2024).

    `probabilities`: (K,), of sum 1. Box: all symbols, each in the middle of a unit interval.
    """

    @dataclass(frozen=True)
    class Options:
        symbols: int = option(1_000, "symbols K", minimum=2, maximum=1_000_000)
        exponent: float = option(
            1.0, "exponent s; 0: all symbols are equally frequent", minimum=0, maximum=100
        )

    dimension = 1
    modes = None
    spread = None

    def __init__(self, options: Options) -> None:
        weights = np.arange(1, options.symbols + 1, dtype=np.float64) ** -options.exponent
        self.probabilities = weights / weights.sum()
        self.low, self.high = np.array([-0.5]), np.array([options.symbols - 0.5])

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """n independent symbols, float64 (n, 1)."""
        chosen = generator.choice(len(self.probabilities), size=(n, 1), p=self.probabilities)
        return chosen.astype(np.float64)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """ln p_k at points (n, 1), float64 (n,), of the symbol next to each: of probabilities, not of a density.

        −∞ beyond the box.
        """
        k = np.rint(np.asarray(points)[:, 0]).astype(np.int64)
        inside = (k >= 0) & (k < len(self.probabilities))
        found = np.full(len(k), -np.inf)
        found[inside] = np.log(self.probabilities[k[inside]])
        return found
