"""Generations follow from their specs alone, and a broken or foreign input stops them before they write."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch

from bigloop.artifacts import (
    MODEL_FILES,
    OPTIMIZER_FILE,
    PREVIEW_ROWS,
    ArtifactError,
    file_checksum,
    read_json,
    read_table,
    read_tensors,
    write_json,
    write_tensors,
)
from bigloop.data import load, load_verified
from bigloop.generation.rows import training_set
from bigloop.generation.sample import read_samples, recall_samples, sample
from bigloop.generation.store import STATE, load_model, parameters
from bigloop.generation.train import import_weights, train
from bigloop.loops import compose
from bigloop.models import FAMILIES, resolve
from bigloop.models import family as family_of
from bigloop.models.images.wgan_gp import WGANGP as WGAN_FAMILY
from bigloop.runtime.signals import DivergedError, Interrupted
from bigloop.spec.jobs import SampleSpec, TrainSpec
from bigloop.spec.options import SpecError, to_dict
from bigloop.spec.registry import declared
from bigloop.spec.runs import Budget, Budgets, Initial, LoopSpec, Real, RunSpec, Synthetic
from bigloop.training import checkpoint

CPU = torch.device("cpu")
OF_IMAGES = [name for name, about in declared("families").items() if not about.stacked]
VAE = {"hidden": 16, "latent": 3, "batch_size": 32}
WGAN = {"width": 2, "latent": 4, "critic_iterations": 1, "batch_size": 32}
DDPM = {"width": 8, "blocks": 1, "patch": 2, "timesteps": 10, "batch_size": 32, "sampling_steps": 5}
TINY = {"vae": VAE, "wgan_gp": WGAN, "ddpm": DDPM}
SAMPLES = 120


def run_spec(family: str = "vae", real: Real | None = None, **options: Any) -> RunSpec:
    model = resolve(family, {**TINY[family], **options}, "models.tiny")
    budgets = Budgets(Budget(images=320), Budget(images=320))
    return RunSpec("mnist", model, LoopSpec(Initial(100), SAMPLES, real or Real(), Synthetic(n=100), budgets))


def place(root: Path, run: RunSpec, seed: int, generation: int) -> Path:
    return root / run.folder / f"seed-{seed}" / f"gen-{generation}"


def samples_of(root: Path, run: RunSpec, seed: int, generation: int) -> Path:
    return place(root, run, seed, generation) / "samples.safetensors"


def images_of(samples: Path, seed: int, generation: int) -> np.ndarray:
    return read_samples(samples, seed, generation)[0]["images"]


def preview_of(root: Path, run: RunSpec, seed: int, generation: int) -> Path:
    return place(root, run, seed, generation) / "preview.safetensors"


def quiet(line: str) -> None:
    pass


def advance(root: Path, run: RunSpec, seed: int, generation: int, data: Path) -> np.ndarray:
    """Train and sample one generation of a run; returns its images."""
    out = place(root, run, seed, generation)
    earlier = [preview_of(root, run, seed, g) for g in run.loop.synthetic.sources(generation)]
    goes_on = run.loop.continues
    previous = place(root, run, seed, generation - 1) if goes_on and generation > 1 else None
    train(
        TrainSpec.of(run, seed, generation),
        data,
        earlier,
        out,
        quiet,
        previous=previous,
        keep_optimizer=goes_on,
    )
    sample(SampleSpec.of(run, seed, generation), out, out)
    return read_samples(out / "samples.safetensors", seed, generation)[0]["images"]


def lineage(root: Path, run: RunSpec, seed: int, generations: int, data: Path) -> np.ndarray:
    for generation in range(1, generations):
        advance(root, run, seed, generation, data)
    return advance(root, run, seed, generations, data)


@pytest.fixture(scope="module")
def two_generations(small_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a VAE's run of two generations, seed 0."""
    root = tmp_path_factory.mktemp("runs")
    lineage(root, run_spec(), 0, 2, small_mnist)
    return root


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


