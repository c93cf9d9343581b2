"""What families share that learn to take noise out of images, step by step: one network, one squared error.

    ddpm          steps of a Markov chain (Ho et al. 2020)
    edm           noise of any size (Karras et al. 2022)
    otcfm_unet    the velocity of a flow from noise to data (Tong et al. 2024)

A family gives a `lesson`, images on their way to noise and what the network should say of them, and `piece`, which
turns noise into images by asking the network. Everything else is here: the networks and their average, classes that are
dropped, the optimiser, precision, and the shares of several processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bigloop.models.images.augmentation import augmented, mirrored
from bigloop.models.images.deep_unet import LAYOUTS, DeepUNet, LayoutName, Sizes
from bigloop.models.images.neural import NeuralFamily
from bigloop.models.images.published import renamed
from bigloop.models.opposed import Output, contrasted
from bigloop.spec.options import SpecError, option
from bigloop.training.average import Averaged
from bigloop.training.devices import tf32
from bigloop.training.loop import History
from bigloop.training.parallel import padded, team


class Lesson(NamedTuple):
    """What a network learns from a batch: of x (n, c, h, w) at times t (n,) to say `target`, like x.

    scale: the error is multiplied by it before it is squared, (n, 1, 1, 1), None for 1.
    """

    x: Tensor
    t: Tensor
    target: Tensor
    scale: Tensor | None = None


PARTS_OF_FILES = ("net_model", "ema_model")  # of torchcfm's checkpoints
SETTLED = 10**9  # updates of an average that was published
CACHED = 2**15  # pixels that a CPU asks the network about at once, which its caches hold: 1.5 times as fast
DEEP = {"network": ("ho", "adm", "ddpmpp")}


@dataclass(frozen=True)
class NetworkOptions:
    """Options of all families that denoise; each has its own defaults."""

    network: LayoutName = option(
        "ho", "layout of the U-Net: that of Ho et al., of Dhariwal & Nichol, or of Karras et al."
    )
    width: int = option(128, "channels at full resolution", minimum=1)
    blocks: int = option(2, "residual blocks on each side at each resolution", minimum=1)
    multipliers: tuple[int, ...] = option(
        (1, 2, 2, 2),
        "how many times as many channels there are at each resolution, each half of the one before",
        minimum=1,
        only=DEEP,
        neutral=(1, 2, 2, 2),
    )
    attention: tuple[int, ...] = option(
        (16,), "resolutions with self-attention, their longer sides in pixels", only=DEEP, neutral=(16,)
    )
    head_width: int | None = option(
        None,
        "channels of a head of the attention; if not given, one has all",
        minimum=1,
        only=DEEP,
        neutral=None,
    )
    dropout: float = option(
        0.0, "share of activations dropped in training", minimum=0, below=1, only=DEEP, neutral=0.0
    )
    label_dropout: float = option(
        1.0,
        "fraction of labels dropped in training; 1: unconditional, no label is used in sampling either",
        minimum=0,
        maximum=1,
    )
    mirror: bool = option(False, "mirror half of all images in training", neutral=False)
    augmentation: float = option(
        0.0,
        "probability of each of the geometric changes in training that the network is told of",
        minimum=0,
        maximum=1,
        only=DEEP,
        neutral=0.0,
    )
    batch_size: int = option(128, "images per step, of all processes together", minimum=1)
    learning_rate: float = option(2e-4, "Adam's learning rate", above=0)
    warm_up: int = option(
        0,
        "images, from the first one on, over which the learning rate rises from 0",
        minimum=0,
        maximum=10**12,
        neutral=0,
    )
    clip_gradient: float | None = option(None, "bound of the gradient's norm", above=0, neutral=None)
    precision: Literal["float32", "tf32", "bf16"] = option(
        "float32",
        "of products: float32; TF32, which only GPUs have; or bfloat16 by autocast",
        neutral="float32",
    )


class DenoisingFamily(NeuralFamily):
    """Rows in [0, 1], which the network sees in [-1, 1]. Samples come from the weights' moving average.

    A generation that continues takes over the weights, their average, and the optimiser's state. Sampling bias λ: of
    a network with classes, guidance w = 1/λ − 1 (Ho & Salimans 2021); of one without, a temperature, that is all noise
    of sampling is multiplied by √λ, which is ours.
    """

    conditional = True
    reaches_modes = False
    parallel = True
    guides = True
    opponent: tuple[DenoisingFamily, float] | None = None

    def __init__(
        self, options: Any, shape: tuple[int, ...], device: torch.device, classes: int | None = None
    ) -> None:
        super().__init__(options, shape, device, classes)
        self.unet = cast(Averaged[Any], self.networks["unet"])
        self.learner: nn.Module = self.unet.net

    def lesson(self, x0: Tensor, generator: torch.Generator) -> Lesson:
        """What the network learns from images x0 (n, c, h, w) in [-1, 1]."""
        raise NotImplementedError

    @property
    def has_labels(self) -> bool:
        """Whether it learns images of given classes."""
        return self.options.label_dropout < 1

    @property
    def network_has_labels(self) -> bool:
        """Whether the network is given labels, be it always "no class"."""
        return self.has_labels

    def build(self) -> dict[str, nn.Module]:
        if self.classes is None:
            raise SpecError("classes: learns images of given classes, but got no classes")
        return {"unet": self.average_of(self.network())}

    def network(self) -> nn.Module:
        o = self.options
        sizes = Sizes(o.width, o.multipliers, o.blocks, o.attention, o.head_width, o.dropout)
        classes = (self.classes or 0) if self.has_labels else 0
        return DeepUNet(self.shape, classes, sizes, LAYOUTS[o.network], augmented=o.augmentation > 0)

    def average_of(self, net: nn.Module) -> Averaged[Any]:
        return Averaged(net, self.options.average_decay)

    def prepare(self) -> None:
        o, net, size = self.options, self.unet.net, team().size
        if o.batch_size % size:
            raise SpecError(f"batch_size: {o.batch_size} images cannot be shared equally by {size} processes")
        self.learner = DistributedDataParallel(net) if size > 1 else net
        self.optimizers = {"unet": torch.optim.Adam(net.parameters(), lr=o.learning_rate, fused=True)}
        self.updates_before = int(self.unet.updates)

    def learning_rate(self, done: int, steps: int, optimizer: str) -> float:
        o = self.options
        seen = (self.updates_before + done) * o.batch_size
        return o.learning_rate * min(1.0, seen / o.warm_up if o.warm_up else 1.0)

    def step(self, batch: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        o, here = self.options, team()
        share = here.share
        x0, told = 2 * batch - 1, None
        if o.mirror:
            x0 = mirrored(x0, generator)
        if o.augmentation:
            x0, told = augmented(x0, o.augmentation, generator)
        lesson = self.lesson(x0, generator)
        given = {}
        if self.network_has_labels:
            given["labels"] = share(dropped(labels, o.label_dropout, self.unet.net.nothing, generator))
        if told is not None:
            given["augmentation"] = share(told)
        with self.autocast():
            said = self.learner(share(lesson.x), share(lesson.t), **given)
        error = said.to(lesson.target.dtype) - share(lesson.target)
        loss = (error if lesson.scale is None else error * share(lesson.scale)).square().mean()
        self.optimizers["unet"].zero_grad(set_to_none=True)
        loss.backward()
        if o.clip_gradient is not None:
            nn.utils.clip_grad_norm_(self.unet.net.parameters(), o.clip_gradient, foreach=True)
        self.optimizers["unet"].step()
        self.unet.update()
        return {"loss": here.mean(loss.detach())}

    def latent(self, n: int, bias: float, generator: torch.Generator) -> Tensor:
        return torch.randn(n, *self.shape, generator=generator, device=generator.device)

    def piece(self, latent: Tensor, bias: float, generator: torch.Generator, labels: Tensor | None) -> Tensor:
        """Images from noise, of which each process of a team computes its share of what the network says."""
        spread = 1.0 if self.has_labels else bias**0.5
        if self.has_labels and labels is None:
            raise ValueError("labels: images of given classes are sampled, but none is given")
        said = self.biased(labels, bias)
        if self.opponent:
            auxiliary, strength = self.opponent
            said = contrasted(said, auxiliary.biased(labels, bias), strength)
        return (self.from_noise(spread * latent, said, spread, generator) + 1) / 2

    def biased(self, labels: Tensor | None, bias: float) -> Output:
        """What the averaged network says of these classes, guided towards them; or of no class."""
        return guided(self.said(labels), self.said(None), bias) if self.has_labels else self.said(None)

    def from_noise(self, noise: Tensor, said: Output, spread: float, generator: torch.Generator) -> Tensor:
        """Images in about [-1, 1] from noise (n, c, h, w): standard normal times `spread`, as all noise drawn is."""
        raise NotImplementedError

    def said(self, labels: Tensor | None) -> Output:
        """What the averaged network says, of images of these classes, or of no class."""
        here = team()

        def said(x: Tensor, t: float) -> Tensor:
            n, share = len(x), here.share
            x = share(padded(x, here.size))
            given = {}
            if self.network_has_labels:
                nothing = torch.full((n,), self.unet.net.nothing, device=x.device)
                given["labels"] = share(padded(nothing if labels is None else labels, here.size))
            size = max(1, CACHED // x[0, 0].numel()) if x.device.type == "cpu" else len(x)
            with self.autocast():
                found = [
                    self.unet.average(
                        part,
                        torch.full((len(part),), t, dtype=x.dtype, device=x.device),
                        **dict(zip(given, rest, strict=True)),
                    )
                    for part, *rest in zip(
                        *(whole.split(size) for whole in (x, *given.values())), strict=True
                    )
                ]
            return here.together(torch.cat(found).to(x.dtype))[:n]

        return said

    def fit(self, *given: Any, **more: Any) -> History:
        with tf32(self.options.precision == "tf32"):
            return super().fit(*given, **more)

    def sample(self, *given: Any, **more: Any) -> Tensor:
        if self.opponent:
            self.opponent[0]._train(False)
        with tf32(self.options.precision == "tf32"):
            return super().sample(*given, **more)

    def own_names(self, state: dict[str, Any]) -> dict[str, np.ndarray]:
        """Our tensors, or those of a published U-Net: of the network and its average, or of one, which is then both.

        They count as an average of long standing, and as past the rise of the learning rate.
        """
        if any(name.startswith("unet.") for name in state):
            return super().own_names(state)
        net = self.unet.net
        if not isinstance(net, DeepUNet):
            raise ValueError("published weights are of the networks ho, adm and ddpmpp, not of a compact one")
        parts = {name: part for name in PARTS_OF_FILES if (part := state.get(name)) is not None}
        weights = renamed(parts.get("net_model", state), net, self.options.network)
        average = renamed(parts["ema_model"], net, self.options.network) if "ema_model" in parts else weights
        tensors = {f"unet.net.{name}": tensor for name, tensor in weights.items()}
        tensors |= {f"unet.average.{name}": tensor for name, tensor in average.items()}
        return super().own_names(tensors | {"unet.updates": torch.tensor(SETTLED)})


def guided(conditional: Output, unconditional: Output, bias: float) -> Output:
    """(1 + w) F_cond − w F_uncond with w = 1/λ − 1 (Ho & Salimans 2021, eq. 6; Alemohammad et al. 2024, §2).

    Of a network that predicts noise, a denoised image or a velocity alike: at one x they are the same function of
    each other, and it is linear. At λ = 1 only the first is asked. Raises SpecError for λ = 0.
    """
    if bias <= 0:
        raise SpecError(f"bias: {bias} means infinite guidance (w = 1/λ − 1); needs λ above 0")
    if bias == 1:
        return conditional
    w = 1 / bias - 1
    return lambda x, t: (1 + w) * conditional(x, t) - w * unconditional(x, t)


def dropped(labels: Tensor, rate: float, nothing: int, generator: torch.Generator) -> Tensor:
    """Labels (n,) of which each is `nothing` with probability `rate` (Ho & Salimans 2021, alg. 1)."""
    chance = torch.rand(labels.shape, generator=generator, device=labels.device)
    return torch.where(chance < rate, nothing, labels)
