"""One Gaussian under each divergence: against closed forms and scipy's quadrature, on densities of two modes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad

from bigloop.data.densities import Density, known_density
from bigloop.models.points.projection import (
    DISTANCES,
    Projection,
    chi_squared,
    hellinger,
    jensen_shannon,
    moments,
    reverse_kl,
    total_variation,
)
from bigloop.models.points.stacked import Streams
from bigloop.spec.loops import Budget
from bigloop.spec.options import SpecError, parse

DIVERGENCES = ("forward_kl", *DISTANCES)


def streams(replicates: int, seed: int = 0) -> Streams:
    return Streams([np.random.default_rng([seed, r]) for r in range(replicates)])


def bimodal(separation: float, weight: float = 0.5, sd: float = 1.0) -> Density:
    """Modes at ±separation/2; `weight` is the left one's."""
    return known_density("bimodal", {"separation": separation, "sd": sd, "weight": weight})


def fitted(density: Density, divergence: str, replicates: int = 1, seed: int = 0) -> Projection:
    source = streams(replicates, seed)
    projection = Projection.fresh(
        parse(Projection.Options, {"divergence": divergence}, "options"), 1, source, density
    )
    assert projection.fit(torch.empty(replicates, 0, 1), Budget(epochs=1), source) == {}
    return projection


def means_and_sds(projection: Projection) -> tuple[np.ndarray, np.ndarray]:
    return projection.mean[:, 0].numpy(), projection.covariance[:, 0, 0].sqrt().numpy()


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_a_gaussian_is_its_own_projection_under_every_divergence(divergence: str) -> None:
    means, sds = means_and_sds(fitted(known_density("gaussian", {}), divergence, 3))
    # a search to 1e-9 of a divergence is one to its root in the parameters; the quadrature is exact to 1e-13
    np.testing.assert_allclose(means, 0, atol=1e-4)
    np.testing.assert_allclose(sds, 1, atol=1e-4)


@pytest.mark.parametrize(("separation", "weight"), [(3.0, 0.5), (10.0, 0.5), (6.0, 0.7), (600.0, 0.5)])
def test_forward_kl_gives_mean_and_spread_of_the_density(separation: float, weight: float) -> None:
    means, sds = means_and_sds(fitted(bimodal(separation, weight), "forward_kl"))
    assert means[0] == pytest.approx((1 - 2 * weight) * separation / 2, abs=1e-9)
    assert sds[0] == pytest.approx(math.sqrt(1 + separation**2 * weight * (1 - weight)), rel=1e-9)


def test_reverse_kl_finds_one_of_two_separated_modes_and_which_depends_on_the_start() -> None:
    means, sds = means_and_sds(fitted(bimodal(12), "reverse_kl", 8))
    # the search ends at 1e-9 of the divergence, 4e-5 of mean and spread; the other mode is 12 spreads away
    np.testing.assert_allclose(np.abs(means), 6, atol=1e-3)
    np.testing.assert_allclose(sds, 1, atol=1e-3)
    assert set(np.sign(means)) == {-1, 1}


def test_jensen_shannon_lies_between_forward_and_reverse_kl() -> None:
    forward, reverse, js = (
        means_and_sds(fitted(bimodal(5, weight=0.3), d, 4))
        for d in ("forward_kl", "reverse_kl", "jensen_shannon")
    )
    assert (forward[0] + 0.01 < js[0]).all()
    assert (js[0] < abs(reverse[0]) - 0.01).all()
    assert (reverse[1] + 0.01 < js[1]).all()
    assert (js[1] < forward[1] - 0.01).all()


def test_jensen_shannon_leaves_a_mode_out_when_the_modes_are_far_enough_apart() -> None:
    for separation, covers in ((8.0, True), (20.0, False)):
        means, _ = means_and_sds(fitted(bimodal(separation), "jensen_shannon", 3))
        np.testing.assert_allclose(np.abs(means), 0 if covers else separation / 2, atol=1e-2)


def test_each_minimum_is_no_higher_than_its_neighbours() -> None:
    density = bimodal(7, weight=0.4)
    for divergence, measure in DISTANCES.items():
        means, sds = means_and_sds(fitted(density, divergence))
        least = measure(density, means[0], sds[0])
        for shift, scale in ((0.01, 1), (-0.01, 1), (0, 1.01), (0, 0.99), (0.01, 1.01), (-0.01, 0.99)):
            assert measure(density, means[0] + shift, scale * sds[0]) > least


