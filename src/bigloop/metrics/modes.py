"""How much variety is left within each class of generated images."""

from __future__ import annotations

import numpy as np


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
