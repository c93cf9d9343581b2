"""OT-CFM: flow matching along straight lines between noise and data that an optimal transport pairs (Tong et al. 2024).

The family of Bertrand et al. 2024, two moons: a batch of noise and one of data are paired by the exact assignment of
least squared distance, a network learns the velocity x₁ − x₀ at x_t = (1 − t) x₀ + t x₁ + σ ε, and sampling follows
it from t = 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bigloop.models.flow import couplings, midpoint
from bigloop.models.opposed import Output, contrasted
from bigloop.models.points.stacked import StackedFamily, Streams, mlp
from bigloop.spec.options import option


class OTCFM(StackedFamily):
    """Points of R^d. Sampling bias λ: the noise is drawn from N(0, λI).

    With σ > 0 the samples of a perfect network are wider than the rows it learnt, by about σ² in every direction and
    generation; σ = 0 is the control (see `transported` in metrics/samplers.py).
    """

    revision = 1
    guides = True

    @dataclass(frozen=True)
    class Options:
        hidden: int = option(64, "units of each hidden layer", minimum=1)
        layers: int = option(3, "hidden layers", minimum=1)
        sigma: float = option(0.1, "standard deviation σ around the straight line", minimum=0)
        batch_size: int = option(256, "points per step, coupled exactly with as many of noise", minimum=1)
        learning_rate: float = option(1e-3, "Adam's learning rate", above=0)
        sampling_steps: int = option(
            50, "steps of the midpoint rule from noise to data", minimum=1, sampling=True
        )

    def build(self, streams: Streams) -> dict[str, nn.Module]:
        o, d = self.options, self.dimension
        return {"velocity": mlp([d + 1, *[o.hidden] * o.layers, d], nn.SELU, streams)}

    def step(self, stream: Iterator[Tensor], streams: Streams) -> dict[str, Tensor]:
        x1 = next(stream)
        noise = streams.normal(*x1.shape[1:])
        x0 = torch.take_along_dim(noise, couplings(noise, x1)[:, :, None], dim=1)
        t = streams.uniform(x1.shape[1], 1)
        x = torch.lerp(x0, x1, t)
        if self.options.sigma:
            x = x + self.options.sigma * streams.normal(*x1.shape[1:])
        loss = (self.velocity(x, t) - (x1 - x0)).square().mean((1, 2))
        return {"loss": self.descend("velocity", loss)}

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """The learned velocity at points x (replicates, n, d) and times t (replicates, n, 1)."""
        return self.networks["velocity"](torch.cat([x, t], dim=2))

    def draw(self, n: int, bias: float, streams: Streams) -> Tensor:
        x = streams.normal(n, self.dimension) * bias**0.5
        time = torch.zeros(len(streams), n, 1)
        flow: Output = lambda x, t: self.velocity(x, time + t)  # noqa: E731
        if self.opponent:
            auxiliary, strength = self.opponent
            flow = contrasted(flow, lambda x, t: auxiliary.velocity(x, time + t), strength)
        return midpoint(flow, x, self.options.sampling_steps)
