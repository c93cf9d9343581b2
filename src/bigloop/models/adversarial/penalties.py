"""Penalties of a critic's gradients in its inputs, differentiable in its weights.

points: (n, …), which `critic` maps to (n,), each by itself; or, of many replicates, (replicates, n, …) to
(replicates, n). Returns (), or (replicates,).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def gradient_penalty(critic: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """mean (‖∇f(x)‖₂ − 1)² over points, without its weight λ (Gulrajani et al. 2017, eq. 3)."""
    return (slopes(critic, points).norm(dim=-1) - 1).square().mean(-1)


def zero_centred(critic: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """½ mean ‖∇f(x)‖² over points, without its weight γ: R1 of real ones, R2 of generated ones (Mescheder et al. 2018,
    eqs. 9 and 10)."""
    return slopes(critic, points).square().sum(-1).mean(-1) / 2


def slopes(critic: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """∇f at each point, flattened: (n, dimensions), or (replicates, n, dimensions)."""
    points = points.detach().requires_grad_()
    scores = critic(points)
    (gradient,) = torch.autograd.grad(scores.sum(), points, create_graph=True)
    return gradient.flatten(scores.dim())
