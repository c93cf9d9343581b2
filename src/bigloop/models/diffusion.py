"""Denoising diffusion in a few functions (Ho et al. 2020), for images and points alike.

    x = ancestral(eps, x_T, alpha_bar(500, 1e-4, 0.04), clip=True, noise=noise_from(generator))

They take a noise predictor eps(x, t) and ᾱ, Tensor (T,); step t of T is numbered from 0 here, from 1 in the papers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Eps = Callable[[Tensor, int], Tensor]  # predicted noise of x (n, …) at step t
Noise = Callable[[Tensor], Tensor]  # standard normal noise of x's shape
Variance = Literal["posterior", "beta"]  # of the noise that a step down adds


def noise_from(generator: torch.Generator) -> Noise:
    """Noise of one random stream."""
    return lambda x: torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def alpha_bar(timesteps: int, first: float, last: float) -> Tensor:
    """ᾱ_t = ∏ (1 − β_s) over s ≤ t, float64 (T,), for β linear from `first` to `last` (Ho et al. 2020, eq. 4)."""
    return (1 - torch.linspace(first, last, timesteps, dtype=torch.float64)).cumprod(0)


def noised(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_t ~ q(x_t | x_0) for x0 and noise (n, …), ᾱ of their steps (n, 1, …) (Ho et al. 2020, eq. 4)."""
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise


def velocity(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """v = √ᾱ ε − √(1 − ᾱ) x_0, with which ε = √(1 − ᾱ) x_t + √ᾱ v (Salimans & Ho 2022, app. D)."""
    return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x0


def ancestral(
    eps: Eps,
    x: Tensor,
    alpha_bar: Tensor,
    clip: bool,
    noise: Noise,
    spread: float = 1.0,
    variance: Variance = "posterior",
) -> Tensor:
    """x_T (n, …), standard normal, to x_0 by all steps of `ancestral_step` (Ho et al. 2020, alg. 2)."""
    levels = [1.0, *alpha_bar.tolist()]
    for t in reversed(range(len(alpha_bar))):
        x = ancestral_step(x, eps(x, t), levels[t + 1], levels[t], clip, noise, spread, variance)
    return x


def ancestral_step(
    x: Tensor,
    eps: Tensor,
    now: float,
    then: float,
    clip: bool,
    noise: Noise,
    spread: float = 1.0,
    variance: Variance = "posterior",
) -> Tensor:
    """x_{t−1} ~ q(x_{t−1} | x_t, x_0) for predicted noise `eps` (Ho et al. 2020, eq. 7).

    now, then: ᾱ_t and ᾱ_{t−1}; at ᾱ_{t−1} = 1 the result is the predicted x_0, and no noise is drawn. spread: the
    noise's standard deviation is multiplied by it. variance: of the noise, β̃_t ("posterior") or β_t (ibid., §3.2).
    """
    mean, deviation = posterior(x, eps, now, then, clip)
    if variance == "beta":
        deviation = math.sqrt(1 - now / then)
    return mean if then == 1 else mean + spread * deviation * noise(x)


def posterior(x: Tensor, eps: Tensor, now: float, then: float, clip: bool) -> tuple[Tensor, float]:
    """Mean and standard deviation of q(x_{t−1} | x_t, x_0) for predicted noise `eps` (Ho et al. 2020, eq. 7).

    now, then: ᾱ_t and ᾱ_{t−1}; at ᾱ_{t−1} = 1 they are the predicted x_0 and 0.
    """
    x0 = predicted_x0(x, eps, now, clip)
    if then == 1:
        return x0, 0.0
    alpha = now / then
    mean = math.sqrt(then) * (1 - alpha) / (1 - now) * x0 + math.sqrt(alpha) * (1 - then) / (1 - now) * x
    return mean, math.sqrt((1 - then) / (1 - now) * (1 - alpha))


def ddim(eps: Eps, x: Tensor, alpha_bar: Tensor, times: list[int], clip: bool) -> Tensor:
    """x_T (n, …), standard normal, to x_0 by `ddim_step` through the falling steps `times`."""
    levels = [float(alpha_bar[t]) for t in times] + [1.0]
    for t, now, then in zip(times, levels, levels[1:], strict=False):
        x = ddim_step(x, eps(x, t), now, then, clip)
    return x


def ddim_step(x: Tensor, eps: Tensor, now: float, then: float, clip: bool) -> Tensor:
    """x at noise level ᾱ = `then`, from `now`, for predicted noise `eps` (Song et al. 2021, eq. 12, σ = 0).

    Where the predicted x_0 is clipped, the noise kept is the one that leads from there to x.
    """
    x0 = predicted_x0(x, eps, now, clip)
    if clip:
        eps = (x - math.sqrt(now) * x0) / math.sqrt(1 - now)
    return math.sqrt(then) * x0 + math.sqrt(1 - then) * eps


def predicted_x0(x: Tensor, eps: Tensor, alpha_bar: float, clip: bool) -> Tensor:
    """The x_0 that x_t with noise `eps` comes from (Ho et al. 2020, eq. 15), clipped to [-1, 1] or not."""
    x0 = (x - math.sqrt(1 - alpha_bar) * eps) / math.sqrt(alpha_bar)
    return x0.clamp(-1, 1) if clip else x0
