"""A density on a line that rises from 0."""

from dataclasses import dataclass

import numpy as np

from bigloop.spec.options import option


class Slope:
    """p(x) = 2x / width² on [0, width]."""

    dimension, modes, spread = 1, None, None

    @dataclass(frozen=True)
    class Options:
        width: float = option(1.0, "where it ends", above=0)

    def __init__(self, options):
        self.low, self.high = np.zeros(1), np.full(1, options.width)
        self.mean = 2 / 3 * self.high
        self.covariance = np.diag(self.high**2 / 18)

    def sample(self, n, generator):
        return self.high * np.sqrt(generator.random((n, 1)))

    def log_density(self, points):
        with np.errstate(divide="ignore"):
            return np.log(np.clip(2 * points[:, 0], 0, None) / self.high[0] ** 2)
