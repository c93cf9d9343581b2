"""How much variety is left: within each class of images, and within and among the modes of a known density."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bigloop.metrics import FeaturesOptions, Measure, MeasureOptions
from bigloop.metrics.divergences import kl
from bigloop.spec.options import option

REACH = 3  # standard deviations of a mode within which a point is a good sample of it


def intra_class_variance(
    features: np.ndarray,
    probabilities: np.ndarray,
    real_features: np.ndarray,
    real_probabilities: np.ndarray,
) -> float:
    """Mean over predicted classes of the features' total variance within the class ("average modal variance").

    features: shape (n, d), probabilities: shape (n, classes), row by row of the same generated images. A class
    is the rows that it is most probable for; its total variance is the trace of their unbiased covariance, in
    the features' unit squared; classes with fewer than two rows are left out (Alemohammad et al. 2024,
    fig. 15). The real side is not used: the floor is its own value. Raises ValueError if no class is left.
    """
    features, predicted = np.asarray(features, dtype=np.float64), probabilities.argmax(axis=1)
    classes, rows = np.unique(predicted, return_counts=True)
    variances = [features[predicted == c].var(axis=0, ddof=1).sum() for c in classes[rows >= 2]]
    if not variances:
        raise ValueError(f"features: expected two rows in some predicted class, got {len(features)} in all")
    return float(np.mean(variances))


def mode_statistics(
    points: np.ndarray, modes: tuple[np.ndarray, float], least: float = 0.1
) -> list[tuple[str, float, str]]:
    """How many modes of a mixture generated points reach, how many are good samples, and how they spread there.

    points: shape (n, d); modes: centres (m, d) and their standard deviation in every direction. A point is a
    good sample of its nearest mode if it lies within 3 standard deviations of it (of the density itself a share
    of 99.7 % in one dimension, 98.9 % in two). `modes_covered`: modes with at least `least` × n/m good samples,
    in 0 … m; `good_share` in [0, 1]; `modal_variance`: mean over modes with two or more good samples of the
    trace of their unbiased covariance (Alemohammad et al. 2024, fig. 15), absent where there is no such mode.
    """
    from scipy.spatial.distance import cdist  # here, not above: planning a workflow need not wait for it

    (centres, spread), x = modes, np.asarray(points, dtype=np.float64)
    distances = cdist(x, centres)
    nearest, good = distances.argmin(axis=1), distances.min(axis=1) <= REACH * spread
    counts = np.bincount(nearest[good], minlength=len(centres))
    variances = [x[good & (nearest == k)].var(axis=0, ddof=1).sum() for k in np.flatnonzero(counts >= 2)]
    return [
        ("modes_covered", float((counts >= least * len(x) / len(centres)).sum()), ""),
        ("good_share", float(good.mean()), ""),
        *([("modal_variance", float(np.mean(variances)), "")] if variances else []),
    ]


def mode_balance(points: np.ndarray, modes: tuple[np.ndarray, np.ndarray]) -> list[tuple[str, float, str]]:
    """`mode_kl`: the divergence of the modes' shares of generated points from their weights, Σ q ln(q / w), nats.

    points: shape (n, d); modes: centres (m, d) and weights (m,), of sum 1. A point counts for its nearest mode,
    however far it is. The "reverse KL" of the literature on mode collapse (Lin et al. 2018, §4): 0 for the weights
    themselves, about (m − 1) / 2n for n points of the density, and −ln w where all points are of one mode.
    """
    from scipy.spatial.distance import cdist

    centres, weights = modes
    nearest = cdist(np.asarray(points, dtype=np.float64), centres).argmin(axis=1)
    shares = np.bincount(nearest, minlength=len(centres)) / len(points)
    return [("mode_kl", kl(shares, weights), "")]


def total_variance(points: np.ndarray, real: np.ndarray) -> float:
    """Trace of the unbiased covariance of points (n, …), flattened to vectors, in their unit squared.

    The real side is not used: the floor is its own value. Raises ValueError for fewer than two rows.
    """
    if len(points) < 2:
        raise ValueError(f"points: expected n ≥ 2 rows, got {len(points)}")
    return float(np.asarray(points, dtype=np.float64).reshape(len(points), -1).var(axis=0, ddof=1).sum())


@dataclass(frozen=True)
class ModeOptions(MeasureOptions):
    """Options of modes."""

    least: float = option(
        0.1,
        "a mode counts as covered if it has at least this fraction of its fair share of good samples",
        above=0,
    )


WITHIN_CLASSES = Measure(
    intra_class_variance, ("features", "probabilities"), limit=10_000, Options=FeaturesOptions
)
VARIANCE = Measure(total_variance, ("images",), limit=10_000)
BALANCE = Measure(mode_balance, ("mode_weights",), limit=10_000)
MODES = Measure(mode_statistics, ("modes",), limit=10_000, Options=ModeOptions)