def test_a_loaded_model_gives_the_samples_that_were_drawn(two_generations: Path, tmp_path: Path) -> None:
    run = run_spec()
    folder = place(two_generations, run, 0, 2)
    out = place(tmp_path, run, 0, 2)
    sample(SampleSpec.of(run, 0, 2), folder, out)
    np.testing.assert_array_equal(
        images_of(out / "samples.safetensors", 0, 2),
        images_of(folder / "samples.safetensors", 0, 2),
    )


def test_the_rows_of_generation_1_are_real_and_in_0_to_1(small_mnist: Path) -> None:
    rows, labels, _, inputs = training_set(TrainSpec.of(run_spec(), 0, 1), small_mnist, (), quiet)
    stored = {image.tobytes() for image in load(small_mnist, "train")[0]}
    assert rows.dtype == torch.float32
    assert (rows.min(), rows.max()) == (0, 1)
    assert {(row * 255).round().byte().numpy().tobytes() for row in rows} <= stored
    assert inputs == {"data": load_verified(small_mnist, "train")[2]}
    assert labels is None


def test_later_rows_are_samples_as_handed_over(two_generations: Path, small_mnist: Path) -> None:
    run = run_spec()
    images = images_of(samples_of(two_generations, run, 0, 1), 0, 1)
    rows = training_set(
        TrainSpec.of(run, 0, 2), small_mnist, [preview_of(two_generations, run, 0, 1)], quiet
    ).images
    assert rows.dtype == torch.float16
    assert len({row.numpy().tobytes() for row in rows} & {image.tobytes() for image in images}) == 100


def test_real_rows_stand_first_in_a_mixed_training_set(two_generations: Path, small_mnist: Path) -> None:
    mixed = run_spec(real=Real(fixed=30))
    preview = preview_of(two_generations, run_spec(), 0, 1)
    rows = training_set(TrainSpec.of(mixed, 0, 2), small_mnist, [preview], quiet).images
    first = training_set(TrainSpec.of(mixed, 0, 1), small_mnist, (), quiet).images
    images = images_of(preview.with_name("samples.safetensors"), 0, 1)
    assert len(rows) == 130
    assert torch.equal(rows[:30], first[:30])
    assert {row.half().numpy().tobytes() for row in rows[30:]} <= {image.tobytes() for image in images}


