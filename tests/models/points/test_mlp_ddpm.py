"""Diffusion of points: its step by Bayes' rule, its chain on Gaussian data, whose answer is known, and its network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bigloop.models import resolve
from bigloop.models.diffusion import alpha_bar, noised, posterior
from bigloop.models.points.mlp_ddpm import MLPDDPM, descend, time_features
from bigloop.models.points.stacked import Streams
from bigloop.spec.loops import Budget
from bigloop.spec.options import to_dict

SPREAD = 0.5  # s, of Gaussian data
SCHEDULE = 100, 1e-3, 0.2


def streams(*seeds: int) -> Streams:
    return Streams([np.random.default_rng(seed) for seed in seeds])


def true_eps(a: Tensor, spread: float = SPREAD) -> Callable[[Tensor, int], Tensor]:
    """E[ε | x_t] for data from N(0, s²)."""

    def eps(x: Tensor, t: int) -> Tensor:
        level = a[t].item()
        return math.sqrt(1 - level) * x / (level * spread**2 + 1 - level)

    return eps


def chain_variance(a: Tensor, bias: float) -> float:
    """Variance of the chain's x_0: each step is linear, in the form of Ho et al. 2020, alg. 2."""
    variance = bias
    levels = [1.0, *a.tolist()]
    for t in reversed(range(len(a))):
        now, then = levels[t + 1], levels[t]
        alpha = now / then
        slope = (1 - alpha) / (now * SPREAD**2 + 1 - now)  # of (1 − α)/√(1 − ᾱ) · ε in x
        variance = (1 - slope) ** 2 / alpha * variance + bias * (1 - then) / (1 - now) * (1 - alpha)
    return variance


# --- the chain ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [1, 2, 50, 99])
def test_the_posterior_is_bayes_rule(t: int) -> None:
    a = alpha_bar(*SCHEDULE).tolist()
    now, then = a[t], a[t - 1]
    alpha = now / then
    x0, noise = streams(1, 2).normal(2, 5, 3, dtype=torch.float64)
    x = noised(x0, noise, torch.tensor(now, dtype=torch.float64))
    # q(x_{t−1} | x_t, x_0) ∝ N(x_t; √α x_{t−1}, 1 − α) · N(x_{t−1}; √ᾱ_{t−1} x_0, 1 − ᾱ_{t−1}): precisions add
    precision = alpha / (1 - alpha) + 1 / (1 - then)
    expected = (math.sqrt(alpha) * x / (1 - alpha) + math.sqrt(then) * x0 / (1 - then)) / precision
    mean, deviation = posterior(x, noise, now, then, clip=False)
    torch.testing.assert_close(mean, expected, rtol=1e-9, atol=1e-9)
    assert deviation == pytest.approx(precision**-0.5, rel=1e-9)


def test_the_last_step_gives_the_predicted_point_itself() -> None:
    a = alpha_bar(*SCHEDULE)
    x0, noise = streams(1, 2).normal(2, 5, 3, dtype=torch.float64)
    mean, deviation = posterior(noised(x0, noise, a[0]), noise, a[0].item(), 1.0, clip=False)
    torch.testing.assert_close(mean, x0)
    assert deviation == 0


@pytest.mark.parametrize("bias", [1.0, 0.4, 0.0])
def test_samples_of_gaussian_data_have_the_chains_variance_in_every_replicate(bias: float) -> None:
    n, a = 40_000, alpha_bar(*SCHEDULE)
    x = descend(true_eps(a), n, 1, a, bias, streams(3, 4))
    variance = chain_variance(a, bias)
    # five standard errors of a mean and of a variance of n normal numbers
    assert (x.mean(1).abs() <= 5 * math.sqrt(variance / n)).all()
    assert ((x.var(1) - variance).abs() <= 5 * variance * math.sqrt(2 / n)).all()


def test_the_default_schedule_ends_in_noise_and_its_chain_near_the_data() -> None:
    options = MLPDDPM.Options()
    a = alpha_bar(options.timesteps, options.beta_first, options.beta_last)
    assert a[-1] < 1e-4
    # worked out from the recursion: 100 steps are a little too narrow
    assert math.sqrt(chain_variance(a, 1.0)) == pytest.approx(SPREAD, rel=0.07)


def test_the_bias_scales_all_noise_and_so_linear_chains_by_its_root() -> None:
    a = alpha_bar(*SCHEDULE)
    whole, half = (descend(true_eps(a), 50, 2, a, bias, streams(3)) for bias in (1.0, 0.25))
    torch.testing.assert_close(half, whole / 2)


# --- the network ----------------------------------------------------------------------------------------


def trained(rows: Tensor, steps: int, **options: Any) -> MLPDDPM:
    model = MLPDDPM.fresh(MLPDDPM.Options(**options), rows.shape[2], streams(*range(len(rows))))
    budget = Budget(images=steps * model.options.batch_size)
    model.fit(rows, budget, streams(*range(10, 10 + len(rows))))
    return model


