"""How many modes of stacked pictures generated images reach: each colour plane is a picture of some class."""

from __future__ import annotations

import numpy as np

from bigloop.metrics import Measure
from bigloop.metrics.divergences import kl


def stacked_modes(generated: np.ndarray, real: np.ndarray) -> list[tuple[str, float, str]]:
    """Modes that generated images reach, and how evenly, from the class probabilities of each plane alone.

    generated: shape (n, planes, classes); an image is of the mode that its planes' most probable classes make, one of
    M = classes^planes. `modes_covered`: modes with an image or more, in 0 … M; `mode_kl`: Σ p ln(p M), the
    Kullback-Leibler divergence in nats of the shares p of the modes from uniform, in [0, ln M] (Metz et al. 2017,
    §3.3.1; Srivastava et al. 2017; Lin et al. 2018). Both depend on n: of n uniform draws about M (1 − e^(−n/M)) modes
    have one, and the divergence is about (M − 1) / 2n. The real side is not used: the floor is its own value.
    """
    counts = mode_counts(generated)
    uniform = np.full(len(counts), 1 / len(counts))
    return [
        ("modes_covered", float((counts > 0).sum()), ""),
        ("mode_kl", kl(counts / len(generated), uniform), ""),
    ]


def mode_counts(probabilities: np.ndarray) -> np.ndarray:
    """Images of each mode, int64 (classes^planes,), from class probabilities (n, planes, classes)."""
    _, planes, classes = probabilities.shape
    modes = np.ravel_multi_index(tuple(probabilities.argmax(axis=2).T), (classes,) * planes)
    return np.bincount(modes, minlength=classes**planes)


STACKED_MODES = Measure(stacked_modes, ("planes",), limit=26_000)  # rows: as in those papers
