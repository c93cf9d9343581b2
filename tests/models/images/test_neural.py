"""What every family of networks owes the loop: reproducible weights and samples, and a state that is all of it."""

from __future__ import annotations

import copy
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bigloop.artifacts import read_tensors, write_json, write_tensors
from bigloop.models import family
from bigloop.models.images import neural
from bigloop.models.images.neural import NeuralFamily
from bigloop.models.images.stylegan2 import StyleGAN2
from bigloop.runtime.progress import Progress
from bigloop.runtime.signals import Interrupted
from bigloop.spec.loops import Budget
from bigloop.spec.options import SpecError
from bigloop.spec.registry import declared
from bigloop.training.checkpoint import Checkpoint

SHAPE = (1, 28, 28)
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {"hidden": 12, "latent": 3, "batch_size": 16}),
    "wgan": ("wgan_gp", {"width": 2, "latent": 4, "critic_iterations": 1, "batch_size": 16}),
    "wgan, batch norm, linear": (
        "wgan_gp",
        {
            "width": 2,
            "latent": 4,
            "critic_iterations": 1,
            "batch_size": 16,
            "generator_norm": "batch",
            "critic_output": "linear",
        },
    ),
    "ddpm": (
        "ddpm",
        {
            "width": 8,
            "blocks": 1,
            "patch": 2,
            "timesteps": 10,
            "sampler": "ddim",
            "sampling_steps": 5,
            "batch_size": 16,
        },
    ),
}
DCGAN = {"width": 2, "latent": 4, "batch_size": 16, "learning_rate": 1e-3}
OPTIONS |= {
    "dcgan": ("dcgan", DCGAN),
    "dcgan, clipped": ("dcgan", {**DCGAN, "loss": "wgan_clip", "critic_iterations": 2, "clip": 0.1}),
    "dcgan, penalised": ("dcgan", {**DCGAN, "loss": "wgan_gp", "critic_width": 3, "critic_beta1": 0.0}),
}
DEEP = {
    "width": 4,
    "multipliers": (1, 2),
    "blocks": 1,
    "attention": (14,),
    "batch_size": 16,
    "label_dropout": 0.1,
}
STYLE = {"latent": 6, "mapping_layers": 2, "width_base": 56, "width_most": 6, "batch_size": 16, "mixing": 0.5}
OPTIONS |= {
    "stylegan2": ("stylegan2", STYLE),
    "stylegan2, R3GAN": ("stylegan2", {**STYLE, "loss": "relativistic", "r2": 0.1, "mirror": True}),
    "edm": ("edm", {**DEEP, "sampling_steps": 3, "augmentation": 0.2, "average_halflife": 100}),
    "otcfm": (
        "otcfm_unet",
        {**DEEP, "head_width": None, "sampler": "euler", "sampling_steps": 3, "warm_up": 0},
    ),
    "ddpm, ho": (
        "ddpm",
        {
            **DEEP,
            "network": "ho",
            "timesteps": 10,
            "predicts": "noise",
            "sampler": "ddim",
            "sampling_steps": 3,
        },
    ),
}
UNMOVED = {
    "dcgan, penalised": ["critic.9.bias"],  # it shifts all scores alike, which cancels in a difference
    "stylegan2": [
        "generator.average.path_length"
    ],  # the running mean of path lengths is the trained network's
    "stylegan2, R3GAN": ["generator.net.path_length", "generator.average.path_length", "critic.head.bias"],
}
CLASSES = 10
KINDS = pytest.mark.parametrize("kind", OPTIONS)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fresh(kind: str, seed: int = 0) -> Any:
    name, options = OPTIONS[kind]
    cls = family(name)
    return cls.fresh(cls.Options(**options), SHAPE, seeded(seed), CLASSES)


def labels(kind: str, n: int) -> torch.Tensor | None:
    return torch.arange(n) % CLASSES if declared("families")[OPTIONS[kind][0]].conditional else None


def drawn(kind: str, model: NeuralFamily, n: int, seed: int, bias: float = 1.0) -> torch.Tensor:
    return model.sample(n, bias, seeded(seed), labels(kind, n))


def trained(kind: str, weights: int = 0, training: int = 1) -> NeuralFamily:
    model = fresh(kind, weights)
    rows = torch.rand(100, *SHAPE, generator=seeded(9)).half()
    model.fit(rows, Budget(epochs=2.0), seeded(training), lambda line: None, labels(kind, 100))
    return model


def same(first: NeuralFamily, second: NeuralFamily) -> bool:
    one, other = first.state()[0], second.state()[0]
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def test_every_registered_family_is_tested_here() -> None:
    assert {name for name, _ in OPTIONS.values()} == {
        n for n, about in declared("families").items() if not about.stacked
    }


@KINDS
def test_one_seed_gives_bit_identical_weights_after_training(kind: str) -> None:
    assert same(trained(kind), trained(kind))


@KINDS
def test_another_seed_of_weights_or_of_training_gives_others(kind: str) -> None:
    model = trained(kind)
    assert not same(model, trained(kind, weights=5))
    assert not same(model, trained(kind, training=5))


@KINDS
def test_weights_do_not_depend_on_the_global_stream_nor_change_it(kind: str) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = trained(kind)
    drawn(kind, first, 3, 0)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(2)
    assert same(first, trained(kind))


@KINDS
def test_training_changes_every_weight_tensor(kind: str) -> None:
    before, after = fresh(kind).state()[0], trained(kind).state()[0]
    assert [key for key in before if np.array_equal(before[key], after[key])] == UNMOVED.get(kind, [])


