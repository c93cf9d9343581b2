"""What passes from generation to generation: bytes or floats, and no more of them than memory holds."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bigloop.artifacts import ArtifactError, read_tensors
from bigloop.data import configured, load
from bigloop.data.store import fetch
from bigloop.generation import rows
from bigloop.generation.rows import training_set
from bigloop.generation.sample import as_bytes, sample
from bigloop.generation.train import train
from bigloop.models import resolve
from bigloop.ops import resources
from bigloop.spec.generations import SampleSpec, TrainSpec
from bigloop.spec.loops import Budget, Budgets, Initial, LoopSpec, Real, Synthetic
from bigloop.spec.options import to_json
from bigloop.spec.runs import DatasetSpec, RunSpec
from bigloop.training.loop import as_floats


def quiet(line: object) -> None:
    """Report nothing."""


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> tuple[DatasetSpec, Path]:
    """A dataset of 60 random coloured images without classes, and the folder that it is stored in."""
    place = tmp_path_factory.mktemp("data")
    images = np.random.default_rng(0).integers(0, 256, (60, 3, 8, 12), dtype=np.uint8)
    np.save(place / "mine.npy", images)
    spec, root = configured("arrays", {"root": str(place / "mine.npy")}, "datasets.mine")
    fetch(spec, place / "results" / "data" / "mine", root)
    return spec, place / "results" / "data" / "mine"


def run_on(data: DatasetSpec, family: str = "vae", fixed: int = 0, handover: str | None = "uint8") -> RunSpec:
    options = {
        "vae": {"hidden": 8, "latent": 2},
        "ddpm": {"width": 8, "blocks": 1, "patch": 4, "timesteps": 4},
    }
    budget = Budget(images=128)
    synthetic, budgets = Synthetic(n=20), Budgets(budget, budget)
    loop = LoopSpec(Initial(40), 30, Real(fixed), synthetic, budgets, handover=handover)
    return RunSpec(data, resolve(family, options[family], "model"), loop)


def lineage(run: RunSpec, data: Path, folder: Path) -> Path:
    """Train and sample generation 1; returns its preview."""
    out = folder / "gen-1"
    train(TrainSpec.of(run, 0, 1), data, (), out, quiet)
    sample(SampleSpec.of(run, 0, 1), out, out, quiet)
    return out / "preview.safetensors"


def test_bytes_are_the_nearest_of_256_levels_and_clipped() -> None:
    values = np.array([-0.3, 0, 0.4 / 255, 0.6 / 255, 0.5, 254.6 / 255, 1, 1.2], np.float32)
    assert as_bytes(values).tolist() == [0, 0, 0, 1, 128, 255, 255, 255]
    levels = np.arange(256, dtype=np.uint8)
    there_and_back = as_bytes(as_floats(torch.from_numpy(levels)).numpy().astype(np.float16))
    np.testing.assert_array_equal(there_and_back, levels)  # float16 tells 256 levels apart


@pytest.mark.parametrize(("handover", "dtype"), [("uint8", np.uint8), (None, np.float16)])
def test_samples_are_stored_as_they_are_handed_over(
    handover: str | None, dtype: type, coloured: tuple[DatasetSpec, Path], tmp_path: Path
) -> None:
    data, folder = coloured
    preview = lineage(run_on(data, handover=handover), folder, tmp_path)
    both = [
        read_tensors(preview.with_name(f"{name}.safetensors"))[0]["images"] for name in ("samples", "preview")
    ]
    assert {images.dtype for images in both} == {np.dtype(dtype)}
    assert {images.shape for images in both} == {(30, 3, 8, 12)}


def test_a_training_set_of_bytes_alone_stays_bytes_and_of_both_becomes_floats(
    coloured: tuple[DatasetSpec, Path], tmp_path: Path
) -> None:
    data, folder = coloured
    for handover, kind in (("uint8", torch.uint8), (None, torch.float32)):
        run = run_on(data, fixed=10, handover=handover)
        preview = lineage(run, folder, tmp_path / str(handover))
        mixed = training_set(TrainSpec.of(run, 0, 2), folder, [preview], quiet)
        assert mixed.images.dtype == kind
        real = load(folder, "train")[0][mixed.composition.real]
        np.testing.assert_array_equal(as_floats(mixed.images[:10]), real / np.float32(255))


def test_a_conditional_family_learns_images_without_classes_as_those_of_one(
    coloured: tuple[DatasetSpec, Path], tmp_path: Path
) -> None:
    data, folder = coloured
    preview = lineage(run_on(data, "ddpm"), folder, tmp_path)
    tensors, _ = read_tensors(preview)
    assert not tensors["labels"].any()


def test_a_training_set_larger_than_memory_is_refused_with_the_figure(
    coloured: tuple[DatasetSpec, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, folder = coloured
    monkeypatch.setattr(rows, "spare_memory", lambda: 40 * 3 * 8 * 12 - 1)  # one byte too few
    with pytest.raises(
        ArtifactError, match=r"\Ageneration 1: a training set of 40 images of 3×8×12 takes 0\.0 GB [^\n]+"
    ):
        training_set(TrainSpec.of(run_on(data), 0, 1), folder, (), quiet)
    monkeypatch.setattr(rows, "spare_memory", lambda: 40 * 3 * 8 * 12)
    training_set(TrainSpec.of(run_on(data), 0, 1), folder, (), quiet)


MANY = 9_000  # images of 64×64, 110 MB


TRAINING = """
import json, sys
from pathlib import Path
from bigloop.bench.setting import peak_gib
from bigloop.generation.train import train
from bigloop.spec.generations import TrainSpec
from bigloop.spec.options import parse

