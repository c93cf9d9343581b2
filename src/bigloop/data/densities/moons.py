"""Two moons: interleaving half circles under Gaussian noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bigloop.data.densities.mixtures import mixture_log_density
from bigloop.spec.options import option


class Moons:
    """The arcs (cos θ, sin θ) and (1 − cos θ, ½ − sin θ), θ uniform in [0, π], with noise, scaled and shifted.

    Scale and shift are those of torchcfm's example, which Bertrand et al. 2024 train on; its library, torchdyn,
    takes evenly spaced θ and adds one uniform number in [0, noise] to both coordinates. Independent Gaussian
    noise, as here, is scikit-learn's. Box: the arcs ± 4 standard deviations of the noise.
    """

    @dataclass(frozen=True)
    class Options:
        noise: float = option(0.2, "standard deviation of the noise, before scaling", minimum=0.01)
        scale: float = option(3.0, "factor on both coordinates", above=0)
        shift: float = option(-1.0, "added to both coordinates after scaling")

    dimension = 2
    modes = None
    spread = None

    def __init__(self, options: Options) -> None:
        self.noise, self.scale, self.shift = options.noise, options.scale, options.shift
        margin = 4 * self.noise
        self.low = self._placed(np.array([-1.0, -0.5]) - margin)
        self.high = self._placed(np.array([2.0, 1.0]) + margin)

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """n independent points, float64 (n, 2)."""
        upper, lower = _arcs(math.pi * generator.random(n))
        points = np.where(generator.random((n, 1)) < 0.5, upper, lower)
        return self._placed(points + self.noise * generator.standard_normal((n, 2)))

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """ln p at points (n, 2), float64 (n,): the noise's density averaged over the arcs.

        By Gauss–Legendre's rule with ⌈12 / noise⌉ + 24 angles: exact to 1e-8 inside the box.
        """
        nodes, weights = np.polynomial.legendre.leggauss(math.ceil(12 / self.noise) + 24)
        centres = np.concatenate(_arcs(math.pi / 2 * (1 + nodes)))
        standard = (np.asarray(points, dtype=np.float64) - self.shift) / self.scale
        averaged = mixture_log_density(standard, centres, self.noise, np.tile(weights / 4, 2))
        return averaged - 2 * math.log(self.scale)

    def _placed(self, points: np.ndarray) -> np.ndarray:
        return self.scale * points + self.shift


def _arcs(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points at angles (n,) on the upper and on the lower arc, each (n, 2)."""
    upper = np.column_stack([np.cos(angles), np.sin(angles)])
    return upper, np.array([1.0, 0.5]) - upper
