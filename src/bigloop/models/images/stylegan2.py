"""StyleGAN2 (Karras et al. 2020), the model of faces of Alemohammad et al. 2024, whose λ is its truncation.

The logistic loss, not saturating; R1 on real images every `r1_every` steps and the generator's path length every
`path_every`, each as a step of its own (lazy regularisation, app. B, with Adam's rate and decays as there); style
mixing; samples come from a moving average of the generator's weights. Or, with `loss: relativistic`, pairs of real and
generated images with R1 and R2 in every step (Huang et al. 2024, R3GAN).

Defaults are those of Karras et al. 2020b (Training GANs with Limited Data, app. C) at 256 pixels, where they have one
set for all their data; their adaptive augmentation is not here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from bigloop.models.adversarial.judging import at_once, judged, midway
from bigloop.models.adversarial.losses import cross_entropy, non_saturating, relativistic
from bigloop.models.adversarial.penalties import zero_centred
from bigloop.models.images.augmentation import mirrored
from bigloop.models.images.neural import NeuralFamily
from bigloop.models.images.style_networks import Discriminator, Generator, Noise, exact
from bigloop.spec.options import SpecError, option
from bigloop.training.average import HalfLife
from bigloop.training.parallel import padded, team

PATH_DECAY = 0.01  # by which the running mean of path lengths moves
PATH_SHARE = 2  # a path-length step has a batch smaller by this
LOGISTIC = {"loss": ("logistic",)}


class StyleGAN2(NeuralFamily):
    """Rows in [0, 1], which the networks see in [-1, 1]. Sampling bias λ draws styles to their mean, w̄ + λ (w − w̄).

    A generation that continues takes over weights, average, running means and the optimisers' states.
    """

    revision = 1
    has_critic = True
    parallel = True
    multiple, least = 2, 8

    @dataclass(frozen=True)
    class Options:
        loss: Literal["logistic", "relativistic"] = option(
            "logistic", "of single images, or of pairs of a real and a generated one (R3GAN)"
        )
        latent: int = option(512, "dimensions of the latents, and of the styles", minimum=1)
        mapping_layers: int = option(8, "layers from latents to styles", minimum=1, maximum=64)
        width_base: int = option(16384, "layers next to maps of side r have this over r channels", minimum=8)
        width_most: int = option(512, "and at most so many", minimum=1)
        mixing: float = option(
            0.9,
            "share of generated images with two latents, each for a part of the layers",
            minimum=0,
            maximum=1,
        )
        r1: float | None = option(
            None,
            "weight γ of R1, γ/2 ‖∇f‖² at real images; if not given, 0.0002 pixels over batch_size",
            minimum=0,
        )
        r1_every: int = option(16, "steps from one with R1 to the next", minimum=1, only=LOGISTIC, neutral=16)
        r2: float = option(
            0.0,
            "likewise of R2, at generated images",
            minimum=0,
            only={"loss": ("relativistic",)},
            neutral=0.0,
        )
        path_length: float = option(
            2.0, "weight of the path-length regularisation; 0: none", minimum=0, only=LOGISTIC, neutral=2.0
        )
        path_every: int = option(
            4, "steps from one with path lengths to the next", minimum=1, only=LOGISTIC, neutral=4
        )
        deviation_group: int = option(
            4,
            "images whose standard deviation the critic sees; divides batch_size",
            minimum=1,
            divides="batch_size",
        )
        mirror: bool = option(False, "mirror half of all real images in training")
        average_halflife: float = option(
            20_000.0,
            "images after which weights count half in the average; early on, a twentieth of those so far",
            above=0,
        )
        batch_size: int = option(64, "images per step, of all processes together", minimum=1)
        learning_rate: float = option(2.5e-3, "Adam's learning rate", above=0)
        beta1: float = option(0.0, "Adam's decay of the gradient's mean", minimum=0, below=1)
        beta2: float = option(0.99, "Adam's decay of the gradient's square", minimum=0, below=1)
        precision: Literal["float32", "bf16"] = option(
            "float32",
            "of products; bfloat16 by autocast, but for penalties and path lengths",
            neutral="float32",
        )

    def __init__(
        self, options: Any, shape: tuple[int, ...], device: torch.device, classes: int | None = None
    ) -> None:
        super().__init__(options, shape, device, classes)
        self.averaged = cast(HalfLife[Generator], self.networks["generator"])
        self.critic = cast(Discriminator, self.networks["critic"])
        self.penalised, self.measured = self.kind(0)

    def build(self) -> dict[str, nn.Module]:
        o, (colours, *both) = self.options, self.shape
        if both[0] != both[1]:
            raise SpecError(f"stylegan2: needs square images, got {both[0]}×{both[1]}")
        widths = both[0], colours
        try:
            generator = Generator(*widths, o.latent, o.mapping_layers, o.width_base, o.width_most)
            critic = Discriminator(*widths, o.width_base, o.width_most, o.deviation_group)
        except ValueError as error:
            raise SpecError(str(error)) from None
        return {"generator": HalfLife(generator, o.average_halflife / o.batch_size), "critic": critic}

    def prepare(self) -> None:
        o, size = self.options, team().size
        if o.batch_size // o.deviation_group % size or self.path_batch % size:
            raise SpecError(
                f"batch_size: {o.batch_size} images, and half of them, in groups of {o.deviation_group}, cannot be "
                f"shared equally by {size} processes"
            )
        for name, net in self.networks.items():
            moved = [p for p in net.parameters() if p.requires_grad]
            betas = o.beta1 ** self._lazy(name), o.beta2 ** self._lazy(name)
            self.optimizers[name] = torch.optim.Adam(moved, lr=o.learning_rate, betas=betas, fused=True)

    def _lazy(self, name: str) -> float:
        """k / (k + 1) of a network with a second step every k: by which Adam's rate and decays are lower (app. B)."""
        o = self.options
        every = {"critic": o.r1_every, "generator": o.path_every if o.path_length else 0}[name]
        return every / (every + 1) if every and o.loss == "logistic" else 1.0

    def learning_rate(self, done: int, steps: int, optimizer: str) -> float:
        return self.options.learning_rate * self._lazy(optimizer)

    def kind(self, done: int) -> tuple[bool, bool]:
        """Whether it has a second step of the critic, on R1, and one of the generator, on path lengths."""
        o = self.options
        lazily = o.loss == "logistic"
        return (
            lazily and self.r1 > 0 and done % o.r1_every == 0,
            lazily and o.path_length > 0 and done % o.path_every == 0,
        )

    def advance(self, done: int, steps: int) -> None:
        self.penalised, self.measured = self.kind(done)

    @property
    def r1(self) -> float:
        """The weight γ of R1, or the one that stands in for it."""
        o = self.options
        return 0.0002 * math.prod(self.shape[1:]) / o.batch_size if o.r1 is None else o.r1

    @property
    def path_batch(self) -> int:
        """Images of a step on path lengths."""
        return max(1, self.options.batch_size // PATH_SHARE)

    def step(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        o = self.options
        whole = 2 * batch - 1
        if o.mirror:
            whole = mirrored(whole, generator)
        real = team().share(whole, o.deviation_group)
        losses = self._generator_step(real, generator)
        if self.measured:
            losses |= self._path_step(generator)
        losses |= self._critic_step(real, generator)
        if self.penalised:
            losses |= self._r1_step(real)
        self.averaged.update()
        self.averaged.average.mapping.mean.copy_(self.averaged.net.mapping.mean)  # is an average itself
        return {name: team().mean(loss.detach()) for name, loss in losses.items()}

    def _generator_step(self, real: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        with self.autocast():
            scores = exact(self.critic(self._made(generator)))
            if self.options.loss == "relativistic":
                loss = relativistic(scores, exact(self.critic(real))).mean()
            else:
                loss = non_saturating(scores).mean()
        self.descend("generator", loss)
        return {"loss_generator": loss}

    def _critic_step(self, real: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        o = self.options
        with self.autocast():
            with torch.no_grad():
                fake = self._made(generator)
            on_real, on_fake = (exact(self.critic(images)) for images in (real, fake))
            two = relativistic if o.loss == "relativistic" else cross_entropy
            loss = two(on_real, on_fake).mean()
        told = {"critic_on_real": self._outputs(on_real), "critic_on_fake": self._outputs(on_fake)}
        if o.loss == "relativistic":
            for name, weight, images in (("r1", self.r1, real), ("r2", o.r2, exact(fake))):
                if weight:
                    told[name] = zero_centred(self.critic, images)
                    loss = loss + weight * told[name]
        self.descend("critic", loss)
        return {"loss_critic": loss, **{name: value.mean() for name, value in told.items()}}

    def _r1_step(self, real: Tensor) -> dict[str, Tensor]:
        """A step of the critic on R1 alone, which stands for those of r1_every steps, as what it returns does."""
        penalty = zero_centred(self.critic, real) * self.options.r1_every
        self.descend("critic", self.r1 * penalty)
        return {"r1": penalty}

    def _path_step(self, generator: torch.Generator) -> dict[str, Tensor]:
        """A step of the generator on its path lengths alone (§3.2, eq. 4), which stands for path_every steps."""
        o, net, here = self.options, self.averaged.net, team()
        styles = here.share(self._styles(self.path_batch, generator))
        lengths = path_lengths(net, styles, noise_for(self.path_batch, generator), generator)
        with torch.no_grad():
            net.path_length.lerp_(here.mean(lengths.mean()), PATH_DECAY)
        penalty = (lengths - net.path_length).square().mean() * o.path_every
        self.descend("generator", o.path_length * penalty)
        return {"path_length": penalty}

    def _made(self, generator: torch.Generator) -> Tensor:
        """This process's share of a batch of the generator in training."""
        o = self.options
        styles = team().share(self._styles(o.batch_size, generator), o.deviation_group)
        return self.averaged.net(styles, noise_for(o.batch_size, generator, o.deviation_group))

    def _styles(self, n: int, generator: torch.Generator) -> Tensor:
        """Styles (n, layers, latent) of new latents; some images have a second one from a layer on, drawn uniformly."""
        o, net = self.options, self.averaged.net
        how: dict[str, Any] = {"generator": generator, "device": generator.device}
        styles = net.styles(torch.randn(n, o.latent, **how))
        net.mapping.see(styles[:, 0])
        if not o.mixing:
            return styles
        others = net.styles(torch.randn(n, o.latent, **how))
        mixed = torch.rand(n, **how) < o.mixing
        first = torch.randint(1, net.layers, (n,), **how)  # layer of the second latent
        own = (torch.arange(net.layers, device=generator.device) < first[:, None]) | ~mixed[:, None]
        return torch.where(own[..., None], styles, others)

    def latent(self, n: int, bias: float, generator: torch.Generator) -> Tensor:
        return torch.randn(n, self.options.latent, generator=generator, device=generator.device)

    def piece(self, latent: Tensor, bias: float, generator: torch.Generator, labels: Tensor | None) -> Tensor:
        """Images from the averaged weights, cut to [0, 1], of which each process of a team makes its share."""
        net, here, made = self.averaged.average, team(), []
        for part in latent.split(at_once(self.shape)):
            share = here.share(padded(part, here.size))
            with self.autocast():
                found = net(net.styles(share, bias), noise_for(len(part), generator))
            made.append(here.together(exact(found))[: len(part)])
        return ((torch.cat(made) + 1) / 2).clamp(0, 1)

    def finish(self, rows: Tensor, generator: torch.Generator) -> None:
        self.facts["threshold"] = 0.5 if self.options.loss == "logistic" else midway(self, rows, generator)

    def scores(self, images: Tensor) -> Tensor:
        """The critic's scores of images (n, c, h, w), floats or uint8, Tensor (n,): D, or pairs' scores; higher is more
        real. Images are judged in the groups in which they come."""
        return judged(self._judged, images, self.device, self.options.deviation_group)

    def _judged(self, images: Tensor) -> Tensor:
        with self.autocast():
            return self._outputs(exact(self.critic(2 * images - 1)))

    def _outputs(self, logits: Tensor) -> Tensor:
        """What the critic says of images, D or a score, from its network's outputs."""
        return logits.sigmoid() if self.options.loss == "logistic" else logits


def noise_for(n: int, generator: torch.Generator, group: int = 1) -> Noise:
    """The noise that layers add to n images, drawn from a generator: this process's share of it."""
    here = team()

    def noise(side: int) -> Tensor:
        whole = torch.randn(n, 1, side, side, generator=generator, device=generator.device)
        return here.share(padded(whole, here.size), group)

    return noise


def path_lengths(net: Generator, styles: Tensor, noise: Noise, generator: torch.Generator) -> Tensor:
    """‖Jᵀ y‖ for each image, J the derivative of its pixels by its styles, y standard normal: Tensor (n,).

    As in the authors' code, y is divided by the root of the number of pixels, and the norm's square by that of layers.
    """
    images, here = net(styles, noise), team()
    shape = here.size * len(images), *images.shape[1:]
    y = here.share(torch.randn(shape, generator=generator, device=generator.device))
    y /= math.sqrt(images.shape[2] * images.shape[3])
    (slopes,) = torch.autograd.grad((images * y).sum(), styles, create_graph=True)
    return slopes.square().sum(2).mean(1).sqrt()
