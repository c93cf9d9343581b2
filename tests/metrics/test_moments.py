"""The distance of moments is that of normal laws in closed form, whatever path computes it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, ortho_group

from bigloop.metrics.frechet import frechet_from_statistics
from bigloop.metrics.moments import moment_statistics

Moments = tuple[np.ndarray, np.ndarray]


def statistics(generated: Moments, real: Moments) -> dict[str, float]:
    return {name: value for name, value, _ in moment_statistics(generated, real)}


def on_a_line(mean: float, sd: float) -> Moments:
    return np.array([mean]), np.array([[sd**2]])


@given(d=st.integers(2, 12), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_commuting_covariances_are_apart_by_the_differences_of_deviations_along_their_axes(
    d: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    axes = ortho_group.rvs(d, random_state=rng)
    (sd, sd_real), (mean, mean_real) = rng.uniform(0.1, 5, size=(2, d)), rng.normal(size=(2, d))
    found = statistics(
        (mean, axes @ np.diag(sd**2) @ axes.T), (mean_real, axes @ np.diag(sd_real**2) @ axes.T)
    )
    expected = np.sqrt(((mean - mean_real) ** 2).sum() + ((sd - sd_real) ** 2).sum())
    # eigenvalues, exact to 1e-15 of tr Σ ≤ 300, beside a squared distance of about 1
    assert found["gaussian_wasserstein2"] == pytest.approx(expected, rel=1e-9, abs=1e-7)
    assert found["mean"] == mean[0]
    assert found["mean_error"] == pytest.approx(((mean - mean_real) ** 2).sum(), rel=1e-12)
    assert found["trace"] == pytest.approx((sd**2).sum(), rel=1e-12)


@given(st.floats(-10, 10), st.floats(0.01, 100), st.floats(-10, 10), st.floats(0.01, 100))
@settings(max_examples=40, deadline=None)
def test_one_dimension_takes_the_same_distance_as_any_other(
    mean: float, sd: float, mean_real: float, sd_real: float
) -> None:
    generated, real = on_a_line(mean, sd), on_a_line(mean_real, sd_real)
    found = statistics(generated, real)
    assert found["gaussian_wasserstein2"] == pytest.approx(
        np.hypot(mean - mean_real, sd - sd_real), rel=1e-12
    )
    # the general formula's variances cancel: 1e-16 of up to 1e4, before the square is taken back
    squared = frechet_from_statistics(*generated, *real)
    assert found["gaussian_wasserstein2"] ** 2 == pytest.approx(squared, rel=1e-9, abs=1e-10)
    assert (found["mean"], found["sd"]) == (mean, pytest.approx(sd, rel=1e-15))


def test_the_distance_is_that_between_the_quantiles_of_the_two_normal_laws() -> None:
    levels = (np.arange(200_000) + 0.5) / 200_000
    gaps = norm(0.3, 1.7).ppf(levels) - norm(-0.4, 0.6).ppf(levels)
    found = statistics(on_a_line(0.3, 1.7), on_a_line(-0.4, 0.6))["gaussian_wasserstein2"]
    # the rule leaves out the tails beyond 1/400 000, of a second moment of 1e-4
    assert found == pytest.approx(np.sqrt(np.square(gaps).mean()), rel=1e-4)


def test_sd_is_the_mean_over_coordinates_whatever_their_correlation() -> None:
    covariance = np.array([[4.0, 1.9], [1.9, 1.0]])
    found = statistics((np.zeros(2), covariance), (np.zeros(2), np.eye(2)))
    assert found["sd"] == pytest.approx(1.5)
    assert found["trace"] == pytest.approx(5)


@pytest.mark.parametrize("d", [1, 2, 100])
def test_a_collapsed_model_is_as_far_as_the_real_law_is_wide_and_the_law_itself_is_at_0(d: int) -> None:
    real = np.zeros(d), np.eye(d)
    collapsed = statistics((np.zeros(d), np.zeros((d, d))), real)
    assert collapsed["gaussian_wasserstein2"] == pytest.approx(np.sqrt(d))
    assert (collapsed["sd"], collapsed["trace"]) == (0, 0)
    assert statistics(real, real)["gaussian_wasserstein2"] == pytest.approx(0, abs=1e-6)


def test_a_variance_that_rounding_made_negative_is_0() -> None:
    found = statistics((np.zeros(1), np.array([[-1e-20]])), (np.zeros(1), np.eye(1)))
    assert (found["sd"], found["gaussian_wasserstein2"]) == (0, 1)


def test_float32_moments_are_taken_in_float64() -> None:
    rng = np.random.default_rng(0)
    mean, half = rng.normal(size=3).astype(np.float32), rng.normal(size=(3, 3)).astype(np.float32)
    real = np.zeros(3), np.eye(3)
    covariance = half @ half.T
    assert statistics((mean, covariance), real) == statistics(
        (mean.astype(float), covariance.astype(float)), real
    )
