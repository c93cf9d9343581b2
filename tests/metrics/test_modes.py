"""The variance within predicted classes has closed forms, and ignores what lies between classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigloop.metrics.modes import intra_class_variance

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
