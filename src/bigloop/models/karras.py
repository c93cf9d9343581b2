"""Diffusion with noise of any size in a few functions (Karras et al. 2022).

    x = heun(denoised, noise, levels(18, 0.002, 80.0, 7.0))

They take a denoiser D(x, σ), the expected clean data of x = data + σ · noise, and falling noise levels that end with 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from bigloop.models.diffusion import Noise

Denoiser = Callable[[Tensor, float], Tensor]  # of x (n, …) with noise σ


class Preconditioning(NamedTuple):
    """D(x, σ) = skip · x + out · F(entry · x, time) (eq. 7, table 1), each a Tensor like σ."""

    skip: Tensor
    out: Tensor
    entry: Tensor
    time: Tensor


def preconditioning(sigma: Tensor, data: float) -> Preconditioning:
    """What makes in- and outputs of the network have variance 1, for noise σ and data of standard deviation `data`."""
    total = sigma**2 + data**2
    return Preconditioning(data**2 / total, sigma * data / total.sqrt(), 1 / total.sqrt(), sigma.log() / 4)


class Churn(NamedTuple):
    """Noise added before each step (alg. 2): S_churn in all steps, where σ is from `least` to `most`, S_noise times."""

    amount: float = 0.0
    least: float = 0.0
    most: float = math.inf
    noise: float = 1.0


def heun(
    denoised: Denoiser,
    x: Tensor,
    sigmas: list[float],
    churn: Churn = Churn(),  # noqa: B008
    noise: Noise = torch.randn_like,
) -> Tensor:
    """x (n, …), noise of standard deviation σ_0, to data by `heun_step` (alg. 1; with churn alg. 2)."""
    for now, then in pairwise(sigmas):
        raised = now
        if churn.amount and churn.least <= now <= churn.most:
            raised = now * (1 + min(churn.amount / (len(sigmas) - 1), math.sqrt(2) - 1))
            x = x + math.sqrt(raised**2 - now**2) * churn.noise * noise(x)
        x = heun_step(denoised, x, raised, then)
    return x


def heun_step(denoised: Denoiser, x: Tensor, now: float, then: float) -> Tensor:
    """x with noise σ = `then` from `now`: a step of Heun's method for dx/dσ = (x − D(x, σ)) / σ, or to 0 of Euler's."""
    slope = (x - denoised(x, now)) / now
    there = x + (then - now) * slope
    if then == 0:
        return there
    return x + (then - now) * (slope + (there - denoised(there, then)) / then) / 2
