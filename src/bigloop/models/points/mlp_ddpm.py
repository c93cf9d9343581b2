"""Denoising diffusion of points without classes (Ho et al. 2020), with an MLP for a noise predictor.

The diffusion is that of the images' family: the functions of models/diffusion.py, step t of T numbered from 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from bigloop.models.diffusion import Eps, Variance, alpha_bar, ancestral, ddim, noised, predicted_x0
from bigloop.models.points.stacked import StackedFamily, Streams, mlp
from bigloop.runtime.progress import Report
from bigloop.spec.loops import Budget
from bigloop.spec.options import option
from bigloop.training.average import Averaged


class MLPDDPM(StackedFamily):
    """Points of R^d, which the network sees divided by `scale`. Samples come from the weights' moving average.

    Sampling bias λ: the start and the noise of every step are multiplied by √λ. This is ours: no paper defines a
    sampling bias for a diffusion without classes.

    Every sampler of finitely many steps changes the variance by itself, and a loop adds that up: with variance β̃ and
    with DDIM modes narrow, with variance β they widen, all the less the larger T (see metrics/samplers.py).
    """

    guides = True
    revision = 1

    @dataclass(frozen=True)
    class Options:
        hidden: int = option(64, "units of each hidden layer", minimum=1)
        layers: int = option(3, "hidden layers", minimum=1)
        time_waves: int = option(4, "frequencies of t / T given to the network as sine and cosine", minimum=1)
        scale: float = option(1.0, "points are divided by this before the network", above=0)
        timesteps: int = option(100, "steps T from data to noise", minimum=2)
        # a tenth of Ho et al.'s steps, with ten times their β: ᾱ_T = 2e-5
        beta_first: float = option(1e-3, "variance β of the first step's noise", above=0, below=1)
        beta_last: float = option(0.2, "β of the last step, linear between them", above=0, below=1)
        batch_size: int = option(512, "points per step", minimum=1)
        learning_rate: float = option(2e-3, "Adam's learning rate", above=0)
        average_decay: float = option(
            0.995, "decay of the weights' moving average, which is sampled", minimum=0, below=1
        )
        sampler: Literal["ddpm", "ddim"] = option(
            "ddpm", "ancestral, or deterministic; both take all T steps", sampling=True, neutral="ddpm"
        )
        variance: Literal["posterior", "beta"] = option(
            "posterior",
            "of the noise in each step of ddpm: β̃, or β (Ho et al. 2020, §3.2)",
            sampling=True,
            neutral="posterior",
        )
        box: bool = option(
            True,
            "keep the point predicted in each step within twice the width of the training rows",
            sampling=True,
            neutral=True,
        )

    def __init__(self, options: Any, dimension: int, streams: Streams) -> None:
        super().__init__(options, dimension, streams)
        self.alpha_bar = alpha_bar(options.timesteps, options.beta_first, options.beta_last)
        self.levels = self.alpha_bar.float()
        self.features = time_features(options.timesteps, options.time_waves)

    def build(self, streams: Streams) -> dict[str, nn.Module]:
        o, d = self.options, self.dimension
        net = mlp([d + 2 * o.time_waves, *[o.hidden] * o.layers, d], nn.SiLU, streams)
        return {"noise": BoxedAverage(net, len(streams), d, o.average_decay)}

    @property
    def pair(self) -> BoxedAverage:
        """The network and its average."""
        return cast(BoxedAverage, self.networks["noise"])

    def step(self, stream: Iterator[Tensor], streams: Streams) -> dict[str, Tensor]:
        x0 = next(stream) / self.options.scale
        t = streams.integers(self.options.timesteps, x0.shape[1])
        noise = streams.normal(*x0.shape[1:])
        x = noised(x0, noise, self.levels[t][:, :, None])
        predicted = self.pair.net(torch.cat([x, self.features[t]], dim=2))
        loss = (predicted - noise).square().mean((1, 2))
        loss = self.descend("noise", loss)
        self.pair.update()
        return {"loss": loss}

    def eps(self, x: Tensor, t: int) -> Tensor:
        """The noise that the averaged network predicts in x (replicates, n, d), divided by `scale`, at step t."""
        features = self.features[t].expand(*x.shape[:2], -1)
        own = self.pair.average(torch.cat([x, features], dim=2))
        if self.opponent is None:
            return own
        auxiliary, strength = self.opponent
        return (1 + strength) * own - strength * auxiliary.eps(x, t)

    def fit(
        self, rows: Tensor, budget: Budget, streams: Streams, report: Report = lambda line: None
    ) -> dict[str, np.ndarray]:
        self.pair.remember_box(rows / self.options.scale)
        return super().fit(rows, budget, streams, report)

    def draw(self, n: int, bias: float, streams: Streams) -> Tensor:
        o, eps = self.options, self.kept if self.options.box else self.eps
        if o.sampler == "ddim":
            start = math.sqrt(bias) * streams.normal(n, self.dimension)
            steps = list(reversed(range(o.timesteps)))
            return o.scale * ddim(eps, start, self.alpha_bar, steps, clip=False)
        return o.scale * descend(eps, n, self.dimension, self.alpha_bar, bias, streams, o.variance)

    def kept(self, x: Tensor, t: int) -> Tensor:
        """The noise in x as `eps` predicts it, with the x_0 that follows from it kept in the box of the rows.

        Far from all data the network is a guess. One point in a million would run away, and the next generation train
        on it.
        """
        level = float(self.alpha_bar[t])
        x0 = predicted_x0(x, self.eps(x, t), level, clip=False).clamp(self.pair.low, self.pair.high)
        return (x - math.sqrt(level) * x0) / math.sqrt(1 - level)


class BoxedAverage(Averaged[nn.Module]):
    """The average of stacked replicates. low, high: a box around the last training's rows, twice as wide as they."""

    low: Tensor  # (replicates, 1, d)
    high: Tensor

    def __init__(self, net: nn.Module, replicates: int, dimension: int, decay: float) -> None:
        super().__init__(net, decay, (replicates,))
        for name, far in (("low", -math.inf), ("high", math.inf)):
            self.register_buffer(name, torch.full((replicates, 1, dimension), far))

    def remember_box(self, rows: Tensor) -> None:
        """Take over the box of rows (replicates, n, d)."""
        low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
        self.low, self.high = low - (high - low) / 2, high + (high - low) / 2

    @torch.no_grad()
    def update(self) -> None:
        k = int(self.updates[0])
        share = 1 - min(self.decay, (1 + k) / (10 + k))
        averages: list[Tensor] = list(self.average.parameters())
        weights: list[Tensor] = list(self.net.parameters())
        torch._foreach_lerp_(averages, weights, share)  # in one pass, as no GPU records this step
        self.updates += 1


def descend(
    eps: Eps,
    n: int,
    dimension: int,
    alpha_bar: Tensor,
    bias: float,
    streams: Streams,
    variance: Variance = "posterior",
) -> Tensor:
    """Points (replicates, n, dimension) by all steps down from noise, whose variance λ = `bias` multiplies."""
    spread = math.sqrt(bias)
    start = spread * streams.normal(n, dimension)
    return ancestral(eps, start, alpha_bar, False, lambda x: streams.normal(n, dimension), spread, variance)


def time_features(timesteps: int, waves: int) -> Tensor:
    """Sine and cosine of π 2^k t / (2 T) for k = 0 … waves − 1, float32 (timesteps, 2 · waves)."""
    share = torch.arange(timesteps, dtype=torch.float64)[:, None] / timesteps
    angles = share * torch.pi / 2 * 2.0 ** torch.arange(waves, dtype=torch.float64)
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()
