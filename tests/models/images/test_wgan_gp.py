"""The WGAN-GP: the paper's networks, and its step against the plain one."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import Tensor, nn

from bigloop.bench import PlainWGANGP
from bigloop.models import refuses
from bigloop.models.images.wgan_gp import WGANGP
from bigloop.spec.loops import Budget

SHAPE = (1, 28, 28)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(shape: tuple[int, int, int] = SHAPE, **options: Any) -> WGANGP:
    return WGANGP.fresh(WGANGP.Options(**options), shape, seeded())


def small(**options: Any) -> WGANGP:
    return model(**{"width": 3, "latent": 6, "batch_size": 8, "critic_iterations": 2, **options})


def shapes_of(net: nn.Module, rows: Tensor, kinds: tuple[type[nn.Module], ...]) -> list[tuple[int, ...]]:
    """Output shapes, without the batch, of the layers of these kinds as `rows` pass through."""
    found: list[tuple[int, ...]] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, output: found.append(tuple(output.shape[1:])))
        for layer in net.modules()
        if isinstance(layer, kinds)
    ]
    net(rows)
    for hook in hooks:
        hook.remove()
    return found


def kinds_of(net: nn.Module) -> str:
    """The layers' names in one line, without their dimensions."""
    return " ".join(type(layer).__name__.removesuffix("2d") for layer in net.children())


# --- the networks of Knutsen et al. 2025, fig. 3 ---


def test_the_generators_layers_have_the_papers_shapes() -> None:
    net = model().networks["generator"]
    shapes = shapes_of(net, torch.zeros(2, 100, 1, 1), (nn.ConvTranspose2d,))
    assert shapes == [(256, 4, 4), (128, 7, 7), (64, 14, 14), (1, 28, 28)]
    assert kinds_of(net) == " ".join(["ConvTranspose InstanceNorm LeakyReLU"] * 3) + " ConvTranspose Tanh"


def test_the_critics_layers_have_the_papers_shapes() -> None:
    net = model().networks["critic"]
    shapes = shapes_of(net, torch.zeros(2, *SHAPE), (nn.Conv2d,))
    assert shapes == [(64, 14, 14), (128, 7, 7), (256, 4, 4), (1, 1, 1)]
    norm = "Conv InstanceNorm LeakyReLU"
    assert kinds_of(net) == f"Conv LeakyReLU {norm} {norm} Conv Sigmoid Flatten"
    assert net(torch.zeros(5, *SHAPE)).shape == (5,)


def test_options_change_the_layers_they_name_and_no_others() -> None:
    other = model(critic_output="linear", generator_norm="batch", slope=0.1).networks
    assert "Sigmoid" not in kinds_of(other["critic"])
    assert kinds_of(other["critic"]) == kinds_of(model().networks["critic"]).replace("Sigmoid ", "")
    assert kinds_of(other["generator"]).count("BatchNorm LeakyReLU") == 3
    slopes = {
        layer.negative_slope for net in other.values() for layer in net if isinstance(layer, nn.LeakyReLU)
    }
    assert slopes == {0.1}


@pytest.mark.parametrize(("width", "latent", "channels"), [(64, 100, 1), (5, 7, 3)])
def test_weights_are_as_many_as_the_kernels_say_and_there_are_no_biases(
    width: int, latent: int, channels: int
) -> None:
    networks = model((channels, 28, 28), width=width, latent=latent).networks
    w, counts = width, {name: sum(p.numel() for p in net.parameters()) for name, net in networks.items()}
    assert counts["generator"] == 16 * latent * 4 * w + 9 * 4 * w * 2 * w + 16 * 2 * w * w + 16 * w * channels
    assert counts["critic"] == 16 * channels * w + 16 * w * 2 * w + 9 * 2 * w * 4 * w + 16 * 4 * w
    assert not [name for net in networks.values() for name, _ in net.named_parameters() if "bias" in name]


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 12, 12), (3, 64, 64), (1, 36, 20)])
def test_every_size_that_planning_lets_pass_is_made_and_judged_and_no_other(
    shape: tuple[int, int, int],
) -> None:
    assert not refuses("wgan_gp", shape, {})
    ours, images = small(shape=shape), torch.rand(8, *shape, generator=seeded())
    assert ours.sample(5, 1.0, seeded()).shape == (5, *shape)
    assert ours.scores(images).shape == (8,)
    before = [p.clone() for net in ours.networks.values() for p in net.parameters()]
    ours.fit(images, Budget(images=8), seeded(), lambda line: None)
    after = [p for net in ours.networks.values() for p in net.parameters()]
    assert all(
        (p != q).any() for p, q in zip(before, after, strict=True)
    )  # nothing is left out of the passes


@pytest.mark.parametrize("side", [8, 30, 33])
def test_sizes_that_three_halvings_do_not_fit_are_refused_in_words(side: int) -> None:
    assert (
        refuses("wgan_gp", (3, side, side), {}) == "makes images whose sides are multiples of 4, at least 12"
    )


def test_bytes_are_judged_as_the_floats_that_they_stand_for() -> None:
    images = torch.randint(256, (8, *SHAPE), generator=seeded(), dtype=torch.uint8)
    torch.testing.assert_close(small().scores(images), small().scores(images.float() / 255), rtol=0, atol=0)


