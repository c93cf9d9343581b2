"""DCGAN and Wasserstein GANs of the same two networks: the image models of Khelifa & Rossa, §3.1.2.

Discriminator: four strided convolutions with LeakyReLU, then a linear layer. Generator: a linear layer, then four
strided transposed convolutions, with BatchNorm and ReLU before each of them and a sigmoid at the end. There is no norm
in the discriminator, so that the gradient penalty, which is each image's own, fits it as it is. What the paper leaves
open is ours: kernels of 4, widths, a slope of 0.2, torch's own initialisation, the clipping threshold, critic steps.

    bce         D = sigmoid(s): cross entropy, and for the generator log(1 − D) or −log D (ibid., §1.2 and §1.3)
    wgan_clip   the critic's score is s itself: eqs. 3 and 4, weights clipped to [−τ, τ] after each step (Algorithm 1)
    wgan_gp     eqs. 3 and 4, and λ (‖∇f(x̂)‖₂ − 1)², x̂ uniform on the lines between real and fake (§2.2)

The losses `relativistic` and `f_gan`, and the remedies for mode collapse, are others' (see `models/adversarial`).

On every batch the critic makes `critic_iterations` steps, then the generator one, each with new noise. Algorithm 1
draws a batch for each critic step; here they share one, as in `wgan_gp`, so that an epoch is as many steps of the
generator whatever the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from bigloop.models.adversarial.game import Game, One
from bigloop.models.adversarial.judging import at_once, judged, midway
from bigloop.models.adversarial.networks import Critic, heads, normalise
from bigloop.models.adversarial.remedies import Remedies
from bigloop.models.images.growing import GrowingCritic, GrowingGenerator, grow
from bigloop.models.images.neural import NeuralFamily
from bigloop.spec.options import option

HALVINGS = 4

Kernel = tuple[int, int]
Number = TypeVar("Number", int, float)


class DCGAN(NeuralFamily, Game):
    """Rows in [0, 1]; output in [0, 1] from a sigmoid. The latent is N(0, I), with sampling bias λ N(0, λI).

    The network `critic` is the discriminator, its output s a logit with the loss `bce`. As a critic it scores with D
    there, else with s; after training `facts["threshold"]` is where it decides: above it, it calls an image real.
    """

    revision = 1
    has_critic = True
    records_steps = True
    multiple, least = 4, 20
    axis = 0

    @dataclass(frozen=True)
    class Options(Remedies):
        loss: Literal["bce", "relativistic", "wgan_clip", "wgan_gp", "f_gan"] = option(
            "bce",
            "cross entropy, of single logits or of pairs' differences; Wasserstein with clipped weights or with a "
            "gradient penalty; or an f-divergence's",
        )
        generator_loss: Literal["saturating", "non_saturating"] = option(
            "saturating",
            "of bce: log(1 − D) of a generated image, or −log D; of f_gan: −f*(g(v)), or −g(v)",
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
        growth: float = option(
            0.0,
            "share of the first training in which both networks grow from an eighth of the size (Karras et al. 2018)",
            minimum=0,
            maximum=1,
            neutral=0.0,
        )

    def build(self) -> dict[str, nn.Module]:
        o, shape = self.options, self.shape
        return self.players(lambda: generator(o, shape), lambda: critic(o, shape))

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

    @property
    def recordable(self) -> bool:  # type: ignore[override]  # steps of a growing network are not all alike
        return not self.options.growth

    def advance(self, done: int, steps: int) -> None:
        continued = bool(self.optimizer_states)  # from a training in which they have grown
        if self.options.growth and not continued:
            grow(list(self.networks.values()), done / (self.options.growth * steps))

    def step(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        draws = One(generator)
        for _ in range(self.options.critic_iterations):
            of_critic, scores = self.critic_step(batch, draws)
        of_generator = self.generator_step(batch, draws)
        on_real, on_fake = self._outputs(scores).chunk(2)
        return {
            "loss_critic": of_critic.pop("loss"),
            **of_critic,
            "critic_on_real": on_real.mean(),
            "critic_on_fake": on_fake.mean(),
            "loss_generator": of_generator.pop("loss"),
            **of_generator,
        }

    def latent(self, n: int, bias: float, generator: torch.Generator) -> Tensor:
        return self.latents(n, bias, One(generator))

    def decode(self, latent: Tensor) -> Tensor:
        return torch.cat(
            [self.generated(part) for part in latent.split(at_once(self.shape, self.options.pack))]
        )

    def finish(self, rows: Tensor, generator: torch.Generator) -> None:
        self.facts["threshold"] = 0.5 if self.options.loss == "bce" else midway(self, rows, generator)

    def scores(self, images: Tensor) -> Tensor:
        """The critic's scores of images (n, c, h, w), floats or uint8, Tensor (n,): D with bce; higher is more real."""
        return judged(lambda some: self._outputs(self.judged(some)), images, self.device, self.options.pack)

    def _outputs(self, logits: Tensor) -> Tensor:
        """What the critic says of images, D or a score, from its network's outputs."""
        return logits.sigmoid() if self.options.loss == "bce" else logits


def generator(options: DCGAN.Options, shape: tuple[int, ...]) -> nn.Sequential:
    """Latents (n, latent) to images (n, *shape) in (0, 1)."""
    maps, kernels = halvings(shape)
    channels = [options.width * 2**k for k in range(HALVINGS)]  # from the image inwards
    (height, width), innermost = maps[-1], channels[-1]
    layers: list[nn.Module] = [
        nn.Linear(options.latent + options.codes, innermost * height * width, bias=False),
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
    layers.append(nn.Sigmoid())
    if options.growth:
        ends = [*range(5, len(layers), 3)[: HALVINGS - 1], len(layers)]  # after each transposed convolution
        return GrowingGenerator(layers, ends, channels[-2::-1], shape)
    return nn.Sequential(*layers)


def critic(options: DCGAN.Options, shape: tuple[int, ...]) -> Critic:
    """Images (n, *shape), as the options pack them, to logits, or scores."""
    o, (maps, kernels) = options, halvings(shape)
    inputs = o.pack * (shape[0] + bool(o.diffusion_steps))
    channels = [inputs, *(given(o.critic_width, o.width) * 2**k for k in range(HALVINGS))]
    hidden: list[nn.Module] = []
    for outer, inner, kernel in zip(channels, channels[1:], kernels, strict=False):
        hidden += [nn.Conv2d(outer, inner, kernel, 2, 1), nn.LeakyReLU(o.slope, inplace=True)]
    height, width = maps[-1]
    after = heads(o, channels[-1] * height * width, nn.Linear)
    layers = [*hidden, nn.Flatten()]
    if not o.growth:
        critic = Critic(layers, **after)
    else:
        critic = GrowingCritic(
            layers,
            **after,
            starts=[*range(2 * HALVINGS - 2, 0, -2), 0],
            widths=channels[-2:0:-1],
            sizes=maps[-2::-1],
            inputs=inputs,
            slope=o.slope,
        )
    if o.spectral_norm:
        normalise(critic, (nn.Conv2d, nn.Linear), flat=True)
    return critic


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
