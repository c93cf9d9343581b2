"""The DCGAN family: networks by their shapes, its steps against one written out plainly, and what a training learns."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bigloop.models import refuses, resolve
from bigloop.models.adversarial import judging
from bigloop.models.images.dcgan import DCGAN
from bigloop.spec.loops import Budget
from bigloop.spec.options import SpecError

SHAPES = [(c, side, side) for c in (1, 3) for side in (28, 32, 64, 128)]
LOSSES: dict[str, dict[str, Any]] = {
    "bce": {},
    "bce, non-saturating": {"generator_loss": "non_saturating"},
    "clipped": {"loss": "wgan_clip", "clip": 0.05},
    "penalised": {"loss": "wgan_gp", "gradient_penalty": 3.0},
}
BY_LOSS = pytest.mark.parametrize("options", LOSSES.values(), ids=LOSSES)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def quiet(line: object) -> None:
    pass


def model(shape: tuple[int, ...] = (3, 32, 32), seed: int = 0, **options: Any) -> DCGAN:
    given = {"width": 2, "latent": 5, "batch_size": 6} | options
    return DCGAN.fresh(DCGAN.Options(**given), shape, seeded(seed))


def maps(net: nn.Module, rows: Tensor, kind: type[nn.Module]) -> list[tuple[int, ...]]:
    """Output shapes, without the batch, of the layers of a kind as rows pass through."""
    found: list[tuple[int, ...]] = []
    for layer in net.modules():
        if isinstance(layer, kind):
            layer.register_forward_hook(lambda _, __, output: found.append(tuple(output.shape[1:])))
    net(rows)
    return found


def kinds(net: nn.Module) -> str:
    layers = [layer for layer in net.children() if not isinstance(layer, nn.ModuleList)]
    return " ".join(type(layer).__name__.removesuffix("2d") for layer in layers)


@pytest.fixture
def float64() -> Iterator[None]:
    """Adam's step is ±η for a gradient of rounding noise; float64 keeps that noise far below Adam's ε."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


# --- the networks of Khelifa & Rossa, §3.1.2 ---


def test_the_layers_are_the_papers() -> None:
    networks = model().networks
    up = "BatchNorm ReLU ConvTranspose"
    assert kinds(networks["generator"]) == f"Linear Unflatten {up} {up} {up} {up} Sigmoid"
    assert kinds(networks["critic"]) == "Conv LeakyReLU " * 4 + "Flatten Linear"


@pytest.mark.parametrize("shape", SHAPES)
def test_each_convolution_halves_the_image_and_each_transposed_one_doubles_it(shape: tuple[int, ...]) -> None:
    c, side, _ = shape
    sides = {28: [14, 7, 4, 2], 32: [16, 8, 4, 2], 64: [32, 16, 8, 4], 128: [64, 32, 16, 8]}[side]
    inwards = [(2 * 2**k, s, s) for k, s in enumerate(sides)]
    ours = model(shape)
    assert maps(ours.networks["critic"], torch.zeros(2, *shape), nn.Conv2d) == inwards
    outwards = maps(ours.networks["generator"], torch.zeros(2, 5), nn.ConvTranspose2d)
    assert outwards == [*inwards[-2::-1], (c, side, side)]


@pytest.mark.parametrize("shape", [*SHAPES, (1, 20, 20), (3, 36, 44)])
def test_every_size_that_planning_lets_pass_is_made_judged_and_trained(shape: tuple[int, ...]) -> None:
    assert not refuses("dcgan", shape, {})
    ours, images = model(shape), torch.rand(12, *shape, generator=seeded())
    before = [p.clone() for net in ours.networks.values() for p in net.parameters()]
    ours.fit(images, Budget(images=12), seeded(), quiet)
    after = [p for net in ours.networks.values() for p in net.parameters()]
    assert all((p != q).any() for p, q in zip(before, after, strict=True))
    made = ours.sample(3, 1.0, seeded())
    assert made.shape == (3, *shape)
    assert 0 <= made.min() < made.max() <= 1
    assert ours.scores(images).shape == (12,)


