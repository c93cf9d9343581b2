"""The networks of StyleGAN2 (Karras et al. 2020, Analyzing and Improving the Image Quality of StyleGAN).

    generator:  z → mapping → w, a style for each layer → synthesis from a learned constant, 4×4, by doublings → image
    critic:     image → residual halvings to 4×4 → how much the images of a batch differ → logit

All weights are drawn from N(0, 1) and multiplied by 1/√inputs at run time (equalised learning rates). Layers next to
maps of side r have min(base / r, most) channels. Images are in about [-1, 1] here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

SMALLEST = 4  # side of a generator's first maps, at least, and of a critic's last
SLOPE = 0.2  # of leaky ReLU
MEAN_DECAY = 0.995  # of the running mean style
EPS = 1e-8

Noise = Callable[[int], Tensor]  # side → standard normal (n, 1, side, side)


def channels(side: int, base: int, most: int) -> int:
    """Channels of layers next to maps of this side."""
    return max(1, min(base // side, most))


def sides(side: int) -> list[int]:
    """Sides of the maps from the smallest to the image: halved while they are even and stay at 4 or more.

    4, 8, 16 … for powers of two, as in the paper; 7, 14, 28 for digits. Raises ValueError where nothing can be halved.
    """
    found = [side]
    while found[0] % 2 == 0 and found[0] // 2 >= SMALLEST:
        found.insert(0, found[0] // 2)
    if len(found) < 2:
        raise ValueError(
            f"stylegan2: needs images of an even number of pixels on each side, at least 8, got {side}"
        )
    return found


def exact(x: Tensor) -> Tensor:
    """x in float32, where autocast has made it less."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def active(x: Tensor) -> Tensor:
    """Leaky ReLU, scaled so that its outputs have about the variance of its inputs."""
    return F.leaky_relu(x, SLOPE) * math.sqrt(2)


def filtered(x: Tensor, before: int, after: int, gain: float = 1.0, stride: int = 1) -> Tensor:
    """Maps (n, c, h, w) padded with so many zeros at both ends of a side, and blurred by 1, 3, 3, 1, which takes 3."""
    padded = F.pad(x, (before, after, before, after))
    return cast(Tensor, _Blur.apply(padded, gain, stride))


class _Blur(torch.autograd.Function):
    """A fixed linear map, whose derivative is its transpose, to any order.

    In second derivatives of a convolution of groups torch also computes the gradient of its weights, group by group,
    though these are fixed here.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float, stride: int) -> Tensor:
        ctx.rest = gain, stride, x.shape
        return F.conv2d(x, _kernel(x, gain), stride=stride, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return _Spread.apply(*gradients, *ctx.rest), None, None


class _Spread(torch.autograd.Function):
    """The transpose of _Blur, to maps of this shape."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float, stride: int, shape: torch.Size) -> Tensor:
        ctx.rest = gain, stride
        return conv2d_input(shape, _kernel(x, gain), x, stride=stride, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return _Blur.apply(*gradients, *ctx.rest), None, None, None


def _kernel(x: Tensor, gain: float) -> Tensor:
    line = x.new_ones(4)
    line[1:3].fill_(3)  # torch.tensor([1, 3, 3, 1]) would come from the host in the middle of a recorded step
    return (torch.outer(line, line) * (gain / 64)).expand(x.shape[1], 1, 4, 4)


def doubled(x: Tensor) -> Tensor:
    """Maps (n, c, h, w) at twice the resolution, (n, c, 2h, 2w): zeros between, then blurred."""
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, h, 2, w, 2)
    spread[:, :, :, 0, :, 0] = x
    return filtered(spread.reshape(n, c, 2 * h, 2 * w), 2, 1, gain=4.0)


class Linear(nn.Module):
    """x (…, inputs) to (…, outputs), with an equalised learning rate, `multiplier` times the others'."""

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, multiplier: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias / multiplier))
        self.multiplier, self.gain = multiplier, multiplier / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.gain, self.bias * self.multiplier)


class Conv(nn.Module):
    """Maps (n, inputs, h, w) to (n, outputs, h, w) or, where it `halves`, (n, outputs, h/2, w/2)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, halves: bool = False, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.gain, self.kernel, self.halves = 1 / math.sqrt(inputs * kernel**2), kernel, halves

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.gain
        if not self.halves:
            return F.conv2d(x, weight, self.bias, padding=self.kernel // 2)
        margin, alone = self.kernel // 2 + 1, self.kernel == 1  # which sees no place but those that are left
        soft = filtered(x, margin, margin, stride=2 if alone else 1)
        return F.conv2d(soft, weight, self.bias, stride=1 if alone else 2)


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by a style, and its outputs, `demodulated`, to variance 1 (§2.2).

    forward(x, w): maps (n, inputs, h, w) and styles (n, style) to (n, outputs, h, w), (n, outputs, 2h, 2w) if it
    `doubles`. For inputs of unit variance and no correlation the outputs have unit variance. Inputs and outputs are
    multiplied, for one convolution of all images: on an H100 at 128 pixels twice as fast as groups of channels with
    weights of their own for each image, and nowhere slower.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        style: int,
        doubles: bool = False,
        demodulated: bool = True,
    ) -> None:
        super().__init__()
        self.affine = Linear(style, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.gain, self.kernel = 1 / math.sqrt(inputs * kernel**2), kernel
        self.doubles, self.demodulated = doubles, demodulated

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style, weight = self.affine(w), self.weight * self.gain
        scale = None
        if self.demodulated:
            energy = style.square() @ weight.square().sum((2, 3)).T  # (n, outputs)
            scale = (exact(energy) + EPS).rsqrt().to(x.dtype)
        mixed = x * style[:, :, None, None]
        if self.doubles:
            wide = F.conv_transpose2d(mixed, weight.transpose(0, 1), stride=2)
            found = filtered(wide, 1, 1, gain=4.0)
        else:
            found = F.conv2d(mixed, weight, padding=self.kernel // 2)
        return found if scale is None else found * scale[:, :, None, None]


class StyledLayer(nn.Module):
    """A modulated convolution, noise of a learned strength, a bias, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, style: int, doubles: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, style, doubles)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, w: Tensor, noise: Noise) -> Tensor:
        x = self.conv(x, w)
        return active(x + self.strength * noise(x.shape[2]).to(x.dtype) + self.bias[:, None, None])


