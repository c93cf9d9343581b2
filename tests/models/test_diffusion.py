"""Diffusion: its steps against diffusers, its chains on Gaussian data, whose answer is known, and guidance."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from bigloop.metrics.samplers import trailing
from bigloop.models.diffusion import (
    alpha_bar,
    ancestral,
    ancestral_step,
    ddim,
    ddim_step,
    noise_from,
    noised,
    velocity,
)
from bigloop.models.images.denoising import guided

SHAPE = (1, 8, 8)
BETAS = 1e-4, 0.04
MEAN, SPREAD = 0.3, 0.5  # of Gaussian data in one dimension


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- one step, against diffusers ------------------------------------------------------------------------


@pytest.mark.parametrize("timesteps", [2, 500, 1_000])
def test_the_schedule_is_diffusers_linear_one(timesteps: int) -> None:
    theirs = DDPMScheduler(timesteps, *BETAS).alphas_cumprod
    torch.testing.assert_close(
        alpha_bar(timesteps, *BETAS).float(), theirs, rtol=1e-4, atol=0
    )  # theirs: float32


def exact(scheduler: Any) -> Any:
    """`scheduler` in float64, so that rounding does not hide a difference."""
    scheduler.alphas_cumprod = alpha_bar(scheduler.config.num_train_timesteps, *BETAS)
    return scheduler


@pytest.mark.parametrize("clip", [True, False])
def test_every_ancestral_step_is_diffusers_own(clip: bool) -> None:
    scheduler = exact(DDPMScheduler(500, *BETAS, variance_type="fixed_small", clip_sample=clip))
    levels = [1.0, *alpha_bar(500, *BETAS).tolist()]
    for t in range(500):
        x, eps = torch.randn(2, 4, 2, 3, generator=seeded(t), dtype=torch.float64)
        expected = scheduler.step(eps, t, x, generator=seeded(1)).prev_sample
        ours = ancestral_step(x, eps, levels[t + 1], levels[t], clip, noise_from(seeded(1)))
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("steps", [500, 20, 1])
def test_every_ddim_step_and_its_times_are_diffusers_own(clip: bool, steps: int) -> None:
    scheduler = exact(DDIMScheduler(500, *BETAS, clip_sample=clip, timestep_spacing="trailing"))
    scheduler.set_timesteps(steps)
    times = trailing(500, steps)
    assert times == scheduler.timesteps.tolist()
    a = alpha_bar(500, *BETAS).tolist()
    for t, then in zip(times, [a[s] for s in times[1:]] + [1.0], strict=True):
        x, eps = torch.randn(2, 4, 2, 3, generator=seeded(t), dtype=torch.float64)
        expected = scheduler.step(eps, t, x, use_clipped_model_output=clip).prev_sample
        torch.testing.assert_close(ddim_step(x, eps, a[t], then, clip), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 3, 7, 499, 500])
def test_ddims_times_fall_from_the_last_step_in_even_strides(steps: int) -> None:
    times = trailing(500, steps)
    strides = {a - b for a, b in zip(times, [*times[1:], -1], strict=True)}
    assert times[0] == 499
    assert len(times) == steps
    assert strides <= {math.floor(500 / steps), math.ceil(500 / steps)}


@pytest.mark.parametrize("t", [0, 100, 499])
def test_noised_images_have_the_mean_and_variance_of_q(t: int) -> None:
    n, a = 100_000, alpha_bar(500, *BETAS)
    x0 = torch.full((n, 1, 1, 1), 0.7, dtype=torch.float64)
    noise = torch.randn(x0.shape, generator=seeded(), dtype=torch.float64)
    x = noised(x0, noise, a[torch.full((n, 1, 1, 1), t)])
    variance = 1 - a[t].item()
    # four standard errors of a mean and of a variance of n normal numbers
    assert abs(x.mean().item() - math.sqrt(a[t].item()) * 0.7) <= 4 * math.sqrt(variance / n)
    assert abs(x.var().item() - variance) <= 4 * variance * math.sqrt(2 / n)


def test_noised_images_and_velocities_are_diffusers_own_each_at_its_step() -> None:
    x0, noise = torch.randn(2, 5, *SHAPE, generator=seeded())
    t = torch.tensor([0, 3, 77, 250, 499])
    scheduler, a = DDPMScheduler(500, *BETAS), alpha_bar(500, *BETAS).float()[t].view(-1, 1, 1, 1)
    torch.testing.assert_close(velocity(x0, noise, a), scheduler.get_velocity(x0, noise, t))
    expected = scheduler.add_noise(x0, noise, t)
    torch.testing.assert_close(noised(x0, noise, a), expected)


# --- whole chains, on Gaussian data ---------------------------------------------------------------------


def true_eps(a: Tensor) -> Callable[[Tensor, int], Tensor]:
    """E[ε | x_t] for data from N(MEAN, SPREAD²)."""

    def eps(x: Tensor, t: int) -> Tensor:
        level = a[t].item()
        variance = level * SPREAD**2 + 1 - level
        return math.sqrt(1 - level) * (x - math.sqrt(level) * MEAN) / variance

    return eps


def ancestral_law(a: Tensor) -> tuple[float, float]:
    """Mean and variance of the chain's x_0: each step is linear, in the form of Ho et al. 2020, alg. 2."""
    mean, variance = 0.0, 1.0
    levels = [1.0, *a.tolist()]
    for t in reversed(range(len(a))):
        now, then = levels[t + 1], levels[t]
        alpha = now / then
        slope = (1 - alpha) / (now * SPREAD**2 + 1 - now)  # of (1 − α)/√(1 − ᾱ) · ε in x
        mean = (mean - slope * (mean - math.sqrt(now) * MEAN)) / math.sqrt(alpha)
        variance = ((1 - slope) / math.sqrt(alpha)) ** 2 * variance + (1 - then) / (1 - now) * (1 - alpha)
    return mean, variance


