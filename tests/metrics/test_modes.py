"""Variances within classes and modes have closed forms, and modes are covered by what lies close to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigloop.metrics.modes import intra_class_variance, mode_balance, mode_statistics, total_variance

SEEDS = st.integers(0, 2**32 - 1)


def variance(features: np.ndarray, predicted: np.ndarray) -> float:
    """Of features whose classes are certain; the real side is garbage that must not be looked at."""
    nothing = np.full((0, 0), np.nan)
    return intra_class_variance(features, np.eye(10)[predicted], nothing, nothing)


@given(d=st.integers(1, 10), seed=SEEDS, offset=st.floats(-100, 100))
@settings(max_examples=40, deadline=None)
def test_it_is_the_mean_trace_of_the_classes_covariances(d: int, seed: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    predicted = rng.permutation(np.arange(50) % 7)
    features = rng.normal(offset, 1 + predicted[:, None], size=(50, d))
    traces = [np.trace(np.atleast_2d(np.cov(features[predicted == c], rowvar=False))) for c in range(7)]
    # float64 rounding relative to the offset's square
    assert variance(features, predicted) == pytest.approx(np.mean(traces), rel=1e-9)


def test_every_class_weighs_the_same_however_many_rows_it_has() -> None:
    features = np.array([[0.0], [2.0], *[[10.0], [16.0]] * 50])  # variances 2 and 9 · 100 / 99
    assert variance(features, np.repeat([4, 8], [2, 100])) == pytest.approx((2 + 900 / 99) / 2)


def test_distance_between_classes_does_not_count() -> None:
    rng = np.random.default_rng(0)
    features, predicted = rng.normal(size=(100, 3)), np.arange(100) % 10
    apart = features + 100.0 * predicted[:, None]
    assert variance(apart, predicted) == pytest.approx(variance(features, predicted))


def test_classes_that_repeat_one_row_each_have_variance_0() -> None:
    rows = np.random.default_rng(0).integers(-9, 9, size=(10, 4))  # whole numbers: their means are exact
    assert variance(np.repeat(rows, 5, axis=0), np.arange(50) // 5) == 0


def test_a_row_belongs_to_its_most_probable_class() -> None:
    probabilities = np.array([[0.6, 0.4], [0.51, 0.49], [0.1, 0.9], [0.4, 0.6]])
    features = np.array([[0.0], [2.0], [5.0], [9.0]])
    assert intra_class_variance(features, probabilities, features, probabilities) == pytest.approx(
        (2 + 8) / 2
    )


def test_one_class_alone_is_enough_and_single_rows_of_others_are_left_out() -> None:
    features = np.array([[0.0], [2.0], [1e6]])
    assert variance(features, np.array([3, 3, 9])) == pytest.approx(2)
    assert variance(features[:2], np.array([3, 3])) == pytest.approx(2)


@pytest.mark.parametrize("rows", [0, 1, 10])
def test_single_rows_only_are_an_error(rows: int) -> None:
    with pytest.raises(ValueError, match=f"two rows in some predicted class, got {rows} in all"):
        variance(np.zeros((rows, 3)), np.arange(rows))


def test_float16_features_are_summed_in_float64() -> None:
    features, predicted = np.random.default_rng(0).normal(1000, 1, size=(300, 3)), np.arange(300) % 10
    half = features.astype(np.float16)
    assert variance(half, predicted) == variance(half.astype(float), predicted)


# --- modes of a known density ---

CORNERS = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])


def modes_of(points: np.ndarray, spread: float = 1.0, least: float = 0.1) -> dict[str, float]:
    return {name: value for name, value, _ in mode_statistics(points, (CORNERS, spread), least)}


def test_samples_of_the_density_cover_all_modes_with_the_truncated_variance_of_each() -> None:
    rng, n, spread = np.random.default_rng(0), 40_000, 0.5
    found = modes_of(CORNERS[rng.integers(4, size=n)] + spread * rng.normal(size=(n, 2)), spread)
    inside = 1 - np.exp(-4.5)  # a radius of 3 standard deviations in the plane
    # r² / 2σ² is exponential of mean 1; below 4.5 its mean is (1 − 5.5 e^−4.5) / (1 − e^−4.5)
    variance = 2 * spread**2 * (1 - 5.5 * np.exp(-4.5)) / inside
    assert found["modes_covered"] == 4
    assert found["good_share"] == pytest.approx(inside, abs=5 * np.sqrt(inside * (1 - inside) / n))
    assert found["modal_variance"] == pytest.approx(
        variance, rel=5 / np.sqrt(n)
    )  # a deviation below its mean


def test_a_mode_is_covered_from_its_part_of_n_over_the_number_of_modes_on() -> None:
    counts = [60, 17, 2, 1]  # of a fair share of 20
    points = np.repeat(CORNERS, counts, axis=0)
    for least, covered in ((0.05, 4), (0.1, 3), (0.11, 2), (0.85, 2), (0.86, 1), (3.0, 1), (3.1, 0)):
        assert modes_of(points, least=least)["modes_covered"] == covered


def test_good_samples_lie_within_three_standard_deviations_the_border_included() -> None:
    points = np.array([[3.0, 0.0], [10.0, 3.0], [3.01, 0.0], [5.0, 5.0]])
    assert modes_of(points)["good_share"] == 0.5
    assert modes_of(points, spread=3.0)["good_share"] == 1.0


def test_modal_variance_is_the_mean_trace_over_modes_with_two_good_samples() -> None:
    first = np.array([[-1.0, 0.0], [1.0, 0.0]])  # variance 2
    second = np.array([[10.0, 1.0], [10.0, 0.0], [10.0, -1.0]])  # variance 1
    alone, astray = np.array([[0.0, 10.0]]), np.array([[5.0, 5.0]])
    assert modes_of(np.concatenate([first, second, alone, astray]))["modal_variance"] == pytest.approx(1.5)


def test_collapsed_modes_have_no_variance_and_points_far_from_all_modes_say_none() -> None:
    assert modes_of(np.repeat(CORNERS, 5, axis=0))["modal_variance"] == 0
    assert modes_of(np.full((9, 2), 100.0)) == {"modes_covered": 0.0, "good_share": 0.0}


def test_a_point_between_overlapping_modes_counts_for_the_nearest_alone() -> None:
    points = np.array([[4.0, 0.0], [4.5, 0.0], [6.0, 0.0]])
    found = modes_of(points, spread=3.0, least=1.0)  # a fair share of 3/4
    assert found["modes_covered"] == 2
    assert found["good_share"] == 1


# --- all points ---


@given(n=st.integers(2, 50), d=st.integers(1, 8), seed=SEEDS)
@settings(max_examples=30, deadline=None)
def test_total_variance_is_the_trace_of_the_covariance(n: int, d: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(3, 2, size=(n, d))
    expected = np.trace(np.atleast_2d(np.cov(points, rowvar=False)))
    assert total_variance(points, np.full((0, d), np.nan)) == pytest.approx(expected, rel=1e-12)


def test_total_variance_takes_images_as_vectors_and_two_rows_at_least() -> None:
    images = np.random.default_rng(0).random((20, 1, 4, 4)).astype(np.float32)
    assert total_variance(images, images) == total_variance(images.reshape(20, 16).astype(float), images)
    with pytest.raises(ValueError, match="n ≥ 2 rows, got 1"):
        total_variance(images[:1], images)


# --- the balance of modes ---

LINE, SQUARE = np.array([[-2.0], [2.0]]), np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])


def balance(points: np.ndarray, modes: np.ndarray, *weights: float) -> float:
    ((name, value, _),) = mode_balance(points, (modes, np.array(weights)))
    assert name == "mode_kl"
    return value


def test_the_balance_is_the_divergence_of_the_shares_from_the_weights() -> None:
    points = np.repeat([-1.5, -9.0, 0.1, 7.0], [10, 20, 30, 40])[:, None]
    expected = 0.3 * np.log(0.3 / 0.8) + 0.7 * np.log(0.7 / 0.2)
    assert balance(points, LINE, 0.8, 0.2) == pytest.approx(expected)
    assert balance(points, LINE, 0.3, 0.7) == pytest.approx(0)


def test_one_mode_alone_is_as_far_as_its_weight_says() -> None:
    points = SQUARE[[2] * 7] + 0.1
    assert balance(points, SQUARE, *[0.25] * 4) == pytest.approx(np.log(4))


def test_the_balance_of_the_densitys_own_points_is_what_counting_makes_of_it() -> None:
    n, found = 2_000, []
    for seed in range(200):
        chosen = np.random.default_rng(seed).integers(4, size=n)
        found.append(balance(SQUARE[chosen], SQUARE, *[0.25] * 4))
    # 2n times it is χ² with 3 degrees of freedom, of mean 3 and variance 6: four standard errors of 200
    assert np.mean(found) == pytest.approx(3 / (2 * n), abs=4 * np.sqrt(6 / 200) / (2 * n))