@pytest.mark.parametrize(
    "other",
    [(0, 2), (1, 1), (7, 3)],
    ids=["of another generation", "of another seed", "of another seed and generation"],
)
def test_a_samples_file_of_another_place_is_refused_by_path(
    other: tuple[int, int], two_generations: Path, small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec()
    swapped = samples_of(tmp_path, run, *other)
    shutil.copytree(place(two_generations, run, 0, other[1] if other[0] == 0 else 1), swapped.parent)
    shutil.copy(samples_of(two_generations, run, 0, 1), swapped)
    out = place(tmp_path / "out", run, 0, 2)
    with pytest.raises(ArtifactError, match=rf"\A{re.escape(str(swapped.parent))}/[^\n]+\Z"):
        train(TrainSpec.of(run, 0, 2), small_mnist, [swapped.with_name("preview.safetensors")], out, quiet)
    assert not out.exists()


def test_a_samples_file_of_another_run_is_refused_by_path(
    two_generations: Path, small_mnist: Path, tmp_path: Path
) -> None:
    run, other = run_spec(), run_spec(hidden=17)
    swapped = preview_of(tmp_path, other, 0, 1)
    swapped.parent.mkdir(parents=True)
    shutil.copy(preview_of(two_generations, run, 0, 1), swapped)
    with pytest.raises(
        ArtifactError, match=rf"\A{re.escape(str(swapped))}: holds {run.folder}/seed-0/gen-1/"
    ):
        train(TrainSpec.of(other, 0, 2), small_mnist, [swapped], tmp_path / "out", quiet)


def test_a_samples_file_that_says_another_generation_is_refused(two_generations: Path) -> None:
    path = samples_of(two_generations, run_spec(), 0, 1)
    for seed, generation in ((1, 1), (0, 2)):
        with pytest.raises(
            ArtifactError, match=rf"holds seed 0, generation 1, expected {seed}, {generation}$"
        ):
            read_samples(path, seed, generation)


def test_samples_that_the_loop_needs_but_nobody_named_are_asked_for(
    small_mnist: Path, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match=r"^generation 2 needs the samples of generations \[1\]$"):
        train(TrainSpec.of(run_spec(), 0, 2), small_mnist, (), tmp_path / "out", quiet)


def test_a_samples_file_that_is_too_short_is_refused(
    two_generations: Path, small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec()
    short = place(tmp_path, run, 0, 1)
    sample(replace(SampleSpec.of(run, 0, 1), n=30), place(two_generations, run, 0, 1), short)
    with pytest.raises(ArtifactError, match=r"\A[^\n]*30[^\n]*\Z"):
        train(
            TrainSpec.of(run, 0, 2),
            small_mnist,
            [short / "preview.safetensors"],
            tmp_path / "out",
            quiet,
        )


@pytest.mark.parametrize("family", OF_IMAGES)
def test_training_that_diverges_is_named_and_writes_nothing(
    family: str, small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec(family, learning_rate=1e30)
    out = place(tmp_path, run, 0, 1)
    with pytest.raises(DivergedError, match=r"\A\w+ became [^\n]+: training diverged\Z"):
        train(TrainSpec.of(run, 0, 1), small_mnist, (), out, quiet)
    assert list(tmp_path.rglob("*")) == []


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


def test_negative_values_of_a_wgan_survive_into_its_samples_and_the_next_training_set(
    small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec("wgan_gp")
    images = advance(tmp_path, run, 0, 1, small_mnist)
    rows = training_set(TrainSpec.of(run, 0, 2), small_mnist, [preview_of(tmp_path, run, 0, 1)], quiet).images
    assert images.min() < -0.01
    assert rows.min() < -0.01


def test_a_model_asked_for_under_another_generation_is_refused(two_generations: Path, tmp_path: Path) -> None:
    run = run_spec()
    with pytest.raises(ArtifactError, match=r"holds seed 0, generation 1, not 0, 2$"):
        sample(SampleSpec.of(run, 0, 2), place(two_generations, run, 0, 1), tmp_path / "out")


def test_a_model_whose_record_is_anothers_is_refused(two_generations: Path, tmp_path: Path) -> None:
    run = run_spec()
    mixed = place(tmp_path, run, 0, 1)
    shutil.copytree(place(two_generations, run, 0, 1), mixed)
    write_json(mixed / "model.json", read_json(place(two_generations, run, 0, 2) / "model.json"))
    with pytest.raises(ArtifactError, match=rf"\A{re.escape(str(mixed))}: [^\n]+ do not match"):
        load_model(mixed, CPU)


def test_a_model_of_an_older_revision_of_the_code_is_refused(small_mnist: Path, tmp_path: Path) -> None:
    run = run_spec()
    old = replace(run, model=replace(run.model, revision=0))
    with pytest.raises(SpecError, match=r"^vae: revision 0 requested, but the code is at 1$"):
        train(TrainSpec.of(old, 0, 1), small_mnist, (), tmp_path / "out", quiet)


@pytest.mark.parametrize("content", ["[]", "{}", '{"spec": {}}', "null"])
def test_a_record_that_is_not_a_models_is_one_line(
    content: str, two_generations: Path, tmp_path: Path
) -> None:
    run = run_spec()
    folder = place(tmp_path, run, 0, 1)
    shutil.copytree(place(two_generations, run, 0, 1), folder)
    write_json(folder / "model.json", json.loads(content))
    with pytest.raises((ArtifactError, SpecError), match=rf"\A{re.escape(str(folder))}[^\n]+\Z"):
        load_model(folder, CPU)


# --- stopping and resuming ---


@pytest.fixture
def stopped_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let trainings from now on save their state at every step and be stopped by SIGTERM after so many steps."""

    def stop(steps: int) -> None:
        monkeypatch.setattr(checkpoint.Checkpoint, "due", lambda self: True)
        step_of = {cls: cls.step for cls in map(family_of, OF_IMAGES)}
        for cls, step in step_of.items():

            def counted(self: Any, *arguments: Any, step: Any = step, calls: list[int] = [0]) -> Any:  # noqa: B006
                calls[0] += 1
                if calls[0] == steps:
                    os.kill(os.getpid(), signal.SIGTERM)
                return step(self, *arguments)

            monkeypatch.setattr(cls, "step", counted)

    return stop


@pytest.mark.parametrize("family", OF_IMAGES)
@pytest.mark.parametrize("steps", [1, 4, 9])
def test_a_stopped_training_goes_on_and_ends_bit_identical(
    family: str, steps: int, small_mnist: Path, tmp_path: Path, stopped_after: Callable[[int], None]
) -> None:
    run = run_spec(family)
    whole, parts = place(tmp_path / "whole", run, 0, 1), place(tmp_path / "parts", run, 0, 1)
    train(TrainSpec.of(run, 0, 1), small_mnist, (), whole, quiet)
    stopped_after(steps)
    with pytest.raises(Interrupted, match=rf"stopped by SIGTERM; state saved at step {steps} of 10"):
        train(TrainSpec.of(run, 0, 1), small_mnist, (), parts, quiet)
    assert {path.name for path in parts.iterdir()} == {STATE}
    train(TrainSpec.of(run, 0, 1), small_mnist, (), parts, quiet)
    for out in (whole, parts):
        sample(SampleSpec.of(run, 0, 1), out, out)
    for name in ("model.safetensors", "samples.safetensors"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()
    history = [read_table(out / "history.csv").drop(columns="seconds") for out in (whole, parts)]
    pd.testing.assert_frame_equal(*history, check_exact=True)
    assert read_json(parts / "model.json")["resumed_at"] == [steps]
    assert read_json(whole / "model.json")["facts"] == read_json(parts / "model.json")["facts"]


def test_a_training_whose_end_nobody_noted_is_taken_up_at_its_end(
    small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_spec("wgan_gp", critic_output="linear", generator_norm="batch")
    out = place(tmp_path, run, 0, 1)
    train(TrainSpec.of(run, 0, 1), small_mnist, (), out, quiet)
    weights, facts = (out / "model.safetensors").read_bytes(), read_json(out / "model.json")["facts"]
    for name in MODEL_FILES:
        (out / name).unlink()
    monkeypatch.setattr(WGAN_FAMILY, "step", lambda self, *arguments: pytest.fail("trained again"))
    train(TrainSpec.of(run, 0, 1), small_mnist, (), out, quiet)
    assert (out / "model.safetensors").read_bytes() == weights
    assert read_json(out / "model.json")["facts"] == facts
    sample(SampleSpec.of(run, 0, 1), out, out)
    assert not (out / STATE).exists()


@pytest.mark.parametrize("change", ["learning rate", "budget", "seed", "data", "damage", "empty"])
def test_a_state_of_another_training_or_a_damaged_one_is_not_picked_up(
    change: str, small_mnist: Path, tmp_path: Path, stopped_after: Callable[[int], None]
) -> None:
    run, out, data = run_spec(), tmp_path / "gen-1", small_mnist
    stopped_after(5)
    with pytest.raises(Interrupted):
        train(TrainSpec.of(run, 0, 1), data, (), out, quiet)
    spec, lines = TrainSpec.of(run, 0, 1), []
    if change == "learning rate":
        spec = TrainSpec.of(run_spec(learning_rate=2e-3), 0, 1)
    elif change == "budget":
        spec = replace(spec, budget=Budget(images=640))
    elif change == "seed":
        spec = TrainSpec.of(run, 1, 1)
    elif change == "data":
        images, labels = load(small_mnist, "train")
        data = tmp_path / "mnist"
        write_tensors(data / "train.safetensors", {"images": images[::-1], "labels": labels[::-1]}, {})
    else:
        content = bytearray((out / STATE).read_bytes())
        content[len(content) // 2] ^= 1
        (out / STATE).write_bytes(content if change == "damage" else b"")
    train(spec, data, (), out, lines.append)
    assert any("starting from the beginning" in line and str(out / STATE) in line for line in lines)
    assert read_json(out / "model.json")["resumed_at"] == []


def test_later_generations_do_not_take_up_a_state_made_with_other_samples(
    two_generations: Path, small_mnist: Path, tmp_path: Path, stopped_after: Callable[[int], None]
) -> None:
    run = run_spec()
    shutil.copytree(two_generations / run.folder, tmp_path / run.folder)
    out, preview = place(tmp_path, run, 0, 2), preview_of(tmp_path, run, 0, 1)
    shutil.rmtree(out)
    stopped_after(5)
    with pytest.raises(Interrupted):
        train(TrainSpec.of(run, 0, 2), small_mnist, [preview], out, quiet)
    sample(replace(SampleSpec.of(run, 0, 1), bias=0.5), preview.parent, preview.parent)
    lines: list[str] = []
    train(TrainSpec.of(run, 0, 2), small_mnist, [preview], out, lines.append)
    assert any("state of another training" in line for line in lines)


def test_deleted_samples_are_drawn_again_exactly_by_the_training_that_needs_them(
    two_generations: Path, small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec()
    shutil.copytree(two_generations / run.folder, tmp_path / run.folder)
    preview = preview_of(tmp_path, run, 0, 1)
    kept = training_set(TrainSpec.of(run, 0, 2), small_mnist, [preview], quiet)
    preview.with_name("samples.safetensors").unlink()
    again = training_set(TrainSpec.of(run, 0, 2), small_mnist, [preview], quiet)
    assert torch.equal(kept.images, again.images)
    assert kept.inputs == again.inputs
    assert not preview.with_name("samples.safetensors").exists()


def test_samples_that_are_not_those_of_their_preview_are_refused(
    two_generations: Path, small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec()
    shutil.copytree(two_generations / run.folder, tmp_path / run.folder)
    preview = preview_of(tmp_path, run, 0, 1)
    samples = preview.with_name("samples.safetensors")
    tensors, header = read_tensors(samples)
    words = {k: v for k, v in header.items() if k not in ("sha256", "address")}
    write_tensors(samples, {"images": tensors["images"][::-1]}, words)
    with pytest.raises(ArtifactError, match=rf"\A{re.escape(str(samples))}: not the samples that preview"):
        training_set(TrainSpec.of(run, 0, 2), small_mnist, [preview], quiet)


def test_weights_trained_elsewhere_become_generation_1(
    two_generations: Path, small_mnist: Path, tmp_path: Path
) -> None:
    weights = place(two_generations, run_spec(), 0, 1) / "model.safetensors"
    run = replace(run_spec(), weights=file_checksum(weights))
    out = place(tmp_path, run, 0, 1)
    import_weights(TrainSpec.of(run, 0, 1), weights, small_mnist, out, quiet)
    sample(SampleSpec.of(run, 0, 1), out, out)
    images = images_of(out / "samples.safetensors", 0, 1)
    expected = images_of(samples_of(two_generations, run_spec(), 0, 1), 0, 1)
    np.testing.assert_array_equal(images, expected)
    assert run.folder != run_spec().folder
    assert read_json(out / "model.json")["inputs"]["weights"] == run.weights
    assert read_table(out / "history.csv").empty


def test_an_imported_critic_finds_its_own_threshold(small_mnist: Path, tmp_path: Path) -> None:
    run = run_spec("wgan_gp", critic_output="linear", generator_norm="batch")
    trained = place(tmp_path / "there", run, 0, 1)
    train(TrainSpec.of(run, 0, 1), small_mnist, (), trained, quiet)
    weights = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file(read_tensors(trained / "model.safetensors")[0], weights)
    adopted = replace(run, weights=file_checksum(weights))
    import_weights(TrainSpec.of(adopted, 0, 1), weights, small_mnist, tmp_path / "gen-1", quiet)
    own, other = (read_json(d / "model.json")["facts"]["threshold"] for d in (trained, tmp_path / "gen-1"))
    # Both are the middle between the mean scores of real and generated images; the noise of the latter differs.
    assert other == pytest.approx(own, abs=0.1 * abs(own))


@pytest.mark.parametrize("fault", ["pickle", "names", "shapes", "changed"])
def test_imported_weights_that_do_not_fit_are_one_line(
    fault: str, two_generations: Path, small_mnist: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.safetensors"
    tensors, _ = read_tensors(place(two_generations, run_spec(), 0, 1) / "model.safetensors")
    if fault == "names":
        tensors["decoder.9.weight"] = tensors.pop("decoder.0.weight")
    elif fault == "shapes":
        tensors["decoder.0.weight"] = tensors["decoder.0.weight"].T.copy()
    safetensors.numpy.save_file(tensors, weights)
    if fault == "pickle":
        torch.save({"decoder.0.weight": torch.zeros(2)}, weights)
    run = replace(run_spec(), weights="0" * 64 if fault == "changed" else file_checksum(weights))
    with pytest.raises(ArtifactError, match=rf"\A{re.escape(str(weights))}: [^\n]+\Z"):
        import_weights(TrainSpec.of(run, 0, 1), weights, small_mnist, tmp_path / "gen-1", quiet)
    assert not (tmp_path / "gen-1").exists()


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


GAUSSIAN = '''
from dataclasses import dataclass

import numpy as np
import torch
from bigloop.spec.options import option


class Gaussian:
    """Each pixel on its own: a family without networks, steps or epochs."""

    revision = 1

    @dataclass(frozen=True)
    class Options:
        floor: float = option(1e-3, "least standard deviation", above=0)

    def __init__(self, options, shape):
        self.options, self.shape = options, shape

    @classmethod
    def fresh(cls, options, shape, generator):
        return cls(options, shape)

    def fit(self, rows, budget, generator, report):
        self.mean, self.sd = rows.float().mean(0), rows.float().std(0).clamp(min=self.options.floor)
        return [{"epoch": 1.0, "loss": float(self.sd.log().sum())}]

    def sample(self, n, bias, generator):
        return (self.mean + bias**0.5 * self.sd * torch.randn(n, *self.shape, generator=generator)).half()

    def state(self):
        return {"mean": self.mean.numpy(), "sd": self.sd.numpy()}, {}

    def restore(self, tensors, facts):
        self.mean, self.sd = (torch.from_numpy(tensors[name].copy()) for name in ("mean", "sd"))
'''


def test_a_new_family_runs_through_the_loop_with_one_file_and_one_line(
    small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pixels_family.py").write_text(GAUSSIAN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(FAMILIES, "pixels", "pixels_family:Gaussian")
    run = replace(run_spec(), model=resolve("pixels", {}, "models.pixels"))
    images = lineage(tmp_path / "runs", run, 0, 3, small_mnist).astype(float)
    real = training_set(TrainSpec.of(run, 0, 1), small_mnist, (), quiet).images.numpy()
    # Three draws of 100 rows in turn: the mean of a pixel of deviation ½ is off by no more than 0.3.
    assert np.abs(images.mean(axis=0) - real.mean(axis=0)).max() < 0.3
    assert json.loads((place(tmp_path / "runs", run, 0, 3) / "model.json").read_text())["facts"] == {}


# --- loops that continue, and families that are told classes ---


def continuing(family: str = "vae") -> RunSpec:
    run = run_spec(family, real=Real(fixed=100))
    return replace(run, loop=replace(run.loop, synthetic=Synthetic(ratio=0.5), start="continue"))


def go_on(root: Path, run: RunSpec, generation: int, data: Path) -> Path:
    advance(root, run, 0, generation, data)
    return place(root, run, 0, generation)


@pytest.mark.parametrize("family", OF_IMAGES)
def test_a_loop_that_continues_trains_the_model_and_the_optimizer_of_the_generation_before(
    family: str, small_mnist: Path, tmp_path: Path
) -> None:
    run = continuing(family)
    folders = [go_on(tmp_path, run, t, small_mnist) for t in (1, 2)]
    optimizer, header = read_tensors(folders[0] / OPTIMIZER_FILE)
    weights = read_tensors(folders[0] / "model.safetensors")[1]["sha256"]
    assert header["model"] == weights
    assert max(int(array.max()) for name, array in optimizer.items() if name.endswith("/step")) == 10
    inputs = read_json(folders[1] / "model.json")["inputs"]
    assert (inputs["model"], inputs["optimizer"]) == (weights, header["sha256"])
    later, _ = read_tensors(folders[1] / OPTIMIZER_FILE)
    assert max(int(array.max()) for name, array in later.items() if name.endswith("/step")) == 20
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


def test_after_imported_weights_the_optimizer_starts_anew(small_mnist: Path, tmp_path: Path) -> None:
    trained = go_on(tmp_path / "there", continuing(), 1, small_mnist)
    weights = trained / "model.safetensors"
    run = replace(continuing(), weights=file_checksum(weights))
    out = place(tmp_path, run, 0, 1)
    import_weights(TrainSpec.of(run, 0, 1), weights, small_mnist, out, quiet)
    sample(SampleSpec.of(run, 0, 1), out, out)
    later = go_on(tmp_path, run, 2, small_mnist)
    steps = [int(a.max()) for k, a in read_tensors(later / OPTIMIZER_FILE)[0].items() if k.endswith("/step")]
    assert set(steps) == {10}


def test_the_rows_trained_on_are_recorded_and_found_again_from_the_spec(
    small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec(real=Real(fixed=20, fresh=10))
    run = replace(run, loop=replace(run.loop, synthetic=Synthetic(n=30, from_="all")))
    lineage(tmp_path, run, 0, 3, small_mnist)
    recorded, _ = read_tensors(place(tmp_path, run, 0, 3) / "rows.safetensors")
    expected = compose(TrainSpec.of(run, 0, 3), 4_000, SAMPLES)
    np.testing.assert_array_equal(recorded.pop("real"), expected.real)
    assert recorded.keys() == {"1", "2"}
    for generation, rows in expected.synthetic.items():
        np.testing.assert_array_equal(recorded[str(generation)], rows)


def test_a_training_set_does_not_depend_on_the_order_in_which_its_sources_were_made(
    small_mnist: Path, tmp_path: Path
) -> None:
    run = run_spec(real=Real(fixed=20))
    run = replace(run, loop=replace(run.loop, synthetic=Synthetic(n=30, from_="all")))
    lineage(tmp_path, run, 0, 2, small_mnist)
    previews = [preview_of(tmp_path, run, 0, g) for g in (1, 2)]
    forth, back = (
        training_set(TrainSpec.of(run, 0, 3), small_mnist, p, quiet) for p in (previews, previews[::-1])
    )
    assert torch.equal(forth.images, back.images)
    assert forth.inputs == back.inputs


def test_labels_travel_with_the_rows_of_a_conditional_family(small_mnist: Path, tmp_path: Path) -> None:
    run = run_spec("ddpm", real=Real(fixed=30))
    _, classes = load(small_mnist, "train")
    real = training_set(TrainSpec.of(run, 0, 1), small_mnist, (), quiet)
    np.testing.assert_array_equal(real.labels, classes[real.composition.real])
    advance(tmp_path, run, 0, 1, small_mnist)
    samples, _ = read_samples(samples_of(tmp_path, run, 0, 1), 0, 1)
    np.testing.assert_array_equal(samples["labels"], np.arange(SAMPLES) % 10)
    mixed = training_set(TrainSpec.of(run, 0, 2), small_mnist, [preview_of(tmp_path, run, 0, 1)], quiet)
    chosen = mixed.composition.synthetic[1]
    np.testing.assert_array_equal(mixed.labels[30:], samples["labels"][chosen])
    np.testing.assert_array_equal(mixed.images[30:], samples["images"][chosen].astype(np.float32))


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
        _, again, _ = recall_samples(out / "preview.safetensors", 0, quiet)  # with the sampler it was made by
        np.testing.assert_array_equal(kept["images"], again["images"])
        found.append(kept["images"])
    assert not np.array_equal(*found)
