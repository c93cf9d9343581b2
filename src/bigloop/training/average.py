"""The moving average of a network's weights, from which diffusion models sample."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)


class Averaged(nn.Module, Generic[Net]):
    """The network, `net`, and the moving average of its weights, `average`.

    The decay of update k (from 0) is min(decay, (1 + k) / (10 + k)), so that the average soon forgets the
    weights from before training. Samples come from the average.
    """

    net: Net
    average: Net
    updates: Tensor  # so far

    def __init__(self, net: Net, decay: float, shape: Sequence[int] = ()) -> None:
        """shape: of `updates`, which stacked networks count for each of them."""
        super().__init__()
        self.net = net
        self.average = copy.deepcopy(net).requires_grad_(False)
        self.decay = decay
        self.register_buffer("updates", torch.zeros(shape, dtype=torch.int64))

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the network's weights, once after every optimiser step."""
        share = 1 - self.decay_now()
        averages: list[Tensor] = list(self.average.parameters())
        weights: list[Tensor] = list(self.net.parameters())
        moves = torch._foreach_sub(weights, averages)
        torch._foreach_mul_(moves, share)
        torch._foreach_add_(averages, moves)
        self.updates += 1

    def decay_now(self) -> Tensor:
        """The decay of the next update."""
        return ((1 + self.updates) / (10 + self.updates)).clamp(max=self.decay)


class HalfLife(Averaged[Net]):
    """An average in which weights count half after so many updates, or after RAMP of those so far, if these are less
    (Karras et al. 2022, app. F, and their training code)."""

    RAMP = 0.05

    def __init__(self, net: Net, updates: float) -> None:
        super().__init__(net, 1.0)
        self.halflife = updates

    def decay_now(self) -> Tensor:
        return torch.exp2(-1 / (self.RAMP * self.updates).clamp(min=1e-8, max=self.halflife))
