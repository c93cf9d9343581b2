"""How a critic judges images outside training, and from where on it calls one real."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from bigloop.training.loop import as_floats

THRESHOLD_ROWS = 10_000
PIXELS = 2**21  # that a network has at once; 64 channels at half their size take 0.13 GB


class Judging(Protocol):
    """A family that samples images, and scores them."""

    def sample(self, n: int, bias: float, generator: torch.Generator) -> Tensor: ...

    def scores(self, images: Tensor) -> Tensor: ...


def at_once(shape: Sequence[int], group: int = 1) -> int:
    """As many images (c, h, w) as have PIXELS pixels, in whole groups, and one group at least."""
    return max(1, PIXELS // (group * shape[-2] * shape[-1])) * group


@torch.no_grad()
def judged(
    critic: Callable[[Tensor], Tensor], images: Tensor, device: torch.device, group: int = 1
) -> Tensor:
    """What a critic says of images (n, c, h, w), floats or uint8, in groups as they come: Tensor (n,).

    A critic takes floats, in whole groups of images that it judges together; the last one is filled up with the first
    images.
    """
    spare = -len(images) % group
    whole = torch.cat([images, images.repeat(spare, 1, 1, 1)[:spare]]) if spare else images
    parts = whole.split(at_once(images.shape, group))
    return torch.cat([critic(as_floats(part.to(device))) for part in parts])[: len(images)]


@torch.no_grad()
def midway(model: Judging, rows: Tensor, generator: torch.Generator) -> float:
    """The middle between a critic's mean scores of training rows (n, c, h, w) and of as many samples of its own model.

    The threshold of a critic whose scores have no zero: above it, it calls an image real. Up to THRESHOLD_ROWS of each.
    """
    own = model.sample(min(len(rows), THRESHOLD_ROWS), 1.0, generator)
    real, fake = (model.scores(some).mean().item() for some in (rows[:THRESHOLD_ROWS], own))
    return (real + fake) / 2
