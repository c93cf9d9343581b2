"""A training that was stopped goes on where it stopped and ends bit-identical; a foreign state is not taken up."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bigloop.artifacts import (
    MODEL_FILES,
    STEPS_FILE,
    read_json,
    read_table,
    write_tensors,
)
from bigloop.data import load
from bigloop.generation.sample import sample
from bigloop.generation.store import STATE
from bigloop.generation.train import train
from bigloop.models import family as family_of
from bigloop.models.images.wgan_gp import WGANGP as WGAN_FAMILY
from bigloop.runtime.signals import Interrupted
from bigloop.spec.generations import SampleSpec, TrainSpec
from bigloop.spec.loops import Budget
from bigloop.spec.registry import declared
from bigloop.training import checkpoint

from .lineage import (
    OF_IMAGES,
    place,
    preview_of,
    quiet,
    run_spec,
)

pytestmark = pytest.mark.long


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
    aside = [STEPS_FILE] if declared("families")[family].records_steps else []
    for name in ("model.safetensors", "samples.safetensors", *aside):
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
