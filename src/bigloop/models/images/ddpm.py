"""Class-conditional denoising diffusion (Ho et al. 2020) with classifier-free guidance (Ho & Salimans 2021).

The family of Alemohammad et al. 2024, "MNIST DDPM": T = 500 steps, 10 % of the labels dropped in training,
sampling bias λ = 1 / (1 + w) for guidance w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bigloop.metrics.samplers import quadratic, trailing
from bigloop.models.diffusion import (
    alpha_bar,
    ancestral,
    ddim,
    noise_from,
    noised,
    velocity,
)
from bigloop.models.images.denoising import DenoisingFamily, Lesson, NetworkOptions, Output
from bigloop.models.images.unet import UNet
from bigloop.spec.options import again, option

LOGIT_MEAN, LOGIT_SPREAD = -0.6, 1.0  # for the default β: the median is at ᾱ = 0.28
COMPACT = {"network": ("compact",)}


class DDPM(DenoisingFamily):
    """Images by a Markov chain from noise. Sampling bias λ is in (0, 1]: guidance, or a temperature without classes.

    The network's output is v, from which ε follows, unless it is to predict ε itself, as published ones do: where
    almost all is noise, v need not be copied through the network. Errors of v weigh all steps alike, those of ε the
    first ones more.
    """

    revision = 1
    multiple, least = "patch", 4

    @dataclass(frozen=True)
    class Options(NetworkOptions):
        network: Literal["compact", "ho", "adm", "ddpmpp"] = option(  # type: ignore[assignment]
            "compact",
            "the U-Net: a small one, or in the layout of Ho et al., of Dhariwal & Nichol, or of Karras et al.",
            neutral="compact",
        )
        multiplier: int = option(
            2, "factor of channels at the two lower resolutions", minimum=1, only=COMPACT
        )
        patch: int = option(1, "side of the pixel patches folded into channels", minimum=1, only=COMPACT)
        predicts: Literal["velocity", "noise"] = option(
            "velocity", "what the network says of a noisy image: v, or the noise ε", neutral="velocity"
        )
        timesteps: int = option(500, "steps T from data to noise", minimum=2)
        beta_first: float = option(1e-4, "variance β of the first step's noise", above=0, below=1)
        # Ho et al. have 0.02 at T = 1 000; half the steps need twice that, or x_T is not yet noise.
        beta_last: float = option(0.04, "β of the last step, linear between them", above=0, below=1)
        loss: Literal["noise", "velocity"] = option("noise", "target of the squared error")
        times: Literal["uniform", "logit_normal"] = option(
            "uniform",
            "how training draws its steps; logit_normal prefers the middle, where shapes are decided",
        )
        label_dropout: float = again(NetworkOptions, "label_dropout", 0.1)
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
        spacing: Literal["trailing", "quadratic"] = option(
            "trailing",
            "which steps ddim takes: evenly spaced ones from the last, or ever denser ones towards the data",
            sampling=True,
            only={"sampler": ("ddim",)},
            neutral="trailing",
        )
        clip: bool = option(True, "clip the predicted image to the data's range at every step", sampling=True)

    def __init__(
        self, options: Any, shape: tuple[int, ...], device: torch.device, classes: int | None = None
    ) -> None:
        super().__init__(options, shape, device, classes)
        self.alpha_bar = alpha_bar(options.timesteps, options.beta_first, options.beta_last)
        self.alpha_bar_on_device = self.alpha_bar.to(device, torch.get_default_dtype())

    @classmethod
    def shortened(cls, options: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """The same options but for a sampler of two steps, and how many times as long theirs takes."""
        key = "timesteps" if options["sampler"] == "ddpm" else "sampling_steps"
        return options | {key: 2}, options[key] / 2

    @property
    def network_has_labels(self) -> bool:
        return self.has_labels or self.options.network == "compact"

    def network(self) -> nn.Module:
        o = self.options
        if o.network != "compact":
            return super().network()
        return UNet(self.shape, self.classes or 0, o.width, o.blocks, o.patch, o.multiplier)

    def learning_rate(self, done: int, steps: int, optimizer: str) -> float:
        falls = self.options.decay == "linear"
        return super().learning_rate(done, steps, optimizer) * (1 - done / steps if falls else 1.0)

    def lesson(self, x0: Tensor, generator: torch.Generator) -> Lesson:
        o = self.options
        t = steps_drawn(len(x0), o.timesteps, o.times, generator)
        noise = torch.randn(x0.shape, generator=generator, device=x0.device)
        a = self.alpha_bar_on_device[t].view(-1, 1, 1, 1)
        target = noise if o.predicts == "noise" else velocity(x0, noise, a)
        # at one x_t, the error of the noise is √ᾱ times that of the velocity
        scale = None if o.predicts == o.loss else a.sqrt() if o.loss == "noise" else a.rsqrt()
        return Lesson(noised(x0, noise, a), t, target, scale)

    def said(self, labels: Tensor | None) -> Output:
        """The noise that the averaged network finds in x at step t."""
        output = super().said(labels)
        if self.options.predicts == "noise":
            return output

        def eps(x: Tensor, t: float) -> Tensor:
            a = self.alpha_bar[int(t)].item()
            return math.sqrt(1 - a) * x + math.sqrt(a) * output(x, t)

        return eps

    def from_noise(self, noise: Tensor, said: Output, spread: float, generator: torch.Generator) -> Tensor:
        o = self.options
        if o.sampler == "ddpm":
            return ancestral(said, noise, self.alpha_bar, o.clip, noise_from(generator), spread)
        spaced = {"trailing": trailing, "quadratic": quadratic}[o.spacing]
        return ddim(said, noise, self.alpha_bar, spaced(o.timesteps, o.sampling_steps), o.clip)


def steps_drawn(n: int, timesteps: int, law: str, generator: torch.Generator) -> Tensor:
    """n steps t, int64 (n,): uniform, or T times the logistic function of a normal number (Esser et al. 2024, §3.1)."""
    device = generator.device
    if law == "uniform":
        return torch.randint(timesteps, (n,), generator=generator, device=device)
    normal = torch.randn(n, generator=generator, device=device)
    share = torch.sigmoid(LOGIT_MEAN + LOGIT_SPREAD * normal)
    return (timesteps * share).long().clamp(max=timesteps - 1)
