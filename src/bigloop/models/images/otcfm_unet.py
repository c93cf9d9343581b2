"""OT-CFM on images: flow matching along straight lines that an optimal transport pairs (Tong et al. 2024).

As the family `otcfm` of points: a batch of noise and one of images are paired by the exact assignment of least squared
distance, the network learns the velocity x₁ − x₀ at x_t = (1 − t) x₀ + t x₁ + σ ε, and sampling follows it from t = 0
to 1. With the network of torchcfm's CIFAR-10 example, which Bertrand et al. 2024 continue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from bigloop.models.flow import couplings, dopri5, euler, midpoint
from bigloop.models.images.deep_unet import LayoutName
from bigloop.models.images.denoising import DenoisingFamily, Lesson, NetworkOptions, Output
from bigloop.spec.options import again, option

DOPRI5 = (
    140  # evaluations of a trained network's velocity at a tolerance of 1e-5 (Tong et al. 2024, CIFAR-10)
)


class OTCFMUNet(DenoisingFamily):
    """Images from noise along a learned velocity, for sampling bias see `DenoisingFamily`."""

    revision = 1
    multiple, least = 1, 8
    recordable = False  # the assignment is found on the CPU in every step

    @dataclass(frozen=True)
    class Options(NetworkOptions):
        network: LayoutName = again(NetworkOptions, "network", "adm")
        head_width: int | None = again(NetworkOptions, "head_width", 64)
        dropout: float = again(NetworkOptions, "dropout", 0.1)
        warm_up: int = again(NetworkOptions, "warm_up", 640_000)
        clip_gradient: float | None = again(NetworkOptions, "clip_gradient", 1.0)
        average_decay: float = option(
            0.9999, "decay of the weights' moving average, which is sampled", minimum=0, below=1
        )
        sigma: float = option(0.0, "standard deviation σ around the straight line", minimum=0)
        sampler: Literal["euler", "midpoint", "dopri5"] = option(
            "dopri5", "how the velocity is followed", sampling=True
        )
        sampling_steps: int = option(
            50,
            "steps of euler or midpoint",
            minimum=1,
            sampling=True,
            only={"sampler": ("euler", "midpoint")},
        )
        tolerance: float = option(
            1e-5,
            "error of dopri5, absolute and relative",
            above=0,
            sampling=True,
            only={"sampler": ("dopri5",)},
        )

    @classmethod
    def shortened(cls, options: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """The same options but for two steps of Euler's method, and how many times as long theirs takes.

        How often dopri5 evaluates the velocity depends on the velocity: an estimate takes it for DOPRI5 times.
        """
        steps = options["sampling_steps"]
        evaluations = {"euler": steps, "midpoint": 2 * steps, "dopri5": DOPRI5}[options["sampler"]]
        few = {"sampler": "euler", "sampling_steps": 2}
        return {k: v for k, v in options.items() if k != "tolerance"} | few, evaluations / 2

    def lesson(self, x0: Tensor, generator: torch.Generator) -> Lesson:
        images, o = x0, self.options
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        chosen = couplings(noise.flatten(1)[None], images.flatten(1)[None])[0]
        noise = noise[chosen.to(images.device)]
        t = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device)
        x = torch.lerp(noise, images, t)
        if o.sigma:
            x = x + o.sigma * torch.randn(images.shape, generator=generator, device=images.device)
        return Lesson(x, t.flatten(), images - noise)

    def from_noise(self, noise: Tensor, said: Output, spread: float, generator: torch.Generator) -> Tensor:
        o = self.options

        if o.sampler == "dopri5":
            return dopri5(said, noise, o.tolerance)
        return {"euler": euler, "midpoint": midpoint}[o.sampler](said, noise, o.sampling_steps)
