"""The DDPM: its diffusion against diffusers and on Gaussian data, whose answer is known; its training and state."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from bigloop.artifacts import read_tensors, write_tensors
from bigloop.models.images.ddpm import (
    DDPM,
    LOGIT_MEAN,
    LOGIT_SPREAD,
    Averaged,
    alpha_bar,
    ancestral,
    ancestral_step,
    ddim,
    ddim_step,
    dropped,
    guidance,
    noised,
    steps_drawn,
    trailing,
    velocity,
)
from bigloop.models.images.unet import UNet
from bigloop.spec.options import SpecError, parse
from bigloop.spec.runs import Budget
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


# --- one step, against diffusers ------------------------------------------------------------------------


@pytest.mark.parametrize("timesteps", [2, 500, 1_000])
def test_the_schedule_is_diffusers_linear_one(timesteps: int) -> None:
    theirs = DDPMScheduler(timesteps, *BETAS).alphas_cumprod
    torch.testing.assert_close(
        alpha_bar(timesteps, *BETAS).float(), theirs, rtol=1e-4, atol=0
    )  # theirs: float32


def exact(scheduler: Any) -> Any:
    """`scheduler` in float64, so that rounding does not hide a difference."""
    scheduler.alphas_cumprod = alpha_bar(scheduler.config.num_train_timesteps, *BETAS)
    return scheduler


@pytest.mark.parametrize("clip", [True, False])
def test_every_ancestral_step_is_diffusers_own(clip: bool) -> None:
    scheduler = exact(DDPMScheduler(500, *BETAS, variance_type="fixed_small", clip_sample=clip))
    levels = [1.0, *alpha_bar(500, *BETAS).tolist()]
    for t in range(500):
        x, eps = torch.randn(2, 4, 2, 3, generator=seeded(t), dtype=torch.float64)
        expected = scheduler.step(eps, t, x, generator=seeded(1)).prev_sample
        ours = ancestral_step(x, eps, levels[t + 1], levels[t], clip, seeded(1))
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("steps", [500, 20, 1])
def test_every_ddim_step_and_its_times_are_diffusers_own(clip: bool, steps: int) -> None:
    scheduler = exact(DDIMScheduler(500, *BETAS, clip_sample=clip, timestep_spacing="trailing"))
    scheduler.set_timesteps(steps)
    times = trailing(500, steps)
    assert times == scheduler.timesteps.tolist()
    a = alpha_bar(500, *BETAS).tolist()
    for t, then in zip(times, [a[s] for s in times[1:]] + [1.0], strict=True):
        x, eps = torch.randn(2, 4, 2, 3, generator=seeded(t), dtype=torch.float64)
        expected = scheduler.step(eps, t, x, use_clipped_model_output=clip).prev_sample
        torch.testing.assert_close(ddim_step(x, eps, a[t], then, clip), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 3, 7, 499, 500])
def test_ddims_times_fall_from_the_last_step_in_even_strides(steps: int) -> None:
    times = trailing(500, steps)
    strides = {a - b for a, b in zip(times, [*times[1:], -1], strict=True)}
    assert times[0] == 499
    assert len(times) == steps
    assert strides <= {math.floor(500 / steps), math.ceil(500 / steps)}


def test_more_sampling_steps_than_timesteps_are_refused() -> None:
    given: dict[str, Any] = {"timesteps": 20, "sampling_steps": 21}
    with pytest.raises(SpecError, match=r"^m\.sampling_steps: 21 exceeds timesteps, 20$"):
        parse(DDPM.Options, given | {"sampler": "ddim"}, "m")
    parse(DDPM.Options, given | {"sampler": "ddpm"}, "m")  # which makes all steps


@pytest.mark.parametrize("t", [0, 100, 499])
def test_noised_images_have_the_mean_and_variance_of_q(t: int) -> None:
    n, a = 100_000, alpha_bar(500, *BETAS)
    x0 = torch.full((n, 1, 1, 1), 0.7, dtype=torch.float64)
    noise = torch.randn(x0.shape, generator=seeded(), dtype=torch.float64)
    x = noised(x0, noise, a[torch.full((n, 1, 1, 1), t)])
    variance = 1 - a[t].item()
    # four standard errors of a mean and of a variance of n normal numbers
    assert abs(x.mean().item() - math.sqrt(a[t].item()) * 0.7) <= 4 * math.sqrt(variance / n)
    assert abs(x.var().item() - variance) <= 4 * variance * math.sqrt(2 / n)


def test_noised_images_and_velocities_are_diffusers_own_each_at_its_step() -> None:
    x0, noise = torch.randn(2, 5, *SHAPE, generator=seeded())
    t = torch.tensor([0, 3, 77, 250, 499])
    scheduler, a = DDPMScheduler(500, *BETAS), alpha_bar(500, *BETAS).float()[t].view(-1, 1, 1, 1)
    torch.testing.assert_close(velocity(x0, noise, a), scheduler.get_velocity(x0, noise, t))
    expected = scheduler.add_noise(x0, noise, t)
    torch.testing.assert_close(noised(x0, noise, a), expected)


# --- whole chains, on Gaussian data ---------------------------------------------------------------------


def true_eps(a: Tensor) -> Callable[[Tensor, int], Tensor]:
    """E[ε | x_t] for data from N(MEAN, SPREAD²)."""

    def eps(x: Tensor, t: int) -> Tensor:
        level = a[t].item()
        variance = level * SPREAD**2 + 1 - level
        return math.sqrt(1 - level) * (x - math.sqrt(level) * MEAN) / variance

    return eps


def ancestral_law(a: Tensor) -> tuple[float, float]:
    """Mean and variance of the chain's x_0: each step is linear, in the form of Ho et al. 2020, alg. 2."""
    mean, variance = 0.0, 1.0
    levels = [1.0, *a.tolist()]
    for t in reversed(range(len(a))):
        now, then = levels[t + 1], levels[t]
        alpha = now / then
        slope = (1 - alpha) / (now * SPREAD**2 + 1 - now)  # of (1 − α)/√(1 − ᾱ) · ε in x
        mean = (mean - slope * (mean - math.sqrt(now) * MEAN)) / math.sqrt(alpha)
        variance = ((1 - slope) / math.sqrt(alpha)) ** 2 * variance + (1 - then) / (1 - now) * (1 - alpha)
    return mean, variance


