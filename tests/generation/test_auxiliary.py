"""The auxiliary model of a generation of images, and what is sampled away from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from bigloop.artifacts import AUXILIARY_FILE, ArtifactError, read_tensors, write_tensors
from bigloop.generation.auxiliary import train_auxiliary
from bigloop.generation.sample import draw, recall_samples, sample
from bigloop.generation.store import load_model
from bigloop.generation.train import train
from bigloop.models.opposed import extrapolated
from bigloop.spec.generations import AuxiliarySpec, SampleSpec, TrainSpec
from bigloop.spec.loops import AgainstSpec, Budget
from bigloop.spec.runs import RunSpec

from .lineage import CPU, images_of, place, quiet, run_spec


def opposing(family: str, way: Any, strength: float = 1.0) -> RunSpec:
    run = run_spec(
        family, **({"warm_up": 0, "learning_rate": 1e-2} if family in ("edm", "otcfm_unet") else {})
    )
    against = AgainstSpec(way, strength, 40, Budget(images=64))
    return replace(run, loop=replace(run.looped, against=against))


def generation_1(root: Path, run: RunSpec, data: Path) -> Path:
    out = place(root, run, 0, 1)
    train(TrainSpec.of(run, 0, 1), data, (), out, quiet)
    train_auxiliary(AuxiliarySpec.of(run, 0, 1), out, out)
    sample(SampleSpec.of(run, 0, 1), out, out)
    return out


def plain(run: RunSpec, folder: Path) -> np.ndarray:
    """What the same model generates from the same noise where nothing is held against it."""
    rows, _ = draw(replace(SampleSpec.of(run, 0, 1), against=None), folder)
    return rows["images"].astype(np.float32)


@pytest.mark.parametrize(
    ("family", "way"),
    [
        ("vae", "weights"),
        ("wgan_gp", "weights"),
        ("ddpm", "scores"),
        ("edm", "scores"),
        ("otcfm_unet", "weights"),
    ],
)
def test_samples_go_away_from_the_auxiliary_model_and_are_drawn_again_exactly(
    family: str, way: str, small_mnist: Path, tmp_path: Path
) -> None:
    run = opposing(family, way)
    folder = generation_1(tmp_path, run, small_mnist)
    found = images_of(folder / "samples.safetensors", 0, 1)
    assert np.isfinite(found).all()
    assert np.abs(found.astype(np.float32) - plain(run, folder)).mean() > 1e-4
    (folder / "samples.safetensors").unlink()
    assert np.array_equal(recall_samples(folder / "preview.safetensors", 0, quiet).rows["images"], found)


def test_weights_lie_beyond_the_base_model(small_mnist: Path, tmp_path: Path) -> None:
    run = opposing("vae", "weights", 0.5)
    folder = generation_1(tmp_path, run, small_mnist)
    base, other = (read_tensors(folder / name)[0] for name in ("model.safetensors", AUXILIARY_FILE))
    assert base.keys() == other.keys()
    assert any(not np.array_equal(base[name], other[name]) for name in base)
    model: Any = load_model(folder, CPU)[0]
    assert model.moved_names() == base.keys()
    model.restore(extrapolated(base, other, 0.5, model.moved_names()), model.state()[1])
    generator = torch.Generator().manual_seed(0)
    by_hand = model.sample(5, 1.0, generator)
    assert torch.isfinite(by_hand).all()


def test_scores_and_weights_agree_where_nothing_was_learnt_further(small_mnist: Path, tmp_path: Path) -> None:
    """An auxiliary model that is the base model changes nothing, whatever ω is."""
    for way in ("scores", "weights"):
        run = opposing("edm", way, 3.0)
        folder = generation_1(tmp_path / way, run, small_mnist)
        model, record = load_model(folder, CPU)
        tensors, header = read_tensors(folder / AUXILIARY_FILE)
        own = {key: header[key] for key in ("spec", "seed", "generation", "model")}
        write_tensors(folder / AUXILIARY_FILE, model.state()[0], own)
        rows, _ = draw(SampleSpec.of(run, 0, 1), folder)
        assert rows["images"].astype(np.float32) == pytest.approx(plain(run, folder), abs=2e-3)
        assert record["sha256"] == header["model"]
        assert tensors.keys() == model.state()[0].keys()


def test_the_base_model_stays_as_it_is_and_another_ones_auxiliary_model_is_refused(
    small_mnist: Path, tmp_path: Path
) -> None:
    run = opposing("vae", "weights")
    folder = generation_1(tmp_path, run, small_mnist)
    alone = place(tmp_path / "alone", run, 0, 1)
    train(TrainSpec.of(run, 0, 1), small_mnist, (), alone, quiet)
    assert (
        read_tensors(alone / "model.safetensors")[1]["sha256"]
        == read_tensors(folder / "model.safetensors")[1]["sha256"]
    )
    other = replace(run, model=replace(run.model, options={**run.model.options, "latent": 5}))
    train(TrainSpec.of(other, 0, 1), small_mnist, (), alone.parent / "other" / "gen-1", quiet)
    with pytest.raises(ArtifactError, match="was trained from another model"):
        draw(SampleSpec.of(run, 0, 1), alone.parent / "other" / "gen-1", auxiliary=folder)


def test_a_stopped_training_goes_on_bit_by_bit(
    small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = opposing("vae", "weights")
    folder = generation_1(tmp_path, run, small_mnist)
    whole, _ = read_tensors(folder / AUXILIARY_FILE)
    again = tmp_path / "again" / "gen-1"
    lines: list[str] = []

    def stop(line: Any) -> None:
        lines.append(str(line))
        if "step" in str(line) and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            raise KeyboardInterrupt

    long = replace(AuxiliarySpec.of(run, 0, 1), budget=Budget(images=64))
    try:
        train_auxiliary(long, folder, again, cast(Any, stop), save_seconds=0)
    except KeyboardInterrupt:
        train_auxiliary(long, folder, again, save_seconds=0)
    found, _ = read_tensors(again / AUXILIARY_FILE)
    assert all(np.array_equal(found[name], whole[name]) for name in whole)