@KINDS
def test_a_history_row_has_every_loss_and_gradient_norm(kind: str) -> None:
    model = fresh(kind)
    rows = torch.rand(160, *SHAPE, generator=seeded(9))
    history = model.fit(rows, Budget(epochs=2.0), seeded(1), lambda line: None, labels(kind, 160))
    given = [rows[:16], labels(kind, 16)] if labels(kind, 16) is not None else [rows[:16]]
    model.advance(0, 10)  # to a step of the kind that has every loss
    losses = model.step(*given, seeded(2)).keys()
    norms = {f"gradient_norm_{name}" for name in model.networks}
    assert [row.keys() for row in history] == [{"epoch", "step", "seconds", *losses, *norms}] * 2


@KINDS
def test_samples_do_not_depend_on_how_they_are_chunked(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained(kind)
    if isinstance(model, StyleGAN2):  # whose layers draw noise as they go
        for layer in model.averaged.average.styled:
            torch.nn.init.zeros_(layer.strength)
    whole = drawn(kind, model, 250, 3).float()
    monkeypatch.setattr(neural, "SAMPLE_CHUNK", 7)
    parts = drawn(kind, model, 250, 3).float()
    # rounded to float16, whose last digit is worth 2⁻¹¹ up to 1, and of larger values up to 2⁻¹⁰ of them
    torch.testing.assert_close(parts, whole, rtol=2**-10, atol=2**-11)


@KINDS
def test_samples_have_the_rows_shape_in_float16_and_one_seed_gives_the_same(kind: str) -> None:
    model = trained(kind)
    rows = drawn(kind, model, 33, 3, 0.5)
    assert rows.shape == (33, *SHAPE)
    assert rows.dtype == torch.float16
    assert torch.equal(rows, drawn(kind, model, 33, 3, 0.5))
    assert not torch.equal(rows, drawn(kind, model, 33, 4, 0.5))


@KINDS
def test_a_saved_and_restored_model_gives_bit_identical_samples(kind: str, tmp_path: Path) -> None:
    model, restored = trained(kind), fresh(kind, seed=77)
    tensors, facts = model.state()
    write_tensors(tmp_path / "model.safetensors", tensors, {})
    write_json(tmp_path / "facts.json", facts)
    restored.restore(read_tensors(tmp_path / "model.safetensors")[0], facts)
    assert same(model, restored)
    assert restored.facts == model.facts
    assert torch.equal(drawn(kind, model, 40, 3), drawn(kind, restored, 40, 3))


@KINDS
def test_training_goes_on_after_sampling_as_if_there_had_been_none(kind: str) -> None:
    models = [fresh(kind), fresh(kind)]
    drawn(kind, models[0], 5, 3)
    rows = torch.rand(50, *SHAPE, generator=seeded(9))
    for model in models:
        model.fit(rows, Budget(images=64), seeded(1), lambda line: None, labels(kind, 50))
    assert same(*models)


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(
        SpecError,
        match=r"^family: unknown family 'gan' \(known: vae, wgan_gp, ddpm, dcgan, stylegan2, edm, otcfm_unet,",
    ):
        family("gan")


@KINDS
def test_a_model_that_continues_makes_the_step_that_the_first_would_have_made_next(kind: str) -> None:
    rows, known = torch.rand(32, *SHAPE, generator=seeded(9)), labels(kind, 32)

    def fit(model: NeuralFamily) -> None:
        model.fit(rows, Budget(images=64), seeded(1), lambda line: None, known)

    first, second = fresh(kind), fresh(kind, seed=5)
    fit(first)
    # copied, as through a file: the tensors of a state_dict are the optimiser's own
    states = copy.deepcopy({name: part.state_dict() for name, part in first.optimizers.items()})
    second.resume_from({k: v.copy() for k, v in first.state()[0].items()}, copy.deepcopy(states))
    first.optimizer_states = states
    fit(first)
    fit(second)
    assert same(first, second)
    without = fresh(kind, seed=5)
    without.resume_from(first.state()[0], {})
    fit(without)
    assert not same(first, without)


@KINDS
def test_a_stopped_sampling_goes_on_bit_identical(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neural, "SAMPLE_CHUNK", 16)
    whole = drawn(kind, trained(kind), 50, 3)
    model, calls = trained(kind), []
    kept = type(model).piece

    def stopping(self: NeuralFamily, *arguments: Any) -> torch.Tensor:
        calls.append(0)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGTERM)
        return kept(self, *arguments)

    monkeypatch.setattr(type(model), "piece", stopping)
    lines: list[str | Progress] = []
    model.checkpoint = Checkpoint(tmp_path / "sample.state.safetensors", "key", 1e9, lines.append)
    with pytest.raises(Interrupted, match="stopped by SIGTERM; state saved at image 32 of 50"):
        drawn(kind, model, 50, 3)
    assert [(p.done, p.saved, p.total) for p in lines] == [(16, 0, 50), (32, 32, 50)]
    lines.clear()
    model.checkpoint = Checkpoint(tmp_path / "sample.state.safetensors", "key", 1e9, lines.append)
    assert torch.equal(drawn(kind, model, 50, 3), whole)
    assert len(calls) == 4  # two of the first call, and the two that were missing
    first, *told = lines
    assert first == "resuming at image 32 of 50"
    assert [(p.done, p.resumed_at) for p in told] == [(48, 32), (50, 32)]
