"""EDM's functions against diffusers and against closed forms."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import EDMEulerScheduler, HeunDiscreteScheduler
from torch import Tensor

from bigloop.metrics.samplers import levels
from bigloop.models.karras import Churn, heun, heun_step, preconditioning

DATA = 0.5  # standard deviation of Gaussian data, of which the best denoiser is known


def best(x: Tensor, sigma: float) -> Tensor:
    """E[data | x] for data of N(0, DATA²)."""
    return DATA**2 / (DATA**2 + sigma**2) * x


def one(value: float = 1.0) -> Tensor:
    return torch.tensor([[value]], dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_preconditioning_is_that_of_diffusers() -> None:
    theirs = EDMEulerScheduler(sigma_data=DATA)
    for sigma in (0.002, 0.3, 0.5, 4.0, 80.0):
        c = preconditioning(torch.tensor(sigma, dtype=torch.float64), DATA)
        x, said = one(0.7), one(-0.2)
        assert float(c.entry) == pytest.approx(theirs._get_conditioning_c_in(sigma))
        assert float(c.time) == pytest.approx(float(theirs.precondition_noise(sigma)), abs=1e-6)
        mixed = c.skip * x + c.out * said
        assert float(mixed) == pytest.approx(float(theirs.precondition_outputs(x, said, sigma)))


def test_with_the_papers_weights_the_error_of_a_denoised_image_is_that_of_the_network() -> None:
    """λ(σ) ‖D(y + n) − y‖² = ‖F − (y − c_skip x) / c_out‖² with λ = (σ² + σ_data²) / (σ σ_data)² (eq. 8, table 1)."""
    y, noise, said = (torch.randn(5, generator=seeded(k), dtype=torch.float64) for k in range(3))
    sigma = torch.tensor([0.01, 0.2, 0.5, 3.0, 60.0], dtype=torch.float64)
    x, c = y + sigma * noise, preconditioning(sigma, DATA)
    weighted = (sigma**2 + DATA**2) / (sigma * DATA) ** 2 * (c.skip * x + c.out * said - y) ** 2
    torch.testing.assert_close((said - (y - c.skip * x) / c.out) ** 2, weighted)


@pytest.mark.parametrize("steps", [1, 2, 18, 40])
def test_levels_are_those_of_diffusers_and_end_with_0(steps: int) -> None:
    theirs = EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, rho=7.0)
    theirs.set_timesteps(steps)
    np.testing.assert_allclose(levels(steps, 0.002, 80.0, 7.0), theirs.sigmas.numpy(), rtol=1e-5)


def test_steps_are_those_of_diffusers() -> None:
    """HeunDiscreteScheduler, whose σ are set to ours, with a denoiser that is no linear function."""
    theirs, sigmas = HeunDiscreteScheduler(num_train_timesteps=1_000), levels(6, 0.01, 20.0, 7.0)
    theirs.set_timesteps(6)
    own = torch.tensor(sigmas, dtype=torch.float64)
    theirs.sigmas = torch.cat([own[:1], own[1:-1].repeat_interleave(2), own[-1:]])
    x = 20 * torch.randn(4, 3, generator=seeded(), dtype=torch.float64)
    y = x
    for t, sigma in zip(theirs.timesteps, theirs.sigmas.tolist(), strict=False):
        y = theirs.step((y - torch.tanh(y / (1 + sigma))) / sigma, t, y).prev_sample
    mine = heun(lambda x, sigma: torch.tanh(x / (1 + sigma)), x, sigmas)
    torch.testing.assert_close(mine, y)


def gain(steps: int, most: float = 80.0, least: float = 0.002) -> float:
    """What sampling multiplies the first noise's standard deviation with, relative to the data's."""
    sigmas = levels(steps, least, most, 7.0)
    return float(heun(best, one(sigmas[0]), sigmas)) / DATA


def recursion(steps: int) -> float:
    """The same by the recursion of one Heun step on a Gaussian, in plain numbers."""
    sigmas = levels(steps, 0.002, 80.0, 7.0)
    x = sigmas[0]
    for now, then in pairwise(sigmas):
        slope = now / (DATA**2 + now**2)  # (1 − DATA² / (DATA² + σ²)) / σ
        factor = 1 + (then - now) * slope
        if then:
            factor = 1 + (then - now) * (slope + factor * then / (DATA**2 + then**2)) / 2
        x *= factor
    return x / DATA


@pytest.mark.parametrize(("steps", "variance"), [(18, 1.114), (40, 1.020)])
def test_the_variance_of_samples_is_that_of_the_recursion_not_that_of_the_data(
    steps: int, variance: float
) -> None:
    assert gain(steps) == pytest.approx(recursion(steps), rel=1e-12)
    assert gain(steps) ** 2 == pytest.approx(variance, abs=5e-4)
    sigmas, n = levels(steps, 0.002, 80.0, 7.0), 200_000
    made = heun(best, sigmas[0] * torch.randn(n, generator=seeded(), dtype=torch.float64), sigmas)
    # four standard errors of a variance of so many numbers
    assert float(made.var()) / DATA**2 == pytest.approx(variance, rel=4 * math.sqrt(2 / n) + 5e-4)


def test_the_order_of_convergence_is_2() -> None:
    """From σ = 2 to 0.1, where the exact solution is √((DATA² + 0.01) / (DATA² + 4)) times as large."""
    exact = math.sqrt((DATA**2 + 0.01) / (DATA**2 + 4))

    def error(steps: int) -> float:
        x = one()
        grid = np.geomspace(2.0, 0.1, steps + 1)
        for now, then in pairwise(grid):
            x = heun_step(best, x, float(now), float(then))
        return abs(float(x) - exact)

    orders = [math.log2(error(n) / error(2 * n)) for n in (16, 32, 64)]
    assert orders == pytest.approx([2.0, 2.0, 2.0], abs=0.15)


def test_churn_adds_noise_between_its_limits_alone() -> None:
    sigmas = levels(10, 0.01, 20.0, 7.0)
    drawn: list[float] = []

    def noise(x: Tensor) -> Tensor:
        drawn.append(1.0)
        return torch.zeros_like(x)

    heun(best, one(20.0), sigmas, Churn(5.0, 0.1, 5.0), noise)
    assert len(drawn) == sum(0.1 <= sigma <= 5.0 for sigma in sigmas[:-1]) > 0
    heun(best, one(20.0), sigmas, Churn(), noise)
    assert len(drawn) == sum(0.1 <= sigma <= 5.0 for sigma in sigmas[:-1])


def test_with_churn_the_samples_of_the_best_denoiser_keep_the_datas_variance() -> None:
    n, sigmas = 100_000, levels(100, 0.002, 80.0, 7.0)
    stream = seeded(4)
    made = heun(
        best,
        80.0 * torch.randn(n, generator=stream, dtype=torch.float64),
        sigmas,
        Churn(30.0),
        lambda x: torch.randn(x.shape, generator=stream, dtype=x.dtype),
    )
    # four standard errors, and the 0.3 % that the steps are off without churn
    assert float(made.var()) / DATA**2 == pytest.approx(1.0, abs=4 * math.sqrt(2 / n) + 0.01)
