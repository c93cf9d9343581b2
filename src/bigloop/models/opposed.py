"""A model's own samples used against it: an auxiliary model, trained further on them, says where not to go.

    model.opponent = auxiliary, 1.0                       # its scores are subtracted when the model is sampled
    model.restore(extrapolated(tensors, theirs, 1.0, model.moved_names()), facts)           # or its weights

Self-improvement with synthetic data (SIMS, Alemohammad et al. 2024) does the first, Neon (Alemohammad et al. 2025) the
second: both go ω of the way from auxiliary to base model beyond the base model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from torch import Tensor

Output = Callable[[Tensor, Any], Tensor]  # of a network, on x at a time


def contrasted(base: Output, auxiliary: Output, strength: float) -> Output:
    """(1 + ω) F_base − ω F_aux with ω = `strength`.

    Of networks that predict noise, a denoised point, a velocity or a score alike: at one x and one time these are
    affine functions of each other, and the factors have the sum 1.
    """
    return lambda x, t: (1 + strength) * base(x, t) - strength * auxiliary(x, t)


def extrapolated(
    base: Mapping[str, np.ndarray],
    auxiliary: Mapping[str, np.ndarray],
    strength: float,
    moved: Collection[str],
) -> dict[str, np.ndarray]:
    """(1 + ω) θ_base − ω θ_aux of the arrays named in `moved`, computed in float64; all others are the base model's."""

    def beyond(name: str) -> np.ndarray:
        one, other = base[name].astype(np.float64), auxiliary[name].astype(np.float64)
        return ((1 + strength) * one - strength * other).astype(base[name].dtype)

    return {name: beyond(name) if name in moved else array for name, array in base.items()}
