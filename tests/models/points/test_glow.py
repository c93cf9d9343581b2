"""GLOW: an invertible map with its own determinant, a density that integrates to 1, and training that finds it."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bigloop.models.points.glow import LOG_SCALE, Glow, limit_gradients
from bigloop.models.points.stacked import Linear, Streams
from bigloop.spec.loops import Budget
from bigloop.spec.options import SpecError


def streams(*seeds: int) -> Streams:
    return Streams([np.random.default_rng(seed) for seed in seeds])


def scrambled(dimension: int, seeds: tuple[int, ...] = (0, 1)) -> Glow:
    """A flow in float64 whose every parameter has been moved, so that each part of it does something."""
    model = Glow.fresh(Glow.Options(couplings=4, hidden=8), dimension, streams(*seeds))
    model.flow.double()
    source = streams(*seeds)
    with torch.no_grad():
        for p in model.flow.parameters():
            p.add_(0.3 * source.normal(*p.shape[1:], dtype=torch.float64))
    return model


def banana(*seeds: int, n: int) -> Tensor:
    """Points of the density ∝ exp(−x₁²/2 − (x₂ − x₁²)²/2)."""
    x = streams(*seeds).normal(n, 2)
    x[:, :, 1] += x[:, :, 0] ** 2
    return x


def banana_log_density(x: Tensor) -> Tensor:
    first, second = x.unbind(2)
    return -(first**2) / 2 - (second - first**2) ** 2 / 2 - math.log(2 * math.pi)


@pytest.fixture(scope="module")
def fitted() -> Glow:
    model = Glow.fresh(Glow.Options(couplings=6, hidden=32, learning_rate=2e-3), 2, streams(0))
    model.fit(banana(1, n=4_000), Budget(images=256 * 500), streams(2))
    return model


@pytest.mark.parametrize("dimension", [2, 3, 6])
def test_the_inverse_undoes_the_map(dimension: int) -> None:
    flow, x = scrambled(dimension).flow, streams(5, 6).normal(40, dimension, dtype=torch.float64)
    z = flow(x)[0]
    assert (z - x).abs().mean() > 0.1
    torch.testing.assert_close(flow.inverse(z), x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dimension", [2, 3, 6])
def test_the_log_determinant_is_that_of_the_jacobian(dimension: int) -> None:
    flow, points = scrambled(dimension).flow, streams(5, 6).normal(4, dimension, dtype=torch.float64)
    logdet = flow(points)[1]
    for r in range(2):
        for k in range(4):

            def z(x: Tensor, r: int = r) -> Tensor:
                return flow(x.expand(2, 1, dimension))[0][r, 0]

            jacobian = torch.autograd.functional.jacobian(z, points[r, k])
            expected = torch.linalg.slogdet(jacobian)[1]
            assert logdet[r, k].item() == pytest.approx(expected.item(), abs=1e-10)


def test_the_linear_maps_start_as_rotations_and_another_in_each_replicate() -> None:
    flow = Glow.fresh(Glow.Options(couplings=3), 4, streams(0, 1)).flow
    linear = flow._affine()[0].detach()
    torch.testing.assert_close(linear @ linear.transpose(2, 3), torch.eye(4).expand(2, 3, 4, 4))
    assert len({round(number, 4) for number in linear[:, :, 0, 0].flatten().tolist()}) == 6


def test_a_new_flow_normalises_the_first_batch_it_is_given_and_no_later_one() -> None:
    flow = Glow.fresh(Glow.Options(couplings=3), 3, streams(0, 1)).flow
    scale = torch.tensor([1.0, 10.0, 0.1])
    batch = scale * streams(2, 3).normal(500, 3) + torch.tensor([5.0, -7.0, 0.0])
    flow.initialise(batch)
    z = flow(batch)[0]
    # the couplings do nothing yet: what is left is rotations of normalised points
    torch.testing.assert_close(z.mean(1), torch.zeros(2, 3), rtol=0, atol=1e-4)
    torch.testing.assert_close(z.var(1, correction=0).sum(1), torch.full((2,), 3.0))
    before = {key: value.clone() for key, value in flow.state_dict().items()}
    flow.initialise(batch + 3)
    assert all(torch.equal(value, before[key]) for key, value in flow.state_dict().items())


def test_only_replicates_that_were_never_trained_are_initialised() -> None:
    flow, batch = (
        Glow.fresh(Glow.Options(couplings=2), 2, streams(0, 1)).flow,
        streams(2, 3).normal(50, 2) + 4,
    )
    flow.initialised[0] = True
    flow.initialise(batch)
    assert (flow.shift[0] == 0).all()
    assert (flow.shift[1, 0] < -3).all()
    assert flow.initialised.all()


def test_a_batch_of_one_point_again_and_again_does_not_break_the_start() -> None:
    model = Glow.fresh(Glow.Options(couplings=2, batch_size=8), 2, streams(0))
    history = model.fit(torch.ones(1, 8, 2), Budget(images=80), streams(1))
    assert np.isfinite(history["loss"]).all()


def test_a_coupling_scales_by_a_bounded_factor() -> None:
    flow = scrambled(4).flow
    with torch.no_grad():
        last = cast(Linear, cast(nn.Sequential, flow.nets[0])[-1])
        last.weight.mul_(1e6)
    log_scale, _ = flow._coupling(flow.nets[0], streams(0, 1).normal(30, 2, dtype=torch.float64))
    assert log_scale.abs().max() <= LOG_SCALE


@pytest.mark.long
def test_a_fitted_density_integrates_to_1(fitted: Glow) -> None:
    side = torch.linspace(-10, 25, 351)
    grid = torch.cartesian_prod(side, side)[None]
    mass = fitted.log_density(grid).double().exp().sum().item() * 0.1**2
    # the box leaves out 1e-6 of the true mass; the density hardly changes over a cell of 0.1
    assert mass == pytest.approx(1, abs=0.005)


def test_a_fitted_density_is_near_the_true_one(fitted: Glow) -> None:
    test = banana(7, n=20_000)
    gap = banana_log_density(test) - fitted.log_density(test)
    # its mean is the Kullback-Leibler divergence, from above 0 up to five standard errors; that of a Gaussian
    # with the same moments is 0.55
    assert -5 * gap.std().item() / 20_000**0.5 < gap.mean().item() < 0.08


def test_samples_have_the_law_of_the_density(fitted: Glow) -> None:
    samples = fitted.sample(20_000, 1.0, streams(8))
    ratio = (banana_log_density(samples) - fitted.log_density(samples)).double().exp()
    # E[p / q] = 1 under q, to five standard errors; where q has mass and p has none, less
    assert ratio.mean().item() == pytest.approx(1, abs=5 * ratio.std().item() / 20_000**0.5)


def test_a_lower_bias_gives_a_smaller_spread_down_to_one_point(fitted: Glow) -> None:
    spreads = [fitted.sample(2_000, bias, streams(9)).std(1)[0] for bias in (1.0, 0.5, 0.1, 0.0)]
    assert all((wide > 1.2 * narrow).all() for wide, narrow in pairwise(spreads))
    torch.testing.assert_close(spreads[-1], torch.zeros(2), rtol=0, atol=1e-5)


def test_large_gradients_are_scaled_down_in_their_replicate_alone() -> None:
    net = Linear(3, 2, streams(0, 1))
    net.weight.grad, net.bias.grad = torch.ones(2, 3, 2), torch.zeros(2, 1, 2)
    net.weight.grad[1] *= 1_000
    before = net.weight.grad.clone()
    limit_gradients(net, 10.0)
    assert torch.equal(net.weight.grad[0], before[0])
    torch.testing.assert_close(net.weight.grad[1], before[1] * 10 / before[1].norm())


def test_points_of_one_dimension_are_refused() -> None:
    with pytest.raises(SpecError, match=r"^glow: needs points in 2 or more dimensions, got 1$"):
        Glow.fresh(Glow.Options(), 1, streams(0))
