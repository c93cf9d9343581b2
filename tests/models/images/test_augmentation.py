"""Augmentation: what is done is what is told, and nothing is done where nothing is told."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bigloop.models.images.augmentation import augmented

MIRRORED, UPSIDE_DOWN, SCALE, COS, SIN, ALONG, ACROSS, RIGHT, DOWN = range(9)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spots(n: int) -> Tensor:
    """A spot to the right of the middle and, half as bright, one below it, (n, 1, 33, 33)."""
    x = torch.arange(33) - 16.0
    there = torch.exp(-((x[None, :] - 6) ** 2 + x[:, None] ** 2) / 4)
    below = 0.5 * torch.exp(-(x[None, :] ** 2 + (x[:, None] - 6) ** 2) / 4)
    return (there + below).expand(n, 1, 33, 33).contiguous()


def brightness(image: Tensor, right: float, down: float) -> float:
    """At a place so far from the middle."""
    return float(image[0, round(down) + 16, round(right) + 16])


def test_without_a_chance_images_are_only_mirrored_half_of_them() -> None:
    x = spots(2_000)
    changed, told = augmented(x, 0.0, seeded())
    mirrored = told[:, MIRRORED].bool()
    assert abs(mirrored.float().mean().item() - 0.5) <= 4 * math.sqrt(0.25 / 2_000)
    assert not told[:, UPSIDE_DOWN:].any()
    torch.testing.assert_close(changed[mirrored], x[mirrored].flip(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(changed[~mirrored], x[~mirrored], rtol=0, atol=1e-5)


def test_every_change_happens_with_the_given_probability() -> None:
    n, p = 4_000, 0.12
    _, told = augmented(torch.zeros(n, 1, 8, 8), p, seeded(1))
    for columns, rate in (
        ((UPSIDE_DOWN,), p / 2),
        ((SCALE,), p),
        ((COS, SIN), p),
        ((ALONG, ACROSS), p),
        ((RIGHT, DOWN), p),
    ):
        share = told[:, columns].any(dim=1).float().mean().item()
        assert abs(share - rate) <= 4 * math.sqrt(rate * (1 - rate) / n)


@pytest.mark.parametrize("changes", [(RIGHT, DOWN), (COS, SIN), (UPSIDE_DOWN,), (SCALE,)])
def test_the_spot_is_where_the_told_change_takes_it(changes: tuple[int, ...]) -> None:
    changed, told = augmented(spots(6_000), 0.15, seeded(2))
    others = [k for k in range(1, 9) if k not in changes]
    chosen = told[:, changes].any(dim=1) & ~told[:, others].any(dim=1)
    assert chosen.sum() > 50
    for image, what in zip(changed[chosen], told[chosen].tolist(), strict=True):
        right, down = 6.0 * (1 - 2 * what[MIRRORED]), 0.0
        down *= 1 - 2 * what[UPSIDE_DOWN]
        right, down = right * 2 ** (0.2 * what[SCALE]), down * 2 ** (0.2 * what[SCALE])
        cos, sin = what[COS] + 1, what[SIN]
        turned = (cos * right - sin * down, sin * right + cos * down)
        place = turned[0] + 0.125 * 33 * what[RIGHT], turned[1] + 0.125 * 33 * what[DOWN]
        if max(map(abs, place)) <= 14:  # within the image, with its surroundings
            assert brightness(image, *place) > 0.7  # half a pixel off on both sides, the spot has 0.88


def test_changes_are_those_of_the_stream() -> None:
    one, other, third = (augmented(spots(5), 0.5, seeded(k)) for k in (3, 3, 4))
    assert all(map(torch.equal, one, other))
    assert not torch.equal(one[0], third[0])