def test_a_trained_network_predicts_the_noise_of_gaussian_data() -> None:
    model = trained(SPREAD * streams(1).normal(20_000, 1), 800, batch_size=256, hidden=32, layers=2)
    for t in (2, 20, 50, 95):
        a = model.alpha_bar[t].item()
        x = math.sqrt(a * SPREAD**2 + 1 - a) * torch.linspace(-2, 2, 41).view(1, -1, 1)
        with torch.no_grad():
            error = model.eps(x, t) - true_eps(model.alpha_bar)(x, t)
        # measured: 0.13 at the first of them, 0.011 at the others; noise itself has a mean square of 1
        assert error.square().mean().sqrt() < (0.2 if t == 2 else 0.05)


def test_the_loss_of_a_step_is_the_squared_error_of_the_noise() -> None:
    model = MLPDDPM.fresh(MLPDDPM.Options(batch_size=400, scale=2.0), 2, streams(0, 1))
    real = streams(2, 3).normal(400, 2)
    source, a = streams(4, 5), model.alpha_bar.numpy()
    t, noise = source.integers(100, 400).numpy(), source.normal(400, 2).numpy()
    level = a[t][:, :, None]
    x = np.sqrt(level) * real.numpy() / 2 + np.sqrt(1 - level) * noise
    inputs = torch.cat([torch.from_numpy(x).float(), time_features(100, 4)[t]], dim=2)
    expected = ((model.pair.net(inputs).detach().numpy() - noise) ** 2).mean((1, 2))
    loss = model.step(iter([real]), streams(4, 5))["loss"]
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-5)


def test_data_twice_as_large_at_twice_the_scale_give_samples_twice_as_large() -> None:
    rows, small = streams(1).normal(200, 2), {"batch_size": 32, "hidden": 8, "timesteps": 10}
    one, two = trained(rows, 5, **small), trained(2 * rows, 5, scale=2.0, **small)
    assert torch.equal(2 * one.sample(9, 1.0, streams(3)), two.sample(9, 1.0, streams(3)))


def test_the_average_follows_its_recursion_and_samples_come_from_it() -> None:
    model = MLPDDPM.fresh(MLPDDPM.Options(average_decay=0.2, hidden=4), 2, streams(0, 1))
    pair = model.pair
    expected = [p.detach().double() for p in pair.net.parameters()]
    for decay in (0.1, 2 / 11, 0.2, 0.2):  # (1 + k) / (10 + k), at most 0.2
        with torch.no_grad():
            for p in pair.net.parameters():
                p.add_(0.3 * streams(5, 6).normal(*p.shape[1:]))
        pair.update()
        expected = [decay * e + (1 - decay) * p for e, p in zip(expected, pair.net.parameters(), strict=True)]
    for mean, value in zip(pair.average.parameters(), expected, strict=True):
        torch.testing.assert_close(mean, value.float())
    assert pair.updates.tolist() == [4, 4]
    before = model.sample(3, 1.0, streams(7, 8))
    torch.nn.init.ones_(next(pair.net.parameters()))
    assert torch.equal(model.sample(3, 1.0, streams(7, 8)), before)


def test_every_step_has_time_features_of_its_own() -> None:
    features = time_features(100, 3)
    assert features.shape == (100, 6)
    assert torch.pdist(features).min() > 0.01
    assert features.abs().max() <= 1


@pytest.mark.long
def test_a_short_training_finds_two_modes_and_nothing_between() -> None:
    generator = np.random.default_rng(0)
    centres = 4 * generator.integers(2, size=4_000) - 2
    rows = torch.from_numpy(centres + 0.2 * generator.standard_normal(4_000)).float().view(1, -1, 1)
    x = trained(rows, 600, batch_size=256, hidden=32).sample(4_000, 1.0, streams(9)).abs()
    # of the data, 0.997 are within 3σ of a mode
    assert ((x - 2).abs() < 0.6).double().mean() > 0.9
    assert x.mean().item() == pytest.approx(2, abs=0.1)


def test_a_network_that_is_wrong_far_from_the_data_sends_no_sample_far_away() -> None:
    model = MLPDDPM.fresh(MLPDDPM.Options(hidden=4, layers=1, batch_size=8), 2, streams(0, 1))
    rows = torch.cat([streams(2).normal(50, 2), streams(3).normal(50, 2) + 10])
    model.fit(rows, Budget(images=8), streams(4, 5))
    model.eps = lambda x, t: -3 * x  # type: ignore[method-assign]
    samples = model.sample(200, 1.0, streams(6, 7))
    low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
    width = high - low
    assert (samples >= low - width / 2 - 1e-4).all()
    assert (samples <= high + width / 2 + 1e-4).all()
    model.options = dataclasses.replace(model.options, box=False)
    assert model.sample(200, 1.0, streams(6, 7)).abs().max() > 1e6
    model.options = dataclasses.replace(model.options, box=True, sampler="ddim")
    assert (model.sample(200, 1.0, streams(6, 7)) <= high + width / 2 + 1e-4).all()


def test_samplers_that_came_later_leave_the_digests_of_old_runs_alone() -> None:
    assert not {"sampler", "variance", "box"} & to_dict(MLPDDPM.Options()).keys()
    given = to_dict(MLPDDPM.Options(sampler="ddim", variance="beta", box=False))
    assert (given["sampler"], given["variance"], given["box"]) == ("ddim", "beta", False)
    assert resolve("mlp_ddpm", {"variance": "beta"}, "model").sampler == {"variance": "beta"}
    assert resolve("mlp_ddpm", {"variance": "posterior", "box": True}, "model") == resolve(
        "mlp_ddpm", {}, "model"
    )
