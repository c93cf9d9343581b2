"""Class-conditional denoising diffusion (Ho et al. 2020) with classifier-free guidance (Ho & Salimans 2021).

The family of Alemohammad et al. 2024, "MNIST DDPM": T = 500 steps, 10 % of the labels dropped in training,
sampling bias λ = 1 / (1 + w) for guidance w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from bigloop.models.diffusion import (
    Eps,
    alpha_bar,
    ancestral,
    ddim,
    guidance,
    noise_from,
    noised,
    trailing,
    velocity,
)
from bigloop.models.images.neural import NeuralFamily
from bigloop.models.images.unet import UNet
from bigloop.spec.options import SpecError, option
from bigloop.training.average import Averaged

LOGIT_MEAN, LOGIT_SPREAD = -0.6, 1.0  # for the default β: the median is at ᾱ = 0.28


class DDPM(NeuralFamily):
    """Rows in [0, 1], which the network sees in [-1, 1]. Sampling bias λ is in (0, 1]; 1 is without guidance.

    The network's output is v, from which ε follows: where almost all is noise, it need not be copied through
    the network. Errors of v weigh all steps alike, those of ε the first ones more.
    """

    revision = 1
    conditional = True
    reaches_modes = False
    multiple, least = "patch", 4

    @dataclass(frozen=True)
    class Options:
        width: int = option(128, "channels at full resolution", minimum=1)
        multiplier: int = option(2, "factor of channels at lower resolutions", minimum=1)
        blocks: int = option(2, "residual blocks on each side at each of the three resolutions", minimum=1)
        patch: int = option(1, "side of the pixel patches folded into channels", minimum=1)
        timesteps: int = option(500, "steps T from data to noise", minimum=2)
        beta_first: float = option(1e-4, "variance β of the first step's noise", above=0, below=1)
        # Ho et al. have 0.02 at T = 1 000; half the steps need twice that, or x_T is not yet noise.
        beta_last: float = option(0.04, "β of the last step, linear between them", above=0, below=1)
        loss: Literal["noise", "velocity"] = option("noise", "target of the squared error")
        times: Literal["uniform", "logit_normal"] = option(
            "uniform",
            "how training draws its steps; logit_normal prefers the middle, where shapes are decided",
        )
        label_dropout: float = option(
            0.1,
            "fraction of labels dropped in training; 1: unconditional, no label is used in sampling either",
            minimum=0,
            maximum=1,
        )
        batch_size: int = option(128, "images per step", minimum=1)
        learning_rate: float = option(2e-4, "Adam's learning rate", above=0)
        decay: Literal["none", "linear"] = option(
            "linear", "decay of the learning rate, to 0 in each training"
        )
        average_decay: float = option(0.999, "decay of the weights' moving average", minimum=0, below=1)
        sampler: Literal["ddpm", "ddim"] = option("ddpm", "ancestral, or deterministic", sampling=True)
        sampling_steps: int = option(
            50,
            "steps of ddim; ddpm takes all T",
            minimum=1,
            at_most="timesteps",
            where={"sampler": "ddim"},
            sampling=True,
        )
        clip: bool = option(True, "clip the predicted image to the data's range at every step", sampling=True)

    def __init__(
        self, options: Any, shape: tuple[int, ...], device: torch.device, classes: int | None = None
    ) -> None:
        super().__init__(options, shape, device, classes)
        self.unet = cast(Averaged[UNet], self.networks["unet"])
        self.alpha_bar = alpha_bar(options.timesteps, options.beta_first, options.beta_last)
        self.alpha_bar_on_device = self.alpha_bar.to(device, torch.get_default_dtype())

    @classmethod
    def shortened(cls, options: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """The same options but for a sampler of two steps, and how many times as long theirs takes."""
        key = "timesteps" if options["sampler"] == "ddpm" else "sampling_steps"
        return options | {key: 2}, options[key] / 2

    def build(self) -> dict[str, nn.Module]:
        o = self.options
        if self.classes is None:
            raise SpecError("ddpm: learns images of given classes, but got no classes")
        return {
            "unet": Averaged(
                UNet(self.shape, self.classes, o.width, o.blocks, o.patch, o.multiplier), o.average_decay
            )
        }

    def prepare(self) -> None:
        parameters = self.unet.net.parameters()
        self.optimizers = {"unet": torch.optim.Adam(parameters, lr=self.options.learning_rate, fused=True)}

    def learning_rate(self, done: int, steps: int, optimizer: str) -> float:
        falls = self.options.decay == "linear"
        return self.options.learning_rate * (1 - done / steps if falls else 1.0)

    def step(self, batch: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        o, x0, device = self.options, 2 * batch - 1, batch.device
        t = steps_drawn(len(x0), o.timesteps, o.times, generator)
        noise = torch.randn(x0.shape, generator=generator, device=device)
        kept = dropped(labels, o.label_dropout, self.unet.net.nothing, generator)
        a = self.alpha_bar_on_device[t].view(-1, 1, 1, 1)
        error = self.unet.net(noised(x0, noise, a), t, kept) - velocity(x0, noise, a)
        # at one x_t, the error of the noise is √ᾱ times that of the velocity
        loss = (error * a.sqrt() if o.loss == "noise" else error).square().mean()
        self.optimizers["unet"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers["unet"].step()
        self.unet.update()
        return {"loss": loss.detach()}

    def latent(self, n: int, bias: float, generator: torch.Generator) -> Tensor:
        return torch.randn(n, *self.shape, generator=generator, device=generator.device)

    def piece(self, latent: Tensor, bias: float, generator: torch.Generator, labels: Tensor | None) -> Tensor:
        if labels is None:
            raise ValueError("labels: a ddpm samples images of given classes")
        o, nothing = self.options, self._eps(torch.full_like(labels, self.unet.net.nothing))
        if o.label_dropout == 1 and bias != 1:
            raise SpecError(f"bias: {bias} is guidance by labels, which label_dropout: 1 drops; needs λ = 1")
        eps = guidance(self._eps(labels) if o.label_dropout < 1 else nothing, nothing, bias)
        if o.sampler == "ddpm":
            x = ancestral(eps, latent, self.alpha_bar, o.clip, noise_from(generator))
        else:
            x = ddim(eps, latent, self.alpha_bar, trailing(o.timesteps, o.sampling_steps), o.clip)
        return (x + 1) / 2

    def _eps(self, labels: Tensor) -> Eps:
        def eps(x: Tensor, t: int) -> Tensor:
            a, times = self.alpha_bar[t].item(), torch.full_like(labels, t)
            return math.sqrt(1 - a) * x + math.sqrt(a) * self.unet.average(x, times, labels)

        return eps


def steps_drawn(n: int, timesteps: int, law: str, generator: torch.Generator) -> Tensor:
    """n steps t, int64 (n,): uniform, or T times the logistic function of a normal number (Esser et al. 2024, §3.1)."""
    device = generator.device
    if law == "uniform":
        return torch.randint(timesteps, (n,), generator=generator, device=device)
    normal = torch.randn(n, generator=generator, device=device)
    share = torch.sigmoid(LOGIT_MEAN + LOGIT_SPREAD * normal)
    return (timesteps * share).long().clamp(max=timesteps - 1)


def dropped(labels: Tensor, rate: float, nothing: int, generator: torch.Generator) -> Tensor:
    """Labels (n,) of which each is `nothing` with probability `rate` (Ho & Salimans 2021, alg. 1)."""
    chance = torch.rand(labels.shape, generator=generator, device=labels.device)
    return torch.where(chance < rate, nothing, labels)
