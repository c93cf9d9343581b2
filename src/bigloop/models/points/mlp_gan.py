"""GANs of two MLPs: Goodfellow et al.'s (2014), Wasserstein GANs (Arjovsky et al. 2017, Gulrajani et al. 2017), f-GANs
(Nowozin et al. 2016) and relativistic ones, with any of the remedies for mode collapse.

The family that tells what keeps few modes of a mixture from what keeps them all. Before each generator step the critic
makes `critic_iterations` steps, each on a batch of its own; the generator's looks at the last of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from bigloop.models.adversarial.game import Game
from bigloop.models.adversarial.networks import Critic, heads, normalise
from bigloop.models.adversarial.remedies import Remedies
from bigloop.models.points.stacked import Linear, StackedFamily, Streams, mlp
from bigloop.spec.options import option


class MLPGAN(StackedFamily, Game):
    """Points of (−scale, scale)^d. Sampling bias λ: the latent is drawn from N(0, λI).

    With the losses `gan` and `relativistic` the critic is the discriminator, and its output a logit.
    """

    revision = 1
    axis = 1

    @dataclass(frozen=True)
    class Options(Remedies):
        loss: Literal["gan", "relativistic", "wgan_clip", "wgan_gp", "f_gan"] = option(
            "wgan_gp",
            "cross entropy, of single logits or of pairs' differences; Wasserstein with clipped weights or with a "
            "gradient penalty; or an f-divergence's",
        )
        generator_loss: Literal["non_saturating", "saturating"] = option(
            "non_saturating",
            "of gan: −log D of a generated point, or log(1 − D); of f_gan: −g(v), or −f*(g(v))",
        )
        generator: Literal["mlp", "affine"] = option(
            "mlp", "or a linear map of the latent, and an offset", neutral="mlp"
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
        critic_learning_rate: float | None = option(
            None, "the critic's learning rate; if not given, learning_rate", above=0, neutral=None
        )
        beta1: float = option(0.5, "Adam's decay of the gradient's mean", minimum=0, below=1)
        beta2: float = option(0.9, "Adam's decay of the gradient's square", minimum=0, below=1)

    def build(self, streams: Streams) -> dict[str, nn.Module]:
        return self.players(lambda: self._generator(streams), lambda: self._critic(streams))

    def _generator(self, streams: Streams) -> nn.Module:
        o = self.options
        inputs = o.latent + o.codes
        if o.generator == "affine":
            return Linear(inputs, self.dimension, streams)
        return mlp([inputs, *[o.hidden] * o.layers, self.dimension], self._activation, streams)

    def _critic(self, streams: Streams) -> Critic:
        o = self.options
        inputs = o.pack * (self.dimension + bool(o.diffusion_steps))
        hidden = mlp([inputs, *[o.hidden] * o.layers], self._activation, streams)
        after = heads(o, o.hidden, partial(Linear, streams=streams))
        critic = Critic([*hidden, self._activation()], **after)
        if o.spectral_norm:
            normalise(critic, (Linear,), flat=False)
        return critic

    def _activation(self) -> nn.Module:
        return nn.LeakyReLU(self.options.slope, inplace=True)

    @property
    def betas(self) -> tuple[float, float]:
        return self.options.beta1, self.options.beta2

    @property
    def batches_per_step(self) -> int:
        return self.options.critic_iterations

    def prepare(self) -> dict[str, torch.optim.Optimizer]:
        optimizers = super().prepare()
        if self.options.critic_learning_rate is not None:
            optimizers["critic"].param_groups[0]["lr"] = self.options.critic_learning_rate
        return optimizers

    def step(self, stream: Iterator[Tensor], streams: Streams) -> dict[str, Tensor]:
        for _ in range(self.options.critic_iterations):
            real = next(stream)
            of_critic, _ = self.critic_step(real, streams)
        of_generator = self.generator_step(real, streams)
        losses = {"generator_loss": of_generator.pop("loss"), "critic_loss": of_critic.pop("loss")}
        return losses | of_critic | of_generator

    def decode(self, latent: Tensor) -> Tensor:
        """The points (replicates, n, d) of latent ones (replicates, n, latent + sources)."""
        made = self.generated(latent)
        return made if self.options.generator == "affine" else self.options.scale * made.tanh()

    def scores(self, points: Tensor) -> Tensor:
        """The critic's scores (replicates, n) of points (replicates, n, d); higher is more real."""
        return self.judged(points)

    def draw(self, n: int, bias: float, streams: Streams) -> Tensor:
        return self.decode(self.latents(n, bias, streams))
