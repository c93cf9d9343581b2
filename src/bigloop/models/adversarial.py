"""What GANs of images and of points share: their losses, the gradient penalty, and the critic's decision threshold.

A discriminator's output is its logit s, D = 1 / (1 + exp(−s)); a critic's is its score f(x). Losses are of each
output, Tensor to Tensor of the same shape, and lower is better for the network that descends them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import softplus

THRESHOLD_ROWS = 10_000


class Judging(Protocol):
    """A family that samples images, and scores them."""

    def sample(self, n: int, bias: float, generator: torch.Generator) -> Tensor: ...

    def scores(self, images: Tensor) -> Tensor: ...


def cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """Of logits: −log D(x) − log(1 − D(G(z))), the discriminator's loss (Goodfellow et al. 2014, eq. 1).

    Finite for all finite logits; the gradient in a logit is D − 1 of a real and D of a generated row.
    """
    return softplus(-real) + softplus(fake)


def saturating(fake: Tensor) -> Tensor:
    """Of logits: log(1 − D(G(z))), the generator's loss in the game (ibid.); its gradient −D vanishes at D = 0."""
    return -softplus(fake)


def non_saturating(fake: Tensor) -> Tensor:
    """Of logits: −log D(G(z)), the generator's loss with the same fixed point (ibid., §3); its gradient is D − 1."""
    return softplus(-fake)


def gradient_penalty(critic: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """mean (‖∇f(x)‖₂ − 1)² over points, without its weight λ (Gulrajani et al. 2017, eq. 3).

    points: (n, …), which `critic` maps to (n,), each by itself; or, of many replicates, (replicates, n, d) to
    (replicates, n). Returns (), or (replicates,), differentiable in the critic's weights.
    """
    points = points.detach().requires_grad_()
    scores = critic(points)
    (gradient,) = torch.autograd.grad(scores.sum(), points, create_graph=True)
    return (gradient.flatten(scores.dim()).norm(dim=-1) - 1).square().mean(-1)


@torch.no_grad()
def midway(model: Judging, rows: Tensor, generator: torch.Generator) -> float:
    """The middle between a critic's mean scores of training rows (n, c, h, w) and of as many samples of its own model.

    The threshold of a critic whose scores have no zero: above it, it calls an image real. Up to THRESHOLD_ROWS of each.
    """
    own = model.sample(min(len(rows), THRESHOLD_ROWS), 1.0, generator)
    real, fake = (model.scores(some).mean().item() for some in (rows[:THRESHOLD_ROWS], own))
    return (real + fake) / 2
