"""EDM: diffusion with noise of any size, preconditioned (Karras et al. 2022); Bertrand et al. 2024 continue it.

The network's output F is trained on what makes the denoised image right; the loss is then the plain squared error of F,
for all noise alike: with σ-weighting λ(σ) = (σ² + σ_data²) / (σ σ_data)² the factors cancel (eq. 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bigloop.metrics.samplers import levels
from bigloop.models.diffusion import noise_from
from bigloop.models.images.deep_unet import LayoutName
from bigloop.models.images.denoising import DenoisingFamily, Lesson, NetworkOptions, Output
from bigloop.models.karras import Churn, heun, preconditioning
from bigloop.spec.options import again, option
from bigloop.training.average import Averaged, HalfLife

SIGMA_DATA = 0.5  # standard deviation of images in [-1, 1], as the paper sets it


class EDM(DenoisingFamily):
    """Images from noise by Heun's method, for sampling bias see `DenoisingFamily`.

    18 steps, which are 35 evaluations of the network, are the paper's for 32×32 pixels, 40 for 64×64.
    """

    revision = 1
    multiple, least = 1, 8

    @dataclass(frozen=True)
    class Options(NetworkOptions):
        network: LayoutName = again(NetworkOptions, "network", "ddpmpp")
        multipliers: tuple[int, ...] = again(NetworkOptions, "multipliers", (2, 2, 2))
        blocks: int = again(NetworkOptions, "blocks", 4)
        dropout: float = again(NetworkOptions, "dropout", 0.13)
        batch_size: int = again(NetworkOptions, "batch_size", 512)
        learning_rate: float = again(NetworkOptions, "learning_rate", 1e-3)
        average_halflife: int = option(
            500_000, "images after which weights count half in their average, which is sampled", minimum=1
        )
        sigma_mean: float = option(-1.2, "mean of ln σ in training")
        sigma_spread: float = option(1.2, "standard deviation of ln σ in training", minimum=0)
        sampling_steps: int = option(18, "steps from noise to images", minimum=1, sampling=True)
        sigma_least: float = option(0.002, "smallest σ of sampling", above=0, sampling=True)
        sigma_most: float = option(80.0, "largest σ of sampling", above=0, sampling=True)
        rho: float = option(7.0, "exponent ρ that spaces the σ of sampling", above=0, sampling=True)
        churn: float = option(0.0, "S_churn: noise added in sampling; 0: none", minimum=0, sampling=True)
        churn_least: float = option(0.0, "smallest σ with added noise", minimum=0, sampling=True)
        churn_most: float = option(1e6, "largest σ with added noise", minimum=0, sampling=True)
        churn_noise: float = option(1.0, "S_noise: factor of added noise", minimum=0, sampling=True)

    @classmethod
    def shortened(cls, options: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """The same options but for a sampler of two steps, and how many times as long theirs takes."""
        return options | {"sampling_steps": 2}, (2 * options["sampling_steps"] - 1) / 3

    def average_of(self, net: nn.Module) -> Averaged[Any]:
        return HalfLife(net, self.options.average_halflife / self.options.batch_size)

    def lesson(self, x0: Tensor, generator: torch.Generator) -> Lesson:
        o, each = self.options, (len(x0), 1, 1, 1)
        normal = torch.randn(each, generator=generator, device=x0.device)
        sigma = (o.sigma_mean + o.sigma_spread * normal).exp()
        c = preconditioning(sigma, SIGMA_DATA)
        x = x0 + sigma * torch.randn(x0.shape, generator=generator, device=x0.device)
        return Lesson(c.entry * x, c.time.flatten(), (x0 - c.skip * x) / c.out)

    def from_noise(self, noise: Tensor, said: Output, spread: float, generator: torch.Generator) -> Tensor:
        o = self.options

        def denoised(x: Tensor, sigma: float) -> Tensor:
            c = preconditioning(torch.tensor(sigma, dtype=torch.float64), SIGMA_DATA)
            return float(c.skip) * x + float(c.out) * said(float(c.entry) * x, float(c.time))

        sigmas = levels(o.sampling_steps, o.sigma_least, o.sigma_most, o.rho)
        churn = Churn(o.churn, o.churn_least, o.churn_most, spread * o.churn_noise)
        return heun(denoised, sigmas[0] * noise, sigmas, churn, noise_from(generator))
