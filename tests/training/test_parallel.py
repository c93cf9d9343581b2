"""Two processes train and sample what one does: real ones, started by torchrun, that talk by gloo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bigloop.artifacts import read_json, read_table, read_tensors
from bigloop.models import resolve
from bigloop.runtime.progress import read_state
from bigloop.runtime.teams import MEMBER, PROCESSES, command, nodes, size_of
from bigloop.spec.generations import SampleSpec, TrainSpec
from bigloop.spec.loops import Budget, Budgets, Initial, LoopSpec, Real, Synthetic
from bigloop.spec.options import to_json
from bigloop.spec.runs import RunSpec
from bigloop.training.parallel import Dropout, Team

pytestmark = pytest.mark.long

SMALL: dict[str, Any] = {
    "width": 8,
    "multipliers": [1, 2],
    "blocks": 1,
    "attention": [14],
    "batch_size": 16,
    "dropout": 0.2,
    "mirror": True,
    "label_dropout": 0.2,
    "learning_rate": 1e-3,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "edm": SMALL | {"augmentation": 0.2, "sampling_steps": 3, "churn": 10.0},
    "otcfm_unet": SMALL | {"sampler": "dopri5", "tolerance": 1e-3, "head_width": 8, "warm_up": 0},
    "ddpm": SMALL | {"network": "ho", "timesteps": 10},
    "stylegan2": {
        "latent": 8,
        "mapping_layers": 2,
        "width_base": 64,
        "width_most": 8,
        "batch_size": 16,
        "mirror": True,
        "average_halflife": 100.0,
        "learning_rate": 1e-3,
        "r1_every": 4,
    },
}
LOSS = {"stylegan2": "loss_critic"}


def changed(name: str, **changes: Any) -> dict[str, Any]:
    """The options of a family, with other values of those that it has."""
    return {key: changes.get(key, value) for key, value in FAMILIES[name].items()}


# Trains in float64 and writes down every step's losses, and then samples with 3 images for 2 processes.
LOSSES = """
import sys, torch
from pathlib import Path
from bigloop.models import family
from bigloop.spec.options import parse
from bigloop.training.parallel import joined, team
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
name, options, steps, out = sys.argv[1], eval(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
cls = family(name)
def seeded(k):
    return torch.Generator().manual_seed(k)
with joined():
    model = cls.fresh(parse(cls.Options, options, "m"), (3, 8, 8), seeded(0), classes=3)
    model.prepare()
    model._train(True)
    torch.manual_seed(7)
    rows, stream = torch.rand(16, 3, 8, 8, generator=seeded(1)), seeded(2)
    labels, told = torch.arange(16) % 3, []
    given = [labels] if cls.conditional else []
    for done in range(steps):
        model.advance(done, steps)
        told.append(model.step(rows, *given, stream))
    losses = [[float(one.get(key, 0)) for key in told[0]] for one in told]  # 0 for what not every step has
    model._train(False)
    with torch.no_grad():
        made = model.piece(model.latent(3, 0.8, seeded(4)), 0.8, seeded(3), labels[:3])
    if team().rank == 0:
        torch.save({"losses": torch.tensor(losses), "made": made}, out)
"""


def together(size: int, *arguments: str) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)]
    alone = [sys.executable]
    environment = os.environ | ({MEMBER: "[]"} if size > 1 else {}) | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*(torchrun if size > 1 else alone), *arguments], check=True, env=environment, timeout=900)


@pytest.mark.parametrize("name", FAMILIES)
def test_in_float64_two_processes_have_the_losses_and_samples_of_one(name: str, tmp_path: Path) -> None:
    """Over 200 steps, with dropout, augmentation and dropped labels, or with both networks' penalties."""
    script = tmp_path / "losses.py"
    script.write_text(LOSSES)
    options = repr(changed(name, attention=[4]))
    for size in (1, 2):
        together(size, str(script), name, options, "200", str(tmp_path / f"{size}.pt"))
    one, two = (torch.load(tmp_path / f"{size}.pt") for size in (1, 2))
    assert len(one["losses"]) == 200
    assert (one["losses"].std(0) > 0).all()
    torch.testing.assert_close(two["losses"], one["losses"], rtol=0, atol=1e-8)
    # 200 steps add rounding up; dopri5 chooses its steps by what it finds
    torch.testing.assert_close(two["made"], one["made"], rtol=0, atol=1e-5)


# --- through the command line, as a job of the workflow ---


def specs(name: str, steps: int) -> tuple[TrainSpec, SampleSpec]:
    budgets = Budgets(Budget(images=16 * steps), Budget(images=16))
    loop = LoopSpec(Initial(100), 30, Real(), Synthetic(n=30), budgets)
    run = RunSpec("mnist", resolve(name, changed(name, dropout=0.0), "models.m"), loop)
    return TrainSpec.of(run, 0, 1), SampleSpec.of(run, 0, 1)


def called(
    spec: TrainSpec | SampleSpec, out: Path, data: Path, processes: int, *more: str
) -> subprocess.Popen:
    verb = ["train", "--data", str(data)] if isinstance(spec, TrainSpec) else ["sample", "--model", str(out)]
    log = out / f"{verb[0]}.log"
    words = [*verb, "--spec", to_json(spec), "--out", str(out), "--log", str(log), "--threads", "1", *more]
    environment = os.environ | {PROCESSES: str(processes)}
    return subprocess.Popen([sys.executable, "-m", "bigloop", *words], env=environment)


def done(process: subprocess.Popen) -> int:
    return process.wait(timeout=900)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_job_of_two_processes_writes_what_a_job_of_one_writes(
    name: str, small_mnist: Path, tmp_path: Path
) -> None:
    training, sampling = specs(name, 20)
    for size in (1, 2):
        for spec in (training, sampling):
            assert done(called(spec, tmp_path / str(size), small_mnist, size)) == 0
    one, two = (tmp_path / "1", tmp_path / "2")
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in two.iterdir())
    losses = [read_table(folder / "history.csv")[LOSS.get(name, "loss")].to_numpy() for folder in (one, two)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0, atol=1e-4)
    made = [read_tensors(folder / "samples.safetensors")[0]["images"].astype(float) for folder in (one, two)]
    np.testing.assert_allclose(made[1], made[0], rtol=0, atol=0.02)  # float16, and 20 steps in float32
    assert read_json(one / "model.json")["spec"] == read_json(two / "model.json")["spec"]
    for job in ("train", "sample"):
        state = read_state(two / f"{job}.log")
        assert state
        assert state.state == "done"
        assert state.progress
        assert state.progress.finished
        log = (two / f"{job}.log").read_text()
        assert "2 processes share the work" in log
        assert "process 1:" not in log  # which has nothing to say


