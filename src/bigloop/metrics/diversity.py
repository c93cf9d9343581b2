"""How many different rows there are (Friedman & Dieng 2023, the Vendi score)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bigloop.metrics import FeaturesOptions, Measure
from bigloop.spec.options import option


def vendi(generated: np.ndarray, real: np.ndarray, bandwidth: float = 0.25) -> float:
    """The effective number of different rows among n, in [1, n]: exp of the entropy of the eigenvalues of K / n.

    generated, real: features or points (n, d) and (m, d). K is the Gaussian kernel exp(−d² / 2h²) of the generated
    rows (ibid., eq. 2); h is `bandwidth` times the median distance of two real rows, the same for every generation. 1
    where all rows are alike, k for k far and equally large clusters.
    """
    from scipy.spatial.distance import pdist, squareform

    h = bandwidth * float(np.median(pdist(np.asarray(real, dtype=np.float64))))
    if h == 0:
        raise ValueError("real: at least half of all pairs of rows are equal")
    apart = squareform(pdist(np.asarray(generated, dtype=np.float64), "sqeuclidean"))
    values = np.linalg.eigvalsh(np.exp(-apart / (2 * h**2)) / len(generated))
    held = values[values > 0]
    return float(np.exp(-np.sum(held * np.log(held))))


@dataclass(frozen=True)
class VendiOptions(FeaturesOptions):
    """Options of vendi."""

    bandwidth: float = option(
        0.25, "of the kernel, in medians of the distance between two real rows", above=0
    )


VENDI = Measure(vendi, ("features",), limit=1000, Options=VendiOptions, power=3.0, matrices=3)
