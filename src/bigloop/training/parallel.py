"""Several processes that train or sample one model, a GPU each; what they compute is what one process would.

Every process draws what belongs to the whole batch (rows, times, noise, dropout), and computes its share of it: equal
parts in the order of the processes. torch's DistributedDataParallel averages the gradients of these parts.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Team(NamedTuple):
    """The processes of a job: how many, and which of them this is, from 0."""

    size: int = 1
    rank: int = 0

    def share(self, whole: Tensor) -> Tensor:
        """This process's part of what belongs to a whole batch, (n, …) to (n / size, …); sizes divide n."""
        return whole if self.size == 1 else whole.tensor_split(self.size)[self.rank]

    def together(self, share: Tensor) -> Tensor:
        """The whole, from every process's part of it: what `share` takes apart."""
        if self.size == 1:
            return share
        parts = [torch.empty_like(share) for _ in range(self.size)]
        dist.all_gather(parts, share.contiguous())
        return torch.cat(parts)

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.size
        return value


def team() -> Team:
    """The team that torch.distributed knows of; one process where there is none."""
    there = dist.is_available() and dist.is_initialized()
    return Team(dist.get_world_size(), dist.get_rank()) if there else Team()


def padded(x: Tensor, size: int) -> Tensor:
    """x (n, …) with its last row repeated until `size` divides their number."""
    return x if len(x) % size == 0 else torch.cat([x, x[-1:].expand(-len(x) % size, *x.shape[1:])])


class Dropout(nn.Module):
    """torch's Dropout, of which every process of a team has its share of one draw for the whole batch.

    Drawn from the default generator, which has the same state in all of them.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, h: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return h
        here = team()
        whole = torch.empty(here.size * len(h), *h.shape[1:], dtype=h.dtype, device=h.device)
        return h * here.share(whole.bernoulli_(1 - self.rate)) / (1 - self.rate)
