"""Known densities: distributions that can be sampled without end, and most of which know their own density.

    density = known_density("gaussian", {"dimension": 100})
    density.sample(1_000, numpy_generator(0, 0, "real rows"))      # float64 (1000, 100)

To add one, write a class like those in mixtures.py and add its line to DENSITIES. Imports nothing heavy.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np

from bigloop.spec.options import parse, to_dict
from bigloop.spec.registry import Registry
from bigloop.spec.runs import DensitySpec

DENSITIES = Registry(
    "densities",
    {
        "gaussian": "bigloop.data.densities.gaussian:Gaussian",
        "grid": "bigloop.data.densities.mixtures:Grid",
        "ring": "bigloop.data.densities.mixtures:Ring",
        "gaussians8": "bigloop.data.densities.mixtures:Gaussians8",
        "bimodal": "bigloop.data.densities.mixtures:Bimodal",
        "moons": "bigloop.data.densities.moons:Moons",
        "rosenbrock": "bigloop.data.densities.rosenbrock:Rosenbrock",
        "zipf": "bigloop.data.densities.zipf:Zipf",
    },
)


class Density(Protocol):
    """A distribution of points in R^d.

    A class has `Options`, a frozen dataclass of its parameters declared with `spec.option`, and is made from an
    instance of them.
    """

    Options: ClassVar[type]
    dimension: int  # d
    low: np.ndarray  # (d,): with `high` a box that holds nearly all of the mass, for axes and grids
    high: np.ndarray
    modes: np.ndarray | None  # (m, d), centres of the modes; None where the density has no such modes
    spread: float | None  # standard deviation of each mode, the same in every direction

    # One of symbols, points 0 … K − 1 of R^1, has `probabilities` besides, (K,); a mixture has `weights` of its modes,
    # and one whose moments are known `mean` (d,) and `covariance` (d, d).

    def __init__(self, options: Any) -> None: ...

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """n independent points, float64 (n, d)."""
        ...

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Natural logarithm of the normalised density at points (n, d), float64 (n,)."""
        ...


def resolve_density(name: str, given: dict[str, Any], where: str) -> DensitySpec:
    """The complete DensitySpec of a registered density; raises SpecError naming the key below `where`."""
    return DensitySpec(name, to_dict(parse(DENSITIES[name].Options, given, where)))


def known_density(name: str, options: dict[str, Any]) -> Density:
    """A registered density with these options; raises SpecError for an unknown name or option."""
    cls = DENSITIES[name]
    return cls(parse(cls.Options, options, f"densities.{name}"))