@pytest.mark.parametrize("side", [16, 30, 33])
def test_other_sizes_are_refused_in_words(side: int) -> None:
    assert refuses("dcgan", (3, side, side), {}) == "makes images whose sides are multiples of 4, at least 20"


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("critic_width", [None, 5])
def test_weights_are_as_many_as_the_widths_say(width: int, critic_width: int | None) -> None:
    networks = model((3, 64, 64), width=width, critic_width=critic_width, latent=7).networks
    counts = {name: sum(p.numel() for p in net.parameters()) for name, net in networks.items()}
    w, v = width, critic_width or width
    convolutions = 16 * (8 * w * 4 * w + 4 * w * 2 * w + 2 * w * w + w * 3)
    assert counts["generator"] == 7 * 8 * w * 4 * 4 + convolutions + 2 * 15 * w + 3
    convolutions = 16 * (3 * v + v * 2 * v + 2 * v * 4 * v + 4 * v * 8 * v)
    assert counts["critic"] == convolutions + 15 * v + 8 * v * 4 * 4 + 1


def test_without_further_options_everything_is_the_papers() -> None:
    o = DCGAN.Options()
    assert (o.latent, o.batch_size, o.learning_rate, o.beta1, o.beta2) == (100, 16, 1e-5, 0.5, 0.99)
    assert (o.loss, o.generator_loss, o.critic_iterations) == ("bce", "saturating", 1)
    assert resolve("dcgan", {}, "m").options.keys().isdisjoint({"critic_width", "critic_beta1"})


def test_an_option_out_of_its_range_is_one_line() -> None:
    with pytest.raises(SpecError, match=r"\Am\.loss: expected [^\n]+bce[^\n]+, got 'wgan'\Z"):
        resolve("dcgan", {"loss": "wgan"}, "m")
    with pytest.raises(SpecError, match=r"\Am\.critic_learning_rate: expected [^\n]*above 0, got 0\Z"):
        resolve("dcgan", {"critic_learning_rate": 0}, "m")


# --- the step ---


class Plain:
    """The step written out: losses from probabilities, the penalty image by image, gradients by one call for each."""

    def __init__(self, ours: DCGAN) -> None:
        self.o = o = ours.options
        self.g, self.d = (copy.deepcopy(ours.networks[name]) for name in ("generator", "critic"))
        rate, beta1, beta2 = o.critic_learning_rate, o.critic_beta1, o.critic_beta2
        own = (o.learning_rate, o.beta1, o.beta2)
        rate, *betas = (a if a is not None else b for a, b in zip((rate, beta1, beta2), own, strict=True))
        self.of_g = torch.optim.Adam(self.g.parameters(), o.learning_rate, (o.beta1, o.beta2), foreach=False)
        self.of_d = torch.optim.Adam(self.d.parameters(), rate, tuple(betas), foreach=False)

    def __call__(self, real: Tensor, noise: torch.Generator) -> dict[str, float]:
        o, n, told = self.o, len(real), {}
        for _ in range(o.critic_iterations):
            fake = self.g(torch.randn(n, o.latent, generator=noise)).detach()
            on_real, on_fake = self.d(real), self.d(fake)
            if o.loss == "bce":
                on_real, on_fake = on_real.sigmoid(), on_fake.sigmoid()
                ones, zeros = torch.ones(n), torch.zeros(n)
                loss = F.binary_cross_entropy(on_real, ones) + F.binary_cross_entropy(on_fake, zeros)
            else:
                loss = on_fake.mean() - on_real.mean()
            if o.loss == "wgan_gp":
                shares, penalties = torch.rand(n, 1, 1, 1, generator=noise), []
                for share, x, y in zip(shares, real, fake, strict=True):
                    between = (share * x + (1 - share) * y)[None].requires_grad_()
                    (slope,) = torch.autograd.grad(self.d(between), between, create_graph=True)
                    penalties.append((slope.square().sum().sqrt() - 1) ** 2)
                told["gradient_penalty"] = torch.stack(penalties).mean().item()
                loss = loss + o.gradient_penalty * torch.stack(penalties).mean()
            self.of_d.zero_grad()
            loss.backward()
            told["gradient_norm_critic"] = self.norm(self.d)
            self.of_d.step()
            if o.loss == "wgan_clip":
                for p in self.d.parameters():
                    p.data = p.data.clamp(-o.clip, o.clip)
            told |= {"loss_critic": loss.item()}
            told |= {"critic_on_real": on_real.mean().item(), "critic_on_fake": on_fake.mean().item()}
        score = self.d(self.g(torch.randn(n, o.latent, generator=noise)))
        if o.loss != "bce":
            loss = -score.mean()
        elif o.generator_loss == "saturating":
            loss = (1 - score.sigmoid()).log().mean()
        else:
            loss = -score.sigmoid().log().mean()
        self.of_g.zero_grad()
        loss.backward()
        self.of_g.step()
        return told | {"loss_generator": loss.item(), "gradient_norm_generator": self.norm(self.g)}

    def norm(self, net: nn.Module) -> float:
        every = np.concatenate([p.grad.numpy().ravel() for p in net.parameters() if p.grad is not None])
        return float(np.sqrt((every**2).sum()))