def ddim_law(a: Tensor, times: list[int]) -> tuple[float, float]:
    """Offset and factor of x_0 in x_T: the deviation from √ᾱ · MEAN is multiplied at every step."""
    levels = [*a[times].tolist(), 1.0]
    factor = 1.0
    for now, then in pairwise(levels):
        image, noise = SPREAD**2 * math.sqrt(now * then), math.sqrt((1 - now) * (1 - then))
        factor *= (image + noise) / (now * SPREAD**2 + 1 - now)
    return MEAN - factor * math.sqrt(levels[0]) * MEAN, factor


def test_ancestral_samples_of_gaussian_data_have_the_chains_mean_and_variance() -> None:
    n, a = 40_000, alpha_bar(500, *BETAS)
    generator = seeded()
    start = torch.randn(n, generator=generator, dtype=torch.float64)
    x = ancestral(true_eps(a), start, a, clip=False, noise=noise_from(generator))
    mean, variance = ancestral_law(a)
    # four standard errors of a mean and of a variance of n normal numbers
    assert abs(x.mean().item() - mean) <= 4 * math.sqrt(variance / n)
    assert abs(x.var().item() - variance) <= 4 * variance * math.sqrt(2 / n)


@pytest.mark.parametrize("steps", [500, 20])
def test_ddim_maps_the_noise_of_gaussian_data_linearly(steps: int) -> None:
    a, start = alpha_bar(500, *BETAS), torch.linspace(-3, 3, 7, dtype=torch.float64)
    offset, factor = ddim_law(a, trailing(500, steps))
    x = ddim(true_eps(a), start, a, trailing(500, steps), clip=False)
    torch.testing.assert_close(x, offset + factor * start, rtol=1e-10, atol=1e-10)


def test_the_chains_laws_come_near_the_datas_law_as_their_steps_grow_finer() -> None:
    errors = []
    for timesteps, scale in ((500, 1.0), (5_000, 0.1)):  # as much noise in ten times as many steps
        a = alpha_bar(timesteps, *(scale * beta for beta in BETAS))
        mean, variance = ancestral_law(a)
        offset, factor = ddim_law(a, list(reversed(range(timesteps))))
        errors.append([abs(mean - MEAN), abs(math.sqrt(variance) - SPREAD)])
        errors.append([abs(offset - MEAN), abs(factor - SPREAD)])
    # worked out from the recursions, whose errors are of first order in the size of a step
    assert max(errors[0]) < 0.008
    assert max(errors[1]) < 0.004
    assert max(*errors[2], *errors[3]) < 0.0011


def test_clipped_predictions_keep_samples_in_the_range_of_the_data() -> None:
    a, start = alpha_bar(50, *BETAS), 5 * torch.randn(1_000, generator=seeded(), dtype=torch.float64)
    for x in (
        ancestral(true_eps(a), start, a, clip=True, noise=noise_from(seeded())),
        ddim(true_eps(a), start, a, trailing(50, 10), clip=True),
    ):
        assert x.abs().max() <= 1


# --- guidance ---


@pytest.mark.parametrize(("bias", "w"), [(0.8, 0.25), (0.5, 1.0), (0.25, 3.0)])
def test_guidance_moves_the_noise_away_from_the_unconditional_one(bias: float, w: float) -> None:
    x = torch.randn(5, generator=seeded())
    mixed = guided(lambda x, t: x * t, lambda x, t: x - t, bias)(x, 7)
    torch.testing.assert_close(mixed, (1 + w) * (x * 7) - w * (x - 7))


def test_without_guidance_the_conditional_noise_is_all_that_is_asked_for() -> None:
    def never(x: Tensor, t: float) -> Tensor:
        raise AssertionError("the unconditional network was evaluated")

    assert guided(lambda x, t: x + t, never, 1.0)(torch.ones(2), 3).tolist() == [4.0, 4.0]
