"""The pixel histogram is a density over [-1, 1], and the negative share is a count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigloop.metrics.modes import total_variance
from bigloop.metrics.pixels import pixel_statistics, principal_variances


def histogram(images: np.ndarray, bins: int) -> dict[str, float]:
    return {d: v for name, v, d in pixel_statistics(images, images, bins) if name == "pixel_intensity"}


def negative_share(images: np.ndarray) -> float:
    (share,) = (value for name, value, _ in pixel_statistics(images, images) if name == "negative_share")
    return share


@given(bins=st.integers(2, 500), seed=st.integers(0, 2**32 - 1), spread=st.floats(0.1, 5))
@settings(max_examples=40, deadline=None)
def test_the_histogram_integrates_to_1_whatever_the_values(bins: int, seed: int, spread: float) -> None:
    images = np.random.default_rng(seed).normal(0, spread, size=(5, 1, 8, 8)).astype(np.float32)
    density = histogram(images, bins)
    assert len(density) == bins
    assert sum(density.values()) * 2 / bins == pytest.approx(1)


def test_the_histogram_of_a_uniform_grid_is_flat() -> None:
    images = ((np.arange(4_000) + 0.5) / 2_000 - 1).reshape(4, 1, 10, 100)
    assert list(histogram(images, 40).values()) == pytest.approx([0.5] * 40)


def test_bins_are_named_by_their_centres() -> None:
    assert list(histogram(np.zeros((1, 1, 2, 2)), 4)) == ["-0.75", "-0.25", "0.25", "0.75"]
    assert len(histogram(np.zeros((1, 1, 2, 2)), 5_000)) == 5_000


def test_values_outside_the_range_are_counted_in_the_outermost_bins() -> None:
    density = histogram(np.array([-7.0, -1.0, 1.0, 9.0]), 4)
    assert density == pytest.approx({"-0.75": 1.0, "-0.25": 0.0, "0.25": 0.0, "0.75": 1.0})


@given(st.lists(st.sampled_from([-2.0, -1e-7, -0.0, 0.0, 1e-7, 0.5, 1.0]), min_size=1, max_size=50))
def test_the_negative_share_counts_values_below_zero_exactly(values: list[float]) -> None:
    expected = sum(v < 0 for v in values) / len(values)
    assert negative_share(np.array(values, np.float32)) == pytest.approx(expected, abs=1e-15)


def test_real_digits_have_no_negative_pixels(digits: np.ndarray) -> None:
    assert negative_share(digits[:100]) == 0


def test_principal_variances_are_the_eigenvalues_of_the_covariance_in_groups() -> None:
    """With more rows than pixels and with fewer: the rest of the directions have no variance then."""
    random = np.random.default_rng(0)
    for rows in (200, 5):
        images = random.normal(size=(rows, 2, 3, 2)) * np.arange(1, 13).reshape(2, 3, 2)
        eigenvalues = np.linalg.eigvalsh(np.cov(images.reshape(rows, -1).T))[::-1]
        found = principal_variances(images, images)
        assert [detail for _, _, detail in found] == ["1", "2", "3-4", "5-8", "9-12"]
        expected = [part.mean() for part in np.split(eigenvalues, [1, 2, 4, 8])]
        assert [value for _, value, _ in found] == pytest.approx(expected, abs=1e-9)
        sizes = [1, 1, 2, 4, 4]
        total = sum(size * value for size, (_, value, _) in zip(sizes, found, strict=True))
        assert total == pytest.approx(total_variance(images, images))
