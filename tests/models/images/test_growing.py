"""Networks that grow: what they are at each level, how one fades into the next, and when they grow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bigloop.models.images.dcgan import DCGAN
from bigloop.models.images.growing import level_at
from bigloop.spec.loops import Budget

SHAPES = [(1, 28, 28), (3, 32, 32), (3, 36, 44)]
every_shape = pytest.mark.parametrize("shape", SHAPES)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(shape: tuple[int, ...], **options: Any) -> DCGAN:
    given = {"width": 2, "latent": 5, "batch_size": 6, "learning_rate": 1e-3} | options
    return DCGAN.fresh(DCGAN.Options(**given), shape, seeded())


def networks(shape: tuple[int, ...], level: float) -> tuple[Any, Any]:
    """Both networks at a level, as in sampling."""
    ours = model(shape, growth=0.5)
    found: Any = ours.networks["generator"], ours.networks["critic"]
    for net in found:
        net.level = level
        net.eval()
    return found


def test_each_level_stays_as_long_as_the_next_takes_to_fade_in() -> None:
    found = [level_at(k / 12, 4) for k in range(14)]
    assert found == pytest.approx([0, 0, 0, 0.5, 1, 1, 1, 1.5, 2, 2, 2, 2.5, 3, 3])


@every_shape
def test_at_full_size_they_are_the_networks_that_do_not_grow(shape: tuple[int, ...]) -> None:
    generator, critic = networks(shape, 3.0)
    plain = model(shape).networks
    for name, net in (("generator", generator), ("critic", critic)):
        state = net.state_dict()
        plain[name].load_state_dict({key: state[key] for key in plain[name].state_dict()})
        plain[name].eval()
    latent, images = torch.randn(4, 5, generator=seeded(1)), torch.rand(4, *shape, generator=seeded(2))
    torch.testing.assert_close(generator(latent), plain["generator"](latent), rtol=0, atol=0)
    torch.testing.assert_close(critic(images), plain["critic"](images), rtol=0, atol=0)


@every_shape
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_coarse_generator_makes_blocks_and_a_coarse_critic_sees_their_means(
    shape: tuple[int, ...], level: int
) -> None:
    generator, critic = networks(shape, float(level))
    height, width = critic.sizes[level]
    images = generator(torch.randn(4, 5, generator=seeded(1)))
    assert images.shape == (4, *shape)
    assert len(images[0, 0].unique()) <= height * width
    noise = torch.rand(4, *shape, generator=seeded(2))
    means = nn.functional.adaptive_avg_pool2d(noise, (height, width))
    seen = critic.features(noise)
    same = nn.functional.interpolate(means, shape[1:])
    if shape[1] % height == 0 and shape[2] % width == 0:
        torch.testing.assert_close(critic.features(same), seen)
    assert not torch.allclose(critic.features(noise.flip(0)), seen)


@every_shape
@pytest.mark.parametrize("level", [0, 1, 2])
def test_one_level_fades_linearly_into_the_next(shape: tuple[int, ...], level: int) -> None:
    generator, critic = networks(shape, 0.0)
    latent = torch.randn(4, 5, generator=seeded(1))

    def at(place: float) -> Tensor:
        generator.level = place
        return generator(latent)

    torch.testing.assert_close(at(level + 0.25), 0.75 * at(level) + 0.25 * at(level + 1))
    assert not torch.allclose(at(level), at(level + 1), atol=1e-3)
    rows = torch.rand(4, *shape, generator=seeded(2))
    critic.level = level + 1e-6
    near = critic(rows)
    critic.level = float(level)
    torch.testing.assert_close(near, critic(rows), rtol=1e-4, atol=1e-6)


def levels(ours: DCGAN, steps: int) -> list[float]:
    """The critic's level in each step of a training."""
    found: list[float] = []
    step, critic = ours.step, ours.networks["critic"]

    def noted(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        found.append(critic.level)  # type: ignore[arg-type]
        return step(batch, generator)

    ours.step = noted  # type: ignore[method-assign]
    ours.fit(
        torch.rand(12, 1, 28, 28, generator=seeded(3)), Budget(images=6 * steps), seeded(4), lambda line: None
    )
    assert critic.level == ours.networks["generator"].level == 3
    return found


def test_they_grow_in_the_first_training_alone_and_a_continued_one_finds_them_grown() -> None:
    ours = model((1, 28, 28), growth=0.5)
    assert not ours.recordable
    found = levels(ours, 24)
    assert found[:12] == pytest.approx([level_at(k / 12, 4) for k in range(12)])
    assert found[12:] == [3.0] * 12
    after = model((1, 28, 28), growth=0.5)
    after.resume_from(ours.state()[0], ours.optimizer_state())
    assert levels(after, 6) == [3.0] * 6


def test_a_model_that_does_not_grow_can_be_recorded() -> None:
    assert model((1, 28, 28)).recordable
