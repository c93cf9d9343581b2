"""Several processes that train or sample one model, a GPU each; what they compute is what one process would.

Every process draws what belongs to the whole batch (rows, times, noise, dropout), and computes its share of it: equal
parts in the order of the processes. The gradients of these parts are averaged: by torch's DistributedDataParallel, or,
where a step takes derivatives of gradients, by `Team.average`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bigloop.runtime import teams


class Team(NamedTuple):
    """The processes of a job: how many, and which of them this is, from 0."""

    size: int = 1
    rank: int = 0

    def share(self, whole: Tensor, group: int = 1) -> Tensor:
        """This process's part of what belongs to a whole batch, (n, …) to (n / size, …); sizes divide n / group.

        Rows that are n / group apart stay together, and are (n / size) / group apart.
        """
        if self.size == 1:
            return whole
        return whole.unflatten(0, (group, -1)).tensor_split(self.size, 1)[self.rank].flatten(0, 1)

    def together(self, share: Tensor) -> Tensor:
        """The whole, from every process's part of it: what `share` takes apart."""
        if self.size == 1:
            return share
        parts = [torch.empty_like(share) for _ in range(self.size)]
        dist.all_gather(parts, share.contiguous())
        return torch.cat(parts)

    def any(self, *facts: bool) -> list[bool]:
        """Of each fact, whether it is so in any process."""
        if self.size == 1:
            return list(facts)
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        told = torch.tensor(facts, dtype=torch.int32, device=device)
        dist.all_reduce(told, dist.ReduceOp.MAX)
        return [bool(fact) for fact in told.tolist()]

    def average(self, gradients: Sequence[Tensor]) -> None:
        """Make each of them, (…), its mean over all processes, in place."""
        if self.size > 1:
            whole = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
            sizes = [gradient.numel() for gradient in gradients]
            for gradient, mean in zip(gradients, whole.split(sizes), strict=True):
                gradient.copy_(mean.view_as(gradient))

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


@contextmanager
def joined() -> Iterator[None]:
    """In a process that torchrun started as one of a team: meet the others, on a GPU of its own where there are any."""
    if teams.rank() is None:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


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
