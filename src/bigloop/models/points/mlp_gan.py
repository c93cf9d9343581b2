"""GAN (Goodfellow et al. 2014) and Wasserstein GANs (Arjovsky et al. 2017, Gulrajani et al. 2017) of two MLPs.

The family that tells a GAN, which keeps few modes of a mixture, from a Wasserstein GAN, which keeps them. Before
each generator step the critic makes `critic_iterations` steps, each on a batch of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bigloop.models.adversarial import cross_entropy, gradient_penalty, non_saturating, saturating
from bigloop.models.points.stacked import StackedFamily, Streams, mlp
from bigloop.spec.options import option


class MLPGAN(StackedFamily):
    """Points of (−scale, scale)^d. Sampling bias λ: the latent is drawn from N(0, λI).

    With the loss `gan` the critic is the discriminator, and its output a logit.
    """

    revision = 1

    @dataclass(frozen=True)
    class Options:
        loss: Literal["gan", "wgan_clip", "wgan_gp"] = option(
            "wgan_gp", "cross entropy, or Wasserstein with clipped weights or with a gradient penalty"
        )
        generator_loss: Literal["non_saturating", "saturating"] = option(
            "non_saturating", "of gan: −log D of a generated point, or log(1 − D)"
        )
        latent: int = option(2, "dimensions of the Gaussian latent", minimum=1)
        hidden: int = option(64, "units of each hidden layer", minimum=1)
        layers: int = option(2, "hidden layers of each network", minimum=1)
        slope: float = option(0.2, "negative slope of LeakyReLU", minimum=0)
        scale: float = option(4.0, "factor of the generator's tanh output", above=0)
        critic_iterations: int = option(3, "critic steps before each generator step", minimum=1)
        clip: float = option(0.1, "wgan_clip: bound τ of the critic's weights", above=0)
        gradient_penalty: float = option(0.1, "wgan_gp: weight of the gradient penalty", minimum=0)
        batch_size: int = option(64, "points per step of either network", minimum=1)
        learning_rate: float = option(2e-4, "Adam's learning rate, for both networks", above=0)
        beta1: float = option(0.5, "Adam's decay of the gradient's mean", minimum=0, below=1)
        beta2: float = option(0.9, "Adam's decay of the gradient's square", minimum=0, below=1)

    def build(self, streams: Streams) -> dict[str, nn.Module]:
        o, d = self.options, self.dimension

        def activation() -> nn.Module:
            return nn.LeakyReLU(o.slope, inplace=True)

        return {
            "generator": mlp([o.latent, *[o.hidden] * o.layers, d], activation, streams),
            "critic": mlp([d, *[o.hidden] * o.layers, 1], activation, streams),
        }

    @property
    def betas(self) -> tuple[float, float]:
        return self.options.beta1, self.options.beta2

    @property
    def batches_per_step(self) -> int:
        return self.options.critic_iterations

    def step(self, stream: Iterator[Tensor], streams: Streams) -> dict[str, Tensor]:
        for _ in range(self.options.critic_iterations):
            critic_loss = self._critic_step(next(stream), streams)
        fake = self.scores(self.decode(streams.normal(self.options.batch_size, self.options.latent)))
        generator_loss = self.descend("generator", self._generator_loss(fake).mean(1))
        return {"generator_loss": generator_loss, "critic_loss": critic_loss}

    def decode(self, latent: Tensor) -> Tensor:
        """The points (replicates, n, d) of latent ones (replicates, n, latent)."""
        return self.options.scale * self.networks["generator"](latent).tanh()

    def scores(self, points: Tensor) -> Tensor:
        """The critic's scores (replicates, n) of points (replicates, n, d); higher is more real."""
        return self.networks["critic"](points).squeeze(2)

    def draw(self, n: int, bias: float, streams: Streams) -> Tensor:
        return self.decode(streams.normal(n, self.options.latent) * bias**0.5)

    def _critic_step(self, real: Tensor, streams: Streams) -> Tensor:
        o, n = self.options, real.shape[1]
        with torch.no_grad():
            fake = self.decode(streams.normal(n, o.latent))
        scores = self.scores(torch.cat([real, fake], dim=1))
        loss = self._critic_loss(scores[:, :n], scores[:, n:]).mean(1)
        if o.loss == "wgan_gp":
            between = torch.lerp(fake, real, streams.uniform(n, 1))
            loss = loss + o.gradient_penalty * gradient_penalty(self.scores, between)
        loss = self.descend("critic", loss)
        if o.loss == "wgan_clip":
            with torch.no_grad():
                for p in self.networks["critic"].parameters():
                    p.clamp_(-o.clip, o.clip)
        return loss

    def _critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Loss of each pair of scores: that of the discriminator, or the difference."""
        return cross_entropy(real, fake) if self.options.loss == "gan" else fake - real

    def _generator_loss(self, fake: Tensor) -> Tensor:
        if self.options.loss != "gan":
            return -fake
        return non_saturating(fake) if self.options.generator_loss == "non_saturating" else saturating(fake)
