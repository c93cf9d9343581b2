"""How far apart a generation's own critic holds generated and real images."""

from __future__ import annotations

import numpy as np

from bigloop.metrics import ComparisonOptions, Measure


def critic_distance(generated: np.ndarray, real: np.ndarray) -> float:
    """Mean score of real less that of generated images, from a critic's scores (n,) of both; at least 0 for a good one.

    A Wasserstein critic's own estimate: at most L times the Wasserstein-1 distance where its slope is at most L
    (Arjovsky et al. 2017, eq. 2). A gradient penalty keeps L near 1; clipped weights do not say what it is. Of a
    discriminator D it is the difference of its mean outputs, in [−1, 1]. Khelifa & Rossa, § 3.1.4.
    """
    return float(np.mean(real, dtype=np.float64) - np.mean(generated, dtype=np.float64))


DISTANCE = Measure(critic_distance, ("scores",), limit=10_000, Options=ComparisonOptions, only_images=True)
