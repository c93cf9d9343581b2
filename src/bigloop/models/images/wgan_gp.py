"""Wasserstein GAN with gradient penalty (Gulrajani et al. 2017), for 28×28 images as in Knutsen et al. 2025, fig. 3.

On every batch the critic makes `critic_iterations` steps, then the generator one. The critic's loss is
eq. 4: mean f(fake) - mean f(real) + λ mean (‖∇f(x̂)‖₂ - 1)², x̂ uniform on the lines between real and fake.
Autograd takes the gradients; on a CPU `kernels.wgan_gp` has them written out for 28×28, for twice the speed.
Images of other sizes get the same networks with the kernels that fit: three halvings, then all that is left at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bigloop.models.adversarial.judging import midway
from bigloop.models.adversarial.penalties import gradient_penalty
from bigloop.models.images.kernels.wgan_gp import Step, fast_step
from bigloop.models.images.neural import NeuralFamily
from bigloop.spec.options import option
from bigloop.training.loop import as_floats

LOSSES = "loss_critic", "loss_generator", "gradient_penalty"

Kernel = tuple[int, int]


class WGANGP(NeuralFamily):
    """Rows as given, [0, 1] in the paper; output in (-1, 1) from a tanh, passed on unclipped.

    The latent is uniform on [-1, 1]; sampling bias λ multiplies it. After training `facts["threshold"]` is
    the critic's decision threshold: above it, the critic calls an image real.
    """

    revision = 2
    has_critic = True
    multiple, least = 4, 12

    @dataclass(frozen=True)
    class Options:
        width: int = option(
            64, "channels of the layer next to the image; the others have 2 and 4 times as many", minimum=1
        )
        latent: int = option(100, "dimensions of the latent space", minimum=1)
        critic_iterations: int = option(5, "critic steps on every batch", minimum=1)
        gradient_penalty: float = option(10.0, "weight λ of the gradient penalty", minimum=0)
        critic_output: Literal["sigmoid", "linear"] = option("sigmoid", "last layer of the critic")
        generator_norm: Literal["instance", "batch"] = option("instance", "normalisation in the generator")
        slope: float = option(0.2, "negative slope of LeakyReLU", minimum=0)
        batch_size: int = option(64, "images per step", minimum=1)
        learning_rate: float = option(2e-4, "Adam's learning rate, for both networks", above=0)
        beta1: float = option(0.9, "Adam's decay of the gradient's mean", minimum=0, below=1)
        beta2: float = option(0.999, "Adam's decay of the gradient's square", minimum=0, below=1)

    def build(self) -> dict[str, nn.Module]:
        return {"generator": generator(self.options, self.shape), "critic": critic(self.options, self.shape)}

    def prepare(self) -> None:
        o = self.options
        self.optimizers = {
            name: torch.optim.Adam(net.parameters(), lr=o.learning_rate, betas=(o.beta1, o.beta2), fused=True)
            for name, net in self.networks.items()
        }
        self.losses: Step = fast_step(self) or self.losses_by_autograd

    def step(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        losses = self.losses(batch, generator)
        return {name: loss.detach() for name, loss in zip(LOSSES, losses, strict=True)}

    def losses_by_autograd(self, batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """A step of both networks; returns the losses LOSSES, shape () each."""
        for _ in range(self.options.critic_iterations):
            critic_loss, penalty = self._critic_step(batch, generator)
        fake = self.decode(self.latent(len(batch), 1.0, generator))
        generator_loss = -self.networks["critic"](fake).mean()
        self.descend("generator", generator_loss)
        return critic_loss, generator_loss, penalty

    def _critic_step(self, real: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        critic, n = self.networks["critic"], len(real)
        with torch.no_grad():
            fake = self.decode(self.latent(n, 1.0, generator))
            weight = torch.rand(n, 1, 1, 1, generator=generator, device=real.device)
            between = weight * real + (1 - weight) * fake
        # One pass for both: InstanceNorm treats each image by itself.
        scores = critic(torch.cat([real, fake]))
        penalty = gradient_penalty(critic, between)
        loss = scores[n:].mean() - scores[:n].mean() + self.options.gradient_penalty * penalty
        self.descend("critic", loss)
        return loss, penalty

    def latent(self, n: int, bias: float, generator: torch.Generator) -> Tensor:
        uniform = torch.rand(n, self.options.latent, generator=generator, device=generator.device)
        return bias * (2 * uniform - 1)

    def decode(self, latent: Tensor) -> Tensor:
        return self.networks["generator"](latent[:, :, None, None])

    def finish(self, rows: Tensor, generator: torch.Generator) -> None:
        sigmoid = self.options.critic_output == "sigmoid"
        self.facts["threshold"] = 0.5 if sigmoid else midway(self, rows, generator)

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        """The critic's scores of images (n, c, h, w), floats or uint8, Tensor (n,); higher is more real."""
        critic = self.networks["critic"]
        return torch.cat([critic(as_floats(chunk.to(self.device))) for chunk in images.split(1_000)])


def generator(options: WGANGP.Options, shape: tuple[int, ...]) -> nn.Sequential:
    """Latent (n, latent, 1, 1) to images (n, *shape) in (-1, 1)."""
    w, (bottom, third) = options.width, innermost(shape)
    norm = {"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d}[options.generator_norm]

    def up(inner: int, outer: int, kernel: Kernel, stride: int, padding: int) -> nn.Module:
        return nn.ConvTranspose2d(inner, outer, kernel, stride, padding, bias=False)

    def after(width: int) -> list[nn.Module]:
        return [norm(width), nn.LeakyReLU(options.slope)]

    return nn.Sequential(
        *(up(options.latent, 4 * w, bottom, 1, 0), *after(4 * w)),  # 4×4, of images of 28×28
        *(up(4 * w, 2 * w, third, 2, 1), *after(2 * w)),  # 7×7
        *(up(2 * w, w, (4, 4), 2, 1), *after(w)),  # 14×14
        *(up(w, shape[0], (4, 4), 2, 1), nn.Tanh()),  # 28×28
    )


def critic(options: WGANGP.Options, shape: tuple[int, ...]) -> nn.Sequential:
    """Images (n, *shape) to scores (n,), in (0, 1) with a sigmoid."""
    w, (bottom, third) = options.width, innermost(shape)

    def down(inner: int, outer: int, kernel: Kernel, stride: int, padding: int) -> nn.Module:
        return nn.Conv2d(inner, outer, kernel, stride, padding, bias=False)

    def slope() -> nn.Module:
        return nn.LeakyReLU(options.slope)

    return nn.Sequential(
        *(down(shape[0], w, (4, 4), 2, 1), slope()),  # 14×14
        *(down(w, 2 * w, (4, 4), 2, 1), nn.InstanceNorm2d(2 * w), slope()),  # 7×7
        *(down(2 * w, 4 * w, third, 2, 1), nn.InstanceNorm2d(4 * w), slope()),  # 4×4
        down(4 * w, 1, bottom, 1, 0),
        *([nn.Sigmoid()] if options.critic_output == "sigmoid" else []),
        nn.Flatten(0),
    )


def innermost(shape: tuple[int, ...]) -> tuple[Kernel, Kernel]:
    """What three halvings leave of images of `shape`, sides multiples of 4, and the kernel of the third one.

    A kernel of 3 halves an odd side upwards, one of 4 an even side.
    """
    quarters = [side // 4 for side in shape[1:]]
    (height, width), (high, wide) = [(q + 1) // 2 for q in quarters], [3 if q % 2 else 4 for q in quarters]
    return (height, width), (high, wide)