def test_scores_are_probabilities_with_a_sigmoid_and_any_number_without() -> None:
    images = 20 * torch.randn(64, *SHAPE, generator=seeded())
    squashed, raw = small().scores(images), small(critic_output="linear").scores(images)
    assert ((squashed > 0) & (squashed < 1)).all()
    torch.testing.assert_close(squashed, raw.sigmoid())  # the same weights: one seed
    assert raw.min() < 0


# --- the step against the plain one ---


@pytest.fixture
def float64() -> Iterator[None]:
    """Adam's step is ±η for a gradient of rounding noise; float64 keeps that noise far below Adam's ε."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def as_built(model: WGANGP) -> None: ...


def channels_last(model: WGANGP) -> None:
    for net in model.networks.values():
        net.to(memory_format=torch.channels_last)


CASES: dict[str, tuple[dict[str, Any], int, Callable[[WGANGP], None], torch.memory_format]] = {
    "the paper's setup 1": ({"critic_iterations": 5}, 1, as_built, torch.contiguous_format),
    "linear critic, batch norm": (
        {"critic_output": "linear", "generator_norm": "batch"},
        1,
        as_built,
        torch.contiguous_format,
    ),
    "one row a batch": ({"batch_size": 1}, 1, as_built, torch.contiguous_format),
    "one channel wide": ({"width": 1, "latent": 1}, 1, as_built, torch.contiguous_format),
    "sixteen channels wide": ({"width": 16}, 1, as_built, torch.contiguous_format),
    "colour": ({}, 3, as_built, torch.contiguous_format),
    "colour, channels last in the batch": ({}, 3, as_built, torch.channels_last),
    "channels last in the weights": ({}, 3, channels_last, torch.contiguous_format),
    "channels last in both": ({"generator_norm": "batch"}, 3, channels_last, torch.channels_last),
}


@pytest.mark.parametrize("by_hand", [True, False])  # as on a CPU, and as on a GPU
@pytest.mark.parametrize("case", CASES)
def test_steps_give_the_plain_loops_weights_and_losses(case: str, by_hand: bool, float64: None) -> None:
    options, channels, arrange, layout = CASES[case]
    ours = small(**options, shape=(channels, 28, 28))
    theirs = copy.deepcopy(ours)  # always contiguous: memory layout must not matter
    arrange(ours)
    start = copy.deepcopy(ours.networks)
    ours.prepare()
    assert ours.losses != ours.losses_by_autograd
    ours.losses = ours.losses if by_hand else ours.losses_by_autograd
    plain = PlainWGANGP(theirs)
    noise, same_noise = seeded(1), seeded(1)
    for number in range(4):
        real = torch.rand(ours.options.batch_size, channels, 28, 28, generator=seeded(number))
        losses = ours.step(real.to(memory_format=layout), noise)
        expected = plain(real, same_noise)
        assert {name: losses[name].item() for name in expected} == pytest.approx(expected, rel=1e-9, abs=1e-9)
    for name, net in ours.networks.items():
        for key, value in net.state_dict().items():
            torch.testing.assert_close(value, theirs.networks[name].state_dict()[key], rtol=0, atol=1e-9)
        moved = [
            (p - q).abs().max().item()
            for p, q in zip(net.parameters(), start[name].parameters(), strict=True)
        ]
        assert min(moved) > ours.options.learning_rate  # every layer learnt, by more than one Adam step


def test_a_step_leaves_the_critics_gradients_to_the_critic(float64: None) -> None:
    ours = small(critic_iterations=1)
    ours.prepare()
    ours.step(torch.rand(8, *SHAPE, generator=seeded()), seeded(1))
    after_critic = [p.grad.clone() for p in ours.networks["critic"].parameters() if p.grad is not None]
    fake = ours.decode(ours.latent(8, 1.0, seeded(2)))
    ours.descend("generator", -ours.networks["critic"](fake).mean())
    for before, parameter in zip(after_critic, ours.networks["critic"].parameters(), strict=True):
        assert parameter.grad is not None
        assert torch.equal(before, parameter.grad)


# --- sampling and the threshold ---


@pytest.mark.parametrize("bias", [0.0, 0.25, 1.0])
def test_the_sampling_bias_is_the_half_width_of_the_uniform_latent(bias: float) -> None:
    latent = small().latent(5_000, bias, seeded()).numpy().ravel()
    assert np.abs(latent).max() <= bias
    if bias:
        assert kstest(latent, "uniform", args=(-bias, 2 * bias)).pvalue > 1e-4


def test_a_sigmoid_critic_decides_at_one_half() -> None:
    trained = small()
    trained.fit(torch.rand(20, *SHAPE, generator=seeded()), Budget(images=16), seeded(1), lambda line: None)
    assert trained.facts == {"threshold": 0.5}


def test_a_linear_critic_decides_midway_between_the_mean_scores_of_both_sides() -> None:
    trained = small(critic_output="linear")
    real = torch.rand(300, *SHAPE, generator=seeded())
    trained.fit(real, Budget(images=16), seeded(1), lambda line: None)
    trained.finish(real, seeded(2))
    fake = trained.sample(300, 1.0, seeded(2))
    midway = (trained.scores(real).mean() + trained.scores(fake).mean()) / 2
    assert trained.facts["threshold"] == pytest.approx(midway.item(), rel=1e-5)
    assert min(trained.scores(real).mean(), trained.scores(fake).mean()) < trained.facts["threshold"]


def test_samples_are_passed_on_unclipped() -> None:
    rows = small().sample(200, 1.0, seeded())
    assert -1 <= rows.min() < 0
    assert math.isfinite(rows.float().sum())
