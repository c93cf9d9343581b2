"""The Gaussian mixture: EM against scikit-learn's, its seeding, its samples, and components without rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.mixture import GaussianMixture
from torch import Tensor

from bigloop.models.points.gmm import GMM, Mixture, expected, features, maximised, most_likely, seeded
from bigloop.models.points.stacked import Streams
from bigloop.spec.loops import Budget
from bigloop.spec.options import parse

ERRORS = 5  # standard errors that an estimate may be off
CORNERS = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])


def streams(replicates: int, seed: int = 0) -> Streams:
    return Streams([np.random.default_rng([seed, r]) for r in range(replicates)])


def model(replicates: int = 3, dimension: int = 2, **options: Any) -> GMM:
    return GMM.fresh(GMM.Options(**{"components": 4} | options), dimension, streams(replicates))


def corner_rows(replicates: int = 3, n: int = 200, spread: float = 0.8, seed: int = 0) -> Tensor:
    """Rows of four overlapping Gaussians at the corners of a square."""
    rng = np.random.default_rng(seed)
    centres = CORNERS[rng.integers(4, size=(replicates, n))]
    return torch.from_numpy(centres + spread * rng.normal(size=(replicates, n, 2)))


def mixture_of(gmm: GMM) -> tuple[Tensor, ...]:
    return gmm.mixture.weights, gmm.mixture.means, gmm.mixture.covariances


def one_of(mixture: Mixture, replicate: int) -> Mixture:
    return mixture[torch.tensor([replicate])]


# --- EM ---


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("iterations", [1, 30])
def test_em_is_scikit_learns_from_the_same_start(d: int, iterations: int) -> None:
    rng = np.random.default_rng(d)
    rows = torch.from_numpy(rng.normal(size=(2, 150, d)) + 3 * rng.integers(3, size=(2, 150, 1)) + 10)
    start = seeded(rows, 3, 1e-6, streams(2))
    found, likelihood = maximised(start, rows, iterations, 1e-6, tolerance=-1.0)
    for r in range(2):
        theirs = GaussianMixture(
            3,
            tol=0,
            max_iter=iterations,
            init_params="random",
            weights_init=start.weights[r].numpy(),
            means_init=start.means[r].numpy(),
            precisions_init=torch.linalg.inv(start.covariances[r]).numpy(),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has not converged: so it shall
            theirs.fit(rows[r].numpy())
        # both round in float64; 30 iterations of a map that contracts slowly enlarge that
        np.testing.assert_allclose(found.weights[r], theirs.weights_, rtol=1e-8)
        np.testing.assert_allclose(found.means[r], theirs.means_, rtol=1e-8)
        np.testing.assert_allclose(found.covariances[r], theirs.covariances_, rtol=1e-7, atol=1e-9)
        assert likelihood[r] == pytest.approx(theirs.lower_bound_, abs=1e-9)


def test_every_iteration_raises_the_likelihood() -> None:
    rows = corner_rows()
    found, likelihoods = seeded(rows, 6, 1e-12, streams(3)), []
    for _ in range(60):
        found, likelihood = maximised(found, rows, 1, 1e-12, tolerance=-1.0)
        likelihoods.append(likelihood)
    rise = torch.stack(likelihoods).diff(dim=0)
    assert (rise > -1e-10).all()  # the regularisation of 1e-12 and rounding
    assert (rise.sum(0) > 0.01).all()


def test_one_component_is_the_gaussian_of_maximum_likelihood() -> None:
    rows = corner_rows()
    gmm = model(components=1)
    history = gmm.fit(rows, Budget(epochs=3), streams(3))
    for r in range(3):
        np.testing.assert_allclose(gmm.mixture.means[r, 0], rows[r].mean(0), rtol=1e-12)
        covariance = np.cov(rows[r].numpy(), rowvar=False, bias=True) + 1e-6 * np.eye(2)
        np.testing.assert_allclose(gmm.mixture.covariances[r, 0], covariance, rtol=1e-10)
        likelihood = stats.multivariate_normal(rows[r].mean(0), covariance).logpdf(rows[r]).mean()
        assert history["log_likelihood"][r] == pytest.approx(likelihood, rel=1e-9)


def test_rows_far_from_the_origin_are_fitted_as_near_it() -> None:
    rows, by = corner_rows(), torch.tensor([1e4, -1e4]).double()
    near, far = model(), model()
    near.fit(rows, Budget(epochs=20), streams(3))
    far.fit(rows + by, Budget(epochs=20), streams(3))
    # coordinates of 1e4 keep 12 digits behind the point, of which 20 iterations cost some
    torch.testing.assert_close(far.mixture.means - by, near.mixture.means, rtol=0, atol=1e-7)
    torch.testing.assert_close(far.mixture.covariances, near.mixture.covariances, rtol=0, atol=1e-7)
    torch.testing.assert_close(far.log_density(rows + by), near.log_density(rows), rtol=0, atol=1e-7)


def test_a_replicate_that_has_converged_stops_while_others_go_on() -> None:
    rows = corner_rows(2)
    start = seeded(rows, 4, 1e-6, streams(2))
    done, _ = maximised(one_of(start, 0), rows[:1], 5_000, 1e-6, tolerance=0.0)
    both = Mixture(start.weights.clone(), start.means.clone(), start.covariances.clone())
    both.put(torch.tensor([0]), done)
    found, _ = maximised(both, rows, 25, 1e-6, tolerance=1e-7)
    alone, _ = maximised(one_of(both, 0), rows[:1], 2, 1e-6, tolerance=-1.0)
    torch.testing.assert_close(one_of(found, 0).means, alone.means, rtol=1e-13, atol=0)
    moved, _ = maximised(one_of(start, 1), rows[1:], 2, 1e-6, tolerance=-1.0)
    assert (one_of(found, 1).means - moved.means).abs().max() > 1e-4


def test_a_larger_tolerance_stops_earlier_and_no_budget_is_overdrawn() -> None:
    rows = corner_rows()
    ends = {}
    for tolerance, epochs in ((0.0, 200), (1e-3, 200), (0.0, 4)):
        gmm = model(tolerance=tolerance)
        ends[tolerance, epochs] = gmm.fit(rows, Budget(epochs=epochs), streams(3))["log_likelihood"]
    assert (ends[0.0, 200] > ends[1e-3, 200]).all()
    by_hand = seeded(rows, 4, 1e-6, streams(3))
    for _ in range(4):
        by_hand, likelihood = maximised(by_hand, rows, 1, 1e-6, tolerance=-1.0)
    np.testing.assert_allclose(ends[0.0, 4], likelihood.numpy(), rtol=1e-12)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-8])
def test_a_replicate_is_what_it_is_alone(tolerance: float) -> None:
    rows = corner_rows(4)

    def fitted(source: Streams, own: Tensor) -> tuple[GMM, dict[str, np.ndarray]]:
        gmm = GMM.fresh(GMM.Options(components=5, tolerance=tolerance), 2, source)
        gmm.fit(own, Budget(epochs=15), source)
        return gmm, gmm.fit(gmm.sample(200, 0.9, source), Budget(epochs=15), source)

    (together, history), (alone, own) = (
        fitted(streams(4), rows),
        fitted(Streams(streams(4).generators[2:3]), rows[2:3]),
    )
    for one, other in zip(mixture_of(alone), mixture_of(together), strict=True):
        torch.testing.assert_close(one, other[2:3], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(own["log_likelihood"], history["log_likelihood"][2:3], rtol=1e-10)


# --- components without rows ---


@pytest.mark.parametrize("weight", [0.0, 0.25])
def test_a_component_without_rows_keeps_its_place_and_gives_no_nan(weight: float) -> None:
    rows = corner_rows()
    start = seeded(rows, 4, 1e-6, streams(3))
    start.means[:, 0] = 1e6
    start.weights[:] = torch.tensor([weight, *[(1 - weight) / 3] * 3])
    found, likelihood = maximised(start, rows, 10, 1e-6, tolerance=-1.0)
    assert (found.weights[:, 0] < 1e-200).all()
    torch.testing.assert_close(found.means[:, 0], start.means[:, 0], rtol=1e-15, atol=0)
    torch.testing.assert_close(found.covariances[:, 0], start.covariances[:, 0])
    assert all(t.isfinite().all() for t in (*vars(found).values(), likelihood))
    without = Mixture(*(t[:, 1:] for t in vars(start).values()))
    without.weights.div_(without.weights.sum(1, keepdim=True))
    three, _ = maximised(without, rows, 10, 1e-6, tolerance=-1.0)
    torch.testing.assert_close(found.covariances[:, 1:], three.covariances, rtol=1e-9, atol=1e-9)


def test_the_m_step_of_rows_that_all_belong_to_others_is_no_division_by_zero() -> None:
    start = seeded(corner_rows(), 4, 1e-6, streams(3))
    sums, _ = expected(start, features(corner_rows()))
    sums[:, 2] = 0
    found = most_likely(start, sums, 1e-6)
    assert (found.weights[:, 2] == 0).all()
    assert torch.equal(found.means[:, 2], start.means[:, 2])
    assert torch.equal(found.covariances[:, 2], start.covariances[:, 2])


@pytest.mark.parametrize("n", [1, 3, 50])
def test_fewer_rows_than_components_and_equal_rows_are_fitted_without_nan(n: int) -> None:
    for rows in (corner_rows(n=n), torch.full((3, n, 2), 7.0).double()):
        gmm = model(components=6)
        gmm.fit(rows, Budget(epochs=20), streams(3))
        gmm.fit(gmm.sample(n, 0.5, streams(3)), Budget(epochs=20), streams(3))
        assert all(t.isfinite().all() for t in mixture_of(gmm))
        assert gmm.sample(10, 1.0, streams(3)).isfinite().all()


# --- seeding, samples, state ---


def test_the_seeds_are_rows_and_find_every_well_separated_mode() -> None:
    side = np.arange(5) * 2.0
    centres = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    rng = np.random.default_rng(0)
    which = rng.integers(25, size=(8, 500))
    rows = torch.from_numpy(centres[which] + 0.02 * rng.normal(size=(8, 500, 2)))
    start = seeded(rows, 25, 1e-6, streams(8))
    squares = (start.means[:, :, None] - rows[:, None]).square().sum(3)
    assert (squares.amin(2) == 0).all()
    nearest = (start.means.numpy()[:, :, None] - centres) ** 2
    assert all(len(set(found)) == 25 for found in nearest.sum(3).argmin(2))
    # the variance about the seeds: between that about the centres and twice that
    assert ((start.covariances[:, 0, 0, 0] > 0.02**2) & (start.covariances[:, 0, 0, 0] < 2.5 * 0.02**2)).all()


def test_samples_have_the_mixtures_weights_means_and_scaled_covariances() -> None:
    gmm = model(1, components=3)
    gmm.mixture.weights[:] = torch.tensor([0.7, 0.0, 0.3])
    gmm.mixture.means[:] = torch.tensor([[-50.0, 0.0], [0.0, 0.0], [50.0, 1.0]])
    covariance = np.array([[2.0, -0.9], [-0.9, 1.0]])
    gmm.mixture.covariances[:, 2] = torch.from_numpy(covariance)
    points = gmm.sample(40_000, 0.25, streams(1))[0].numpy()
    left, right = points[points[:, 0] < -25], points[points[:, 0] > 25]
    assert len(left) + len(right) == 40_000  # none of the component of weight 0
    assert abs(len(left) / 40_000 - 0.7) < ERRORS * np.sqrt(0.7 * 0.3 / 40_000)
    for chosen, mean, expected_covariance in (
        (left, [-50, 0], 0.25 * np.eye(2)),
        (right, [50, 1], covariance / 4),
    ):
        off = chosen - mean
        squares = off[:, :, None] * off[:, None]
        assert (abs(off.mean(0)) < ERRORS * off.std(0) / np.sqrt(len(off))).all()
        error = squares.std(0) / np.sqrt(len(off))
        assert (abs(squares.mean(0) - expected_covariance) < ERRORS * error).all()


def test_without_spread_samples_are_the_components_means() -> None:
    gmm = model()
    gmm.fit(corner_rows(), Budget(epochs=5), streams(3))
    points = gmm.sample(50, 0.0, streams(3))
    off = (points[:, :, None] - gmm.mixture.means[:, None]).abs().sum(3).amin(2)
    assert (off == 0).all()


def test_the_log_density_is_scipys() -> None:
    gmm = model()
    gmm.fit(corner_rows(), Budget(epochs=5), streams(3))
    points = corner_rows(n=9, spread=3.0, seed=1)
    found = gmm.log_density(points)
    for r in range(3):
        m = one_of(gmm.mixture, r)
        density = sum(
            w.item() * stats.multivariate_normal(mean, covariance).pdf(points[r])
            for w, mean, covariance in zip(m.weights[0], m.means[0], m.covariances[0], strict=True)
        )
        np.testing.assert_allclose(found[r], np.log(density), rtol=1e-9)


def test_fitting_again_goes_on_and_a_restored_model_does_too() -> None:
    rows = corner_rows()
    whole, parts = model(tolerance=0.0), model(tolerance=0.0)
    whole.fit(rows, Budget(epochs=10), streams(3))
    parts.fit(rows, Budget(epochs=4), streams(3))
    state = parts.state()
    assert all(len(array) == 3 for array in state.values())
    restored = model(tolerance=0.0)
    assert not restored.initialised.any()
    restored.restore(state)
    assert restored.initialised.all()
    for array in state.values():
        array[:] = 0
    for gmm in (parts, restored):
        gmm.fit(rows, Budget(epochs=6), streams(3, seed=9))
        for one, other in zip(mixture_of(gmm), mixture_of(whole), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_options_are_declared_with_their_defaults_and_a_fresh_model_can_be_sampled() -> None:
    options = parse(GMM.Options, {}, "options")
    assert (options.components, options.regularisation, options.tolerance) == (25, 1e-6, 1e-6)
    assert GMM.fresh(options, 3, streams(2)).sample(5, 1.0, streams(2)).shape == (2, 5, 3)
