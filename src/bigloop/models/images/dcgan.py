"""DCGAN and Wasserstein GANs of the same two networks: the image models of Khelifa & Rossa, §3.1.2.

Discriminator: four strided convolutions with LeakyReLU, then a linear layer. Generator: a linear layer, then four
strided transposed convolutions, with BatchNorm and ReLU before each of them and a sigmoid at the end. There is no norm
in the discriminator, so that the gradient penalty, which is each image's own, fits it as it is. What the paper leaves
open is ours: kernels of 4, widths, a slope of 0.2, torch's own initialisation, the clipping threshold, critic steps.

    bce         D = sigmoid(s): cross entropy, and for the generator log(1 − D) or −log D (ibid., §1.2 and §1.3)
    wgan_clip   the critic's score is s itself: eqs. 3 and 4, weights clipped to [−τ, τ] after each step (Algorithm 1)
    wgan_gp     eqs. 3 and 4, and λ (‖∇f(x̂)‖₂ − 1)², x̂ uniform on the lines between real and fake (§2.2)

On every batch the critic makes `critic_iterations` steps, then the generator one, each with new noise. Algorithm 1
draws a batch for each critic step; here they share one, as in `wgan_gp`, so that an epoch is as many steps of the
generator whatever the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from bigloop.models.adversarial import cross_entropy, gradient_penalty, midway, non_saturating, saturating
from bigloop.models.images.neural import NeuralFamily
from bigloop.spec.options import option
from bigloop.training.loop import as_floats

HALVINGS = 4
PIXELS = 2**21  # that a network has at once outside training; 64 channels at half their size take 0.13 GB

Kernel = tuple[int, int]
Number = TypeVar("Number", int, float)


class DCGAN(NeuralFamily):
    """Rows in [0, 1]; output in [0, 1] from a sigmoid. The latent is N(0, I), with sampling bias λ N(0, λI).

    The network `critic` is the discriminator, its output s a logit with the loss `bce`. As a critic it scores with D
    there, else with s; after training `facts["threshold"]` is where it decides: above it, it calls an image real.
    """

    revision = 1
    has_critic = True
    records_steps = True
    multiple, least = 4, 20

    @dataclass(frozen=True)
    class Options:
        loss: Literal["bce", "wgan_clip", "wgan_gp"] = option(
            "bce", "cross entropy, or Wasserstein with clipped weights or with a gradient penalty"
        )
        generator_loss: Literal["saturating", "non_saturating"] = option(
            "saturating", "of bce: log(1 − D) of a generated image, or −log D"
        )
        latent: int = option(100, "dimensions of the Gaussian latent", minimum=1)
        width: int = option(
            64,
            "channels of the generator's layer next to the image; those before have 2, 4 and 8 times as many",
            minimum=1,
        )
        critic_width: int | None = option(None, "likewise of the critic; if not given, width", minimum=1)
        slope: float = option(0.2, "negative slope of the critic's LeakyReLU", minimum=0)
        critic_iterations: int = option(1, "critic steps on every batch", minimum=1)
        clip: float = option(0.01, "wgan_clip: bound τ of the critic's weights", above=0)
        gradient_penalty: float = option(10.0, "wgan_gp: weight λ of the gradient penalty", minimum=0)
        batch_size: int = option(16, "images per step", minimum=1)
        learning_rate: float = option(1e-5, "Adam's learning rate", above=0)
        beta1: float = option(0.5, "Adam's decay of the gradient's mean", minimum=0, below=1)
        beta2: float = option(0.99, "Adam's decay of the gradient's square", minimum=0, below=1)
        critic_learning_rate: float | None = option(
            None, "the critic's learning rate; if not given, learning_rate", above=0
        )
        critic_beta1: float | None = option(
            None, "the critic's beta1; if not given, beta1", minimum=0, below=1
        )
        critic_beta2: float | None = option(
            None, "the critic's beta2; if not given, beta2", minimum=0, below=1
        )

    def build(self) -> dict[str, nn.Module]:
        return {"generator": generator(self.options, self.shape), "critic": critic(self.options, self.shape)}

    def prepare(self) -> None:
        o = self.options
        betas = {
            "generator": (o.beta1, o.beta2),
            "critic": (given(o.critic_beta1, o.beta1), given(o.critic_beta2, o.beta2)),
        }
        self.optimizers = {
            name: torch.optim.Adam(net.parameters(), lr=o.learning_rate, betas=betas[name], fused=True)
            for name, net in self.networks.items()
        }

    def learning_rate(self, done: int, steps: int, optimizer: str) -> float:
        o = self.options
        return given(o.critic_learning_rate, o.learning_rate) if optimizer == "critic" else o.learning_rate

    def step(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        for _ in range(self.options.critic_iterations):
            values = self._critic_step(batch, generator)
        logits = self.networks["critic"](self._fakes(len(batch), generator))
        loss = self.generator_losses(logits).mean()
        self.descend("generator", loss)
        return values | {"loss_generator": loss.detach()}

    def _critic_step(self, real: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        o, n = self.options, len(real)
        with torch.no_grad():
            fake = self._fakes(n, generator)
        logits = self.networks["critic"](torch.cat([real, fake]))
        loss, values = self.critic_losses(logits[:n], logits[n:]).mean(), {}
        if o.loss == "wgan_gp":
            weight = torch.rand(n, 1, 1, 1, generator=generator, device=real.device)
            penalty = gradient_penalty(self.networks["critic"], weight * real + (1 - weight) * fake)
            loss = loss + o.gradient_penalty * penalty
            values["gradient_penalty"] = penalty.detach()
        self.descend("critic", loss)
        if o.loss == "wgan_clip":
            with torch.no_grad():
                for p in self.networks["critic"].parameters():
                    p.clamp_(-o.clip, o.clip)
        on_real, on_fake = self._outputs(logits.detach()).split(n)
        return {
            "loss_critic": loss.detach(),
            **values,
            "critic_on_real": on_real.mean(),
            "critic_on_fake": on_fake.mean(),
        }

    def critic_losses(self, real: Tensor, fake: Tensor) -> Tensor:
        """The critic's loss of each pair of outputs, without the penalty, (n,)."""
        return cross_entropy(real, fake) if self.options.loss == "bce" else fake - real

    def generator_losses(self, fake: Tensor) -> Tensor:
        """The generator's loss of each output on its images, (n,)."""
        if self.options.loss != "bce":
            return -fake
        return saturating(fake) if self.options.generator_loss == "saturating" else non_saturating(fake)

    def latent(self, n: int, bias: float, generator: torch.Generator) -> Tensor:
        noise = torch.randn(n, self.options.latent, generator=generator, device=generator.device)
        return bias**0.5 * noise

    def decode(self, latent: Tensor) -> Tensor:
        return torch.cat([self.networks["generator"](part) for part in latent.split(self._at_once)])

    def finish(self, rows: Tensor, generator: torch.Generator) -> None:
        self.facts["threshold"] = 0.5 if self.options.loss == "bce" else midway(self, rows, generator)

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        """The critic's scores of images (n, c, h, w), floats or uint8, Tensor (n,): D with bce; higher is more real."""
        critic, parts = self.networks["critic"], images.split(self._at_once)
        return torch.cat([self._outputs(critic(as_floats(part.to(self.device)))) for part in parts])

    def _fakes(self, n: int, generator: torch.Generator) -> Tensor:
        return self.networks["generator"](self.latent(n, 1.0, generator))

    def _outputs(self, logits: Tensor) -> Tensor:
        """What the critic says of images, D or a score, from its network's outputs."""
        return logits.sigmoid() if self.options.loss == "bce" else logits

    @property
    def _at_once(self) -> int:
        """As many images as have PIXELS pixels, and one at least."""
        return max(1, PIXELS // (self.shape[1] * self.shape[2]))


def generator(options: DCGAN.Options, shape: tuple[int, ...]) -> nn.Sequential:
    """Latents (n, latent) to images (n, *shape) in (0, 1)."""
    maps, kernels = halvings(shape)
    channels = [options.width * 2**k for k in range(HALVINGS)]  # from the image inwards
    (height, width), innermost = maps[-1], channels[-1]
    layers: list[nn.Module] = [
        nn.Linear(options.latent, innermost * height * width, bias=False),
        nn.Unflatten(1, (innermost, height, width)),
    ]
    for inner, outer, kernel in zip(
        channels[::-1], [*channels[-2::-1], shape[0]], kernels[::-1], strict=True
    ):
        last = inner == options.width
        layers += [
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(inner, outer, kernel, 2, 1, bias=last),
        ]
    return nn.Sequential(*layers, nn.Sigmoid())


def critic(options: DCGAN.Options, shape: tuple[int, ...]) -> nn.Sequential:
    """Images (n, *shape) to logits, or scores, (n,)."""
    maps, kernels = halvings(shape)
    channels = [shape[0], *(given(options.critic_width, options.width) * 2**k for k in range(HALVINGS))]
    layers: list[nn.Module] = []
    for outer, inner, kernel in zip(channels, channels[1:], kernels, strict=False):
        layers += [nn.Conv2d(outer, inner, kernel, 2, 1), nn.LeakyReLU(options.slope, inplace=True)]
    height, width = maps[-1]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * height * width, 1), nn.Flatten(0))


def halvings(shape: tuple[int, ...]) -> tuple[list[tuple[int, int]], list[Kernel]]:
    """Heights and widths of images of `shape` halved once to four times, upwards, and the kernels that do it.

    With padding 1, a kernel of 3 halves an odd side upwards, one of 4 an even side; transposed, they undo it.
    """
    maps, kernels, (height, width) = [], [], shape[1:]
    for _ in range(HALVINGS):
        kernels.append((3 if height % 2 else 4, 3 if width % 2 else 4))
        height, width = (height + 1) // 2, (width + 1) // 2
        maps.append((height, width))
    return maps, kernels


def given(value: Number | None, otherwise: Number) -> Number:
    """The value of an option, or of the one that stands in for it."""
    return otherwise if value is None else value
