"""A small class-conditional U-Net: the noise predictor of a diffusion model (Ho et al. 2020, app. B).

Three resolutions, each half of the one before, the lower two with more channels; residual blocks whose second
normalisation is scaled and shifted by time and class; one self-attention at the lowest resolution.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bigloop.spec.options import SpecError

FREQUENCIES = 32  # of the time's embedding, which has a sine and a cosine of each


class UNet(nn.Module):
    """Images, times and classes to one output in the images' shape, which is 0 before training.

    forward(x, t, labels): x, Tensor (n, c, h, w); t, Tensor (n,), in steps; labels, int64 Tensor (n,), of
    which `nothing` = `classes` stands for "no class". There are `width` channels at full resolution
    and `multiplier` times as many at the lower ones. `patch` × `patch` pixels are folded into channels first:
    the network then costs about patch² times less. Raises SpecError where patches do not fit the image.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, width: int, blocks: int, patch: int, multiplier: int = 2
    ) -> None:
        super().__init__()
        channels, height, columns = shape
        if height % patch or columns % patch:
            raise SpecError(f"patch: {patch}×{patch} pixels do not tile images of {height}×{columns}")
        self.patch, self.nothing = patch, classes
        widths, code = [width, multiplier * width, multiplier * width], 4 * width
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, code), nn.SiLU(), nn.Linear(code, code))
        self.label = nn.Embedding(classes + 1, code)
        self.enter = nn.Conv2d(channels * patch**2, width, 3, padding=1)
        self.down = nn.ModuleList(
            chain([inner] + blocks * [outer], code)
            for inner, outer in zip([width, *widths], widths, strict=False)
        )
        self.shrink = nn.ModuleList(nn.Conv2d(w, w, 3, stride=2, padding=1) for w in widths[:-1])
        self.middle = nn.ModuleList([ResidualBlock(widths[-1], widths[-1], code), Attention(widths[-1])])
        self.grow = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(chain([2 * w] + blocks * [w], code) for w in widths)
        self.leave = nn.Sequential(
            norm(width), nn.SiLU(), zeroed(nn.Conv2d(width, channels * patch**2, 3, padding=1))
        )

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        code = F.silu(self.time(sinusoids(t, FREQUENCIES)) + self.label(labels))
        h = self.enter(F.pixel_unshuffle(x, self.patch))
        skips: list[Tensor] = []
        for level, down in enumerate(self.down):
            h = self.shrink[level - 1](h) if level else h
            h = through(down, h, code)
            skips.append(h)
        h = through(self.middle, h, code)
        for level in reversed(range(len(skips))):
            if level < len(skips) - 1:  # to the skip's size, which is odd where a halving was rounded up
                h = F.interpolate(self.grow[level](h), size=skips[level].shape[2:], mode="nearest")
            h = through(self.up[level], torch.cat([h, skips[level]], dim=1), code)
        return F.pixel_shuffle(self.leave(h), self.patch)


class ResidualBlock(nn.Module):
    """Residual block, h (n, inner, …) to (n, outer, …), with scale and shift from code (n, d)."""

    def __init__(self, inner: int, outer: int, code: int) -> None:
        super().__init__()
        self.first = nn.Sequential(norm(inner), nn.SiLU(), nn.Conv2d(inner, outer, 3, padding=1))
        self.code = nn.Linear(code, 2 * outer)
        self.norm = norm(outer)
        self.last = zeroed(nn.Conv2d(outer, outer, 3, padding=1))
        self.skip = nn.Identity() if inner == outer else nn.Conv2d(inner, outer, 1)

    def forward(self, h: Tensor, code: Tensor) -> Tensor:
        scale, shift = self.code(code)[:, :, None, None].chunk(2, dim=1)
        inside = self.norm(self.first(h)) * (1 + scale) + shift
        return self.skip(h) + self.last(F.silu(inside))


class Attention(nn.Module):
    """Residual self-attention with one head over all places of h (n, width, …); `code` is not used."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = norm(width)
        self.parts = nn.Conv2d(width, 3 * width, 1)
        self.last = zeroed(nn.Conv2d(width, width, 1))

    def forward(self, h: Tensor, code: Tensor) -> Tensor:
        query, key, value = self.parts(self.norm(h)).flatten(2).transpose(1, 2).chunk(3, dim=2)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return h + self.last(mixed.transpose(1, 2).unflatten(2, h.shape[2:]))


def sinusoids(t: Tensor, frequencies: int) -> Tensor:
    """Sines, then cosines, of t (n,) at frequencies from 1 down to 10⁻⁴, Tensor (n, 2 · frequencies).

    Vaswani et al. 2017, §3.5, with the frequencies 10000^(−i / frequencies).
    """
    steps = torch.arange(frequencies, device=t.device, dtype=torch.get_default_dtype())
    angles = t[:, None] * torch.exp(-math.log(10_000) / frequencies * steps)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def chain(widths: list[int], code: int) -> nn.ModuleList:
    """Residual blocks with these widths before, between and after them."""
    return nn.ModuleList(ResidualBlock(inner, outer, code) for inner, outer in pairwise(widths))


def through(blocks: nn.Module, h: Tensor, code: Tensor) -> Tensor:
    """h after all of `blocks`."""
    for block in blocks.children():
        h = block(h, code)
    return h


def norm(width: int) -> nn.GroupNorm:
    """GroupNorm with at most 8 groups, of at least 8 channels: smaller ones would hide an image's brightness."""
    return nn.GroupNorm(math.gcd(8, width, max(1, width // 8)), width)


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """`layer` with weights and bias 0: what it ends then starts as the identity, or as 0."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
