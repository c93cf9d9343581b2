"""Samples used against their model: on Gaussians in closed form, through the samplers that images and points use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from bigloop.models.diffusion import alpha_bar, ddim
from bigloop.models.flow import midpoint
from bigloop.models.karras import heun
from bigloop.models.opposed import contrasted, extrapolated

BASE, AUXILIARY, STRENGTHS = 1.0, 0.6, (0.0, 0.5, 1.0, 2.0)  # variances, and ω


def expected(strength: float) -> float:
    """The variance s_b² (s_b²/s_a²)^ω of the probability flow: a drift that is linear in x multiplies variances."""
    return BASE * (BASE / AUXILIARY) ** strength


def noise(n: int = 20_000) -> Tensor:
    """Standard normal, with moments that are exact: what a linear flow makes of them is its factor."""
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, n, 1)))
    return (x - x.mean()) / x.std(correction=0)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_a_flow_between_gaussians(strength: float) -> None:
    def velocity(variance: float) -> Callable[[Tensor, float], Tensor]:
        # x_t = (1 − t) noise + t data: E[data − noise | x]
        return lambda x, t: x * (t * variance - (1 - t)) / (t**2 * variance + (1 - t) ** 2)

    found = midpoint(contrasted(velocity(BASE), velocity(AUXILIARY), strength), noise(), 400)
    assert found.var(correction=0).item() == pytest.approx(expected(strength), rel=1e-4)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_denoising_of_gaussians_by_heun(strength: float) -> None:
    def denoised(variance: float) -> Callable[[Tensor, float], Tensor]:
        return lambda x, sigma: x * variance / (variance + sigma**2)

    rho, steps = 7.0, 400
    ramp = np.linspace(1, 0, steps)
    sigmas = [*((1e-3 ** (1 / rho) + r * (200.0 ** (1 / rho) - 1e-3 ** (1 / rho))) ** rho for r in ramp), 0.0]
    start = noise() * sigmas[0]
    found = heun(contrasted(denoised(BASE), denoised(AUXILIARY), strength), start, sigmas)
    # at σ = 200 noise stands for noisy data: off by s²/σ², 3e-5
    assert found.var(correction=0).item() == pytest.approx(expected(strength), rel=3e-3)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_diffusion_of_gaussians_by_ddim(strength: float) -> None:
    levels = alpha_bar(1_000, 1e-4, 2e-2)

    def eps(variance: float) -> Callable[[Tensor, int], Tensor]:
        def predicted(x: Tensor, t: int) -> Tensor:
            level = float(levels[t])
            return x * (1 - level) ** 0.5 / (level * variance + 1 - level)

        return predicted

    steps = list(reversed(range(1_000)))
    found = ddim(contrasted(eps(BASE), eps(AUXILIARY), strength), noise(), levels, steps, clip=False)
    assert found.var(correction=0).item() == pytest.approx(
        expected(strength), rel=1e-2
    )  # 1 000 steps of order 1


def test_weights_beyond_the_base_model() -> None:
    base = {"w": np.array([1.0, 2.0], np.float32), "updates": np.array(7)}
    other = {"w": np.array([0.0, 4.0], np.float32), "updates": np.array(9)}
    found = extrapolated(base, other, 0.5, {"w"})
    assert found["w"].tolist() == [1.5, 1.0]
    assert found["w"].dtype == np.float32
    assert found["updates"] == 7
    assert extrapolated(base, other, 0.0, {"w"})["w"].tolist() == [1, 2]