spec = parse(TrainSpec, json.loads(sys.argv[1]), "")
train(spec, Path(sys.argv[2]), (), Path(sys.argv[3]), lambda line: None)
print(peak_gib())
"""


def spec_on(data: DatasetSpec, rows: int, generation: int) -> TrainSpec:
    """A step of a small DCGAN on so many rows."""
    budgets = Budgets(Budget(images=16), Budget(images=16))
    loop = LoopSpec(Initial(rows), rows, Real(0), Synthetic(n=rows), budgets, handover="uint8")
    return TrainSpec.of(RunSpec(data, resolve("dcgan", {"width": 1}, "model"), loop), 0, generation)


def peak_of_training(n: int, place: Path) -> float:
    """The most GiB of a process that trains on most of n images of 64×64, which are stored first."""
    np.save(place / f"{n}.npy", np.random.default_rng(0).integers(0, 256, (n, 3, 64, 64), dtype=np.uint8))
    data, root = configured("arrays", {"root": str(place / f"{n}.npy")}, "datasets.mine")
    folder, out = place / "results" / "data" / f"of-{n}", place / f"run-{n}" / "gen-1"
    fetch(data, folder, root)
    command = [sys.executable, "-c", TRAINING, to_json(spec_on(data, n * 8 // 10, 1)), folder, out]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_training_on_bytes_holds_no_more_than_the_file_and_the_set_and_asks_for_that(tmp_path: Path) -> None:
    few, many = (peak_of_training(n, tmp_path) for n in (100, MANY))
    assert (many - few) * 2**30 < resources.HELD * MANY * 3 * 64 * 64
    data, _ = configured("arrays", {"root": str(tmp_path / f"{MANY}.npy")}, "datasets.mine")
    whole = dataclasses.replace(data, rows={"train": 70_000, "test": 7_000})
    spec, held = spec_on(whole, 70_000, 2), 2 * 70_000 * 3 * 64 * 64  # both files; and the set
    asked, of_floats = (resources.training_memory(spec, handover) for handover in ("uint8", None))
    assert asked == resources.BASE + math.ceil(resources.HELD * held / 1e6)
    assert of_floats == resources.BASE + math.ceil(resources.HELD * 4 * held / 1e6)
