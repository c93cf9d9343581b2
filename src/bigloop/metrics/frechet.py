"""Fréchet distance between Gaussians fitted to two sets of features: the FID, whatever the features are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bigloop.metrics import ComparisonOptions, FeatureComparisonOptions, Measure
from bigloop.spec.options import option


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Squared Fréchet distance between the Gaussians fitted to features x and y, each of shape (n, d), d ≥ 1.

    ‖μ_x − μ_y‖² + tr(Σ_x + Σ_y − 2 (Σ_x Σ_y)^½) (Heusel et al. 2017; Knutsen et al. 2025, eq. 8), with
    unbiased covariances. Falls with n at equal laws: compare values of equal n only. Raises ValueError for
    fewer than two rows.
    """
    return frechet_from_statistics(*mean_and_covariance(x), *mean_and_covariance(y))


def fid(x: np.ndarray, y: np.ndarray) -> list[tuple[str, float, str]]:
    """`frechet_distance` as `fid`, and over the total variance of the real features y as `fid_relative`.

    The second has no unit and is the same for features of any scale: 0 for equal Gaussians, 1 where x is the one point
    that is y's mean, more where x lies farther away than y is wide. Absent where y does not vary.
    """
    mean, covariance = mean_and_covariance(y)
    distance, variance = (
        frechet_from_statistics(*mean_and_covariance(x), mean, covariance),
        float(np.trace(covariance)),
    )
    relative = [("fid_relative", distance / variance, "")] if variance > 0 else []
    return [("fid", distance, ""), *relative]


def mean_and_covariance(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and unbiased covariance (d, d) of features (n, d), in float64."""
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features: expected shape (n ≥ 2, d), got {features.shape}")
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet_from_statistics(
    mean_x: np.ndarray, covariance_x: np.ndarray, mean_y: np.ndarray, covariance_y: np.ndarray
) -> float:
    """Squared Fréchet distance between N(mean_x, covariance_x) and N(mean_y, covariance_y), ≥ 0."""
    # tr (Σx Σy)^½ = tr (Σx^½ Σy Σx^½)^½: the symmetric form has real eigenvalues, so no complex square root.
    values, vectors = np.linalg.eigh(covariance_x)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ covariance_y @ root).clip(min=0)).sum()
    distance = np.sum((mean_x - mean_y) ** 2) + np.trace(covariance_x) + np.trace(covariance_y) - 2 * cross
    return float(max(distance, 0.0))


@dataclass(frozen=True)
class InceptionOptions(ComparisonOptions):
    """Options of fid_inception."""

    weights: str = option(
        "", "file with torch-fidelity's FID-Inception weights; empty: torch-fidelity fetches them"
    )
    features: Literal[64, 192, 768, 2048] = option(
        2048, "features of which of Inception's pooling layers, by their number", neutral=2048
    )
    truncate: bool = option(
        False,
        "cut pixels down to whole 255ths, as Knutsen et al. 2025 do, instead of rounding them",
        neutral=False,
    )


FID = Measure(
    fid,
    ("features",),
    limit=10_000,
    Options=FeatureComparisonOptions,
    compared=("fid", "fid_relative"),
)
INCEPTION = Measure(
    frechet_distance,
    ("inception",),
    limit=1_000,
    Options=InceptionOptions,
    consumed=frozenset({"weights", "features", "truncate"}),
)