class Mapping(nn.Module):
    """Latents z (n, style) to styles w (n, style); `mean`, (style,), is the running mean of all seen in training."""

    mean: Tensor

    def __init__(self, style: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Linear(style, style, multiplier=0.01) for _ in range(layers))
        self.register_buffer("mean", torch.zeros(style))

    def forward(self, z: Tensor) -> Tensor:
        x = z * (z.square().mean(-1, keepdim=True) + EPS).rsqrt()
        for layer in self.layers:
            x = active(layer(x))
        return x

    @torch.no_grad()
    def see(self, w: Tensor) -> None:
        """Move the running mean towards that of these styles."""
        self.mean.lerp_(exact(w.detach()).mean(0), 1 - MEAN_DECAY)


class Generator(nn.Module):
    """Styles (n, layers, style) to images (n, c, side, side): the sum of what each resolution adds (skip connections).

    `layers`: how many styles an image has, 2 for each size of maps. `path_length`: running mean of its path lengths.
    """

    path_length: Tensor

    def __init__(
        self, side: int, image_channels: int, style: int, mapping_layers: int, base: int, most: int
    ) -> None:
        super().__init__()
        every = sides(side)
        widths = [channels(at, base, most) for at in every]
        self.mapping = Mapping(style, mapping_layers)
        self.constant = nn.Parameter(torch.randn(widths[0], every[0], every[0]))
        self.styled = nn.ModuleList([StyledLayer(widths[0], widths[0], style)])
        self.colours = nn.ModuleList()
        for inner, outer in pairwise(widths):
            self.styled += [StyledLayer(inner, outer, style, doubles=True), StyledLayer(outer, outer, style)]
        for width in widths:
            self.colours.append(ModulatedConv(width, image_channels, 1, style, demodulated=False))
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(image_channels)) for _ in widths)
        self.layers = 2 * len(every)
        self.register_buffer("path_length", torch.zeros(()))

    def forward(self, styles: Tensor, noise: Noise) -> Tensor:
        x = self.constant.to(styles.dtype).expand(len(styles), -1, -1, -1)
        image: Tensor | None = None
        layers, place = iter(self.styled), 0
        for level, (colour, bias) in enumerate(zip(self.colours, self.biases, strict=True)):
            for _ in range(2 if level else 1):
                x = next(layers)(x, styles[:, place], noise)
                place += 1
            # colours have the style of the next layer
            added = colour(x, styles[:, place]) + bias[:, None, None]
            image = added if image is None else doubled(image) + added
        assert image is not None
        return image

    def styles(self, z: Tensor, bias: float = 1.0) -> Tensor:
        """Styles (n, layers, style) of latents, all layers' alike, drawn to their mean: w̄ + λ (w − w̄), λ = `bias`."""
        w = self.mapping(z)
        if bias != 1:
            w = torch.lerp(self.mapping.mean.to(w.dtype), w, bias)
        return w[:, None].expand(-1, self.layers, -1)


class Halving(nn.Module):
    """A residual block of the critic: maps (n, inputs, h, w) to (n, outputs, h/2, w/2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = Conv(inputs, inputs, 3)
        self.second = Conv(inputs, outputs, 3, halves=True)
        self.skip = Conv(inputs, outputs, 1, halves=True, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return (active(self.second(active(self.first(x)))) + self.skip(x)) * math.sqrt(0.5)


def deviation(x: Tensor, group: int) -> Tensor:
    """One more map: the mean standard deviation of the images of each group (Karras et al. 2018, §3).

    x: (n, c, h, w), n whole groups or less than one. Image i is in a group with those n/group apart, as in StyleGAN2.
    """
    n, _, h, w = x.shape
    size = min(group, n)
    spread = (x.unflatten(0, (size, -1)).var(0, correction=0) + EPS).sqrt().mean((1, 2, 3))  # (n / size,)
    return torch.cat([x, spread.repeat(size)[:, None, None, None].expand(n, 1, h, w)], 1)


class Discriminator(nn.Module):
    """Images (n, c, side, side) to logits (n,). n is whole groups of `group`, or less than one."""

    def __init__(self, side: int, image_channels: int, base: int, most: int, group: int) -> None:
        super().__init__()
        every = sides(side)
        widths = [channels(at, base, most) for at in every]
        self.enter = Conv(image_channels, widths[-1], 1)
        self.halvings = nn.ModuleList(Halving(a, b) for a, b in pairwise(widths[::-1]))
        self.group = group
        self.last = Conv(widths[0] + 1, widths[0], 3)
        self.hidden = Linear(widths[0] * every[0] ** 2, widths[0])
        self.head = Linear(widths[0], 1)

    def forward(self, images: Tensor) -> Tensor:
        x = active(self.enter(images))
        for block in self.halvings:
            x = block(x)
        x = active(self.last(deviation(x, self.group)))
        return self.head(active(self.hidden(x.flatten(1)))).squeeze(-1)
