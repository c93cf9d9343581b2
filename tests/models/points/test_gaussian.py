"""The Gaussian family: its moments, drawn or of rows, against closed forms; its state; and what collapse leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from bigloop.models.points.gaussian import Gaussian, Moments, symmetric_root
from bigloop.models.points.stacked import Streams
from bigloop.spec.loops import Budget
from bigloop.spec.options import parse

ONCE = Budget(epochs=1)
ERRORS = 5  # standard errors that an estimate may be off
MEAN = torch.tensor([1.0, -2.0, 0.5]).double()
COVARIANCE = torch.tensor([[2.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 0.5]]).double()


def streams(replicates: int, seed: int = 0) -> Streams:
    return Streams([np.random.default_rng([seed, r]) for r in range(replicates)])


def model(replicates: int, dimension: int, **options: Any) -> Gaussian:
    return Gaussian.fresh(Gaussian.Options(**options), dimension, streams(replicates))


def moments(draws: str, n: int, mean: Tensor, covariance: Tensor, source: Streams) -> Moments:
    """Moments of n rows of N(mean, covariance), by the rows or from their laws."""
    gaussian = Gaussian.fresh(Gaussian.Options(), len(mean), source)
    gaussian.mean = mean.expand(len(source), -1)
    gaussian.covariance = covariance.expand(len(source), -1, -1)
    if draws == "moments":
        return gaussian.sample_moments(n, 1.0, source)
    return Moments.of(gaussian.sample(n, 1.0, source))


def assert_mean(draws: np.ndarray, expected: np.ndarray) -> None:
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - expected) <= ERRORS * error).all()


# --- moments ---


def test_the_moments_of_rows_are_numpys() -> None:
    rows = torch.from_numpy(np.random.default_rng(0).normal(3, 2, size=(4, 20, 3)))
    found = Moments.of(rows)
    for r in range(4):
        np.testing.assert_allclose(found.mean[r], rows[r].mean(0), rtol=1e-13)
        np.testing.assert_allclose(found.covariance[r], np.cov(rows[r].numpy(), rowvar=False), rtol=1e-12)


def test_pooled_moments_are_those_of_the_concatenated_rows() -> None:
    rng = np.random.default_rng(1)
    parts = [
        torch.from_numpy(rng.normal(centre, size=(5, n, 3))) for centre, n in ((0, 1), (100, 7), (-3, 30))
    ]
    pooled, whole = Moments.pooled([Moments.of(p) for p in parts]), Moments.of(torch.cat(parts, dim=1))
    assert pooled.n == whole.n == 38
    # rounding of sums of squares of some 1e4
    torch.testing.assert_close(pooled.mean, whole.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(pooled.scatter, whole.scatter, rtol=1e-12, atol=1e-10)


def test_there_is_nothing_to_pool_in_no_parts_and_no_covariance_of_one_row() -> None:
    with pytest.raises(ValueError, match="parts: expected one or more"):
        Moments.pooled([])
    with pytest.raises(ValueError, match="two or more rows, got 1"):
        model(2, 1).fit(torch.zeros(2, 1, 1), ONCE, streams(2))


@pytest.mark.parametrize("draws", ["rows", "moments"])
@pytest.mark.parametrize("n", [3, 4, 8])  # 3: too few rows for Bartlett's decomposition in R^3
def test_mean_and_covariance_have_the_moments_of_normal_and_wishart(draws: str, n: int) -> None:
    found = moments(draws, n, MEAN, COVARIANCE, streams(20_000))
    mean, covariance, sigma = found.mean.numpy(), found.covariance.numpy(), COVARIANCE.numpy()
    assert_mean(mean, MEAN.numpy())
    assert_mean(covariance, sigma)
    off = mean - MEAN.numpy()
    assert_mean(off[:, :, None] * off[:, None], sigma / n)
    variance = (sigma**2 + np.outer(sigma.diagonal(), sigma.diagonal())) / (n - 1)
    assert_mean((covariance - sigma) ** 2, variance)
    assert_mean(off[:, :, None, None] * (covariance - sigma)[:, None], np.zeros((3, 3, 3)))  # independent


@pytest.mark.parametrize("d", [1, 3])
def test_moments_drawn_from_their_laws_are_in_law_those_of_rows(d: int) -> None:
    one, other = (
        moments(draws, 6, MEAN[:d], COVARIANCE[:d, :d], streams(10_000, seed))
        for seed, draws in enumerate(("rows", "moments"))
    )

    def looked_at(m: Moments) -> list[Tensor]:
        return [*m.mean.T, *m.covariance.flatten(1).T, torch.linalg.det(m.covariance)]

    # no p-value of the 13 tests under 1e-4: by chance once in 800 seeds
    pairs = zip(looked_at(one), looked_at(other), strict=True)
    assert min(stats.ks_2samp(a.numpy(), b.numpy()).pvalue for a, b in pairs) > 1e-4


@pytest.mark.parametrize("n", [4, 50])
def test_a_singular_covariance_stays_in_its_subspace(n: int) -> None:
    direction = torch.tensor([1.0, 2.0, -1.0, 0.0]).double()
    covariance = torch.outer(direction, direction)
    found = moments("moments", n, torch.zeros(4).double(), covariance, streams(2_000))
    across = torch.linalg.svd(direction[None]).Vh[1:]  # three directions at right angles to it
    # an eigenvalue of 0 comes out as some 1e-15, its root as 3e-8
    assert (found.mean @ across.T).abs().max() < 1e-6
    assert (found.scatter @ across.T).abs().max() < 1e-5
    assert_mean(found.covariance.numpy(), covariance.numpy())


def test_the_symmetric_root_squares_to_its_matrix_and_takes_rounding_for_zero() -> None:
    root = symmetric_root(COVARIANCE[None])
    torch.testing.assert_close(root @ root, COVARIANCE[None], rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(root, root.mT, rtol=1e-13, atol=1e-13)
    for d in (1, 2):
        assert (symmetric_root(-1e-20 * torch.eye(d).double()[None]) == 0).all()


# --- the family ---


def test_options_are_declared_and_a_fresh_model_is_standard_normal() -> None:
    assert parse(Gaussian.Options, {}, "options").draws == "rows"
    assert not model(2, 1).by_moments
    assert model(2, 1, draws="moments").by_moments
    fresh = model(2, 3)
    assert (fresh.mean == 0).all()
    assert (fresh.covariance == torch.eye(3)).all()


def test_a_fit_on_moments_is_the_fit_on_their_rows() -> None:
    rows = streams(3).normal(10, 2, dtype=torch.float64)
    one, other = model(3, 2), model(3, 2)
    assert one.fit(rows, ONCE, streams(3)) == {}
    other.fit(Moments.of(rows), ONCE, streams(3))
    assert torch.equal(one.covariance, other.covariance)
    np.testing.assert_allclose(one.covariance[0], np.cov(rows[0].numpy(), rowvar=False), rtol=1e-12)


@pytest.mark.parametrize("bias", [0.0, 0.25, 1.0])
def test_the_bias_scales_the_covariance_of_samples_and_leaves_the_mean(bias: float) -> None:
    gaussian = model(1, 3)
    gaussian.mean, gaussian.covariance = MEAN[None], COVARIANCE[None]
    points = gaussian.sample(50_000, bias, streams(1))[0].numpy() - MEAN.numpy()
    assert_mean(points, np.zeros(3))
    assert_mean(points[:, :, None] * points[:, None], bias * COVARIANCE.numpy())
    drawn = gaussian.sample_moments(10**8, bias, streams(1))
    # n = 1e8: five standard errors are 5 √2 · 2 / 1e4 at most
    torch.testing.assert_close(drawn.covariance[0], bias * COVARIANCE, rtol=0, atol=2e-3)


def test_the_log_density_is_scipys() -> None:
    gaussian = model(2, 3)
    gaussian.mean = torch.stack([MEAN, -MEAN])
    gaussian.covariance = torch.stack([COVARIANCE, 1e-3 * COVARIANCE])
    points = streams(2).normal(7, 3, dtype=torch.float64)
    found = gaussian.log_density(points)
    assert found.shape == (2, 7)
    for r in range(2):
        expected = stats.multivariate_normal(gaussian.mean[r], gaussian.covariance[r]).logpdf(points[r])
        np.testing.assert_allclose(found[r], expected, rtol=1e-11)


def test_the_log_density_of_a_collapsed_model_is_no_nan() -> None:
    gaussian = model(1, 2)
    gaussian.covariance = torch.zeros(1, 2, 2).double()
    found = gaussian.log_density(torch.tensor([[[0.0, 0.0], [1.0, 0.0]]]).double())[0]
    assert found[0] > 0
    assert found[1] < -1e300


@pytest.mark.parametrize("draws", ["rows", "moments"])
@pytest.mark.parametrize("d", [1, 3])
def test_five_hundred_generations_on_ten_rows_stay_finite_and_positive_semidefinite(
    draws: str, d: int
) -> None:
    gaussian, source = model(40, d, draws=draws), streams(40)
    for _ in range(500):
        rows = gaussian.sample_moments(10, 1.0, source) if gaussian.by_moments else None
        gaussian.fit(gaussian.sample(10, 1.0, source) if rows is None else rows, ONCE, source)
        assert gaussian.mean.isfinite().all()
        assert gaussian.covariance.isfinite().all()
        size = gaussian.covariance.abs().amax((1, 2))
        assert (torch.linalg.eigvalsh(gaussian.covariance)[:, 0] >= -1e-14 * size).all()
    assert gaussian.covariance.diagonal(dim1=1, dim2=2).median() < 1e-10  # it has collapsed


@pytest.mark.parametrize("draws", ["rows", "moments"])
@pytest.mark.parametrize("d", [1, 3])
def test_a_replicate_is_what_it_is_alone(draws: str, d: int) -> None:
    def after_three(source: Streams) -> Gaussian:
        gaussian = Gaussian.fresh(Gaussian.Options(), d, source)
        for _ in range(3):
            if draws == "moments":
                gaussian.fit(gaussian.sample_moments(10, 0.9, source), ONCE, source)
            else:
                gaussian.fit(gaussian.sample(10, 0.9, source), ONCE, source)
        return gaussian

    together, alone = after_three(streams(4)), after_three(Streams(streams(4).generators[2:3]))
    torch.testing.assert_close(alone.mean, together.mean[2:3], rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(alone.covariance, together.covariance[2:3], rtol=1e-12, atol=1e-13)


def test_a_restored_model_goes_on_as_the_first_and_shares_no_memory_with_its_state() -> None:
    one = model(3, 2)
    one.fit(one.sample(10, 1.0, streams(3)), ONCE, streams(3))
    state = one.state()
    assert all(len(array) == 3 for array in state.values())
    other = model(3, 2)
    other.restore(state)
    for array in state.values():
        array[:] = np.nan
    assert torch.equal(one.sample(5, 0.5, streams(3)), other.sample(5, 0.5, streams(3)))
