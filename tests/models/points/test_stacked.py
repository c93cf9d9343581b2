"""Stacked models: streams, batches and norms by themselves, and what every stacked family of networks promises."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bigloop.models.points import otcfm
from bigloop.models.points.glow import Glow
from bigloop.models.points.mlp_ddpm import MLPDDPM
from bigloop.models.points.mlp_gan import MLPGAN
from bigloop.models.points.otcfm import OTCFM
from bigloop.models.points.stacked import Linear, StackedFamily, Streams, batches, mlp, norm
from bigloop.runtime.signals import DivergedError
from bigloop.spec.loops import Budget

from ...remedies import DIVERGENCES, REMEDIES

GAN = {"loss": "gan", "critic_iterations": 2}
FAMILIES: dict[str, tuple[type[StackedFamily], dict[str, Any]]] = {
    "otcfm": (OTCFM, {"sampling_steps": 5}),
    "gan": (MLPGAN, GAN),
    "wgan_clip": (MLPGAN, {"loss": "wgan_clip", "critic_iterations": 2}),
    "wgan_gp": (MLPGAN, {"loss": "wgan_gp", "critic_iterations": 2}),
    "glow": (Glow, {"couplings": 3}),
    "mlp_ddpm": (MLPDDPM, {"timesteps": 10}),
    **{name: (MLPGAN, GAN | options) for name, options in (REMEDIES | DIVERGENCES).items()},
}
REPLICATES, ROWS, BATCH, DIMENSION = 3, 50, 16, 2

every_family = pytest.mark.parametrize(
    "name", [name for name in FAMILIES if name not in (REMEDIES | DIVERGENCES) or name == "nearly all"]
)
every_option = pytest.mark.parametrize("name", FAMILIES)


def streams(*seeds: int, purpose: int = 0) -> Streams:
    return Streams([np.random.default_rng([seed, purpose]) for seed in seeds])


def fresh(name: str, *seeds: int) -> StackedFamily:
    cls, options = FAMILIES[name]
    made = cls.Options(**options | {"hidden": 16, "batch_size": BATCH})
    return cls.fresh(made, DIMENSION, streams(*seeds))


def rows(*seeds: int) -> Tensor:
    """Points on a noisy parabola, other ones for each seed."""
    x = streams(*seeds, purpose=1).normal(ROWS, DIMENSION)
    x[:, :, 1] += x[:, :, 0] ** 2
    return x


def fitted(name: str, *seeds: int, steps: int = 20) -> StackedFamily:
    model = fresh(name, *seeds)
    model.fit(rows(*seeds), budget(model, steps), streams(*seeds, purpose=2))
    return model


def budget(model: StackedFamily, steps: int) -> Budget:
    return Budget(images=steps * model.batches_per_step * BATCH)


def largest_difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    assert one.keys() == other.keys()
    return max(float(np.abs(one[key].astype(float) - other[key]).max()) for key in one)


# --- the parts ------------------------------------------------------------------------------------------


def drawn(source: Streams) -> list[Tensor]:
    return [
        source.normal(4, 2),
        source.uniform(3),
        source.integers(10, 5),
        source.permutations(7),
        source.normal(2, dtype=torch.float64),
    ]


def test_what_a_replicate_draws_does_not_depend_on_the_others() -> None:
    together = drawn(streams(1, 2, 3))
    for place, seed in enumerate((1, 2, 3)):
        for ours, alone in zip(together, drawn(streams(seed)), strict=True):
            assert torch.equal(ours[place], alone[0])
            assert ours.dtype == alone.dtype


def test_draws_have_the_law_and_type_of_their_name() -> None:
    normal, uniform, integers, permutations, wide = drawn(streams(1, 2))
    assert normal.shape == (2, 4, 2)
    assert (normal.dtype, wide.dtype, integers.dtype) == (torch.float32, torch.float64, torch.int64)
    assert ((uniform >= 0) & (uniform < 1)).all()
    assert ((integers >= 0) & (integers < 10)).all()
    assert permutations.sort(dim=1).values.tolist() == [list(range(7))] * 2
    many = streams(5).normal(40_000)
    # five standard errors of a mean and of a variance of n normal numbers
    assert abs(many.mean().item()) <= 5 / 200
    assert abs(many.var().item() - 1) <= 5 * (2 / 40_000) ** 0.5


@pytest.mark.parametrize("size", [4, 10, 25])
def test_every_batch_is_full_and_every_row_is_seen_equally_often(size: int) -> None:
    numbers = torch.arange(10.0).repeat(2, 1)[:, :, None] + torch.tensor([0.0, 100.0])[:, None, None]
    stream = batches(numbers, size, streams(1, 2))
    seen = torch.cat([next(stream) for _ in range(20)], dim=1)
    assert seen.shape == (2, 20 * size, 1)
    for replicate, first in enumerate((0, 100)):
        values, counts = seen[replicate].unique(return_counts=True)
        assert values.tolist() == list(range(first, first + 10))
        assert counts.tolist() == [2 * size] * 10
    assert not torch.equal(seen[0], seen[1] - 100)


def test_a_stacked_layer_is_torchs_layer_in_every_replicate() -> None:
    layer, x = Linear(5, 7, streams(1, 2)), streams(1, 2, purpose=1).normal(9, 5)
    expected = [nn.functional.linear(x[r], layer.weight[r].T, layer.bias[r, 0]) for r in range(2)]
    torch.testing.assert_close(layer(x), torch.stack(expected))
    assert layer.weight.abs().max() <= 5**-0.5


def test_the_norm_is_that_of_all_gradients_of_a_replicate() -> None:
    net = mlp([2, 4, 1], nn.ReLU, streams(1, 2, 3))
    net(streams(1, 2, 3, purpose=1).normal(6, 2)).square().sum().backward()
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    expected = [torch.cat([g[r].flatten() for g in gradients]).norm() for r in range(3)]
    assert len(gradients) == 4
    torch.testing.assert_close(norm(net), torch.stack(expected))


# --- the families ---------------------------------------------------------------------------------------


@every_option
def test_a_replicate_is_what_it_is_when_trained_alone(name: str) -> None:
    together = fitted(name, 1, 2, 3)
    samples = together.sample(40, 0.7, streams(1, 2, 3, purpose=3))
    for place, seed in enumerate((1, 2, 3)):
        alone = fitted(name, seed)
        for key, array in alone.state().items():
            difference = np.abs(together.state()[key][place].astype(float) - array[0]).max()
            # Rounding, 6e-8 of each number, and what 20 steps make of it. A Wasserstein or relativistic critic's bias
            # that shifts all scores alike has a gradient of nothing but rounding, from which Adam makes a learning
            # rate a step.
            differences = FAMILIES[name][1].get("loss") in ("wgan_clip", "wgan_gp", "relativistic")
            shifts = differences and key.startswith("critic.") and key.endswith("bias")
            assert difference <= (40 * 1e-3 if shifts else 1e-4), key
        own = alone.sample(40, 0.7, streams(seed, purpose=3))
        torch.testing.assert_close(samples[place], own[0], rtol=0, atol=1e-5)
        assert not torch.allclose(samples[place - 1], own[0], atol=0.1)


@every_option
def test_training_goes_on_from_a_state_as_from_the_model_itself(name: str) -> None:
    model, restored = fitted(name, 1, 2, 3), fresh(name, 7, 8, 9)
    restored.restore(model.state())
    assert largest_difference(model.state(), restored.state()) == 0
    histories = [m.fit(rows(4, 5, 6), budget(m, 12), streams(4, 5, 6, purpose=2)) for m in (model, restored)]
    assert largest_difference(*histories) == 0
    assert largest_difference(model.state(), restored.state()) == 0
    samples = [m.sample(5, 1.0, streams(4, 5, 6, purpose=3)) for m in (model, restored)]
    assert torch.equal(*samples)


@every_family
def test_the_optimisers_moments_are_part_of_the_state(name: str) -> None:
    model, forgetful = fitted(name, 1, 2, 3), fresh(name, 7, 8, 9)
    state = model.state()
    forgetful.restore({key: array for key, array in state.items() if not key.startswith("optimizer.")})
    for m in (model, forgetful):
        m.fit(rows(4, 5, 6), budget(m, 3), streams(4, 5, 6, purpose=2))
    now, other = model.state(), forgetful.state()
    moments = [key for key in now if key.endswith("exp_avg") and now[key].size > REPLICATES]
    assert all((now[key] != other[key]).any() for key in moments)
    assert {key.split(".")[1] for key in state if key.startswith("optimizer.")} == set(model.optimizers)


@every_option
def test_a_state_has_the_replicate_first_and_can_be_cut(name: str) -> None:
    model, one = fitted(name, 1, 2, 3), fresh(name, 9)
    state = model.state()
    assert {array.shape[0] for array in state.values()} == {REPLICATES}
    one.restore({key: array[1:2] for key, array in state.items()})
    samples = model.sample(30, 1.0, streams(1, 2, 3, purpose=3))[1]
    # rounding of one pass of samples
    torch.testing.assert_close(one.sample(30, 1.0, streams(2, purpose=3))[0], samples, rtol=1e-4, atol=1e-4)


@every_family
def test_a_state_is_a_copy(name: str) -> None:
    model = fitted(name, 1, 2, 3)
    state = model.state()
    before = copy.deepcopy(state)
    model.fit(rows(1, 2, 3), budget(model, 2), streams(1, 2, 3))
    assert largest_difference(state, before) == 0
    assert largest_difference(state, model.state()) > 0


@every_family
def test_the_history_is_a_mean_of_losses_and_norms_for_each_replicate(name: str) -> None:
    model = fresh(name, 1, 2, 3)
    history = model.fit(rows(1, 2, 3), budget(model, 4), streams(1, 2, 3))
    norms = {f"gradient_norm_{network}" for network in model.networks}
    assert norms < set(history)
    for key, values in history.items():
        assert (values.shape, values.dtype) == ((REPLICATES,), np.float64)
        assert key not in norms or (values > 0).all()


@every_family
def test_a_diverged_replicate_is_named(name: str) -> None:
    model = fitted(name, 1, 2, 3, steps=1)
    with torch.no_grad():
        for net in model.networks.values():
            next(net.parameters())[1] = torch.nan
    with pytest.raises(DivergedError, match=r" is not finite in replicates \[1\]$"):
        model.fit(rows(1, 2, 3), budget(model, 2), streams(1, 2, 3))
    model = fitted(name, 1, 2, 3, steps=1)
    with torch.no_grad():
        for net in model.networks.values():
            for p in net.parameters():
                p[2] = torch.nan
    with pytest.raises(DivergedError, match=r"^a sample is not finite in replicates \[2\]$"):
        model.sample(5, 1.0, streams(1, 2, 3))


def test_a_budget_counts_every_batch_that_a_step_takes() -> None:
    model = MLPGAN.fresh(MLPGAN.Options(critic_iterations=5, batch_size=10), 2, streams(1))
    model.fit(rows(1), Budget(epochs=10), streams(1))  # 50 batches
    steps = {key: array for key, array in model.state().items() if key.endswith(".step")}
    assert {float(n[0]) for key, n in steps.items() if "generator" in key} == {10.0}
    assert {float(n[0]) for key, n in steps.items() if "critic" in key} == {50.0}


# --- what stacking is for -------------------------------------------------------------------------------


class Operations(TorchDispatchMode):
    """Counts torch's operations, each of which costs its start whatever the size of its tensors."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return function(*args, **kwargs or {})


@every_family
def test_fifty_stacked_replicates_step_in_the_operations_of_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The networks' step, that is without the coupling, which each replicate needs for itself."""

    def in_order(noise: Tensor, data: Tensor) -> Tensor:
        return torch.arange(data.shape[1]).expand(data.shape[:2])

    def operations(*seeds: int) -> int:
        model = fresh(name, *seeds)
        stream, source = batches(rows(*seeds), BATCH, streams(*seeds)), streams(*seeds, purpose=2)
        with Operations() as found:
            model.step(stream, source)
        return found.count

    monkeypatch.setattr(otcfm, "couplings", in_order)
    assert 10 < operations(*range(50)) == operations(0)
