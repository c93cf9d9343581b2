"""Bins by clustering: as many as differ by chance, all of them where a mode is lost, and the test against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from bigloop.metrics.bins import different_bins

CENTRES = 10.0 * np.arange(5)


def line(counts: list[int], seed: int = 0) -> np.ndarray:
    """Points (n, 1) around five centres, so many of each."""
    rng = np.random.default_rng(seed)
    return (np.repeat(CENTRES, counts) + rng.normal(size=sum(counts)))[:, None]


def found(
    generated: np.ndarray, real: np.ndarray, clusters: int = 5, significance: float = 0.05
) -> dict[str, float]:
    return {name: value for name, value, _ in different_bins(generated, real, clusters, significance)}


def test_each_bin_is_tested_as_scipys_two_by_two_table() -> None:
    real, generated = [100, 100, 100, 100, 100], [100, 80, 72, 150, 98]
    tables = ([[a, 500 - a], [b, 500 - b]] for a, b in zip(real, generated, strict=True))
    p = [chi2_contingency(table, correction=False).pvalue for table in tables]
    for significance in (0.01, 0.05, 0.2):
        expected = np.mean([value < significance for value in p])
        assert found(line(generated, 1), line(real), 5, significance)["different_bins"] == expected
    assert 0 < sum(value < 0.05 for value in p) < 5


def test_a_lost_mode_is_a_bin_with_too_few_and_the_others_have_too_many() -> None:
    values = found(line([250, 250, 0, 250, 250], 1), line([200] * 5))
    assert values["different_bins"] == 1
    p, q = np.full(5, 0.2), np.array([0.25, 0.25, 0, 0.25, 0.25])
    m = (p + q) / 2
    expected = (np.sum(p * np.log(p / m)) + np.sum(q[q > 0] * np.log(q[q > 0] / m[q > 0]))) / 2
    assert values["bins_js"] == pytest.approx(expected)


def test_rows_of_one_law_differ_in_as_many_bins_as_the_significance_says() -> None:
    shares = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        shares.append(found(rng.normal(size=(500, 2)), rng.normal(size=(500, 2)), 20)["different_bins"])
    # 1 200 tests at 5 %, nearly independent; the clusters were chosen by one of the sides
    assert np.mean(shares) == pytest.approx(0.05, abs=0.03)


def test_few_rows_have_few_clusters() -> None:
    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(45, 2)), rng.normal(size=(30, 2))
    assert found(generated, real, 25) == found(generated, real, 4)
    assert found(generated, real, 25) != found(generated, real, 3)
    assert found(generated[:2], real[:2], 25)["different_bins"] in (0.0, 0.5, 1.0)
