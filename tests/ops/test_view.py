"""The view of the jobs at work: names from the config, lines and bars that fit, and watching from elsewhere."""

from __future__ import annotations

import io
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions

from bigloop.config.experiment import Experiment
from bigloop.ops import view
from bigloop.ops.view import Row, View, drawn, names_of, plain, row
from bigloop.runtime.progress import JobState, Progress
from bigloop.runtime.words import place

TRAINING = Progress("step", 64, 300, 20.0, 42.0, epoch=3.2, epochs=15, losses={"loss": 101.234}, rate=12_000)


@pytest.fixture
def experiment(config: dict[str, Any]) -> Experiment:
    return Experiment.from_config(config)


def shown(found: View, width: int = 80, height: int = 24) -> list[str]:
    """The lines of a drawn view."""
    out = io.StringIO()
    size = ConsoleDimensions(width, height)
    Console(file=out, width=width, height=height, force_terminal=False).print(drawn(found, size))
    return out.getvalue().splitlines()


# Names


def test_jobs_go_by_their_runs_names_in_the_config(experiment: Experiment) -> None:
    names, spec = names_of(experiment), experiment.runs["vae"].spec
    classifier = experiment.classifiers["mnist"].folder
    for log, name in (
        (f"runs/{spec.folder}/seed-1/gen-3/train.log", "vae seed 1 generation 3 train"),
        (f"runs/{spec.first.folder}/seed-0/gen-1/train.log", "vae seed 0 generation 1 train"),
        (f"classifier/{classifier}/classify.log", "mnist classify"),
        ("data/mnist/fetch.log", "mnist fetch"),
        ("smoke/floor/mnist.log", "floor mnist"),
        ("smoke/figures/losses.log", "figures losses"),
        ("smoke/tables/collect.log", "tables collect"),
        ("smoke/explorer.log", "explorer"),
    ):
        for results in ("results", "a/module/results", "/home/results/of/mine/results"):
            assert place(Path(results, log), names) == name
    assert place(Path("results/runs/other-mnist-00000000/seed-0/gen-1/train.log"), names).startswith(
        "other-mnist"
    )


def test_a_generation_that_runs_share_goes_by_the_first_of_them(config: dict[str, Any]) -> None:
    config = deepcopy(config)
    config["loops"]["other"] = config["loops"]["fully-synthetic"] | {"samples": 700}
    config["runs"]["second"] = config["runs"]["vae"] | {"loop": "other"}
    experiment = Experiment.from_config(config)
    names = names_of(experiment)
    assert names[experiment.runs["vae"].spec.first.folder] == "vae and 1 more"
    assert names[experiment.runs["second"].spec.folder] == "second"


def test_blocks_of_a_simulated_run_are_named_by_their_seeds_and_generations() -> None:
    log = Path("results/runs/gaussian-normal-1f0c9a42/seeds-0-9/gens-1-50/simulate.log")
    names = {"gaussian-normal-1f0c9a42": "decay"}
    assert place(log, names) == "decay seeds 0–9 generations 1–50 simulate"


# Rows


def test_a_job_says_how_far_it_is_and_its_time_goes_on_between_two_words() -> None:
    now = time.time()
    told = row("a", JobState("train", progress=TRAINING, time=now - 12), now - 60, "generation 2:  fid 170")
    assert told.left == pytest.approx(42 - 12, abs=5)
    (_, line) = plain(View("smoke", 1, 4, rows=[told]))
    assert line.startswith("    a: epoch 3.2/15.0  loss 101.2, ")
    long_silent = row("a", JobState("train", progress=TRAINING, time=now - 1_000), now - 2_000)
    assert long_silent.left == 0


def test_what_an_earlier_call_said_is_not_taken_for_this_ones() -> None:
    began = time.time() - 5
    for told in (None, JobState("train", "failed", message="a reason", time=began - 1)):
        assert row("a", told, began).note.startswith("waiting for ")
    assert (
        row("a", JobState("train", "stopped", message="stopped by SIGINT", time=began + 1), began).note
        == "stopped by SIGINT"
    )
    assert row("a", JobState("collect", time=began + 1), began).note.endswith(" so far")


# The whole


def test_the_summary_says_what_is_done_runs_and_failed_and_no_end_is_invented() -> None:
    assert View("smoke", 3, 45).summary == "3 of 45 jobs done"
    assert View("smoke", 3, 45, float("inf"), 0, [Row("a")]).summary == "3 of 45 jobs done, 1 running"
    assert View("smoke", 3, 45, 185.0, 2).summary == "3 of 45 jobs done, 2 failed, about 3 min 05 s left"


@given(
    jobs=st.integers(0, 60),
    width=st.integers(40, 200),
    height=st.integers(5, 60),
    name=st.text(min_size=1, max_size=90).filter(str.isprintable),
)
def test_a_view_is_never_wider_or_higher_than_its_terminal(
    jobs: int, width: int, height: int, name: str
) -> None:
    measures = "generation 2:  " + "  ".join(f"measure_{i} {i}" for i in range(30))
    rows = [Row(f"{name} {i}", TRAINING if i % 2 else None, 42.0, measures=measures) for i in range(jobs)]
    lines = shown(View(name, 3, 45, 60.0, 1, rows), width, height)
    assert len(lines) <= height - 1
    assert all(cell_len(line) <= width for line in lines)


def test_on_80_columns_a_row_has_its_name_bar_share_and_time_and_below_them_losses_and_measures() -> None:
    rows = [Row("wgan-setup1 seed 0 generation 13 train", TRAINING, 42.0, measures="generation 12:  fid 170")]
    whole, summary, first, second = shown(View("smoke", 3, 45, 60.0, 0, rows))
    assert whole.startswith("smoke ")
    assert summary == "  3 of 45 jobs done, 1 running, about 1 min 00 s left"
    assert first.startswith("wgan-setup1 seed 0 generation 13 train ")
    assert first.rstrip().endswith("21 % 42 s left")
    assert second == "  epoch 3.2/15.0  loss 101.2  generation 12:  fid 170"


def test_what_does_not_fit_is_counted() -> None:
    rows = [Row(f"job {i}", TRAINING, 42.0) for i in range(50)]
    *_, last = shown(View("smoke", 0, 50, rows=rows), height=12)
    assert last == f"  and {50 - (12 - 4)} more"


# Watching from elsewhere


def test_without_a_terminal_a_watched_experiment_is_told_in_lines_until_it_is_done(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, states = io.StringIO(), [1, 2, 45]

    def step(*_: object) -> View:
        return View("smoke", states.pop(0), 45)

    monkeypatch.setattr(view, "of_survey", step)
    view.watch(experiment, tmp_path / "results", 0.01, out)
    assert [line.split(" ", 1)[1] for line in out.getvalue().splitlines()] == [
        f"smoke: {done} of 45 jobs done" for done in (1, 2, 45)
    ]


def test_ctrl_c_leaves_a_watched_experiment_without_a_word(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", pressed)
    out = io.StringIO()
    view.watch(experiment, tmp_path / "results", 2.0, out)
    assert out.getvalue().count("\n") == 1