def ddim_law(a: Tensor, times: list[int]) -> tuple[float, float]:
    """Offset and factor of x_0 in x_T: the deviation from √ᾱ · MEAN is multiplied at every step."""
    levels = [*a[times].tolist(), 1.0]
    factor = 1.0
    for now, then in pairwise(levels):
        image, noise = SPREAD**2 * math.sqrt(now * then), math.sqrt((1 - now) * (1 - then))
        factor *= (image + noise) / (now * SPREAD**2 + 1 - now)
    return MEAN - factor * math.sqrt(levels[0]) * MEAN, factor


def test_ancestral_samples_of_gaussian_data_have_the_chains_mean_and_variance() -> None:
    n, a = 40_000, alpha_bar(500, *BETAS)
    generator = seeded()
    start = torch.randn(n, generator=generator, dtype=torch.float64)
    x = ancestral(true_eps(a), start, a, clip=False, generator=generator)
    mean, variance = ancestral_law(a)
    # four standard errors of a mean and of a variance of n normal numbers
    assert abs(x.mean().item() - mean) <= 4 * math.sqrt(variance / n)
    assert abs(x.var().item() - variance) <= 4 * variance * math.sqrt(2 / n)


@pytest.mark.parametrize("steps", [500, 20])
def test_ddim_maps_the_noise_of_gaussian_data_linearly(steps: int) -> None:
    a, start = alpha_bar(500, *BETAS), torch.linspace(-3, 3, 7, dtype=torch.float64)
    offset, factor = ddim_law(a, trailing(500, steps))
    x = ddim(true_eps(a), start, a, trailing(500, steps), clip=False)
    torch.testing.assert_close(x, offset + factor * start, rtol=1e-10, atol=1e-10)


