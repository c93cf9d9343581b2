"""Generations follow from their specs alone, and a training that fails writes nothing."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bigloop.artifacts import (
    OPTIMIZER_FILE,
    PREVIEW_ROWS,
    ArtifactError,
    read_json,
    read_table,
    read_tensors,
)
from bigloop.generation.rows import training_set
from bigloop.generation.sample import read_samples
from bigloop.generation.store import load_model, parameters
from bigloop.generation.train import train
from bigloop.models import FAMILIES, resolve
from bigloop.runtime.provenance import machine, software
from bigloop.runtime.signals import DivergedError
from bigloop.spec.generations import TrainSpec
from bigloop.spec.options import to_dict

from .lineage import (
    CPU,
    OF_IMAGES,
    SAMPLES,
    advance,
    continuing,
    go_on,
    images_of,
    lineage,
    place,
    quiet,
    run_spec,
    samples_of,
)

pytestmark = pytest.mark.long


@pytest.mark.parametrize("family", OF_IMAGES)
def test_one_seed_gives_bit_identical_samples_at_generation_2_and_another_others(
    family: str, small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec(family)
    first = lineage(tmp_path / "a", run, 0, 2, small_mnist)
    again = lineage(tmp_path / "b", run, 0, 2, small_mnist)
    other = lineage(tmp_path / "c", run, 1, 2, small_mnist)
    assert first.shape == (SAMPLES, 1, 28, 28)
    assert first.dtype == np.float16
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_generation_2_is_another_model_than_generation_1(two_generations: Path) -> None:
    images = [images_of(samples_of(two_generations, run_spec(), 0, t), 0, t) for t in (1, 2)]
    assert not np.array_equal(*images)


def test_a_generation_leaves_its_files_and_nothing_else(two_generations: Path) -> None:
    folder = place(two_generations, run_spec(), 0, 2)
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors",
        "model.json",
        "model.json.sha256",
        "history.csv",
        "history.csv.sha256",
        "rows.safetensors",
        "samples.safetensors",
        "preview.safetensors",
    }
    images = images_of(folder / "samples.safetensors", 0, 2)
    preview, _ = read_tensors(folder / "preview.safetensors")
    np.testing.assert_array_equal(preview["images"], images[:PREVIEW_ROWS])
    assert {"loss", "loss_kl", "epoch"} <= set(read_table(folder / "history.csv"))


def test_the_record_says_what_the_model_was_made_of(two_generations: Path) -> None:
    run = run_spec()
    record = read_json(place(two_generations, run, 0, 2) / "model.json")
    _, checksum = read_samples(samples_of(two_generations, run, 0, 1), 0, 1)
    assert record["spec"] == to_dict(TrainSpec.of(run, 0, 2))
    assert record["inputs"] == {"1": checksum}
    assert record["resumed_at"] == []
    assert record["rows"] == 100
    assert record["versions"]["torch"] == torch.__version__
    assert record["software"] == software()
    assert record["machine"] == machine()


@pytest.mark.parametrize("family", OF_IMAGES)
def test_training_that_diverges_is_named_and_writes_nothing(
    family: str, small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec(family, learning_rate=1e30)
    out = place(tmp_path, run, 0, 1)
    with pytest.raises(DivergedError, match=r"\A\w+ became [^\n]+: training diverged\Z"):
        train(TrainSpec.of(run, 0, 1), small_mnist, (), out, quiet)
    assert list(tmp_path.rglob("*")) == []


PROBE = '''
from dataclasses import dataclass

import torch


class Probe:
    """Notes the seeds of the streams that it is handed; its samples say that of sampling, 11 bits a pixel."""

    revision = 1

    @dataclass(frozen=True)
    class Options:
        pass

    @classmethod
    def fresh(cls, options, shape, generator):
        self = cls()
        self.shape, self.facts = shape, {"weights": generator.initial_seed()}
        return self

    def fit(self, rows, budget, generator, report):
        self.facts["training"] = generator.initial_seed()
        return [{"epoch": 1.0, "loss": 0.0}]

    def sample(self, n, bias, generator):
        rows = torch.zeros(n, *self.shape, dtype=torch.float16)
        rows[:, 0, 0, :6] = torch.tensor([generator.initial_seed() >> 11 * i & 2047 for i in range(6)])
        return rows

    def state(self):
        return {"nothing": torch.zeros(1).numpy()}, self.facts

    def restore(self, tensors, facts):
        self.facts = facts
'''


def test_every_seed_generation_and_purpose_has_a_stream_of_its_own(
    small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "probe_family.py").write_text(PROBE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(FAMILIES, "probe", "probe_family:Probe")
    run = replace(run_spec(), model=resolve("probe", {}, "models.probe"))
    streams = []
    for seed, generation in ((0, 1), (0, 2), (1, 1), (1, 2)):
        images = advance(tmp_path, run, seed, generation, small_mnist)
        sampling = sum(int(digit) << 11 * power for power, digit in enumerate(images[0, 0, 0, :6]))
        facts = read_json(place(tmp_path, run, seed, generation) / "model.json")["facts"]
        streams += [facts["weights"], facts["training"], sampling]
    assert len(set(streams)) == 12


def test_a_new_family_runs_through_the_loop_with_one_file_and_one_line(
    small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "workflow")
    monkeypatch.setitem(FAMILIES, "pixels", "things.pixelwise:Pixelwise")
    run = replace(run_spec(), model=resolve("pixels", {}, "models.pixels"))
    images = lineage(tmp_path / "runs", run, 0, 3, small_mnist).astype(float)
    real = training_set(TrainSpec.of(run, 0, 1), small_mnist, (), quiet).images.numpy()
    # Three draws of 100 rows in turn: the mean of a pixel of deviation ½ is off by no more than 0.3.
    assert np.abs(images.mean(axis=0) - real.mean(axis=0)).max() < 0.3
    assert json.loads((place(tmp_path / "runs", run, 0, 3) / "model.json").read_text())["facts"] == {}


def steps_taken(optimizer: dict[str, np.ndarray]) -> int:
    """Of the optimiser that took most."""
    return max(int(array.max()) for name, array in optimizer.items() if name.endswith("/step"))


@pytest.mark.parametrize("family", OF_IMAGES)
def test_a_loop_that_continues_trains_the_model_and_the_optimizer_of_the_generation_before(
    family: str, small_mnist: Path, tmp_path: Path
) -> None:
    run = continuing(family)
    folders = [go_on(tmp_path, run, t, small_mnist) for t in (1, 2)]
    optimizer, header = read_tensors(folders[0] / OPTIMIZER_FILE)
    weights = read_tensors(folders[0] / "model.safetensors")[1]["sha256"]
    assert header["model"] == weights
    taken = 13 if family == "stylegan2" else 10  # of 10 steps, of which 3 are two of its generator's
    assert steps_taken(optimizer) == taken
    inputs = read_json(folders[1] / "model.json")["inputs"]
    assert (inputs["model"], inputs["optimizer"]) == (weights, header["sha256"])
    later, _ = read_tensors(folders[1] / OPTIMIZER_FILE)
    assert steps_taken(later) == 2 * taken
    vectors = [parameters(load_model(folder, CPU)[0]) for folder in folders]
    scratch = replace(run, loop=replace(run.loop, start="scratch"))
    out = tmp_path / "scratch"
    train(TrainSpec.of(scratch, 0, 2), small_mnist, [folders[0] / "preview.safetensors"], out, quiet)
    anew = parameters(load_model(out, CPU)[0])
    # Ten steps move the weights less than two different initialisations lie apart.
    assert np.linalg.norm(vectors[1] - vectors[0]) < 0.5 * np.linalg.norm(anew - vectors[0])
    assert not (out / OPTIMIZER_FILE).exists()


def test_a_model_to_continue_from_that_is_anothers_or_not_given_is_refused(
    small_mnist: Path, tmp_path: Path
) -> None:
    run = continuing()
    first, second = (go_on(tmp_path, run, t, small_mnist) for t in (1, 2))
    preview = [first / "preview.safetensors"]
    with pytest.raises(ArtifactError, match="continues from a model that was not given"):
        train(TrainSpec.of(run, 0, 2), small_mnist, preview, tmp_path / "out", quiet)
    with pytest.raises(ArtifactError, match="holds seed 0, generation 2, not 0, 1"):
        train(TrainSpec.of(run, 0, 2), small_mnist, preview, tmp_path / "out", quiet, previous=second)
    shutil.copy(second / OPTIMIZER_FILE, first / OPTIMIZER_FILE)
    with pytest.raises(ArtifactError, match=re.escape(str(first / OPTIMIZER_FILE))):
        train(TrainSpec.of(run, 0, 2), small_mnist, preview, tmp_path / "out", quiet, previous=first)
