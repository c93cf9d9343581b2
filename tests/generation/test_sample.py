"""Samples are those of their model, in their place and finite, or they are not written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bigloop.artifacts import (
    ArtifactError,
)
from bigloop.generation.sample import read_samples, recall_samples, sample
from bigloop.generation.store import load_model
from bigloop.generation.train import train
from bigloop.spec.generations import SampleSpec, TrainSpec

from .lineage import (
    CPU,
    images_of,
    place,
    quiet,
    run_spec,
    samples_of,
)

pytestmark = pytest.mark.long


def test_a_loaded_model_gives_the_samples_that_were_drawn(two_generations: Path, tmp_path: Path) -> None:
    run = run_spec()
    folder = place(two_generations, run, 0, 2)
    out = place(tmp_path, run, 0, 2)
    sample(SampleSpec.of(run, 0, 2), folder, out)
    np.testing.assert_array_equal(
        images_of(out / "samples.safetensors", 0, 2),
        images_of(folder / "samples.safetensors", 0, 2),
    )


def test_a_samples_file_that_says_another_generation_is_refused(two_generations: Path) -> None:
    path = samples_of(two_generations, run_spec(), 0, 1)
    for seed, generation in ((1, 1), (0, 2)):
        with pytest.raises(
            ArtifactError, match=rf"holds seed 0, generation 1, expected {seed}, {generation}$"
        ):
            read_samples(path, seed, generation)


def test_samples_that_are_not_finite_are_not_written(
    two_generations: Path, small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_spec()
    model, record = load_model(place(two_generations, run, 0, 1), CPU)
    for parameter in model.networks["decoder"].parameters():
        parameter.data.fill_(torch.nan)
    monkeypatch.setattr("bigloop.generation.sample.load_model", lambda *arguments: (model, record))
    with pytest.raises(ArtifactError, match="non-finite values; nothing was written"):
        sample(SampleSpec.of(run, 0, 1), place(two_generations, run, 0, 1), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_asked_for_under_another_generation_is_refused(two_generations: Path, tmp_path: Path) -> None:
    run = run_spec()
    with pytest.raises(ArtifactError, match=r"holds seed 0, generation 1, not 0, 2$"):
        sample(SampleSpec.of(run, 0, 2), place(two_generations, run, 0, 1), tmp_path / "out")


def test_another_sampler_samples_the_same_model(small_mnist: Path, tmp_path: Path) -> None:
    runs = [run_spec("ddpm", sampler=sampler) for sampler in ("ddpm", "ddim")]
    assert runs[0].first == runs[1].first
    assert runs[0].folder != runs[1].folder
    model = place(tmp_path, runs[0], 0, 1)
    train(TrainSpec.of(runs[0], 0, 1), small_mnist, (), model, quiet)
    found = []
    for run in runs:
        out = tmp_path / run.folder / "seed-0" / "gen-1"
        sample(SampleSpec.of(run, 0, 1), model, out)
        kept = read_samples(out / "samples.safetensors", 0, 1)[0]
        (out / "samples.safetensors").unlink()
        again = recall_samples(out / "preview.safetensors", 0, quiet).rows  # with the sampler it was made by
        np.testing.assert_array_equal(kept["images"], again["images"])
        found.append(kept["images"])
    assert not np.array_equal(*found)
