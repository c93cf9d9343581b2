"""Which parts of the real data generated rows have too few or too many of (Richardson & Weiss 2018, NDB)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bigloop.metrics import FeatureComparisonOptions, Measure
from bigloop.metrics.divergences import jensen_shannon
from bigloop.spec.options import option

SEED = 0  # of the clusters' start
LEAST = 10  # real rows to a cluster, on average


def different_bins(
    generated: np.ndarray, real: np.ndarray, clusters: int = 25, significance: float = 0.05
) -> list[tuple[str, float, str]]:
    """`different_bins`, in [0, 1], and `bins_js`, in [0, ln 2]: what a clustering of rows tells of lost modes.

    generated, real: features or points (n, d) and (m, d). The real rows are clustered by k-means, and each row belongs
    to the nearest centre. `different_bins` is the share of the clusters of which the two sides have shares that differ
    by a two-sided test of two proportions at this significance (ibid., eq. 1, "NDB/K"): of rows of one law about the
    significance itself. `bins_js` is the Jensen–Shannon divergence of the shares, nats. There are fewer clusters where
    there would be less than LEAST real rows to each.
    """
    from scipy.special import ndtr
    from sklearn.cluster import KMeans  # type: ignore[import-untyped]

    clusters = min(clusters, max(2, len(real) // LEAST))
    fitted = KMeans(clusters, n_init=1, random_state=SEED).fit(np.asarray(real, dtype=np.float64))
    sides = fitted.labels_, fitted.predict(np.asarray(generated, dtype=np.float64))
    p, q = (np.bincount(side, minlength=clusters) / len(side) for side in sides)
    pooled = (p * len(real) + q * len(generated)) / (len(real) + len(generated))
    error = np.sqrt(pooled * (1 - pooled) * (1 / len(real) + 1 / len(generated)))
    z = np.divide(np.abs(p - q), error, out=np.zeros(clusters), where=error > 0)
    different = 2 * ndtr(-z) < significance
    return [
        ("different_bins", float(different.mean()), ""),
        ("bins_js", jensen_shannon(p, q), ""),
    ]


@dataclass(frozen=True)
class BinsOptions(FeatureComparisonOptions):
    """Options of bins."""

    clusters: int = option(
        25, "clusters of the real rows, or as many as have ten rows each", minimum=2, maximum=1000
    )
    significance: float = option(0.05, "of the test of each cluster", above=0, below=1)


BINS = Measure(
    different_bins,
    ("features",),
    limit=10_000,
    Options=BinsOptions,
    compared=("different_bins", "bins_js"),
)
