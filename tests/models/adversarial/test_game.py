"""What the critic sees of rows, who makes them, and what each remedy changes in the steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bigloop.models import resolve
from bigloop.models.adversarial.game import One
from bigloop.models.images.dcgan import DCGAN
from bigloop.models.points.mlp_gan import MLPGAN
from bigloop.models.points.stacked import Streams
from bigloop.spec.loops import Budget
from bigloop.spec.options import SpecError

from ...remedies import DIVERGENCES, REMEDIES

REPLICATES, BATCH = 2, 6
OF_POINTS = {"loss": "gan", "critic_iterations": 1, "hidden": 8, "latent": 3, "batch_size": BATCH}
OF_IMAGES = {"loss": "bce", "width": 2, "latent": 3, "batch_size": BATCH, "generator_loss": "non_saturating"}
SHAPE = (1, 28, 28)
OF_EITHER = REMEDIES | DIVERGENCES


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def streams(*seeds: int) -> Streams:
    return Streams([np.random.default_rng(seed) for seed in seeds])


def points(**options: Any) -> MLPGAN:
    return MLPGAN.fresh(MLPGAN.Options(**OF_POINTS | options), 2, streams(0, 1))


def images(**options: Any) -> DCGAN:
    return DCGAN.fresh(DCGAN.Options(**OF_IMAGES | options), SHAPE, seeded())


def kinds(**options: Any) -> list[tuple[Any, Tensor, Any]]:
    """A model of points and one of images, each with rows and a source of random numbers."""
    rows = streams(3, 4).normal(12, 2)
    pictures = torch.rand(12, *SHAPE, generator=seeded(1))
    return [(points(**options), rows, streams(5, 6)), (images(**options), pictures, One(seeded(5)))]


# --- what a critic sees ---


def test_without_remedies_it_sees_rows_as_they_are() -> None:
    for model, rows, draws in kinds():
        assert model.seen(rows, draws) is rows


def test_packed_rows_lie_behind_each_other_in_the_order_of_the_batch() -> None:
    for model, rows, draws in kinds(pack=3):
        seen, axis = model.seen(rows, draws), model.axis
        assert seen.shape[axis : axis + 2] == (4, 3 * rows.shape[axis + 1])
        for k in range(3):
            channels = slice(k * rows.shape[axis + 1], (k + 1) * rows.shape[axis + 1])
            part = seen[:, channels] if axis == 0 else seen[:, :, channels]
            expected = rows[k::3] if axis == 0 else rows[:, k::3]
            torch.testing.assert_close(part, expected, rtol=0, atol=0)


def test_every_critic_sees_all_rows() -> None:
    for model, rows, draws in kinds(critics=3):
        torch.testing.assert_close(model.seen(rows, draws), torch.cat([rows] * 3, model.axis))


def test_instance_noise_has_its_standard_deviation_and_is_drawn_anew() -> None:
    for model, rows, draws in kinds(instance_noise=0.3):
        one, other = (model.seen(rows.repeat_interleave(500, model.axis), draws) for _ in range(2))
        noise = one - rows.repeat_interleave(500, model.axis)
        assert noise.std().item() == pytest.approx(
            0.3, rel=0.05
        )  # five standard errors of 24 000 numbers: 0.023
        assert (one != other).float().mean() > 0.99


def test_diffused_rows_have_the_variance_of_their_step_which_the_critic_is_shown() -> None:
    kept = np.cumprod(1 - np.linspace(1e-4, 2e-2, 200))
    for model, rows, draws in kinds(diffusion_steps=200, diffusion_noise=2.0):
        many = torch.full_like(rows, 0.7).repeat_interleave(2000, model.axis)
        seen, last = model.seen(many, draws), model.axis + 1
        data, time = seen.split([many.shape[last], 1], last)
        step = (time.flatten(model.axis + 1)[..., 0] * 200).round().long()
        assert (step.min(), step.max()) == (1, 200)
        share = torch.from_numpy(kept)[step - 1]
        each = data.flatten(model.axis + 1).double()
        noise = (each - 0.7 * share.sqrt()[..., None]) / (1 - share).sqrt()[..., None]
        for part in (step <= 100, step > 100):
            assert noise[part].std().item() == pytest.approx(2, rel=0.03)


def test_a_critic_judges_rows_as_they_are_and_a_pack_as_one() -> None:
    for model, rows, _ in kinds(pack=2, critics=2, diffusion_steps=5, instance_noise=1.0):
        scores = model.judged(rows)
        assert scores.shape == (*rows.shape[: model.axis], 12)
        torch.testing.assert_close(scores, model.judged(rows))
        torch.testing.assert_close(scores[..., ::2], scores[..., 1::2], rtol=0, atol=0)
        assert scores[..., ::2].std() > 0


def test_a_pack_must_fit_the_batch() -> None:
    with pytest.raises(SpecError, match=r"\Am\.pack: expected a divisor of batch_size, 16, got 3\Z"):
        resolve("dcgan", {"pack": 3}, "m")
    assert images(pack=4, batch_size=8).scores(torch.rand(7, *SHAPE)).shape == (7,)


# --- who makes a row ---


def test_codes_and_generators_are_drawn_evenly_and_tell_who_makes_a_row() -> None:
    for model, _, draws in kinds(codes=3, generators=2):
        model.networks["generator"].eval()
        latent = model.latents(6000, 1.0, draws)
        source = latent[..., model.options.latent :]
        assert source.shape[-1] == 6
        assert (source.sum(-1) == 1).all()
        shares = source.flatten(0, -2).mean(0)
        torch.testing.assert_close(shares, torch.full((6,), 1 / 6), rtol=0, atol=5 * (5 / 36 / 6000) ** 0.5)
        few = latent[..., :50, :]
        made, whose = model.generated(few), source[..., :50, :].argmax(-1) // 3
        code = torch.nn.functional.one_hot(source[..., :50, :].argmax(-1) % 3, 3)
        given = torch.cat([few[..., : model.options.latent], code], -1)
        for k, one in enumerate(model.networks["generator"]):
            torch.testing.assert_close(made[whose == k], one(given)[whose == k])


def test_the_sampling_bias_leaves_the_source_alone() -> None:
    for model, _, _ in kinds(codes=3):
        latent = model.latents(50, 0.0, streams(5, 6) if model.axis else One(seeded()))
        assert (latent[..., : model.options.latent] == 0).all()
        assert latent[..., model.options.latent :].sum(-1).eq(1).all()


def test_a_critic_learns_to_tell_codes_and_the_generator_to_show_them() -> None:
    model = points(codes=2, learning_rate=5e-3, batch_size=64)
    rows = streams(7, 8).normal(500, 2)
    information = [model.fit(rows, Budget(images=64 * 100), streams(9, k))["information"] for k in range(4)]
    assert (information[-1] > 0.5).all()  # of ln 2, 0.69
    assert (information[0] < information[-1]).all()


def test_a_penalised_critic_is_flatter_and_what_it_pays_is_told() -> None:
    rows = streams(7, 8).normal(500, 2)
    paid = {}
    for weight in (1e-6, 10.0):
        model = points(r1=weight, r2=weight, learning_rate=5e-3, batch_size=64)
        history = model.fit(rows, Budget(images=64 * 200), streams(9, 9))
        paid[weight] = history["r1"], history["r2"]
    assert all((flat < 0.1 * steep).all() for flat, steep in zip(paid[10.0], paid[1e-6], strict=True))


# --- all of them ---


@pytest.mark.parametrize("name", OF_EITHER | {"growing": {}})
def test_an_image_gan_trains_with_it_differently_than_without_and_scores(name: str) -> None:
    rows = torch.rand(18, *SHAPE, generator=seeded(2))
    trained = []
    for options in ({}, (OF_EITHER | {"growing": {"growth": 0.5}})[name]):
        model = images(learning_rate=1e-3, **options)
        history = model.fit(rows, Budget(images=18), seeded(3), lambda line: None)
        assert all(np.isfinite(value) for value in history[-1].values())
        trained.append(model.sample(5, 1.0, seeded(4)))
    # Jensen–Shannon's loss is the plain one but for a constant
    assert (trained[0] == trained[1]).all() == (name == "jensen_shannon")
    assert model.scores(rows[:7]).isfinite().all()
    restored = images(**options)
    restored.restore(*model.state())
    torch.testing.assert_close(restored.sample(5, 1.0, seeded(4)), trained[1], rtol=0, atol=0)


@pytest.mark.parametrize("name", OF_EITHER)
def test_each_network_gets_gradients_of_its_own_loss_alone(name: str) -> None:
    model = points(**OF_EITHER[name])
    draws, real = streams(5, 6), streams(3, 4).normal(BATCH, 2)
    generator = [p.detach().clone() for p in model.networks["generator"].parameters()]
    model.critic_step(real, draws)
    assert same(generator, model.networks["generator"])
    critic = [p.detach().clone() for p in model.networks["critic"].parameters()]
    model.generator_step(real, draws)
    assert same(critic, model.networks["critic"])
    assert not same(generator, model.networks["generator"])


def same(before: list[Tensor], net: torch.nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(before, net.parameters(), strict=True))
