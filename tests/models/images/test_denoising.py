"""EDM and OT-CFM on images, and what all families share that denoise: lessons, samples, labels, averages, resume."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bigloop.artifacts import ArtifactError
from bigloop.models.images.ddpm import DDPM
from bigloop.models.images.denoising import SETTLED, DenoisingFamily
from bigloop.models.images.edm import EDM
from bigloop.models.images.otcfm_unet import OTCFMUNet
from bigloop.models.images.published import NAMES, renamed, source_of
from bigloop.models.weights import loaded
from bigloop.runtime.signals import Interrupted
from bigloop.spec.loops import Budget
from bigloop.spec.options import SpecError, parse
from bigloop.training.average import HalfLife
from bigloop.training.checkpoint import Checkpoint
from bigloop.training.parallel import padded

SHAPE = (3, 8, 8)
SMALL: dict[str, Any] = {
    "width": 8,
    "multipliers": (1, 2),
    "blocks": 1,
    "attention": (4,),
    "batch_size": 16,
    "learning_rate": 1e-3,
}
FAMILIES: dict[type[DenoisingFamily], dict[str, Any]] = {
    EDM: {"sampling_steps": 3, "average_halflife": 200},
    OTCFMUNet: {
        "sampler": "euler",
        "sampling_steps": 3,
        "head_width": None,
        "average_decay": 0.9,
        "warm_up": 0,
    },
    DDPM: {"network": "ho", "timesteps": 20, "sampler": "ddim", "sampling_steps": 3, "label_dropout": 1.0},
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(family: type[DenoisingFamily], **options: Any) -> DenoisingFamily:
    return family.fresh(family.Options(**SMALL | FAMILIES[family] | options), SHAPE, seeded(), classes=3)


def rows_and_labels(n: int = 48) -> tuple[Tensor, Tensor]:
    """Flat images, dark, grey and bright ones for the classes 0, 1 and 2, as bytes."""
    labels = torch.arange(n) % 3
    return (labels * 127).view(-1, 1, 1, 1).expand(n, *SHAPE).to(torch.uint8), labels


def fitted(model: DenoisingFamily, steps: int = 6, seed: int = 1) -> DenoisingFamily:
    rows, labels = rows_and_labels()
    model.fit(rows, Budget(images=16 * steps), seeded(seed), lambda line: None, labels)
    return model


def asked(model: DenoisingFamily) -> list[dict[str, Any]]:
    """What the averaged network is asked from now on: its input, its times, its labels."""
    seen: list[dict[str, Any]] = []
    model.unet.average.register_forward_hook(
        lambda net, given, named, output: seen.append({"x": given[0], "t": given[1], **named}),
        with_kwargs=True,
    )
    return seen


# --- EDM ---


def test_edm_learns_what_makes_the_denoised_image_right() -> None:
    """Whatever the network says, its error is the weighted error of the image that follows (Karras et al., eq. 8)."""
    edm, x0 = model(EDM), torch.rand(16, *SHAPE, generator=seeded(2)) * 2 - 1
    lesson, stream = edm.lesson(x0, seeded(3)), seeded(3)
    sigma = (-1.2 + 1.2 * torch.randn(16, 1, 1, 1, generator=stream)).exp()
    noisy = x0 + sigma * torch.randn(x0.shape, generator=stream)
    said = torch.randn(x0.shape, generator=seeded(4))
    skip, out = 0.25 / (sigma**2 + 0.25), sigma * 0.5 / (sigma**2 + 0.25).sqrt()
    weight = (sigma**2 + 0.25) / (sigma * 0.5) ** 2
    torch.testing.assert_close(lesson.x, noisy / (sigma**2 + 0.25).sqrt())
    torch.testing.assert_close(lesson.t, sigma.log().flatten() / 4)
    weighted = weight * (skip * noisy + out * said - x0) ** 2
    torch.testing.assert_close((said - lesson.target) ** 2, weighted, rtol=1e-3, atol=1e-4)


def test_edm_asks_the_network_twice_a_step_and_once_in_the_last() -> None:
    edm = model(EDM, sampling_steps=18)
    seen = asked(edm)
    edm.sample(2, 1.0, seeded(), torch.zeros(2, dtype=torch.int64))
    assert len(seen) == 35
    assert seen[0]["t"][0].item() == pytest.approx(math.log(80) / 4)
    assert seen[-1]["t"][0].item() == pytest.approx(math.log(0.002) / 4)


def test_samples_of_an_untrained_edm_are_as_its_preconditioning_says() -> None:
    """F = 0, so D(x, σ) = σ_d² / (σ² + σ_d²) x, the best denoiser of N(0, ¼): the variance is 1.114 times that."""
    edm = model(EDM, sampling_steps=18)
    made = 2 * edm.sample(2_000, 1.0, seeded(), torch.zeros(2_000, dtype=torch.int64)).double() - 1
    n = made.numel()
    assert made.var().item() / 0.25 == pytest.approx(1.114, rel=4 * math.sqrt(2 / n) + 2e-3)  # float16


# --- OT-CFM ---


def test_otcfm_pairs_a_batch_at_the_cost_of_the_exact_assignment() -> None:
    flow, images = model(OTCFMUNet), torch.rand(16, *SHAPE, generator=seeded(2))
    lesson = flow.lesson(images, seeded(3))
    noise = torch.randn(images.shape, generator=seeded(3))
    from scipy.optimize import linear_sum_assignment

    costs = torch.cdist(images.flatten(1).double(), noise.flatten(1).double()).square().numpy()
    paired = lesson.target.double().flatten(1).square().sum(1).sum().item()
    assert paired == pytest.approx(costs[linear_sum_assignment(costs)].sum(), rel=1e-5)
    t = lesson.t.view(-1, 1, 1, 1)
    torch.testing.assert_close(lesson.x + (1 - t) * lesson.target, images)  # a straight line to the image


def test_on_gaussians_the_velocity_learnt_is_that_of_the_closed_form() -> None:
    """In one dimension the assignment is by rank: pairs of N(0, 1) and N(0.4, 0.3²) lie nearly on x ↦ 0.4 + 0.3 x."""
    flow = OTCFMUNet.fresh(OTCFMUNet.Options(**SMALL | FAMILIES[OTCFMUNet]), (1, 8, 8), seeded(), classes=1)
    data = 0.4 + 0.3 * torch.randn(2_000, 1, 1, 1, generator=seeded(2))
    lesson = flow.lesson(data, seeded(3))
    x, t = lesson.x.flatten(), lesson.t
    exact = 0.4 - 0.7 * (x - t * 0.4) / (1 - 0.7 * t)
    # quantiles of 2 000 numbers scatter by some hundredths, by more in the tails
    assert (lesson.target.flatten() - exact).square().mean().sqrt().item() < 0.06


def test_sigma_scatters_points_around_the_line() -> None:
    images = torch.rand(16, *SHAPE, generator=seeded(2))
    straight, scattered = (model(OTCFMUNet, sigma=s).lesson(images, seeded(3)) for s in (0.0, 0.1))
    assert torch.equal(straight.target, scattered.target)
    spread = (scattered.x - straight.x).std().item()
    assert spread == pytest.approx(0.1, rel=4 / math.sqrt(2 * images.numel()))


@pytest.mark.parametrize(("sampler", "each"), [("euler", 1), ("midpoint", 2)])
def test_solvers_ask_as_often_as_their_method_does(sampler: str, each: int) -> None:
    flow = model(OTCFMUNet, sampler=sampler, sampling_steps=5)
    seen = asked(flow)
    flow.sample(2, 1.0, seeded(), torch.zeros(2, dtype=torch.int64))
    assert len(seen) == 5 * each


def test_dopri5_and_many_small_steps_agree() -> None:
    options = parse(OTCFMUNet.Options, SMALL | {"head_width": 8, "tolerance": 1e-6}, "m")
    flow = fitted(OTCFMUNet.fresh(options, SHAPE, seeded(), classes=3), 30)
    labels = torch.zeros(3, dtype=torch.int64)
    exact = flow.sample(3, 1.0, seeded(5), labels)
    flow.options = parse(
        OTCFMUNet.Options, SMALL | {"head_width": 8, "sampler": "midpoint", "sampling_steps": 300}, "m"
    )
    torch.testing.assert_close(
        flow.sample(3, 1.0, seeded(5), labels).float(), exact.float(), rtol=0, atol=2e-3
    )


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (
            {"sampling_steps": 7},
            "m.sampling_steps: has no effect with sampler: dopri5, only with euler or midpoint",
        ),
        (
            {"sampler": "euler", "tolerance": 0.1},
            "m.tolerance: has no effect with sampler: euler, only with dopri5",
        ),
    ],
)
def test_options_of_another_solver_are_refused(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(SpecError) as error:
        parse(OTCFMUNet.Options, given, "m")
    assert str(error.value) == fault


def test_options_of_another_network_are_refused() -> None:
    with pytest.raises(
        SpecError, match=r"^m\.attention: has no effect with network: compact, only with ho or adm or"
    ):
        parse(DDPM.Options, {"attention": [8]}, "m")
    with pytest.raises(SpecError, match=r"^m\.patch: has no effect with network: ho, only with compact$"):
        parse(DDPM.Options, {"network": "ho", "patch": 2}, "m")


# --- all of them ---


@pytest.mark.parametrize("family", FAMILIES)
def test_training_learns_flat_images_of_each_class(family: type[DenoisingFamily]) -> None:
    more = {"label_dropout": 0.1, "learning_rate": 3e-3, "dropout": 0.0}
    if family is DDPM:
        more |= {"beta_last": 0.5, "average_decay": 0.98, "loss": "velocity"}
    learning = model(
        family, **more, **({"sampling_steps": 12} if family is not DDPM else {"sampling_steps": 20})
    )
    fitted(learning, 250)
    for bias in (1.0, 0.5):
        made = learning.sample(60, bias, seeded(2), torch.arange(60) % 3).double()
        means = [made[torch.arange(60) % 3 == k].mean().item() for k in range(3)]
        assert means == pytest.approx([0.0, 0.5, 1.0], abs=0.25)  # half the distance of two classes


@pytest.mark.parametrize("family", FAMILIES)
def test_without_labels_the_network_has_none_and_bias_is_a_temperature(family: type[DenoisingFamily]) -> None:
    plain, labels = model(family), torch.arange(6) % 3
    assert not any("label" in name for name in plain.state()[0])
    one, other = (plain.sample(6, 1.0, seeded(2), given) for given in (labels, labels.flip(0)))
    assert torch.equal(one, other)
    seen = asked(plain)
    plain.sample(6, 1.0, seeded(2), labels)
    plain.sample(6, 0.25, seeded(2), labels)
    torch.testing.assert_close(seen[len(seen) // 2]["x"], 0.5 * seen[0]["x"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stopped_training_goes_on_as_if_it_had_not_stopped(
    family: type[DenoisingFamily], tmp_path: Path
) -> None:
    """Bit by bit, in the middle of a generation, with dropout and augmentation."""
    more = {"dropout": 0.2, "augmentation": 0.3, "mirror": True, "clip_gradient": 1.0, "warm_up": 64}
    whole = fitted(model(family, **more), 8)
    path = tmp_path / "state.safetensors"
    stopped = model(family, **more)
    stopped.checkpoint = Stopping(path, at=3)
    with pytest.raises(Interrupted):
        fitted(stopped, 8)
    again = model(family, **more)
    again.checkpoint = Checkpoint(path, "key", 1e9, lambda line: None)
    assert same(fitted(again, 8), whole)


class Stopping(Checkpoint):
    """Saves, and stops the training, after so many steps."""

    def __init__(self, path: Path, at: int) -> None:
        super().__init__(path, "key", 1e9, lambda line: None)
        self.calls, self.at = 0, at

    def due(self) -> bool:
        self.calls += 1
        return self.calls == self.at

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        raise Interrupted("stopped")


def same(first: DenoisingFamily, second: DenoisingFamily) -> bool:
    one, other = first.state()[0], second.state()[0]
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_come_from_the_average(family: type[DenoisingFamily]) -> None:
    trained, labels = fitted(model(family)), torch.tensor([0, 1, 2])
    before = trained.sample(3, 1.0, seeded(), labels)
    torch.nn.init.ones_(trained.unet.net.leave[-1].weight)
    assert torch.equal(trained.sample(3, 1.0, seeded(), labels), before)
    torch.nn.init.ones_(trained.unet.average.leave[-1].weight)
    assert not torch.equal(trained.sample(3, 1.0, seeded(), labels), before)


def test_the_learning_rate_rises_over_the_first_images_and_not_again_in_the_next_generation() -> None:
    edm = model(EDM, warm_up=16 * 10, learning_rate=1.0)
    edm.prepare()
    assert [edm.learning_rate(done, 100, "unet") for done in (0, 5, 10, 50)] == [0.0, 0.5, 1.0, 1.0]
    edm.unet.updates += 4
    edm.prepare()
    assert [edm.learning_rate(done, 100, "unet") for done in (0, 6)] == [0.4, 1.0]


def test_half_lives_are_in_images_and_shorter_at_the_beginning() -> None:
    net = torch.nn.Linear(1, 1)
    average = HalfLife(net, 1_000)
    decays = []
    for updates in (0, 100, 20_000, 10**6):
        average.updates.fill_(updates)
        decays.append(float(average.decay_now()))
    # after 0.05 times the updates so far, at most 1 000
    assert decays == pytest.approx([0.0, 0.5 ** (1 / 5), 0.5 ** (1 / 1_000), 0.5 ** (1 / 1_000)])
    edm = model(EDM, average_halflife=640)
    assert isinstance(edm.unet, HalfLife)
    assert edm.unet.halflife == 40


def test_the_gradient_is_no_longer_than_its_bound() -> None:
    edm, (rows, labels) = model(EDM, clip_gradient=1e-3), rows_and_labels(16)
    edm.prepare()
    edm.step(rows.float() / 255, labels, seeded())
    norm = torch.stack([p.grad.norm() for p in edm.unet.net.parameters() if p.grad is not None]).norm()
    assert float(norm) <= 1e-3 * (1 + 1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_is_near_float32_and_not_equal(family: type[DenoisingFamily]) -> None:
    exact, rounded = (fitted(model(family, precision=p)) for p in ("float32", "bf16"))
    one, other = (
        trained.sample(30, 1.0, seeded(2), torch.arange(30) % 3).float() for trained in (exact, rounded)
    )
    assert not torch.equal(one, other)
    assert (one - other).square().mean().sqrt() < 0.05  # 8 bits, over some evaluations
    assert all(p.dtype == torch.float32 for p in rounded.unet.parameters())


def test_rows_are_padded_to_a_multiple() -> None:
    assert padded(torch.arange(5), 3).tolist() == [0, 1, 2, 3, 4, 4]
    assert padded(torch.arange(6), 3).tolist() == [0, 1, 2, 3, 4, 5]


# --- published weights ---

LAYOUT: dict[type[DenoisingFamily], str] = {EDM: "ddpmpp", OTCFMUNet: "adm", DDPM: "ho"}


def published(family: type[DenoisingFamily], seed: int) -> dict[str, Tensor]:
    """Random weights of a network like `model`'s under the published names of its layout."""
    net, state, stream = model(family).unet.net, {}, seeded(seed)
    names = NAMES[LAYOUT[family]](net)
    for ours, tensor in net.state_dict().items():
        source, _ = source_of(ours, net, names)
        for alternatives in source:
            shape = (len(tensor) // len(source), *tensor.shape[1:])
            state[alternatives[0]] = 0.1 * torch.randn(shape, generator=stream)
    return state


def files(tmp_path: Path, state: dict[str, Any]) -> list[Path]:
    """The same state in both formats that are read."""
    paths = [tmp_path / "weights.pt"]
    torch.save(state, paths[0])
    if all(isinstance(tensor, Tensor) for tensor in state.values()):
        paths.append(tmp_path / "weights.safetensors")
        save_file(state, paths[1])
    return paths


@pytest.mark.parametrize("family", FAMILIES)
def test_published_weights_are_taken_over_for_the_network_and_its_average(
    family: type[DenoisingFamily], tmp_path: Path
) -> None:
    state = published(family, 1)
    for path in files(tmp_path, state):
        adopting = model(family)
        adopting.adopt(loaded(path, "it", "", adopting.own_names), torch.empty(0), seeded())
        expected = renamed(state, adopting.unet.net, LAYOUT[family])
        for net in (adopting.unet.net, adopting.unet.average):
            assert all(torch.equal(tensor, expected[name]) for name, tensor in net.state_dict().items())


def test_a_checkpoint_of_torchcfm_has_weights_and_their_average(tmp_path: Path) -> None:
    raw, average = published(OTCFMUNet, 1), published(OTCFMUNet, 2)
    whole = {
        "net_model": raw,
        "ema_model": average,
        "step": 400_000,
        "optim": {"state": {}, "param_groups": []},
    }
    (path,) = files(tmp_path, whole)
    adopting = model(OTCFMUNet)
    adopting.adopt(loaded(path, "it", "", adopting.own_names), torch.empty(0), seeded())
    for net, state in ((adopting.unet.net, raw), (adopting.unet.average, average)):
        expected = renamed(state, net, "adm")
        assert all(torch.equal(tensor, expected[name]) for name, tensor in net.state_dict().items())


def test_an_export_of_edm_has_names_with_its_preconditioning_before_them(tmp_path: Path) -> None:
    state = published(EDM, 1)
    wrapped = {f"model.{name}": tensor for name, tensor in state.items()}
    wrapped["model.enc.4x4_down.conv0.resample_filter"] = torch.ones(1, 1, 2, 2) / 4
    adopting = model(EDM)
    for path in files(tmp_path, wrapped):
        adopting.adopt(loaded(path, "it", "", adopting.own_names), torch.empty(0), seeded())
        expected = renamed(state, adopting.unet.net, "ddpmpp")
        assert all(torch.equal(t, expected[name]) for name, t in adopting.unet.average.state_dict().items())


def test_weights_of_another_layout_or_a_compact_network_are_one_line(tmp_path: Path) -> None:
    for path in files(tmp_path, published(EDM, 1)):
        with pytest.raises(ArtifactError, match=r"\A[^\n]*the weights of it could not be loaded [^\n]+\Z"):
            loaded(path, "it", "give others", model(DDPM).own_names)
        compact = DDPM.fresh(DDPM.Options(width=8), SHAPE, seeded(), classes=3)
        with pytest.raises(ArtifactError, match="published weights are of the networks ho, adm and ddpmpp"):
            loaded(path, "it", "give others", compact.own_names)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_goes_on_from_published_weights_goes_on_after_a_stop_as_if_it_had_not_stopped(
    family: type[DenoisingFamily], tmp_path: Path
) -> None:
    """Bit by bit; the average counts as settled and the learning rate as risen, the optimiser starts anew."""
    tensors = model(family).own_names(published(family, 1))
    more = {"warm_up": 10_000}

    def going_on() -> DenoisingFamily:
        later = model(family, **more)
        later.resume_from(tensors, {})
        return later

    whole = fitted(going_on(), 8)
    path, stopped, again = tmp_path / "state.safetensors", going_on(), going_on()
    stopped.checkpoint = Stopping(path, at=3)
    with pytest.raises(Interrupted):
        fitted(stopped, 8)
    again.checkpoint = Checkpoint(path, "key", 1e9, lambda line: None)
    assert same(fitted(again, 8), whole)
    assert int(whole.unet.updates) == SETTLED + 8
    assert {int(state["step"]) for state in whole.optimizers["unet"].state.values()} == {8}
    fresh = going_on()
    fresh.prepare()
    assert fresh.learning_rate(0, 100, "unet") == fresh.options.learning_rate
