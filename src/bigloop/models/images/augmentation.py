"""Mirrored images, and geometric changes of which a network is told, so that they do not leak into samples.

Karras et al. 2022 (app. F.2) train on CIFAR-10 with the latter, after Karras et al. 2020 ("ADA") and Jun et al. 2020.
Ours resamples by bicubic interpolation, theirs with a wavelet's low-pass filter.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SCALE = ANISOTROPY = 0.2  # standard deviations, in doublings
SHIFT = 0.125  # of a side
TURNED = 0.5  # share of the anisotropic scalings whose axes are not those of the image


def mirrored(x: Tensor, generator: torch.Generator) -> Tensor:
    """Images (n, c, h, w), each as it is or mirrored left to right, with equal chances."""
    turn = torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device) < 0.5
    return torch.where(turn, x.flip(3), x)


def augmented(x: Tensor, probability: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images (n, c, h, w) changed, and what was done to each, (n, 9).

    Half of all are mirrored. Each of these happens with the given probability: upside down (a half of the time),
    larger or smaller, turned, stretched one way and squeezed the other, shifted. What was done is 0 where nothing was:
    mirrored, upside down, doublings of scale, cos and sin of the angle (the cosine less 1), doublings of the
    stretching along its two axes, shifts; in standard deviations where these are given.
    """
    n, device = len(x), x.device

    def uniform() -> Tensor:
        return torch.rand(n, generator=generator, device=device)

    def normal() -> Tensor:
        return torch.randn(n, generator=generator, device=device)

    def sometimes(value: Tensor) -> Tensor:
        return torch.where(uniform() < probability, value, 0.0)

    mirrored = (uniform() < 0.5).to(x.dtype)
    upside_down = sometimes((uniform() < 0.5).to(x.dtype))
    scale = sometimes(normal())
    angle = sometimes((2 * uniform() - 1) * math.pi)
    stretch = sometimes(normal())
    axis = torch.where(uniform() < TURNED, (2 * uniform() - 1) * math.pi, 0.0)
    shifts = torch.where(uniform() < probability, torch.stack([normal(), normal()]), 0.0)
    height, width = x.shape[2:]
    # from a place in the new image to the one it comes from, in pixels from the middle
    back = (
        diagonal(1 - 2 * mirrored, 1 - 2 * upside_down)
        @ diagonal(torch.exp2(-SCALE * scale), torch.exp2(-SCALE * scale))
        @ turn(-angle)
        @ turn(axis)
        @ diagonal(torch.exp2(-ANISOTROPY * stretch), torch.exp2(ANISOTROPY * stretch))
        @ turn(-axis)
    )
    # filled where it is: numbers copied from the host could not be recorded as a CUDA graph
    half = torch.stack([x.new_full((), width / 2), x.new_full((), height / 2)])
    moved = -(back @ (SHIFT * 2 * half * shifts.T)[:, :, None])
    theta = torch.cat([back * half / half[:, None], moved / half[:, None]], dim=2)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    told = [mirrored, upside_down, scale, angle.cos() - 1, angle.sin()]
    told += [stretch * axis.cos(), stretch * axis.sin(), *shifts]
    changed = F.grid_sample(x, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return changed, torch.stack(told, dim=1)


def diagonal(a: Tensor, b: Tensor) -> Tensor:
    """Matrices with a and b (n,) on the diagonal, (n, 2, 2)."""
    return torch.diag_embed(torch.stack([a, b], dim=1))


def turn(angle: Tensor) -> Tensor:
    """Rotations by angles (n,), (n, 2, 2)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
