"""Where a critic decides whose scores have no zero."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

THRESHOLD_ROWS = 10_000


class Judging(Protocol):
    """A family that samples images, and scores them."""

    def sample(self, n: int, bias: float, generator: torch.Generator) -> Tensor: ...

    def scores(self, images: Tensor) -> Tensor: ...


@torch.no_grad()
def midway(model: Judging, rows: Tensor, generator: torch.Generator) -> float:
    """The middle between a critic's mean scores of training rows (n, c, h, w) and of as many samples of its own model.

    The threshold of a critic whose scores have no zero: above it, it calls an image real. Up to THRESHOLD_ROWS of each.
    """
    own = model.sample(min(len(rows), THRESHOLD_ROWS), 1.0, generator)
    real, fake = (model.scores(some).mean().item() for some in (rows[:THRESHOLD_ROWS], own))
    return (real + fake) / 2