@BY_LOSS
@pytest.mark.parametrize("more", [{}, {"critic_iterations": 3, "critic_learning_rate": 4e-3}])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28)])
def test_a_training_has_the_plain_loops_weights_losses_outputs_and_gradient_norms(
    shape: tuple[int, ...], options: dict[str, Any], more: dict[str, Any], float64: None
) -> None:
    ours = model(
        shape, learning_rate=1e-3, critic_width=3, critic_beta1=0.1, critic_beta2=0.9, **options, **more
    )
    plain, start = Plain(ours), copy.deepcopy(ours.networks)
    rows = torch.rand(24, *shape, generator=seeded(3))
    noise, batches = seeded(4), []
    step = ours.step

    def noted(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        batches.append((batch, generator.get_state()))
        return step(batch, generator)

    ours.step = noted  # type: ignore[method-assign]
    ours.finish = lambda *given: None  # type: ignore[method-assign]  # a threshold: of float32 samples
    ours.fit(rows, Budget(images=5 * 6), noise, quiet)
    told = []
    for batch, state in batches:
        same_noise = seeded()
        same_noise.set_state(state)
        told.append(plain(batch, same_noise))
    assert ours.summaries
    table = ours.summaries.table()  # a row a step, rounded to float32
    assert set(table) == {"step"} | {f"{name}{end}" for name in told[0] for end in ("", "_least", "_most")}
    for name in told[0]:
        for end in ("", "_least", "_most"):
            np.testing.assert_allclose(table[name + end], [step[name] for step in told], rtol=1e-5, atol=1e-8)
    for name, net in (("generator", plain.g), ("critic", plain.d)):
        for key, value in ours.networks[name].state_dict().items():
            torch.testing.assert_close(value, net.state_dict()[key], rtol=1e-7, atol=1e-8)
        moved = zip(ours.networks[name].parameters(), start[name].parameters(), strict=True)
        assert max((p - q).abs().max().item() for p, q in moved) > 1e-3


def test_clipping_keeps_every_weight_of_the_critic_within_its_bound_and_others_do_not() -> None:
    largest = {}
    for name, options in LOSSES.items():
        ours = model(learning_rate=1e-3, **options)
        ours.fit(torch.rand(30, 3, 32, 32, generator=seeded()), Budget(images=30), seeded(), quiet)
        largest[name] = {
            part: max(p.abs().max().item() for p in net.parameters()) for part, net in ours.networks.items()
        }
    assert largest["clipped"]["critic"] == pytest.approx(0.05)
    assert (
        min(largest["bce"]["critic"], largest["penalised"]["critic"], largest["clipped"]["generator"]) > 0.1
    )


def sure(ours: DCGAN, logit: float) -> DCGAN:
    """With a critic that says `logit` of every image, up to a slope that each image has."""
    with torch.no_grad():
        last = ours.networks["critic"][-2]
        last.bias.fill_(logit)  # type: ignore[union-attr, operator]
    return ours


@pytest.mark.parametrize(
    ("loss", "ratio"), [("saturating", np.exp(-30)), ("non_saturating", 2.0)], ids=["saturating", "not"]
)
def test_the_generators_gradient_vanishes_before_a_sure_discriminator_if_the_loss_saturates(
    loss: str, ratio: float, float64: None
) -> None:
    norms = {}
    for logit in (0.0, -30.0):
        ours = sure(model(generator_loss=loss, learning_rate=1e-12, critic_width=1), logit)
        ours.fit(torch.rand(6, 3, 32, 32, generator=seeded()), Budget(images=6), seeded(2), quiet)
        assert ours.summaries
        norms[logit] = float(ours.summaries.table()["gradient_norm_generator"].iloc[0])
    # The gradient in a logit is −D or D − 1: by 2·exp(−30), or twice, what it is at D = ½. The critic's logits of
    # its images differ by less than 0.05, which is as much as the ratio of the weights may be off.
    expected = 2 * ratio if loss == "saturating" else ratio
    assert norms[-30.0] / norms[0.0] == pytest.approx(expected, rel=0.1)


# --- sampling, and the critic ---


@pytest.mark.parametrize("bias", [0.0, 0.25, 1.0])
def test_the_sampling_bias_is_the_latents_variance(bias: float) -> None:
    latent = model(latent=10).latent(20_000, bias, seeded()).double()
    n = latent.numel()
    # standard errors of a mean and of a standard deviation of n normal numbers, four of each
    assert abs(latent.mean().item()) <= 4 * (bias / n) ** 0.5
    assert abs(latent.std().item() - bias**0.5) <= 4 * (bias / (2 * n)) ** 0.5


def test_scores_are_probabilities_with_bce_and_any_number_without_and_thresholds_accordingly() -> None:
    images = torch.rand(40, 3, 32, 32, generator=seeded())
    gan, wgan = model(), model(loss="wgan_gp")
    torch.testing.assert_close(
        gan.scores(images), wgan.scores(images).sigmoid()
    )  # the same weights: one seed
    for ours in (gan, wgan):
        ours.fit(images, Budget(images=12), seeded(1), quiet)
    assert gan.facts == {"threshold": 0.5}
    wgan.finish(images, seeded(2))
    fake = wgan.sample(40, 1.0, seeded(2))
    midway = (wgan.scores(images).mean() + wgan.scores(fake).mean()) / 2
    assert wgan.facts["threshold"] == pytest.approx(midway.item(), rel=1e-5)


def test_bytes_are_judged_as_the_floats_that_they_stand_for_whatever_is_judged_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = torch.randint(256, (9, 3, 32, 32), generator=seeded(), dtype=torch.uint8)
    ours = model()
    expected = ours.scores(images.float() / 255)
    torch.testing.assert_close(ours.scores(images), expected, rtol=0, atol=0)
    whole = ours.sample(9, 1.0, seeded())
    monkeypatch.setattr(judging, "PIXELS", 4 * 32 * 32)
    torch.testing.assert_close(ours.scores(images), expected)
    torch.testing.assert_close(ours.sample(9, 1.0, seeded()), whole, rtol=0, atol=2**-11)


# --- what it learns ---


def halves(n: int, seed: int) -> Tensor:
    """Images (n, 1, 28, 28) of noise below 0.2 whose upper or lower half is brighter by 0.7, either as often."""
    generator = seeded(seed)
    images = 0.2 * torch.rand(n, 1, 28, 28, generator=generator)
    upper = torch.rand(n, generator=generator) < 0.5
    images[upper, :, :14] += 0.7
    images[~upper, :, 14:] += 0.7
    return images


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({"loss": "bce", "generator_loss": "non_saturating"}, 0.0),
        ({"loss": "wgan_gp", "critic_iterations": 3, "beta1": 0.0, "beta2": 0.9}, 0.2),
    ],
    ids=["bce", "penalised"],
)
def test_a_short_training_learns_two_kinds_of_images_or_as_a_gan_one(
    options: dict[str, Any], least: float
) -> None:
    ours = model((1, 28, 28), width=6, latent=8, batch_size=16, learning_rate=2e-3, **options)

    def contrast() -> Tensor:
        made = ours.sample(500, 1.0, seeded(9)).float()
        return made[:, :, :14].mean(dim=(1, 2, 3)) - made[:, :, 14:].mean(dim=(1, 2, 3))

    assert contrast().abs().max() < 0.2
    ours.fit(halves(2_000, 1), Budget(images=16 * 300), seeded(2), quiet)
    found = contrast()  # of real images ±0.7
    # With six seeds measured: at least 0.85. The WGAN-GP made 42 to 58 % of the one kind, the GAN mostly none.
    assert (found.abs() > 0.5).double().mean() > 0.7
    assert min((found > 0).double().mean(), (found < 0).double().mean()) >= least
