"""Independent random generators, one for each (seed, generation, purpose, replicate).

The same address always gives the same stream, whatever else ran before, and different addresses give
streams that are independent for all practical purposes (NumPy's SeedSequence).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # planning a workflow draws rows, and need not import torch for it
    import torch


MEMBERS_APART = 2**53  # more than any seed of a config


def of_member(seed: int, member: int) -> int:
    """The seed of a member of an ecosystem: one that no other member and no other run has, but for the first, which has
    that of a run alone."""
    return seed + member * MEMBERS_APART


def numpy_generator(seed: int, generation: int, purpose: str, replicate: int = 0) -> np.random.Generator:
    """NumPy generator (PCG64) for an address. `seed`, `generation`, `replicate` ≥ 0."""
    return np.random.default_rng(_sequence(seed, generation, purpose, replicate))


def torch_generator(
    seed: int, generation: int, purpose: str, replicate: int = 0, device: str | torch.device = "cpu"
) -> torch.Generator:
    """Torch generator on `device` for an address. CPU and GPU streams of one address differ."""
    import torch

    state = _sequence(seed, generation, purpose, replicate).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state[0] >> np.uint64(1)))


@contextmanager
def default_generator(generator: torch.Generator) -> Iterator[None]:
    """Torch's global streams, of CPU and GPUs, seeded from `generator` inside the block and put back after it.

    For code that offers no `generator` argument: the default initialisation of layers, and dropout.
    """
    import torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        yield


def _sequence(seed: int, generation: int, purpose: str, replicate: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, generation, zlib.crc32(purpose.encode()), replicate])
