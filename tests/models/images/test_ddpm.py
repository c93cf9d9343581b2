"""The DDPM: its options, its training against diffusers, its samples and its state."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from bigloop.artifacts import read_tensors, write_tensors
from bigloop.metrics.samplers import trailing
from bigloop.models.images.ddpm import DDPM, LOGIT_MEAN, LOGIT_SPREAD, steps_drawn
from bigloop.models.images.denoising import dropped
from bigloop.spec.loops import Budget
from bigloop.spec.options import SpecError, parse
from bigloop.training.checkpoint import Checkpoint

SHAPE = (1, 8, 8)
BETAS = 1e-4, 0.04
MEAN, SPREAD = 0.3, 0.5  # of Gaussian data in one dimension


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(seed: int = 0, **options: Any) -> DDPM:
    small = {"width": 4, "blocks": 1, "patch": 2, "timesteps": 20, "batch_size": 16, "sampling_steps": 5}
    return DDPM.fresh(DDPM.Options(**small | options), SHAPE, seeded(seed), classes=3)


def rows_and_labels(n: int = 48) -> tuple[Tensor, Tensor]:
    """Flat images, dark, grey and bright ones for the classes 0, 1 and 2."""
    labels = torch.arange(n) % 3
    return (labels / 2).view(-1, 1, 1, 1).expand(n, *SHAPE).half(), labels


def trained(seed: int = 1, steps: int = 6, checkpoint: Checkpoint | None = None, **options: Any) -> DDPM:
    ddpm = model(**options)
    ddpm.checkpoint = checkpoint
    rows, labels = rows_and_labels()
    ddpm.fit(rows, Budget(images=16 * steps), seeded(seed), lambda line: None, labels)
    ddpm.checkpoint = None
    return ddpm


def same(first: DDPM, second: DDPM) -> bool:
    one, other = first.state()[0], second.state()[0]
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def test_more_sampling_steps_than_timesteps_are_refused() -> None:
    given: dict[str, Any] = {"timesteps": 20, "sampling_steps": 21}
    with pytest.raises(SpecError, match=r"^m\.sampling_steps: expected at most timesteps, 20, got 21$"):
        parse(DDPM.Options, given | {"sampler": "ddim"}, "m")
    parse(DDPM.Options, given | {"sampler": "ddpm"}, "m")  # which makes all steps


# --- guidance and its training --------------------------------------------------------------------------


def test_a_bias_of_0_is_refused_with_its_reason() -> None:
    with pytest.raises(SpecError, match=r"^bias: 0\.0 means infinite guidance"):
        model().sample(2, 0.0, seeded(), torch.tensor([0, 1]))


@pytest.mark.parametrize("rate", [0.0, 0.1, 1.0])
def test_labels_are_dropped_at_the_rate_and_otherwise_kept(rate: float) -> None:
    n = 100_000
    labels = torch.arange(n) % 10
    after = dropped(labels, rate, 10, seeded())
    gone = after == 10
    assert torch.equal(after[~gone], labels[~gone])
    # four standard errors of a share
    assert abs(gone.double().mean().item() - rate) <= 4 * math.sqrt(rate * (1 - rate) / n)


@pytest.mark.parametrize(("sampler", "evaluations"), [("ddpm", 20), ("ddim", 5)])
@pytest.mark.parametrize(("bias", "each"), [(1.0, 1), (0.5, 2)])
def test_sampling_evaluates_the_network_once_a_step_and_twice_with_guidance(
    sampler: str, evaluations: int, bias: float, each: int
) -> None:
    ddpm, asked = model(sampler=sampler), []
    ddpm.unet.average.register_forward_hook(
        lambda net, given, named, output: asked.append((given[1], named["labels"])), with_kwargs=True
    )
    ddpm.sample(3, bias, seeded(), torch.tensor([0, 1, 2]))
    assert len(asked) == evaluations * each
    assert [t.tolist() for t, _ in asked[::each]] == [
        [t] * 3 for t in (range(19, -1, -1) if sampler == "ddpm" else trailing(20, 5))
    ]
    assert [labels.tolist() for _, labels in asked] == ([[0, 1, 2], [3, 3, 3]] * 99)[:: 3 - each][
        : len(asked)
    ]


# --- the family -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["noise", "velocity"])
def test_the_loss_is_the_mean_squared_error_of_its_target_at_a_uniform_step(target: str) -> None:
    ddpm, (rows, labels) = trained(loss=target), rows_and_labels(16)
    scheduler, stream = (
        DDPMScheduler(20, *BETAS, prediction_type="v_prediction", clip_sample=False),
        seeded(5),
    )
    x0 = 2 * rows.float() - 1
    t = torch.randint(20, (16,), generator=stream)
    noise = torch.randn(rows.shape, generator=stream)
    kept = torch.where(torch.rand(16, generator=stream) < 0.1, 3, labels)
    x = scheduler.add_noise(x0, noise, t)
    output = ddpm.unet.net(x, t, kept)
    if target == "noise":  # of the x_0 that diffusers finds from the output
        guess = torch.stack(
            [scheduler.step(o, s, y)[1] for o, s, y in zip(output, t.tolist(), x, strict=True)]
        )
        a = scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
        error = (x - a.sqrt() * guess) / (1 - a).sqrt() - noise
    else:
        error = output - scheduler.get_velocity(x0, noise, t)
    ddpm.prepare()
    loss = ddpm.step(rows.float(), labels, seeded(5))["loss"]
    assert not loss.requires_grad
    # in float32, the noise of the first step is found from a difference 100 times smaller than its terms
    assert loss.item() == pytest.approx(error.square().mean().item(), rel=1e-3)


@pytest.mark.long
def test_training_learns_flat_images_of_each_class() -> None:
    rows, labels = rows_and_labels()
    learning = {"loss": "velocity", "learning_rate": 3e-3, "average_decay": 0.98}
    ddpm = model(width=8, timesteps=50, beta_last=0.3, sampler="ddim", **learning)
    history = ddpm.fit(rows, Budget(images=16 * 200), seeded(1), lambda line: None, labels)
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    for bias in (1.0, 0.5):
        samples = ddpm.sample(60, bias, seeded(2), torch.arange(60) % 3).double()
        means = [samples[torch.arange(60) % 3 == k].mean().item() for k in range(3)]
        assert means == pytest.approx([0.0, 0.5, 1.0], abs=0.25)  # half the distance of two classes


def test_samples_come_from_the_average() -> None:
    ddpm, labels = trained(), torch.tensor([0, 1, 2])
    before = ddpm.sample(3, 1.0, seeded(), labels)
    torch.nn.init.ones_(ddpm.unet.net.leave[-1].weight)
    assert torch.equal(ddpm.sample(3, 1.0, seeded(), labels), before)
    torch.nn.init.ones_(ddpm.unet.average.leave[-1].weight)
    assert not torch.equal(ddpm.sample(3, 1.0, seeded(), labels), before)


def test_without_labels_in_training_none_is_used_in_sampling() -> None:
    ddpm, (_, labels) = trained(label_dropout=1.0), rows_and_labels(6)
    one, other = (ddpm.sample(6, 1.0, seeded(2), given) for given in (labels, labels.flip(0)))
    assert torch.equal(one, other)


def test_the_moving_average_is_not_counted_among_the_parameters() -> None:
    ddpm = trained()
    assert sum(p.size for p in ddpm.parameters()) == sum(p.numel() for p in ddpm.unet.net.parameters())
    for found, p in zip(ddpm.parameters(), ddpm.unet.net.parameters(), strict=True):
        np.testing.assert_array_equal(found, p.detach().numpy())


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_samples_are_float16_in_the_datas_range_and_the_same_for_one_seed(sampler: str) -> None:
    ddpm, labels = trained(sampler=sampler), torch.arange(10) % 3
    samples = ddpm.sample(10, 0.7, seeded(3), labels)
    assert samples.shape == (10, *SHAPE)
    assert samples.dtype == torch.float16
    assert 0 <= samples.min() <= samples.max() <= 1
    assert torch.equal(samples, ddpm.sample(10, 0.7, seeded(3), labels))
    assert not torch.equal(samples, ddpm.sample(10, 0.7, seeded(4), labels))
    assert not torch.equal(samples, ddpm.sample(10, 0.7, seeded(3), labels.flip(0)))


def test_one_seed_gives_bit_identical_weights_and_another_others() -> None:
    assert same(trained(), trained())
    assert not same(trained(), trained(seed=2))


def test_the_state_is_all_of_a_model(tmp_path: Path) -> None:
    ddpm, restored = trained(), model(seed=7)
    tensors, facts = ddpm.state()
    write_tensors(tmp_path / "model.safetensors", tensors, {})
    restored.restore(read_tensors(tmp_path / "model.safetensors")[0], facts)
    assert same(ddpm, restored)
    assert restored.unet.updates == 6
    labels = torch.arange(5) % 3
    assert torch.equal(ddpm.sample(5, 0.5, seeded(), labels), restored.sample(5, 0.5, seeded(), labels))


def test_a_training_that_stopped_goes_on_bit_by_bit(tmp_path: Path) -> None:
    def checkpoint() -> Checkpoint:
        return Checkpoint(tmp_path / "training.safetensors", key="this one", seconds=1e9)

    trained(steps=5, checkpoint=checkpoint(), decay="none")  # saves its state at the end
    resumed = checkpoint()
    whole = trained(steps=11, checkpoint=resumed, decay="none")
    assert resumed.resumed_at == [5]
    assert same(whole, trained(steps=11, decay="none"))


def test_a_step_changes_nothing_but_networks_optimisers_and_generator() -> None:
    ddpm, (rows, labels) = trained(), rows_and_labels(16)
    ddpm.prepare()
    saved = ("networks", "unet", "learner", "optimizers")
    before = {k: copy.deepcopy(v) for k, v in vars(ddpm).items() if k not in saved}
    ddpm.step(rows.float(), labels, seeded())
    after = {k: v for k, v in vars(ddpm).items() if k not in saved}
    assert before.keys() == after.keys()
    assert all(
        torch.equal(v, after[k]) if isinstance(v, Tensor) else v == after[k] for k, v in before.items()
    )


def test_classes_and_labels_are_asked_for() -> None:
    with pytest.raises(SpecError, match=r"^classes: learns images of given classes, but got no classes$"):
        DDPM.fresh(DDPM.Options(), SHAPE, seeded())
    with pytest.raises(ValueError, match=r"^labels: "):
        model().sample(2, 1.0, seeded())


def test_logit_normal_steps_have_the_law_of_their_name_and_stay_below_t() -> None:
    t = steps_drawn(100_000, 500, "logit_normal", seeded())
    assert 0 <= t.min() <= t.max() <= 499
    logit = torch.logit((t + 0.5) / 500)
    # four standard errors of a mean and of a deviation of 100 000 normal numbers, and the rounding to whole steps
    assert logit.mean().item() == pytest.approx(LOGIT_MEAN, abs=0.015)
    assert logit.std().item() == pytest.approx(LOGIT_SPREAD, abs=0.015)


def test_the_learning_rate_falls_to_0_in_each_training_anew() -> None:
    ddpm, (rows, labels) = model(), rows_and_labels(64)
    rates: list[float] = []

    def fit() -> None:
        step = type(ddpm).step
        ddpm.step = lambda *batch: (
            rates.append(ddpm.optimizers["unet"].param_groups[0]["lr"]),
            step(ddpm, *batch),
        )[1]  # type: ignore[method-assign]
        ddpm.fit(rows, Budget(images=4 * 16), seeded(1), lambda line: None, labels)

    fit()
    first = ddpm.options.learning_rate
    expected = [first * share for share in (1.0, 0.75, 0.5, 0.25)]
    assert rates == pytest.approx(expected)
    ddpm.optimizer_states = {"unet": copy.deepcopy(ddpm.optimizers["unet"].state_dict())}
    fit()
    assert rates == pytest.approx(2 * expected)
