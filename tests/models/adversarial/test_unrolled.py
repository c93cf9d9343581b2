"""The critic some steps ahead: against Adam itself, and its slopes against finite differences."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from bigloop.models.adversarial.losses import cross_entropy
from bigloop.models.adversarial.networks import Critic
from bigloop.models.adversarial.unrolled import Judge, unrolled


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    """Differences of 1e-6 are seen only there."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def trained(begun: int) -> tuple[Critic, torch.optim.Adam, Tensor, Tensor]:
    """A critic of points of R², after so many steps of its own, with its optimiser and two batches."""
    torch.manual_seed(0)
    critic = Critic([nn.Linear(2, 5), nn.Tanh()], nn.Linear(5, 1))
    optimizer = torch.optim.Adam(critic.parameters(), lr=0.05, betas=(0.5, 0.9))
    real, fake = torch.randn(7, 2), torch.randn(7, 2) + 1
    for _ in range(begun):
        step(critic, optimizer, real, fake)
    return critic, optimizer, real, fake


def step(critic: nn.Module, optimizer: torch.optim.Optimizer, real: Tensor, fake: Tensor) -> None:
    optimizer.zero_grad()
    cross_entropy(critic(real), critic(fake)).mean().backward()
    optimizer.step()


def ahead(critic: Critic, optimizer: torch.optim.Adam, steps: int, real: Tensor, fake: Tensor) -> Judge:
    def loss(judge: Judge) -> Tensor:
        return cross_entropy(judge(real), judge(fake)).mean()

    return unrolled(critic, optimizer, steps, loss)


@pytest.mark.parametrize("begun", [0, 3])
@pytest.mark.parametrize("steps", [1, 4])
def test_it_is_the_critic_after_as_many_steps_of_adam_and_the_critic_itself_stays_as_it_was(
    steps: int, begun: int
) -> None:
    critic, optimizer, real, fake = trained(begun)
    before = copy.deepcopy(critic.state_dict())
    scores = ahead(critic, optimizer, steps, real, fake)(fake)
    torch.testing.assert_close(critic.state_dict(), before, rtol=0, atol=0)
    assert len(optimizer.state) == (4 if begun else 0)
    for _ in range(steps):
        step(critic, optimizer, real, fake)
    torch.testing.assert_close(scores, critic(fake), rtol=1e-6, atol=1e-8)


def test_no_step_ahead_is_the_critic_itself() -> None:
    critic, optimizer, real, fake = trained(1)
    assert ahead(critic, optimizer, 0, real, fake) is critic


@pytest.mark.parametrize("begun", [0, 3])
def test_the_slopes_through_all_steps_are_those_of_finite_differences(begun: int) -> None:
    critic, optimizer, real, fake = trained(begun)
    at = fake.clone().requires_grad_()

    def ahead_of(points: Tensor) -> Tensor:
        return ahead(critic, optimizer, 3, real, points)(points).sum()

    assert torch.autograd.gradcheck(ahead_of, at, eps=1e-6, atol=1e-5)
    alone = torch.autograd.grad(critic(at).sum(), at)[0]
    through = torch.autograd.grad(ahead_of(at), at)[0]
    assert (through - alone).abs().max() > 0.01


def test_clipped_weights_stay_within_their_bound_on_every_step() -> None:
    critic, optimizer, real, fake = trained(0)
    seen: list[float] = []

    def loss(judge: Judge) -> Tensor:
        scores = judge(fake) - judge(real)
        seen.append(scores.abs().max().item())
        return scores.mean()

    said = unrolled(critic, optimizer, 2, loss, clip=1e-3)(torch.ones(1, 2))
    # at most 5 · 10⁻³ · tanh(3 · 10⁻³), and an offset of 10⁻³
    assert said.abs().max() <= 1e-3 + 5e-3 * 3e-3
    assert len(seen) == 2
    assert seen[1] < 1e-4 < seen[0]
