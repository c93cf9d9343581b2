"""What every family of networks owes the loop: reproducible weights and samples, and a state that is all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bigloop.artifacts import read_tensors, write_json, write_tensors
from bigloop.models import FAMILIES, family, neural
from bigloop.models.neural import NeuralFamily
from bigloop.spec import Budget, SpecError

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
}
KINDS = pytest.mark.parametrize("kind", OPTIONS)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fresh(kind: str, seed: int = 0) -> Any:
    name, options = OPTIONS[kind]
    cls = family(name)
    return cls.fresh(cls.Options(**options), SHAPE, seeded(seed))


def trained(kind: str, weights: int = 0, training: int = 1) -> NeuralFamily:
    model = fresh(kind, weights)
    rows = torch.rand(100, *SHAPE, generator=seeded(9)).half()
    model.fit(rows, Budget(epochs=2.0), seeded(training), lambda line: None)
    return model


def same(first: NeuralFamily, second: NeuralFamily) -> bool:
    one, other = first.state()[0], second.state()[0]
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def test_every_registered_family_is_tested_here() -> None:
    assert {name for name, _ in OPTIONS.values()} == set(FAMILIES)


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
    first.sample(3, 1.0, seeded(0))
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(2)
    assert same(first, trained(kind))


@KINDS
def test_training_changes_every_weight_tensor(kind: str) -> None:
    before, after = fresh(kind).state()[0], trained(kind).state()[0]
    assert not [key for key in before if np.array_equal(before[key], after[key])]


@KINDS
def test_a_history_row_has_every_loss_and_gradient_norm(kind: str) -> None:
    model = fresh(kind)
    rows = torch.rand(160, *SHAPE, generator=seeded(9))
    history = model.fit(rows, Budget(epochs=2.0), seeded(1), lambda line: None)
    losses = model.step(rows[:16], seeded(2)).keys()
    norms = {f"gradient_norm_{name}" for name in model.networks}
    assert [row.keys() for row in history] == [{"epoch", "step", "seconds", *losses, *norms}] * 2


@KINDS
def test_samples_do_not_depend_on_how_they_are_chunked(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained(kind)
    whole = model.sample(250, 1.0, seeded(3)).float()
    monkeypatch.setattr(neural, "SAMPLE_CHUNK", 7)
    parts = model.sample(250, 1.0, seeded(3)).float()
    # values up to 1 are rounded to float16, whose last digit is worth 2⁻¹¹ there
    torch.testing.assert_close(parts, whole, rtol=0, atol=2**-11)


@KINDS
def test_samples_have_the_rows_shape_in_float16_and_one_seed_gives_the_same(kind: str) -> None:
    model = trained(kind)
    rows = model.sample(33, 0.5, seeded(3))
    assert rows.shape == (33, *SHAPE)
    assert rows.dtype == torch.float16
    assert torch.equal(rows, model.sample(33, 0.5, seeded(3)))
    assert not torch.equal(rows, model.sample(33, 0.5, seeded(4)))


@KINDS
def test_a_saved_and_restored_model_gives_bit_identical_samples(kind: str, tmp_path: Path) -> None:
    model, restored = trained(kind), fresh(kind, seed=77)
    tensors, facts = model.state()
    write_tensors(tmp_path / "model.safetensors", tensors, {})
    write_json(tmp_path / "facts.json", facts)
    restored.restore(read_tensors(tmp_path / "model.safetensors")[0], facts)
    assert same(model, restored)
    assert restored.facts == model.facts
    assert torch.equal(model.sample(40, 1.0, seeded(3)), restored.sample(40, 1.0, seeded(3)))


@KINDS
def test_training_goes_on_after_sampling_as_if_there_had_been_none(kind: str) -> None:
    models = [fresh(kind), fresh(kind)]
    models[0].sample(5, 1.0, seeded(3))
    rows = torch.rand(50, *SHAPE, generator=seeded(9))
    for model in models:
        model.fit(rows, Budget(images=64), seeded(1), lambda line: None)
    assert same(*models)


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(SpecError, match=r"^family: unknown family 'gan' \(known: vae, wgan_gp\)$"):
        family("gan")
