"""The Fréchet distance against closed forms and against torch-fidelity's own function."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.stats import ortho_group
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from bigloop.metrics.frechet import fid, frechet_distance, frechet_from_statistics, mean_and_covariance

SEEDS = st.integers(0, 2**32 - 1)
POSITIVE = st.floats(0.01, 100)
ROUNDING = 1e-8  # relative to the traces: float64 eigenvalues, and a square root that halves their digits


def features_with(mean: np.ndarray, covariance: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n rows whose sample mean and unbiased covariance are these, exactly up to rounding."""
    raw = rng.normal(size=(n, len(mean)))
    raw -= raw.mean(axis=0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(raw, rowvar=False)))).T
    return white @ np.linalg.cholesky(covariance).T + mean


@given(st.floats(-10, 10), POSITIVE, st.floats(-10, 10), POSITIVE, SEEDS)
@settings(max_examples=40, deadline=None)
def test_one_dimension_adds_the_squared_differences_of_means_and_deviations(
    mean_x: float, sd_x: float, mean_y: float, sd_y: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = features_with(np.array([mean_x]), np.array([[sd_x**2]]), 50, rng)
    y = features_with(np.array([mean_y]), np.array([[sd_y**2]]), 70, rng)
    expected = (mean_x - mean_y) ** 2 + (sd_x - sd_y) ** 2
    assert frechet_distance(x, y) == pytest.approx(expected, abs=ROUNDING * (1 + sd_x**2 + sd_y**2))


@given(d=st.integers(1, 12), seed=SEEDS, turned=st.booleans())
@settings(max_examples=40, deadline=None)
def test_commuting_covariances_add_the_squared_differences_of_deviations_along_their_axes(
    d: int, seed: int, turned: bool
) -> None:
    rng = np.random.default_rng(seed)
    axes = ortho_group.rvs(d, random_state=rng) if turned and d > 1 else np.eye(d)
    sd_x, sd_y = rng.uniform(0.1, 5, size=(2, d))
    mean_x, mean_y = rng.normal(size=(2, d))
    x = features_with(mean_x, axes @ np.diag(sd_x**2) @ axes.T, 60, rng)
    y = features_with(mean_y, axes @ np.diag(sd_y**2) @ axes.T, 60, rng)
    expected = ((mean_x - mean_y) ** 2).sum() + ((sd_x - sd_y) ** 2).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, abs=ROUNDING * (1 + (sd_x**2 + sd_y**2).sum()))


def test_any_covariances_give_the_published_formula() -> None:
    rng = np.random.default_rng(0)
    x, y = (
        rng.normal(size=(80, 6)) @ rng.normal(size=(6, 6)),
        rng.normal(size=(90, 6)) @ rng.normal(size=(6, 6)),
    )
    (mean_x, cov_x), (mean_y, cov_y) = mean_and_covariance(x), mean_and_covariance(y)
    expected = ((mean_x - mean_y) ** 2).sum() + np.trace(cov_x + cov_y - 2 * sqrtm(cov_x @ cov_y).real)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("n", "d", "offset"),
    [(500, 84, 0.0), (500, 84, 30.0), (60, 84, 0.0)],
    ids=["full rank", "far from the origin", "fewer rows than dimensions"],
)
def test_same_features_give_torch_fidelitys_number(n: int, d: int, offset: float) -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(d, d)) / np.sqrt(d)
    x = np.maximum(rng.normal(size=(n, d)) @ mixing + offset, 0)
    y = np.maximum(rng.normal(0.2, 1.3, size=(n, d)) @ mixing + offset, 0)
    statistics = [fid_features_to_statistics(torch.from_numpy(side)) for side in (x, y)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    # Theirs takes square roots of a singular product's eigenvalues, which are wrong by √ε ≈ 1e-8 each.
    assert frechet_distance(x, y) == pytest.approx(theirs, rel=1e-5)


def test_a_collapsed_side_costs_the_other_sides_variance() -> None:
    rng = np.random.default_rng(0)
    x = features_with(np.zeros(5), np.diag([1.0, 2, 3, 4, 5]), 50, rng)
    assert frechet_distance(x, np.ones((50, 5))) == pytest.approx(15 + 5)


def test_singular_covariances_on_different_axes_add_up() -> None:
    first, second = np.diag([4.0, 0, 0]), np.diag([0, 9.0, 0])
    assert frechet_from_statistics(np.zeros(3), first, np.zeros(3), second) == pytest.approx(13)


@given(n=st.integers(2, 40), d=st.integers(1, 20), seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_the_distance_is_symmetric_zero_to_itself_and_never_negative(n: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(1, 3, size=(n, d))
    scale = x.var() * d + y.var() * d + 1
    there, back = frechet_distance(x, y), frechet_distance(y, x)
    # √ε per vanishing eigenvalue where n ≤ d
    assert there == pytest.approx(back, abs=1e-6 * scale)
    assert 0 <= frechet_distance(x, x) < 1e-6 * scale


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_rows_have_no_covariance(rows: int) -> None:
    with pytest.raises(ValueError, match="features"):
        frechet_distance(np.zeros((rows, 3)), np.zeros((5, 3)))


def test_float16_features_are_summed_in_float64() -> None:
    rng = np.random.default_rng(0)
    x, y = (1000 + rng.normal(size=(2, 300, 3))).astype(np.float16)
    assert frechet_distance(x, y) == frechet_distance(x.astype(float), y.astype(float))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_relative_distance_is_the_same_at_any_scale_and_1_for_the_mean_alone(scale: float) -> None:
    real = np.random.default_rng(0).normal(size=(400, 5)) * scale
    found = {name: value for name, value, _ in fid(np.tile(real.mean(axis=0), (3, 1)), real)}
    assert found["fid_relative"] == pytest.approx(1)
    assert found["fid"] == pytest.approx(real.var(axis=0, ddof=1).sum())
    assert [name for name, *_ in fid(real, np.ones((3, 5)))] == ["fid"]
