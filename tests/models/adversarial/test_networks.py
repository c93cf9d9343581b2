"""The critic's layers against slow versions, and what they tell a collapsed batch by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bigloop.models.adversarial.networks import (
    Critic,
    MinibatchDeviation,
    MinibatchDiscrimination,
    Several,
    Spectral,
    iterate,
    normalise,
)
from bigloop.models.points.stacked import Linear, Streams


class Projection(nn.Module):
    """A linear layer of this weight."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, features: Tensor) -> Tensor:
        return features @ self.weight


def kernels(*shape: int) -> MinibatchDiscrimination:
    return MinibatchDiscrimination(Projection(normal(*shape, seed=1)), 5)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- what looks at a batch ---


def test_minibatch_discrimination_is_salimans_sum_over_the_other_rows() -> None:
    features, weight = normal(4, 6), normal(6, 5 * 3, seed=1)
    found = MinibatchDiscrimination(Projection(weight), 5)(features)
    for i in range(4):
        for b in range(5):
            projected = (features @ weight).reshape(4, 5, 3)
            others = [(projected[i, b] - projected[j, b]).abs().sum() for j in range(4) if j != i]
            assert found[i, b].item() == pytest.approx(sum(np.exp(-d.item()) for d in others), rel=1e-12)


def test_a_collapsed_batch_is_told_by_both() -> None:
    near, spread = kernels(6, 15), MinibatchDeviation()
    varied, alike = normal(8, 6), normal(1, 6).expand(8, 6)
    assert near(varied).max() < 1
    torch.testing.assert_close(near(alike), torch.full((8, 5), 7.0, dtype=torch.float64))
    assert spread(varied).min() > 0.5
    assert spread(alike).max() <= 1e-4  # the root of what keeps its slope finite


def test_the_deviation_is_one_number_a_batch() -> None:
    features = normal(3, 8, 6)
    found = MinibatchDeviation()(features)
    assert found.shape == (3, 8, 1)
    for k in range(3):
        np.testing.assert_allclose(found[k], features[k].numpy().std(axis=0).mean(), rtol=1e-6)


@pytest.mark.parametrize("module", [MinibatchDeviation(), kernels(3, 6, 15)])
def test_replicates_are_looked_at_by_themselves(module: nn.Module) -> None:
    features = normal(3, 8, 6, seed=2)
    whole = module(features)
    changed = features.clone()
    changed[1] *= 3
    torch.testing.assert_close(module(changed)[[0, 2]], whole[[0, 2]], rtol=0, atol=0)
    assert (module(changed)[1] != whole[1]).any()


def test_slopes_are_finite_where_all_rows_are_alike() -> None:
    alike = torch.ones(5, 6, dtype=torch.float64, requires_grad=True)
    for module in (MinibatchDeviation(), kernels(6, 15)):
        (slope,) = torch.autograd.grad(module(alike).sum(), alike)
        assert slope.isfinite().all()


# --- spectral normalisation ---


def largest(matrix: Tensor) -> Tensor:
    return torch.linalg.svdvals(matrix)[..., 0]


def test_the_largest_singular_value_is_1_of_matrices_convolutions_and_every_replicate() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 8, 4), nn.Linear(9, 7))
    stacked = nn.Sequential(Linear(9, 7, Streams([np.random.default_rng(k) for k in range(4)])))
    before = [p.detach().clone() for p in plain.parameters()]
    normalise(plain, (nn.Conv2d, nn.Linear), flat=True)
    normalise(stacked, (Linear,), flat=False)
    for _ in range(100):
        iterate(plain)
        iterate(stacked)
    for layer in (*plain, *stacked):
        weight: Any = layer.weight
        values = largest(weight if weight.dim() == 3 else weight.flatten(1))
        torch.testing.assert_close(values, torch.ones_like(values), rtol=1e-5, atol=0)
    torch.testing.assert_close(plain[0].weight * largest(before[0].flatten(1)), before[0])


def test_one_iteration_a_step_follows_weights_as_they_move() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 30))
    normalise(net, (nn.Linear,), flat=True)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-4)
    x, y = torch.randn(64, 20), torch.randn(64, 30)
    for _ in range(300):
        optimizer.zero_grad()
        (net(x) - y).square().mean().backward()
        optimizer.step()
        iterate(net)
    weight: Any = net[0].weight
    assert largest(weight).item() == pytest.approx(1, abs=1e-3)


def test_the_slope_of_a_normalised_weight_is_miyatos() -> None:
    weight = normal(4, 6).requires_grad_()
    spectral = Spectral(weight)
    for _ in range(500):
        spectral.iterate(weight)
    toward = normal(4, 6, seed=1)
    (slope,) = torch.autograd.grad((spectral(weight) * toward).sum(), weight)
    u, s, vh = torch.linalg.svd(weight.detach())
    one = torch.outer(u[:, 0], vh[0])
    normalised = weight.detach() / s[0]
    torch.testing.assert_close(slope, (toward - (toward * normalised).sum() * one) / s[0])  # ibid., eq. 12


# --- critics ---


def critic(seed: int = 0, **more: Any) -> Critic:
    torch.manual_seed(seed)
    return Critic([nn.Linear(2, 5), nn.Tanh()], nn.Linear(5, 1), **more)


def test_a_critic_with_nothing_beside_is_the_sequence_of_its_layers() -> None:
    ours = critic()
    plain = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1))
    assert list(ours.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(ours.state_dict())
    rows = torch.randn(6, 2)
    said: Any = ours(rows, True)
    torch.testing.assert_close(ours(rows), plain(rows)[:, 0], rtol=0, atol=0)
    torch.testing.assert_close(said.scores, plain(rows)[:, 0], rtol=0, atol=0)
    torch.testing.assert_close(said.features, plain[:2](rows), rtol=0, atol=0)
    assert said.codes is None


def test_codes_of_a_pack_are_told_row_by_row() -> None:
    head = nn.Linear(5, 3 * 4)
    ours = critic(codes=head, pack=3)
    rows = torch.randn(6, 2)
    said: Any = ours(rows, True)
    assert said.codes.shape == (18, 4)
    torch.testing.assert_close(said.codes, head(said.features).reshape(18, 4))


def test_several_critics_judge_a_part_each() -> None:
    several = Several([critic(k) for k in range(3)], axis=0)
    rows = torch.randn(12, 2)
    said: Any = several(rows, True)
    for k in range(3):
        part = slice(4 * k, 4 * k + 4)
        torch.testing.assert_close(several(rows)[part], critic(k)(rows[part]))
        torch.testing.assert_close(said.features[part], critic(k)(rows[part], True).features)  # type: ignore[union-attr]
