"""Flows along straight lines: solvers against a flow known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bigloop.models.flow import dopri5, euler, midpoint

MEAN, SPREAD = 0.4, 0.3  # of Gaussian data


def velocity(x: Tensor, t: float) -> Tensor:
    """Of the optimal flow from N(0, 1) to N(MEAN, SPREAD²), x₀ to MEAN + SPREAD x₀ along straight lines."""
    return MEAN + (SPREAD - 1) * (x - t * MEAN) / (1 + t * (SPREAD - 1))


def diagonal(x: Tensor, t: float) -> Tensor:
    """Of independent pairs: E[x₁ − x₀ | x_t] for x₀ ~ N(0, 1) and x₁ ~ N(0, SPREAD²) (Lipman et al. 2023)."""
    return (t * SPREAD**2 - (1 - t)) / (t**2 * SPREAD**2 + (1 - t) ** 2) * x


def points() -> Tensor:
    return torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]


def test_straight_lines_are_followed_exactly_by_any_number_of_steps() -> None:
    for made in (euler(velocity, points(), 1), euler(velocity, points(), 7), midpoint(velocity, points(), 2)):
        torch.testing.assert_close(made, MEAN + SPREAD * points())


@pytest.mark.parametrize(("solver", "order"), [(euler, 1), (midpoint, 2)])
def test_curved_ones_are_followed_at_least_at_the_order_of_the_method(solver: object, order: int) -> None:
    """The flow of independent pairs takes x₀ to SPREAD x₀, too; its symmetry gives the midpoint rule order 3."""

    def error(steps: int) -> float:
        return float((solver(diagonal, points(), steps) - SPREAD * points()).abs().max())  # type: ignore[operator]

    assert min(math.log2(error(n) / error(2 * n)) for n in (64, 128)) > order - 0.1


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-8])
def test_dopri5_reaches_its_tolerance_with_more_evaluations_the_smaller_it_is(tolerance: float) -> None:
    asked: list[float] = []

    def counted(x: Tensor, t: float) -> Tensor:
        asked.append(t)
        return diagonal(x, t)

    error = (dopri5(counted, points(), tolerance) - SPREAD * points()).square().mean().sqrt()
    # local errors below the tolerance add up over some tens of steps
    assert float(error) <= 10 * tolerance * (1 + float(points().abs().max()))
    assert 6 * {1e-3: 2, 1e-5: 4, 1e-8: 12}[tolerance] <= len(asked) <= 300
