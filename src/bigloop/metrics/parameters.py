"""How far a chain's weights have moved since its first generation."""

from __future__ import annotations

import numpy as np

from bigloop.metrics import Measure, NoOptions


def parameter_distance(
    parameters: np.ndarray, first: np.ndarray, initial: np.ndarray
) -> list[tuple[str, float, str]]:
    """`parameter_distance` ‖θ_t − θ_first‖₂ / p and `parameter_distance_initial` ‖θ_first − θ_initial‖₂ / p.

    parameters: a generation's weights, first: the first generation's, initial: the random weights that the
    first was trained from; each shape (p,), computed in float64 (Bertrand et al. 2024, fig. 9). The second is
    the first generation's own way, a scale for the first. Raises ValueError for unequal shapes.
    """
    now, first, initial = (np.asarray(v, dtype=np.float64) for v in (parameters, first, initial))
    if not now.shape == first.shape == initial.shape:
        raise ValueError(
            f"parameters: unequal shapes {now.shape}, first {first.shape}, initial {initial.shape}"
        )
    return [
        ("parameter_distance", float(np.linalg.norm(now - first)) / now.size, ""),
        ("parameter_distance_initial", float(np.linalg.norm(first - initial)) / now.size, ""),
    ]


PARAMETERS = Measure(parameter_distance, ("parameters",), Options=NoOptions)