def test_reverse_kl_of_gaussians_is_its_closed_form() -> None:
    density = known_density("gaussian", {})
    for mean, sd in ((0.0, 1.0), (2.0, 0.3), (-7.0, 4.0)):
        expected = -math.log(sd) + (sd**2 + mean**2 - 1) / 2
        assert reverse_kl(density, mean, sd) == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_chi_squared_and_hellinger_of_gaussians_are_their_closed_forms() -> None:
    density = known_density("gaussian", {})
    for mean, sd in ((0.0, 1.0), (0.8, 0.9), (-2.0, 3.0)):
        exponent = mean**2 / (2 * sd**2 - 1)
        assert chi_squared(density, mean, sd) == pytest.approx(
            2 * math.log(sd) - math.log(2 * sd**2 - 1) / 2 + exponent, abs=1e-6
        )  # the box of the density ends at six standard deviations
        affinity = math.sqrt(2 * sd / (1 + sd**2)) * math.exp(-(mean**2) / (4 * (1 + sd**2)))
        assert hellinger(density, mean, sd) == pytest.approx(2 - 2 * affinity, abs=1e-9)


def test_total_variation_of_shifted_gaussians_is_its_closed_form_and_1_without_overlap() -> None:
    density = known_density("gaussian", {})
    for mean in (0.0, 0.5, 3.0):
        expected = 2 * stats.norm.cdf(mean / 2) - 1
        # min(p, q) has a kink between two points of the grid, 0.009 apart
        assert total_variation(density, mean, 1.0) == pytest.approx(expected, abs=1e-5)
    assert total_variation(density, 1_000.0, 0.7) == pytest.approx(1)


def test_the_heavier_the_price_of_missing_mass_the_wider_the_gaussian() -> None:
    sds = {d: means_and_sds(fitted(bimodal(3, weight=0.4, sd=0.7), d))[1][0] for d in DIVERGENCES}
    order = ["reverse_kl", "hellinger", "jensen_shannon", "forward_kl", "chi_squared"]
    assert sorted(order, key=lambda name: sds[name]) == order


def test_jensen_shannon_is_scipys_quadrature_and_ln_2_without_overlap() -> None:
    density, q = bimodal(4, weight=0.3), stats.norm(1.0, 0.7)

    def integrand(x: float) -> float:
        p_x = 0.3 * stats.norm(-2).pdf(x) + 0.7 * stats.norm(2).pdf(x)
        q_x, m = q.pdf(x), (p_x + q.pdf(x)) / 2
        return 0.5 * (p_x * math.log(p_x / m) + q_x * math.log(q_x / m) if q_x else p_x * math.log(2))

    expected = quad(integrand, -11, 11, epsabs=1e-11, limit=200)[0]
    assert jensen_shannon(density, 1.0, 0.7) == pytest.approx(expected, abs=1e-9)
    assert jensen_shannon(density, 1_000.0, 0.7) == pytest.approx(math.log(2), rel=1e-12)
    assert jensen_shannon(known_density("gaussian", {}), 0.0, 1.0) == pytest.approx(0, abs=1e-12)


def test_the_moments_of_a_density_are_those_of_its_samples() -> None:
    density = bimodal(5, weight=0.2)
    mean, sd = moments(density)
    draws = density.sample(100_000, np.random.default_rng(0))[:, 0]
    assert abs(draws.mean() - mean) < 5 * sd / math.sqrt(100_000)  # five standard errors
    assert abs(draws.std() - sd) < 5 * sd / math.sqrt(100_000)  # and some more than five: the tails are light


def test_a_replicate_is_what_it_is_alone() -> None:
    together = fitted(bimodal(12), "reverse_kl", 5)
    alone = Projection.fresh(together.options, 1, streams(1), bimodal(12))
    alone.fit(torch.empty(1, 0, 1), Budget(epochs=1), Streams(streams(5).generators[3:4]))
    assert torch.equal(alone.mean, together.mean[3:4])
    assert torch.equal(alone.covariance, together.covariance[3:4])


def test_it_is_sampled_saved_and_evaluated_as_a_gaussian() -> None:
    one, density = fitted(bimodal(4), "forward_kl", 2), bimodal(4)
    other = Projection.fresh(one.options, 1, streams(2), density)
    other.restore(one.state())
    points = other.sample(20_000, 0.5, streams(2))
    assert points.shape == (2, 20_000, 1)
    # variance 0.5 · (1 + 4); five standard errors of a variance are 5 √(2/n) of it
    assert points[0].var().item() == pytest.approx(2.5, rel=5 * math.sqrt(2 / 20_000))
    expected = stats.norm(0, math.sqrt(5)).logpdf(points[0, :5, 0])
    np.testing.assert_allclose(one.log_density(points[:, :5])[0], expected, rtol=1e-8)
    assert not one.by_moments


def test_two_dimensions_are_refused_and_options_have_their_defaults() -> None:
    assert parse(Projection.Options, {}, "options").divergence == "forward_kl"
    with pytest.raises(SpecError, match="projection: expected a density in 1 dimension, got 2"):
        Projection.fresh(Projection.Options(), 2, streams(1), known_density("gaussian", {"dimension": 2}))