def test_a_team_that_is_stopped_saves_and_goes_on_with_one_process_or_with_two(
    small_mnist: Path, tmp_path: Path
) -> None:
    training, _ = specs("edm", 150)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert done(called(training, whole, small_mnist, 2)) == 0
    job = called(training, stopped, small_mnist, 2)
    begun = time.monotonic()
    while not ((state := read_state(stopped / "train.log")) and state.progress and state.progress.done > 20):
        assert time.monotonic() - begun < 600
        assert job.poll() is None
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    assert done(job) == 143
    state = read_state(stopped / "train.log")
    assert state
    assert state.state == "stopped"
    assert "state saved at step" in state.message
    assert not (stopped / "model.safetensors").exists()
    assert done(called(training, stopped, small_mnist, 2, "--attempt", "2")) == 0
    resumed = json.loads((stopped / "model.json").read_text())["resumed_at"]
    assert len(resumed) == 1
    assert resumed[0] % 10 == 0
    one, other = (read_tensors(folder / "model.safetensors")[0] for folder in (whole, stopped))
    assert all(np.array_equal(one[key], other[key]) for key in one)  # gloo adds in a fixed order


def test_an_error_of_a_team_is_its_one_line(small_mnist: Path, tmp_path: Path) -> None:
    training, _ = specs("edm", 2)
    odd = TrainSpec(**vars(training) | {"model": resolve("edm", SMALL | {"batch_size": 15}, "models.m")})
    assert done(called(odd, tmp_path, small_mnist, 2)) == 1
    state = read_state(tmp_path / "train.log")
    assert state
    assert (state.state, state.permanent) == ("failed", True)
    assert state.message == "batch_size: 15 images cannot be shared equally by 2 processes"


def test_a_family_that_cannot_be_shared_is_trained_by_one_process(small_mnist: Path, tmp_path: Path) -> None:
    training, _ = specs("edm", 2)
    vae = TrainSpec(**vars(training) | {"model": resolve("vae", {"hidden": 8, "latent": 2}, "models.m")})
    assert done(called(vae, tmp_path, small_mnist, 2)) == 0
    assert (
        "vae cannot be shared by 2 processes; one does all the work" in (tmp_path / "train.log").read_text()
    )


# --- parts ---


def test_shares_are_equal_parts_in_the_order_of_the_processes() -> None:
    whole = torch.arange(12).view(6, 2)
    assert torch.equal(torch.cat([Team(3, rank).share(whole) for rank in range(3)]), whole)
    assert Team().any(False, True) == [False, True]
    assert torch.equal(Team().together(whole), whole)


def test_dropout_of_one_process_is_that_of_torch() -> None:
    h = torch.ones(50, 200)
    layer = Dropout(0.3)
    torch.manual_seed(0)
    mine = layer(h)
    assert mine.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    # four standard errors of a share of 10 000
    assert abs((mine == 0).float().mean().item() - 0.3) < 4 * (0.21 / 10_000) ** 0.5
    assert torch.equal(layer.eval()(h), h)


def test_the_size_of_a_team_is_the_number_of_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROCESSES, raising=False)
    monkeypatch.delenv("SLURM_NNODES", raising=False)
    assert [size_of(gpus, here) for gpus, here in ((0, 0), (1, 1), (4, 4), (4, 2), (4, 0))] == [1, 1, 4, 2, 1]
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setenv("SLURM_NNODES", "2")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    assert nodes() == 2
    assert size_of(8, 4) == 8
    words = " ".join(command(8))
    assert "srun --overlap --nodes=2 --ntasks=2 --ntasks-per-node=1" in words
    assert "--nproc-per-node 4 --nnodes 2 --rdzv-id 77 --rdzv-backend c10d --rdzv-endpoint" in words
    monkeypatch.setenv(MEMBER, "[]")
    assert size_of(8, 4) == 1
