"""The critic as it will be after some more of its own steps (Metz et al. 2017, unrolled GANs).

The steps are Adam's, from its present state, and everything is differentiable: in whatever the losses depend on, the
generated rows above all, and through all steps (ibid., eqs. 5 to 9).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bigloop.models.adversarial.networks import Said

Judge = Callable[..., Any]  # rows to scores or, with True, to Said
TINY = 1e-30  # beside a square, so that its root has a slope


def unrolled(
    critic: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: int,
    loss: Callable[[Judge], Tensor],
    clip: float | None = None,
) -> Judge:
    """The critic after `steps` steps of Adam that each lower loss(critic), a scalar; itself after none.

    With `clip` every step ends with its weights in ±clip.
    """
    names, weights = zip(*critic.named_parameters(), strict=True)
    group = optimizer.param_groups[0]
    moments = [_moments(optimizer, p) for p in weights]
    judge: Judge = critic
    for _ in range(steps):
        slopes = torch.autograd.grad(loss(judge), weights, create_graph=True)
        moments = [_moved(slope, *of, group["betas"]) for slope, of in zip(slopes, moments, strict=True)]
        weights = tuple(p - _change(group, *of) for p, of in zip(weights, moments, strict=True))
        if clip is not None:
            weights = tuple(p.clamp(-clip, clip) for p in weights)
        judge = _called(critic, dict(zip(names, weights, strict=True)))
    return judge


def _called(critic: nn.Module, weights: dict[str, Tensor]) -> Callable[..., Tensor | Said]:
    return lambda rows, whole=False: functional_call(critic, weights, (rows, whole))


def _moments(optimizer: torch.optim.Optimizer, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Adam's mean, mean square and number of steps of a weight."""
    state = optimizer.state.get(p) or {}
    return (
        state.get("exp_avg", torch.zeros_like(p)),
        state.get("exp_avg_sq", torch.zeros_like(p)),
        state.get("step", torch.zeros((), device=p.device)),
    )


def _moved(
    slope: Tensor, mean: Tensor, square: Tensor, step: Tensor, betas: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        betas[0] * mean + (1 - betas[0]) * slope,
        betas[1] * square + (1 - betas[1]) * slope.square(),
        step + 1,
    )


def _change(group: dict[str, Any], mean: Tensor, square: Tensor, step: Tensor) -> Tensor:
    beta1, beta2 = group["betas"]
    step = step.double()  # 1 − β^step in float32 would be right to 1e-4 only
    root = (square / (1 - beta2**step) + TINY).sqrt()
    return group["lr"] * mean / (1 - beta1**step) / (root + group["eps"])
