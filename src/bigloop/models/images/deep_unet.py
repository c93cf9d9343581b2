"""The U-Net of published image diffusions, for 16 to 128 pixels: one network, three layouts.

    ho        Ho et al. 2020, as google/ddpm-cifar10-32 has it
    adm       Dhariwal & Nichol 2021 without scales, as torchcfm trains OT-CFM on CIFAR-10 (Tong et al. 2024)
    ddpmpp    Song et al. 2021 (DDPM++), as Karras et al. 2022 have it

At each of several resolutions, each half of the one before: residual blocks, which get the time as a shift, and at some
resolutions self-attention; then the same upwards, where every block also gets what its counterpart on the way down
made. Layouts differ in how they halve and double, in a few constants, and in which blocks upwards have attention.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bigloop.models.images.unet import zeroed
from bigloop.training.parallel import Dropout


class Layout(NamedTuple):
    """In what published networks of this kind differ.

    eps: of group norms. last: whether the lowest frequency of the time's embedding is 10⁻⁴, or the one after it would
    be. within: whether a residual block halves and doubles, by means of 2×2 pixels and by copies, or layers of their
    own do, a strided convolution and one after copies. even: whether the strided one pads all sides or, for even sides
    enough, right and below. scale: of the sum of a block's input and output. often: whether all blocks upwards have
    attention where one has, or the last of a resolution alone.
    """

    eps: float
    last: bool
    within: bool
    even: bool
    scale: float
    often: bool


LAYOUTS = {
    "ho": Layout(1e-6, last=True, within=False, even=False, scale=1.0, often=True),
    "adm": Layout(1e-5, last=False, within=False, even=True, scale=1.0, often=True),
    "ddpmpp": Layout(1e-6, last=True, within=True, even=True, scale=math.sqrt(0.5), often=False),
}
LayoutName = Literal["ho", "adm", "ddpmpp"]
AUGMENTATION = 9  # numbers that say how an image was augmented, see augmentation.py


@dataclass(frozen=True)
class Sizes:
    """Channels at full resolution, and how many times as many at each resolution; blocks at each, on each side; at
    which resolutions, by their longer sides in pixels, there is attention; channels of each of its heads, None for a
    single head; the share of activations that are dropped in training."""

    width: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    head_width: int | None = None
    dropout: float = 0.0


class DeepUNet(nn.Module):
    """Images, times and classes to one output in the images' shape, which is 0 before training.

    forward(x, t, labels, augmentation): x, Tensor (n, c, h, w); t, Tensor (n,), as large as the layout's embedding is
    made for (steps of 1 000 for ho); labels, int64 Tensor (n,), of which `nothing` = `classes` stands for "no class",
    and which a network without classes (0) does not look at; augmentation, Tensor (n, AUGMENTATION), or None.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, sizes: Sizes, layout: Layout, augmented: bool = False
    ) -> None:
        super().__init__()
        self.sizes, self.layout, self.nothing, self.side = sizes, layout, classes, max(shape[1:])
        width, code, channels = sizes.width, 4 * sizes.width, shape[0]
        self.time = nn.Sequential(nn.Linear(2 * (width // 2), code), nn.SiLU(), nn.Linear(code, code))
        self.label = nn.Embedding(classes + 1, code) if classes else None
        self.augmentation = nn.Linear(AUGMENTATION, 2 * (width // 2), bias=False) if augmented else None
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.down, kept = nn.ModuleList(), [width]
        sides = [max(shape[1:])]
        for level, multiplier in enumerate(sizes.multipliers):
            if level:
                sides.append((sides[-1] + 1) // 2)
                self.down.append(self._halving(kept[-1]))
                kept.append(kept[-1])
            for _ in range(sizes.blocks):
                self.down.append(self._block(kept[-1], width * multiplier, sides[-1] in sizes.attention))
                kept.append(width * multiplier)
        h = kept[-1]
        self.middle = nn.ModuleList([self._block(h, h, True), self._block(h, h, False)])
        self.up = nn.ModuleList()
        for level in reversed(range(len(sizes.multipliers))):
            outer = width * sizes.multipliers[level]
            for k in range(sizes.blocks + 1):
                looks = sides[level] in sizes.attention and (layout.often or k == sizes.blocks)
                self.up.append(self._block(h + kept.pop(), outer, looks))
                h = outer
            if level:
                self.up.append(self._doubling(h))
        self.leave = nn.Sequential(
            norm(h, layout.eps), nn.SiLU(), zeroed(nn.Conv2d(h, channels, 3, padding=1))
        )

    def forward(
        self, x: Tensor, t: Tensor, labels: Tensor | None = None, augmentation: Tensor | None = None
    ) -> Tensor:
        times = t.to(self.enter.weight.dtype)
        features = waves(times, self.sizes.width // 2, self.layout.last)
        if self.augmentation is not None and augmentation is not None:
            features = features + self.augmentation(augmentation)
        code = self.time(features)
        if self.label is not None:
            code = code + self.label(labels)
        code = F.silu(code)
        h = self.enter(x)
        skips = [h]
        for part in self.down:
            h = part(h, code)
            skips.append(h)
        for part in self.middle:
            h = part(h, code)
        for part in self.up:
            given = (
                (h, code, skips[-1].shape[2:]) if part.grows else (torch.cat([h, skips.pop()], dim=1), code)
            )
            h = part(*given)
        return self.leave(h)

    def _block(self, inner: int, outer: int, attention: bool) -> Block:
        return Block(inner, outer, self.sizes, self.layout, attention=attention)

    def _halving(self, width: int) -> nn.Module:
        if self.layout.within:
            return Block(width, width, self.sizes, self.layout, shrinks=True)
        return Halving(width, self.layout.even)

    def _doubling(self, width: int) -> nn.Module:
        if self.layout.within:
            return Block(width, width, self.sizes, self.layout, grows=True)
        return Doubling(width)


class Block(nn.Module):
    """Residual block, h (n, inner, …) to (n, outer, …), shifted by code (n, 4 · width); perhaps with attention behind.

    One that shrinks halves the sides, one that grows brings them to a given size.
    """

    def __init__(
        self,
        inner: int,
        outer: int,
        sizes: Sizes,
        layout: Layout,
        attention: bool = False,
        shrinks: bool = False,
        grows: bool = False,
    ) -> None:
        super().__init__()
        self.shrinks, self.grows, self.scale = shrinks, grows, layout.scale
        self.norm = norm(inner, layout.eps)
        self.first = nn.Conv2d(inner, outer, 3, padding=1)
        self.code = nn.Linear(4 * sizes.width, outer)
        self.last = nn.Sequential(
            norm(outer, layout.eps),
            nn.SiLU(),
            Dropout(sizes.dropout),
            zeroed(nn.Conv2d(outer, outer, 3, padding=1)),
        )
        same = inner == outer and not (shrinks or grows)
        self.skip = nn.Identity() if same else nn.Conv2d(inner, outer, 1)
        heads = max(1, outer // (sizes.head_width or outer))
        self.attention: Attention | None = Attention(outer, heads, layout) if attention else None

    def forward(self, h: Tensor, code: Tensor, size: torch.Size | None = None) -> Tensor:
        inside = self.first(self._resized(F.silu(self.norm(h)), size)) + self.code(code)[:, :, None, None]
        h = (self.skip(self._resized(h, size)) + self.last(inside)) * self.scale
        return h if self.attention is None else self.attention(h)

    def _resized(self, h: Tensor, size: torch.Size | None) -> Tensor:
        if self.shrinks:
            return F.avg_pool2d(h, 2, ceil_mode=True)
        return F.interpolate(h, size=size, mode="nearest") if self.grows else h


class Attention(nn.Module):
    """Residual self-attention over all places of h (n, width, …): queries, keys and values in this order, by heads."""

    def __init__(self, width: int, heads: int, layout: Layout) -> None:
        super().__init__()
        self.heads, self.scale = heads, layout.scale
        self.norm = norm(width, layout.eps)
        self.parts = nn.Conv2d(width, 3 * width, 1)
        self.last = zeroed(nn.Conv2d(width, width, 1))

    def forward(self, h: Tensor) -> Tensor:
        by_head = self.parts(self.norm(h)).flatten(2).unflatten(1, (3, self.heads, -1))
        query, key, value = by_head.transpose(3, 4).unbind(1)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return (h + self.last(mixed.transpose(2, 3).flatten(1, 2).unflatten(2, h.shape[2:]))) * self.scale


class Halving(nn.Module):
    """A strided convolution, which rounds an odd side up; uneven, it pads right and below alone."""

    grows = False

    def __init__(self, width: int, even: bool) -> None:
        super().__init__()
        self.even = even
        self.convolution = nn.Conv2d(width, width, 3, stride=2, padding=int(even))

    def forward(self, h: Tensor, code: Tensor) -> Tensor:
        if self.even:
            return self.convolution(h)
        height, width = h.shape[2:]
        return self.convolution(F.pad(h, (width % 2, 1, height % 2, 1)))


class Doubling(nn.Module):
    """Every pixel copied, to a given size, and a convolution."""

    grows = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, h: Tensor, code: Tensor, size: torch.Size) -> Tensor:
        return self.convolution(F.interpolate(h, size=size, mode="nearest"))


def waves(t: Tensor, frequencies: int, last: bool) -> Tensor:
    """Sines, then cosines, of t (n,) at frequencies 10000^(−i / m), Tensor (n, 2 · frequencies); m makes the last
    10⁻⁴, or else the one after it."""
    steps = torch.arange(frequencies, device=t.device, dtype=t.dtype)
    angles = t[:, None] * torch.exp(-math.log(10_000) / max(1, frequencies - last) * steps)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def norm(width: int, eps: float) -> nn.GroupNorm:
    """GroupNorm with 32 groups, or as many as leave at least four channels to each."""
    return nn.GroupNorm(math.gcd(width, min(32, max(1, width // 4))), width, eps)
