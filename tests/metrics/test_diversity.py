"""The Vendi score: clusters are counted, and it is the exponential of an entropy."""

from __future__ import annotations

import numpy as np
import pytest

from bigloop.metrics.diversity import vendi


def clusters(counts: list[int]) -> np.ndarray:
    """Equal points (n, 2) on a circle of radius 100, so many at each place."""
    angles = 2 * np.pi * np.arange(len(counts)) / len(counts)
    return np.repeat(100 * np.column_stack([np.cos(angles), np.sin(angles)]), counts, axis=0)


REAL = clusters([10] * 8)


def test_far_clusters_count_by_the_entropy_of_their_shares() -> None:
    for counts in ([10] * 8, [80, 0, 0, 0, 0, 0, 0, 0], [40, 20, 20, 0, 0, 0, 0, 0]):
        shares = np.array(counts)[np.array(counts) > 0] / 80
        expected = np.exp(-np.sum(shares * np.log(shares)))
        # neighbours on the ring are 77 apart, the kernel's width is 0.1 · 141: a kernel of 4e-7
        assert vendi(clusters(counts), REAL, 0.1) == pytest.approx(expected, rel=1e-3)


def test_a_wider_kernel_sees_fewer_different_rows_down_to_one() -> None:
    values = [vendi(REAL, REAL, bandwidth) for bandwidth in (0.1, 0.5, 1.0, 100.0)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(1, abs=2e-3)


def test_it_is_von_neumanns_entropy_of_the_kernel_by_singular_values() -> None:
    rng = np.random.default_rng(0)
    generated, real = rng.normal(size=(40, 3)), rng.normal(size=(50, 3))
    pairs = np.linalg.norm(real[:, None] - real[None], axis=-1)[np.triu_indices(50, 1)]
    h = 0.4 * np.median(pairs)
    kernel = np.exp(-(np.linalg.norm(generated[:, None] - generated[None], axis=-1) ** 2) / (2 * h**2))
    shares = np.linalg.svd(kernel / 40, compute_uv=False)
    assert vendi(generated, real, 0.4) == pytest.approx(np.exp(-np.sum(shares * np.log(shares))))


def test_real_rows_that_are_mostly_alike_give_no_scale() -> None:
    with pytest.raises(ValueError, match="real: at least half of all pairs of rows are equal"):
        vendi(REAL, np.zeros((10, 2)))