def test_the_chains_laws_come_near_the_datas_law_as_their_steps_grow_finer() -> None:
    errors = []
    for timesteps, scale in ((500, 1.0), (5_000, 0.1)):  # as much noise in ten times as many steps
        a = alpha_bar(timesteps, *(scale * beta for beta in BETAS))
        mean, variance = ancestral_law(a)
        offset, factor = ddim_law(a, list(reversed(range(timesteps))))
        errors.append([abs(mean - MEAN), abs(math.sqrt(variance) - SPREAD)])
        errors.append([abs(offset - MEAN), abs(factor - SPREAD)])
    # worked out from the recursions, whose errors are of first order in the size of a step
    assert max(errors[0]) < 0.008
    assert max(errors[1]) < 0.004
    assert max(*errors[2], *errors[3]) < 0.0011


def test_clipped_predictions_keep_samples_in_the_range_of_the_data() -> None:
    a, start = alpha_bar(50, *BETAS), 5 * torch.randn(1_000, generator=seeded(), dtype=torch.float64)
    for x in (
        ancestral(true_eps(a), start, a, clip=True, generator=seeded()),
        ddim(true_eps(a), start, a, trailing(50, 10), clip=True),
    ):
        assert x.abs().max() <= 1


# --- guidance and its training --------------------------------------------------------------------------


@pytest.mark.parametrize(("bias", "w"), [(0.8, 0.25), (0.5, 1.0), (0.25, 3.0)])
def test_guidance_moves_the_noise_away_from_the_unconditional_one(bias: float, w: float) -> None:
    x = torch.randn(5, generator=seeded())
    mixed = guidance(lambda x, t: x * t, lambda x, t: x - t, bias)(x, 7)
    torch.testing.assert_close(mixed, (1 + w) * (x * 7) - w * (x - 7))


def test_without_guidance_the_conditional_noise_is_all_that_is_asked_for() -> None:
    def never(x: Tensor, t: int) -> Tensor:
        raise AssertionError("the unconditional network was evaluated")

    assert guidance(lambda x, t: x + t, never, 1.0)(torch.ones(2), 3).tolist() == [4.0, 4.0]


def test_a_bias_of_0_is_refused_with_its_reason() -> None:
    with pytest.raises(SpecError, match=r"^bias: 0\.0 asks for infinite guidance"):
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
    ddpm.unet.average.register_forward_hook(lambda net, given, output: asked.append(given[1:]))
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


def test_the_average_follows_its_recursion_and_its_warm_up() -> None:
    pair = Averaged(UNet(SHAPE, 3, 4, 1, 2), decay=0.3)
    start = [p.clone() for p in pair.net.parameters()]
    assert all(map(torch.equal, pair.average.parameters(), start))
    expected = [p.double() for p in start]
    for decay in (0.1, 2 / 11, 0.25, 0.3, 0.3):  # (1 + k) / (10 + k), at most 0.3
        with torch.no_grad():
            for p in pair.net.parameters():
                p.add_(torch.randn(p.shape, generator=seeded()))
        pair.update()
        expected = [decay * e + (1 - decay) * p for e, p in zip(expected, pair.net.parameters(), strict=True)]
    for mean, value in zip(pair.average.parameters(), expected, strict=True):
        torch.testing.assert_close(mean, value.float())
    assert pair.updates == 5


def test_samples_come_from_the_average() -> None:
    ddpm, labels = trained(), torch.tensor([0, 1, 2])
    before = ddpm.sample(3, 1.0, seeded(), labels)
    torch.nn.init.ones_(ddpm.unet.net.leave[-1].weight)
    assert torch.equal(ddpm.sample(3, 1.0, seeded(), labels), before)
    torch.nn.init.ones_(ddpm.unet.average.leave[-1].weight)
    assert not torch.equal(ddpm.sample(3, 1.0, seeded(), labels), before)


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
    saved = ("networks", "unet", "optimizers")
    before = {k: copy.deepcopy(v) for k, v in vars(ddpm).items() if k not in saved}
    ddpm.step(rows.float(), labels, seeded())
    after = {k: v for k, v in vars(ddpm).items() if k not in saved}
    assert before.keys() == after.keys()
    assert all(
        torch.equal(v, after[k]) if isinstance(v, Tensor) else v == after[k] for k, v in before.items()
    )


def test_classes_and_labels_are_asked_for() -> None:
    with pytest.raises(SpecError, match=r"^ddpm: learns images of given classes, and got no classes$"):
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
