"""How far the members of an ecosystem are from each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bigloop.metrics import FeaturesOptions, Measure
from bigloop.metrics.frechet import frechet_distance


def between(
    features: np.ndarray, others: Mapping[str, np.ndarray], real: np.ndarray, of_real: None = None
) -> list[tuple[str, float, str]]:
    """`between`: Fréchet distance between a member's samples and another's, `detail` says which, in the features' unit
    squared, in [0, ∞): that of the Gaussians of their moments, ‖μ − μ′‖² + tr(Σ + Σ′ − 2 (ΣΣ′)^½).

    features: (n, d); others: by member, likewise; of points these themselves. Models that have become one are as far
    apart as two sets of n of its samples are: of the real side, where there are no others, this is the value.
    """
    if not others:
        return [("between", frechet_distance(features, real), "")]
    return [("between", frechet_distance(features, other), name) for name, other in others.items()]


BETWEEN = Measure(between, ("features", "others"), limit=10_000, Options=FeaturesOptions)
