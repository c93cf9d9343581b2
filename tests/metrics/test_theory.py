"""Theory of self-consuming loops against the loops themselves, simulated with the Gaussian family."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from scipy import stats

from bigloop.metrics.theory import (
    c4,
    effective_ratio,
    expected_sd,
    fresh_recursion,
    mixing_contraction,
    mixing_recursion,
)
from bigloop.models.points.gaussian import Gaussian, Moments
from bigloop.models.points.stacked import Streams
from bigloop.spec.loops import Budget
from bigloop.spec.options import parse

REPLICATES = 6_000
ERRORS = 5  # standard errors that a simulated mean may be off


def streams(replicates: int = REPLICATES, seed: int = 0) -> Streams:
    return Streams([np.random.Generator(np.random.SFC64([seed, r])) for r in range(replicates)])


def real(n: int, draws: str, source: Streams, d: int = 1) -> Moments:
    """The moments of n rows of N(0, I)."""
    if draws == "rows":
        return Moments.of(source.normal(n, d, dtype=torch.float64))
    mean, covariance = torch.zeros(len(source), d).double(), torch.eye(d).double().expand(len(source), d, d)
    return Moments.drawn(n, mean, covariance, source)


def loop(
    generations: int,
    first: Moments,
    n_synthetic: int,
    *,
    bias: float = 1.0,
    fresh: int = 0,
    fixed: Moments | None = None,
    draws: str = "rows",
    source: Streams,
) -> Iterator[Gaussian]:
    """The models of generations 1 … `generations`, the first fitted on `first`."""
    d = first.mean.shape[1]
    model = Gaussian.fresh(parse(Gaussian.Options, {"draws": draws}, "options"), d, source)
    model.fit(first, Budget(epochs=1), source)
    yield model
    for _ in range(generations - 1):
        parts = [] if fixed is None else [fixed]
        parts += [real(fresh, draws, source, d)] if fresh else []
        if draws == "rows":
            parts.append(Moments.of(model.sample(n_synthetic, bias, source)))
        else:
            parts.append(model.sample_moments(n_synthetic, bias, source))
        model.fit(Moments.pooled(parts), Budget(epochs=1), source)
        yield model


def assert_mean(draws: np.ndarray, expected: float | np.ndarray) -> None:
    """The mean over the first axis is `expected` within ERRORS standard errors."""
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - expected) <= ERRORS * error).all(), (
        draws.mean(axis=0),
        expected,
        error,
    )


# --- closed forms ---


@pytest.mark.parametrize("n", [2, 3, 10, 101, 10_000])
def test_c4_is_the_mean_of_scipys_chi_over_the_root_of_its_freedom(n: int) -> None:
    # scipy integrates or subtracts log-gammas of some 1e5 here: twelve digits are left
    assert c4(n) == pytest.approx(stats.chi(n - 1).mean() / np.sqrt(n - 1), rel=1e-10)


def test_c4_of_two_rows_and_for_many() -> None:
    assert c4(2) == pytest.approx(np.sqrt(2 / np.pi), rel=1e-14)
    assert 1 - c4(1_000) == pytest.approx(
        1 / 4_000, rel=2e-3
    )  # the next term of the series is 1/(4n) of this


def test_expected_sd_is_c4_at_generation_1_and_falls_by_the_root_of_the_bias_and_c4() -> None:
    found = expected_sd(np.arange(1, 4), n_initial=50, n=10, bias=0.25)
    np.testing.assert_allclose(found, c4(50) * np.array([1, c4(10) / 2, c4(10) ** 2 / 4]), rtol=1e-14)


def test_without_real_rows_the_fresh_recursion_is_the_closed_form_of_the_fully_synthetic_loop() -> None:
    mean_error, variance = fresh_recursion(6, 20, 0, 10, bias=0.5)
    powers = 0.5 ** np.arange(6)
    np.testing.assert_allclose(variance, powers, rtol=1e-13)
    np.testing.assert_allclose(
        mean_error, 1 / 20 + np.concatenate([[0], np.cumsum(powers[1:])]) / 10, rtol=1e-13
    )


def test_without_synthetic_rows_every_generation_is_a_fit_on_fresh_rows() -> None:
    mean_error, variance = fresh_recursion(4, 20, 10, 0)
    np.testing.assert_allclose(mean_error, [1 / 20, 0.1, 0.1, 0.1], rtol=1e-13)
    np.testing.assert_allclose(variance, 1, rtol=1e-13)


@pytest.mark.parametrize("share", [0, 1, 2, 9])
def test_the_effective_ratio_is_the_recursions_limit_to_first_order(share: int) -> None:
    off = []
    for n_real in (100, 1_000, 10_000):
        mean_error, _ = fresh_recursion(2_000, n_real, n_real, share * n_real)
        expected = effective_ratio(n_real, share * n_real)
        off.append(abs(1 / (mean_error[-1] * n_real) - expected) * n_real)
    assert max(off) < 2  # what is left is of order 1/n_real
    assert off[2] == pytest.approx(off[1], rel=0.05, abs=1e-6)


def test_the_mixing_loop_settles_where_its_recursion_stands_still() -> None:
    distance, variance = mixing_recursion(500, 20, 0.5)
    r, d, s = mixing_contraction(0.5), distance[-1], variance[-1]
    assert d == pytest.approx(r**2 * (d + s / 10), rel=1e-12)
    assert d == pytest.approx(r**2 / (1 - r**2) * s / 10, rel=1e-12)


def test_without_synthetic_rows_the_mixing_loop_stays_at_the_first_fit() -> None:
    for ratio in (0.0, 0.04):
        distance, variance = mixing_recursion(5, 20, ratio)
        assert (distance == 0).all()
        assert (variance == 1).all()


def test_the_count_of_synthetic_rows_is_that_of_a_spec() -> None:
    # 29 rows, though 0.29 * 100 is 28.999999999999996: E[d_2] = (m/(n+m))² / m
    distance, _ = mixing_recursion(2, 100, 0.29)
    assert distance[1] == pytest.approx(29 / 129**2, rel=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: c4(1),
        lambda: fresh_recursion(3, 1, 1, 1),
        lambda: fresh_recursion(3, 2, 1, 0),
        lambda: mixing_recursion(3, 1, 1.0),
        lambda: effective_ratio(0, 10),
    ],
)
def test_too_few_rows_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        call()


# --- the loop itself ---


@pytest.mark.parametrize("draws", ["rows", "moments"])
def test_in_one_dimension_the_standard_deviation_falls_as_a_power_of_c4(draws: str) -> None:
    source = streams(seed=1)
    models = loop(8, real(5, draws, source), 5, draws=draws, source=source)
    for t, model in enumerate(models, 1):
        assert expected_sd(t, 5, 5) == pytest.approx(c4(5) ** t, rel=1e-13)
        assert_mean(model.covariance[:, 0, 0].sqrt().numpy(), c4(5) ** t)


def test_the_first_generation_may_have_rows_of_another_number() -> None:
    source = streams(seed=2)
    *_, model = loop(4, real(50, "moments", source), 6, bias=0.7, draws="moments", source=source)
    assert_mean(model.covariance[:, 0, 0].sqrt().numpy(), expected_sd(np.array(4), 50, 6, 0.7))


@pytest.mark.parametrize("draws", ["rows", "moments"])
def test_the_expected_trace_falls_as_the_bias_alone(draws: str) -> None:
    source = streams(seed=3)
    models = loop(5, real(10, draws, source, d=2), 10, bias=0.8, draws=draws, source=source)
    for t, model in enumerate(models, 1):
        assert_mean(model.covariance.diagonal(dim1=1, dim2=2).sum(1).numpy(), 2 * 0.8 ** (t - 1))


@pytest.mark.parametrize("draws", ["rows", "moments"])
@pytest.mark.parametrize(("n_real", "n_synthetic", "bias"), [(0, 8, 1.0), (4, 8, 1.0), (6, 2, 0.5)])
def test_mean_error_and_variance_follow_the_fresh_recursion(
    draws: str, n_real: int, n_synthetic: int, bias: float
) -> None:
    source = streams(seed=4)
    mean_error, variance = fresh_recursion(6, 12, n_real, n_synthetic, bias)
    first = real(12, draws, source, d=2)
    models = loop(6, first, n_synthetic, bias=bias, fresh=n_real, draws=draws, source=source)
    for t, model in enumerate(models):
        assert_mean(model.mean.square().numpy(), mean_error[t])
        assert_mean(model.covariance.diagonal(dim1=1, dim2=2).numpy(), variance[t])


def test_the_fresh_loop_has_the_effective_ratio_of_rows() -> None:
    # at n_r = 100 the first order is within 1 %, a ninth of five standard errors of 6 000 squared means
    source = streams(seed=5)
    *_, model = loop(12, real(100, "moments", source), 200, fresh=100, draws="moments", source=source)
    assert_mean(model.mean[:, 0].square().numpy() * 100 * effective_ratio(100, 200), 1)


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_the_mean_of_the_mixing_loop_contracts_towards_the_fixed_rows(ratio: float) -> None:
    source = streams(2_000, seed=6)
    fixed = real(10, "moments", source)
    far = Moments(10, fixed.mean + 1_000, fixed.scatter)
    models = loop(5, far, int(10 * ratio), fixed=fixed, draws="moments", source=source)
    next(models)
    for t, model in enumerate(models, 1):
        assert_mean((model.mean - fixed.mean)[:, 0].numpy(), 1_000 * mixing_contraction(ratio) ** t)


@pytest.mark.parametrize("draws", ["rows", "moments"])
@pytest.mark.parametrize(("ratio", "bias"), [(0.5, 1.0), (2.0, 1.0), (2.0, 0.5)])
def test_distance_and_variance_follow_the_mixing_recursion(draws: str, ratio: float, bias: float) -> None:
    source = streams(seed=7)
    fixed = real(6, draws, source)
    distance, variance = mixing_recursion(6, 6, ratio, bias)
    models = loop(6, fixed, int(6 * ratio), bias=bias, fixed=fixed, draws=draws, source=source)
    for t, model in enumerate(models):
        assert_mean((model.mean - fixed.mean).square().numpy(), distance[t])
        assert_mean(model.covariance[:, 0, 0].numpy(), variance[t])


def test_the_mixing_loop_is_off_the_true_mean_by_the_fixed_rows_error_too() -> None:
    source = streams(seed=8)
    fixed = real(6, "moments", source)
    distance, _ = mixing_recursion(5, 6, 2.0)
    models = loop(5, fixed, 12, fixed=fixed, draws="moments", source=source)
    for t, model in enumerate(models):
        assert_mean(model.mean.square().numpy(), distance[t] + 1 / 6)
