"""The moving average of weights against its recursion in float64."""

from __future__ import annotations

import torch
from torch import nn

from bigloop.training.average import Averaged


def test_the_average_follows_its_recursion_and_its_warm_up() -> None:
    pair = Averaged(nn.Linear(3, 4), decay=0.3)
    start = [p.clone() for p in pair.net.parameters()]
    assert all(map(torch.equal, pair.average.parameters(), start))
    expected = [p.double() for p in start]
    for decay in (0.1, 2 / 11, 0.25, 0.3, 0.3):  # (1 + k) / (10 + k), at most 0.3
        with torch.no_grad():
            for p in pair.net.parameters():
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(0)))
        pair.update()
        expected = [decay * e + (1 - decay) * p for e, p in zip(expected, pair.net.parameters(), strict=True)]
    for mean, value in zip(pair.average.parameters(), expected, strict=True):
        torch.testing.assert_close(mean, value.float())
    assert pair.updates == 5
