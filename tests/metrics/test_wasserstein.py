"""Wasserstein distances are the optimal assignment's cost, and the excess sees what the plain distance rewards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from bigloop.metrics import wasserstein
from bigloop.metrics.wasserstein import (
    euclidean_distances,
    own_wasserstein1,
    wasserstein1,
    wasserstein1_excess,
    wasserstein2,
)

ROUNDING = 1e-9  # relative; two exact solvers in float64 agree to about 1e-12


def assignment_cost(x: np.ndarray, y: np.ndarray) -> float:
    """For equally many points of equal weight an optimal transport plan is a permutation (Birkhoff)."""
    cost = cdist(x.reshape(len(x), -1).astype(float), y.reshape(len(y), -1).astype(float))
    return float(cost[linear_sum_assignment(cost)].mean())


@given(n=st.integers(1, 60), d=st.integers(1, 10), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_w1_is_the_cost_of_the_optimal_assignment(n: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(0.5, 2, size=(n, d))
    assert wasserstein1(x, y) == pytest.approx(assignment_cost(x, y), rel=ROUNDING)


def test_w1_is_the_cost_of_the_optimal_assignment_on_mnist(digits: np.ndarray) -> None:
    assert wasserstein1(digits[:200], digits[200:400]) == pytest.approx(
        assignment_cost(digits[:200], digits[200:400]), rel=ROUNDING
    )


@given(n=st.integers(1, 50), m=st.integers(1, 50), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_w1_is_the_area_between_the_distribution_functions_in_one_dimension(
    n: int, m: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=n), rng.exponential(size=m)
    assert wasserstein1(x[:, None], y[:, None]) == pytest.approx(wasserstein_distance(x, y), rel=ROUNDING)


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_w1_of_shifted_points_is_the_length_of_the_shift(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    x, shift = rng.normal(size=(30, 4)), scale * rng.normal(size=4)
    assert wasserstein1(x, x + shift) == pytest.approx(np.linalg.norm(shift), rel=1e-7)


@given(n=st.integers(1, 20), m=st.integers(1, 20), d=st.integers(1, 50), offset=st.floats(-100, 100))
@settings(max_examples=40, deadline=None)
def test_distances_by_one_matrix_product_are_scipys(n: int, m: int, d: int, offset: float) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(offset, 1, size=(n, d)), rng.normal(offset, 1, size=(m, d))
    # the squares of x and y, rounded to 2⁻⁵³ each, cancel: √ of what is left where the points coincide
    tolerance = 1e-7 * (np.linalg.norm(x, axis=1).max() + 1)
    np.testing.assert_allclose(euclidean_distances(x, y), cdist(x, y), rtol=1e-7, atol=tolerance)
    assert euclidean_distances(x, x).diagonal() == pytest.approx(0, abs=tolerance)


def test_w1_takes_images_of_any_float_type_as_vectors(digits: np.ndarray) -> None:
    x, y = digits[:20], digits[20:40]
    assert wasserstein1(x, y) == wasserstein1(x.reshape(20, -1), y.reshape(20, -1).astype(np.float64))


def test_w1_that_the_solver_cannot_finish_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wasserstein, "NO_LIMIT", 1)
    rng = np.random.default_rng(0)
    with pytest.raises(RuntimeError, match="wasserstein1: numItermax"):
        wasserstein1(rng.normal(size=(50, 3)), rng.normal(size=(50, 3)))


def least_squares(x: np.ndarray, y: np.ndarray) -> float:
    """The root of the least mean squared distance over all permutations."""
    cost = cdist(x, y, "sqeuclidean")
    return float(np.sqrt(cost[linear_sum_assignment(cost)].mean()))


@given(n=st.integers(1, 60), d=st.integers(1, 10), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_w2_is_the_root_of_the_optimal_assignments_squared_cost(n: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(0.5, 2, size=(n, d))
    assert wasserstein2(x, y) == pytest.approx(least_squares(x, y), rel=ROUNDING)
    assert wasserstein2(x, y) >= wasserstein1(x, y) * (1 - ROUNDING)  # Jensen


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.01, 100), d=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_w2_of_shifted_points_is_the_length_of_the_shift(seed: int, scale: float, d: int) -> None:
    rng = np.random.default_rng(seed)
    x, shift = rng.normal(size=(30, d)), scale * rng.normal(size=d)
    # a matrix product's rounding, 1e-15 of the squares, beside a squared shift of down to 1e-6
    assert wasserstein2(x, x + shift) == pytest.approx(np.linalg.norm(shift), rel=1e-7, abs=1e-7)


@given(n=st.integers(1, 40), seed=st.integers(0, 2**32 - 1), ties=st.booleans())
@settings(max_examples=40, deadline=None)
def test_numbers_have_the_distances_that_the_solver_finds_for_them_in_the_plane(
    n: int, seed: int, ties: bool
) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 1)), rng.exponential(size=(n, 1))
    if ties:
        x, y = x.round(), y.round()
    plane = [np.column_stack([numbers, np.full(n, 3.0)]) for numbers in (x, y)]
    # where all distances vanish, 1e-7 of the norm is left, the root of a matrix product's rounding
    assert wasserstein1(x, y) == pytest.approx(wasserstein1(*plane), rel=ROUNDING, abs=1e-6)
    assert wasserstein2(x, y) == pytest.approx(wasserstein2(*plane), rel=ROUNDING, abs=1e-6)


def test_w2_of_two_gaussians_is_the_closed_form_in_one_dimension_as_n_grows() -> None:
    rng = np.random.default_rng(0)
    found = [
        wasserstein2(rng.normal(size=(20_000, 1)), rng.normal(1, 2, size=(20_000, 1))) for _ in range(10)
    ]
    # √((1 − 0)² + (2 − 1)²); the mean's own error, and a bias of order ln ln n / n
    assert np.mean(found) == pytest.approx(np.sqrt(2), abs=5 * np.std(found, ddof=1) / np.sqrt(10) + 1e-3)


@given(n=st.integers(1, 12), m=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_w2_of_unequally_many_points_is_that_of_their_copies_in_equal_number(
    n: int, m: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 2)), rng.normal(1, 2, size=(m, 2))
    copies = least_squares(np.repeat(x, m, axis=0), np.repeat(y, n, axis=0))
    assert wasserstein2(x, y) == pytest.approx(copies, rel=ROUNDING)


def test_w2_that_the_solver_cannot_finish_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wasserstein, "NO_LIMIT", 1)
    rng = np.random.default_rng(0)
    with pytest.raises(RuntimeError, match="wasserstein2: numItermax"):
        wasserstein2(rng.normal(size=(50, 3)), rng.normal(size=(50, 3)))


def excesses(shift: float, repeats: int = 30, n: int = 100) -> np.ndarray:
    rng = np.random.default_rng(0)
    pairs = ((rng.normal(size=(2 * n, 5)), rng.normal(shift, 1, size=(2 * n, 5))) for _ in range(repeats))
    return np.array([wasserstein1_excess(x, y) for x, y in pairs])


def test_excess_is_zero_in_expectation_for_equal_laws() -> None:
    values = excesses(shift=0.0)
    assert abs(values.mean()) < 4 * values.std(ddof=1) / np.sqrt(len(values))


def test_excess_of_shifted_laws_is_above_anything_that_equal_laws_give() -> None:
    assert excesses(shift=0.5).min() > excesses(shift=0.0).max()


def test_excess_is_the_distance_less_half_of_each_sides_own(digits: np.ndarray) -> None:
    a, b, c, d = np.split(digits[:160], 4)
    expected = assignment_cost(a, c) - (assignment_cost(a, b) + assignment_cost(c, d)) / 2
    assert wasserstein1_excess(digits[:80], digits[80:160]) == pytest.approx(expected, rel=1e-7)


def test_the_excess_takes_the_real_sides_own_distance_where_it_is_known(digits: np.ndarray) -> None:
    generated, real = digits[:80], digits[80:160]
    own = own_wasserstein1(real)
    assert own == pytest.approx(assignment_cost(digits[80:120], digits[120:160]), rel=1e-7)
    expected = wasserstein1_excess(generated, real)
    assert wasserstein1_excess(generated, real, of_real=own) == expected
    # half of what is added to the one is taken from the other
    assert wasserstein1_excess(generated, real, of_real=own + 2) == pytest.approx(expected - 1)


def test_blur_lowers_plain_w1_below_the_floor_but_raises_the_excess(digits: np.ndarray) -> None:
    real, other = digits[:400], digits[400:800]
    blurred = 0.7 * other + 0.3 * digits[800:2000].mean(axis=0)
    assert wasserstein1(blurred[:200], real[:200]) < wasserstein1(other[:200], real[:200])
    assert wasserstein1_excess(blurred, real) > 2 * abs(wasserstein1_excess(other, real))
