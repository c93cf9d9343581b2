"""Where an experiment stands: trees of files made by hand with the package's own writers, and what is said of them."""

from __future__ import annotations

import io
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bigloop.__main__ import main
from bigloop.artifacts import link, write_json, write_tensors
from bigloop.config.experiment import Experiment
from bigloop.config.runs import Run
from bigloop.generation.store import STATE
from bigloop.ops import status, survey, unreferenced
from bigloop.ops.standing import Job, generations, remaining
from bigloop.runtime.progress import Progress, Reporter, state_file

REPOSITORY = Path(__file__).parents[2]
HOUR = 3_600.0
RECORD = {"n": 100, "k": None, "detail": ""}


class Tree:
    """Results of an experiment with one run of three generations, made file by file. All is an hour old."""

    def __init__(self, results: Path, config: dict[str, Any]) -> None:
        self.results = results
        self.config = deepcopy(config)
        self.config["runs"] = {"vae": config["runs"]["vae"] | {"seeds": [0]}}
        self.config["figures"] = {"losses": None}

    @property
    def experiment(self) -> Experiment:
        return Experiment.from_config(self.config)

    @property
    def run(self) -> Run:
        return self.experiment.runs["vae"]

    def survey(self) -> survey.Survey:
        return survey.survey(self.experiment, self.results)

    def said(self) -> str:
        return "\n".join(status.lines(self.survey()))

    def job(self, kind: str, t: int, seed: int = 0) -> Job:
        (job,) = [j for j in generations(self.run, seed, self.results)[t] if j.name == kind]
        return job

    def folder(self, kind: str, t: int, seed: int = 0) -> Path:
        name = self.run.spec.model_folder(t) if kind == "train" else self.run.spec.folder
        return self.results / "runs" / name / f"seed-{seed}" / f"gen-{t}"

    def log(
        self,
        kind: str,
        t: int,
        *said: str | Progress,
        age: float = HOUR,
        seed: int = 0,
        end: tuple[str, str] | None = None,
    ) -> Path:
        """The log of a job that said this, or ended like this, so many seconds ago; returns the log."""
        path = self.folder(kind, t, seed) / f"{kind}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        report = Reporter(path, kind, 1)
        for one in said:
            report(one)
        report.end(*(end or ("running", report.state.message)))
        told = json.loads(state_file(path).read_text())
        state_file(path).write_text(json.dumps(told | {"time": told["time"] - age}))
        return aged(path, age)

    def done(self, kind: str, t: int, seconds: float, trained: float = 0.0, seed: int = 0) -> None:
        """A finished job that took so many seconds."""
        folder, one = self.folder(kind, t, seed), {"images": np.zeros(1, np.float32)}
        match kind:
            case "train":
                write_tensors(folder / "model.safetensors", one, {})
                write_json(folder / "model.json", {})
            case "sample":
                write_tensors(folder / "preview.safetensors", one, {})
            case "measure":
                names = ("wasserstein1", "class_entropy", "fid")
                records = [
                    {"measure": name, "value": 100.0 * t + i, **RECORD} for i, name in enumerate(names)
                ]
                records.append({"measure": "class_frequency", "value": 0.5, **RECORD, "detail": "3"})
                write_json(folder / "measures.json", records)
        finished = [Progress("step", 9_380, 9_380, trained)] if trained else []
        log = self.log(kind, t, *finished, seed=seed)
        told = json.loads(state_file(log).read_text())
        ended = {"state": "done", "start_up": seconds / 4, "work": seconds * 3 / 4}
        state_file(log).write_text(json.dumps(told | ended))
        for path in folder.iterdir():
            aged(path)

    def generation(self, t: int, train: float = 40.0, seed: int = 0) -> None:
        """A finished generation: training as long as said, sampling 3 s, measuring 5 s."""
        for kind, seconds in (("train", train), ("sample", 3.0), ("measure", 5.0)):
            self.done(kind, t, seconds, seed=seed)


def aged(path: Path, seconds: float = HOUR) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def progress(left: float, saved: int = 0) -> Progress:
    epochs = {"epoch": 3.2, "epochs": 15.0}
    return Progress("step", 64, 300, 20.0, left, losses={"loss": 101.2}, rate=12_000, saved=saved, **epochs)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The lock that a worker has on its log."""
    with path.open("rb") as file:
        flock(file, LOCK_EX)
        yield


@pytest.fixture
def tree(tmp_path: Path, config: dict[str, Any]) -> Tree:
    return Tree(tmp_path / "results", config)


# What is done, and what it measured


def test_before_anything_has_run_all_is_missing_and_no_end_is_invented(tree: Tree) -> None:
    said = tree.said()
    assert said.startswith("Experiment smoke: 0 of 3 generations done, 0 jobs running, 0 B on disk")
    assert "missing: 1–3" in said
    assert said.endswith("Expected end: unknown until the first job is done of vae")


def test_the_last_measured_generation_is_shown_with_its_main_values(tree: Tree) -> None:
    tree.generation(1)
    tree.generation(2)
    (vae,) = tree.survey().standings
    assert vae.done == [1, 2]
    assert vae.measures == "generation 2:  fid 202  class_entropy 201  wasserstein1 200"
    assert "vae  seed 0   2 of 3 generations" in tree.said()
    assert "missing: 3\n" in tree.said()


def test_a_generation_that_lacks_a_part_is_not_done_and_the_part_is_named(tree: Tree) -> None:
    for t in (1, 2, 3):
        tree.generation(t)
    (tree.folder("measure", 2) / "measures.json").unlink()
    (tree.folder("train", 1) / "model.json").unlink()
    assert tree.survey().standings[0].done == [3]
    assert "missing: 1 (train), 2 (measure)" in tree.said()


def test_results_of_a_version_that_said_nothing_of_its_jobs_are_done_and_no_end_is_invented(
    tree: Tree,
) -> None:
    tree.generation(1)
    assert re.search(r"vae  seed 0   1 of 3 generations .* left$", tree.said(), re.MULTILINE)
    for path in tree.results.rglob("*.progress.json"):
        path.unlink()
    assert tree.survey().standings[0].done == [1]
    assert "end unknown until the first generation is done" in tree.said()


def test_deleted_samples_and_linked_first_models_are_no_lack(tree: Tree) -> None:
    tree.generation(1)
    for name in ("model.safetensors", "model.json"):
        link(tree.folder("sample", 1) / name, tree.folder("train", 1) / name)
    assert tree.survey().standings[0].done == [1]


@pytest.mark.parametrize("content", ["", "[]", "{", '[{"measure": "fid"}]\n'])
def test_damaged_measures_are_named_in_a_line_and_stop_nothing(tree: Tree, content: str) -> None:
    tree.generation(1)
    path = tree.folder("measure", 1) / "measures.json"
    path.write_text(content)
    (line,) = [line for line in tree.said().splitlines() if "measures.json" in line]
    assert str(path) in line
    assert "damaged" in line


def test_measures_of_another_form_are_named_in_a_line_and_stop_nothing(tree: Tree) -> None:
    tree.generation(1)
    write_json(tree.folder("measure", 1) / "measures.json", [{"measure": "fid"}])
    assert "measures.json: damaged (no records of measures)" in tree.said()


def test_many_measures_are_cut_to_the_width_of_a_line(tree: Tree) -> None:
    tree.generation(1)
    records = [{"measure": f"measure_number_{i}", "value": i / 7, **RECORD} for i in range(20)]
    write_json(
        tree.folder("measure", 1) / "measures.json", [*records, {"measure": "fid", "value": 1e-9, **RECORD}]
    )
    assert tree.survey().standings[0].measures.startswith("generation 1:  fid 1e-09  measure_number_0 0")
    assert max(map(len, tree.said().splitlines())) <= survey.WIDTH


def test_tables_and_figures_are_out_of_date_until_they_hold_the_last_measures(tree: Tree) -> None:
    home = tree.results / "smoke"
    for name in (
        "tables/measures.csv",
        "tables/runs.csv",
        "tables/critics.csv",
        "tables/verdicts.csv",
        "tables/claims.csv",
        "tables/runtime.csv",
        "tables/provenance.json",
        "figures/losses.pdf",
        "figures/losses.png",
        "explorer.html",
    ):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()

    def states() -> tuple[str, ...]:
        parts = tree.survey().parts
        return tuple(job.state for kind in ("tables", "figures") for job in parts[kind])

    assert states() == ("out of date",) * 3  # three generations are missing
    for t in (1, 2, 3):
        tree.generation(t)
    assert states() == ("done", "done", "done")
    aged(home / "figures" / "losses.pdf", 10)
    assert states() == ("done", "out of date", "done")
    os.utime(tree.folder("measure", 2) / "measures.json", (time.time() + 5,) * 2)
    assert states() == ("out of date",) * 3


# What runs, failed, or was stopped


def test_a_locked_log_is_a_running_job_and_what_it_said_last_says_how_far(tree: Tree) -> None:
    log = tree.log("train", 2, "training on 600 images", progress(90), progress(80), age=20)
    with locked(log):
        job = tree.job("train", 2)
        assert job.state == "running"
        assert job.left == pytest.approx(60, abs=2)  # 80 s, 20 s ago
        assert "training generation 2: epoch 3.2/15.0, 1 min 00 s left" in tree.said()
        assert "missing: 1, 3" in tree.said()


def test_a_job_that_holds_its_lock_in_silence_is_running_and_the_silence_is_told(tree: Tree) -> None:
    with locked(tree.log("train", 1, progress(80), age=HOUR)):
        assert tree.job("train", 1).left == 0
        assert "(nothing heard for 1 h 00 min)" in tree.said()


@pytest.mark.parametrize(("seconds", "state"), [(55, "running"), (65, "missing")])
def test_without_locks_a_job_that_spoke_in_the_last_minute_is_running(tree, seconds, state) -> None:
    log = tree.log("sample", 1, age=seconds)
    assert tree.job("sample", 1).state == state
    state_file(log).unlink()  # as an older version leaves it: the log's time counts
    assert tree.job("sample", 1).state == state


@pytest.mark.parametrize("age", [5.0, HOUR])
def test_a_job_that_failed_says_why(tree: Tree, age: float) -> None:
    why = "loss became nan by step 400: training diverged"
    tree.log("train", 1, progress(80), age=age, end=("failed", why))
    assert (tree.job("train", 1).state, tree.job("train", 1).note) == ("failed", why)
    assert f"training generation 1 failed: {why}" in tree.said()
    assert tree.said().startswith("Experiment smoke: 0 of 3 generations done, 0 jobs running, 1 failed, ")


def test_a_stopped_training_says_where_it_goes_on(tree: Tree) -> None:
    state = tree.folder("train", 1) / STATE
    state.parent.mkdir(parents=True)
    state.touch()
    log = tree.log("train", 1, progress(80, saved=60), age=5, end=("stopped", "stopped by SIGTERM"))
    job = tree.job("train", 1)
    assert (job.state, job.share) == ("stopped", 60 / 300)
    assert "training generation 1 stopped at step 60 of 300" in tree.said()
    tree.log("train", 1, progress(80, saved=60), age=HOUR)  # killed: it still says that it runs
    assert tree.job("train", 1).share == 60 / 300
    state_file(log).unlink()
    assert "training generation 1 stopped with its state saved" in tree.said()
    state.unlink()
    assert tree.job("train", 1).state == "missing"


def test_half_made_folders_stop_nothing(tree: Tree) -> None:
    for kind in ("train", "sample", "measure"):
        tree.done(kind, 1, 1.0)
        log = tree.log(kind, 1)
        state_file(log).write_bytes(state_file(log).read_bytes()[:40] + b"\xff\xfe")
    (tree.folder("train", 2) / "model.safetensors").mkdir(parents=True)
    (tree.folder("sample", 3)).parent.mkdir(exist_ok=True)
    (tree.folder("sample", 3)).write_text("a file where a folder should be")
    assert tree.survey().standings[0].done == [1]


# When it ends


def finished(seconds: float, t: int, steps: int = 1, trained: float = 0.0) -> Job:
    return Job("train", Path(), "done", generation=t, steps=steps, took=seconds, trained=trained)


def test_a_job_takes_the_mean_of_its_kind_and_the_first_generation_counts_only_alone() -> None:
    to_do = Job("train", Path(), "missing", generation=3)
    assert remaining(to_do, []) == math.inf
    assert remaining(to_do, [finished(100, 1)]) == 100
    assert remaining(to_do, [finished(100, 1), finished(30, 2), finished(50, 2)]) == 40
    assert remaining(Job("sample", Path(), "missing", generation=3), [finished(100, 1)]) == math.inf


def test_a_longer_training_takes_more_for_its_steps_and_the_same_for_the_rest() -> None:
    to_do = Job("train", Path(), "missing", generation=2, steps=1_000)
    assert remaining(to_do, [finished(14, 1, steps=100, trained=10)]) == pytest.approx(4 + 100)


def test_what_is_saved_of_a_stopped_training_need_not_be_done_again() -> None:
    stopped = Job("train", Path(), "stopped", generation=2, steps=100, share=0.75)
    assert remaining(stopped, [finished(44, 2, steps=100, trained=40)]) == pytest.approx(4 + 10)


def test_a_running_job_takes_what_it_says_or_what_is_not_spent_yet() -> None:
    assert remaining(Job("train", Path(), "running", generation=2, left=7.0), [finished(40, 2)]) == 7
    assert remaining(Job("train", Path(), "running", generation=2, spent=10.0), [finished(40, 2)]) == 30
    assert remaining(Job("train", Path(), "running", generation=2, spent=99.0), [finished(40, 2)]) == 0


def test_a_training_that_was_stopped_took_all_its_calls_together(tree: Tree) -> None:
    tree.done("train", 1, seconds=60, trained=500)
    assert tree.job("train", 1).took == 500


def test_the_end_is_that_of_the_longest_chain_or_of_the_work_shared_out(tree: Tree) -> None:
    tree.config["runs"]["vae"]["seeds"] = [0, 1, 2]
    for seed in (0, 1, 2):
        tree.generation(1, train=100, seed=seed)
    tree.generation(2, train=40, seed=0)
    one = 40 + 3  # training and sampling, for which the next generation waits
    two = one + 5  # and measuring, for which it does not
    found = tree.survey()
    assert [s.needs for s in found.standings] == [two, one + two, one + two]
    assert found.needs == 5 * two  # nothing runs: one job after the other
    assert tree.said().endswith("Nothing runs. What is missing takes 4 min 00 s of work, one job at a time.")
    logs = [tree.log("train", t, progress(30), age=0, seed=seed) for t, seed in ((3, 0), (2, 1), (2, 2))]
    left = 30 + 3 + 5
    assert tree.survey().needs == pytest.approx(30 + 3 + two, abs=1.5)  # the chain: three run
    state_file(logs[2]).unlink()
    logs[2].unlink()
    assert tree.survey().needs == pytest.approx((2 * left + 3 * two) / 2, abs=1.5)  # the work: two run
    assert re.search(r"until \d\d:\d\d$", tree.said(), flags=re.MULTILINE)
    assert re.search(
        r"end of all generations: .*\d\d:\d\d, in 1 min (49|50) s, at 2 jobs at a time$", tree.said()
    )


def test_a_first_generation_that_runs_share_is_trained_once(tree: Tree) -> None:
    tree.config["loops"]["other"] = tree.config["loops"]["fully-synthetic"] | {"samples": 700}
    tree.config["runs"]["second"] = tree.config["runs"]["vae"] | {"loop": "other"}
    tree.log("train", 1, progress(30), age=0)
    found = tree.survey()
    assert found.count("running") == 1
    assert "training generation 1: epoch" in "\n".join(status.lines(found)).partition("second")[2]


def test_times_of_day_name_the_day_if_it_is_another() -> None:
    def then() -> str:
        return time.strftime("%a %d %b %H:%M", time.localtime(time.time() + 30 * 24 * HOUR))

    assert re.fullmatch(r"(\w{3} \d\d \w{3} )?\d\d:\d\d", status.clock(0))
    before, said, after = then(), status.clock(30 * 24 * HOUR), then()
    assert said in (before, after)


# What no config refers to


def names(tree: Tree) -> set[str]:
    return unreferenced.folder_names(tree.experiment)


def write_config(tree: Tree, name: str, config: object) -> None:
    path = tree.results / name / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))


def references(tree: Tree) -> tuple[set[str], list[str]]:
    return unreferenced.referenced(tree.experiment, tree.results)


def test_a_run_refers_to_its_own_folder_its_first_generations_its_classifiers_and_its_data(
    tree: Tree,
) -> None:
    spec = tree.run.spec
    assert names(tree) == {
        spec.folder,
        spec.first.folder,
        tree.experiment.classifiers["mnist"].folder,
        "mnist",
    }


def test_an_edited_config_frees_its_old_folders_and_other_experiments_keep_theirs(tree: Tree) -> None:
    before = names(tree)
    write_config(tree, "smoke", tree.config)
    tree.config["models"]["vae-tiny"]["hidden"] = 16
    assert references(tree) == (names(tree), [])
    assert not before <= names(tree)
    write_config(
        tree,
        "other",
        yaml.safe_load((tree.results / "smoke" / "config.yaml").read_text()) | {"experiment": "other"},
    )
    assert references(tree) == (names(tree) | before, [])


def test_an_edited_config_frees_nothing_while_its_old_one_is_at_work(tree: Tree) -> None:
    write_config(tree, "smoke", tree.config)
    before, log = names(tree), tree.log("train", 1, age=5)
    tree.config["models"]["vae-tiny"]["hidden"] = 16
    assert references(tree) == (names(tree) | before, [])
    log.unlink()
    for path in (tree.results / "runs").rglob("*"):
        aged(path)
    aged(tree.results / "runs")
    assert references(tree) == (names(tree), [])
    registered = tree.results.parent / ".snakemake" / "bigloop" / "workflow.json"
    registered.parent.mkdir(parents=True)
    with registered.open("w") as file:
        assert references(tree) == (names(tree), [])  # the workflow that wrote it has ended
        flock(file, LOCK_EX)  # what a living workflow has
        assert references(tree) == (names(tree) | before, [])


@pytest.mark.parametrize("text", ["", "experiment: [", "experiment: other\n", "\0", "runs: {a: b}\n"])
def test_a_config_that_cannot_be_understood_is_named_and_protects_everything(tree, capsys, text) -> None:
    old = tree.results / "runs" / "vae-mnist-00000000"
    old.mkdir(parents=True)
    aged(old)
    assert unreferenced.show_unreferenced(tree.experiment, tree.results) == [old]
    write_config(tree, "other", text)
    assert unreferenced.show_unreferenced(tree.experiment, tree.results) == []
    (fault,) = references(tree)[1]
    assert fault.startswith(f"{tree.results}/other/config.yaml: ")
    assert "\n" not in fault
    assert fault in capsys.readouterr().out


def test_an_experiment_without_its_config_protects_everything(tree: Tree) -> None:
    (tree.results / "old" / "tables").mkdir(parents=True)
    assert references(tree)[1] == [
        f"{tree.results}/old/config.yaml: cannot be read (No such file or directory)"
    ]


# The command


@pytest.fixture
def place(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with config.yaml, results, and a folder that nothing refers to."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree.config))
    tree.generation(1)
    old = tree.results / "runs" / "vae-mnist-00000000"
    (old / "seed-0").mkdir(parents=True)
    for path in (old, old / "seed-0"):
        aged(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return old


def seen(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*")}


def test_status_prints_changes_nothing_and_names_what_could_go(place: Path, tree: Tree, capsys) -> None:
    before = seen(tree.results)
    assert main(["status"]) == 0
    printed = capsys.readouterr().out
    assert "vae  seed 0   1 of 3 generations" in printed
    assert printed.splitlines()[-1].endswith("results/runs/vae-mnist-00000000")
    assert seen(tree.results) == before


def test_status_imports_no_torch(place: Path) -> None:
    code = "import sys; from bigloop.__main__ import main; main(['status']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=600).returncode == 0


def test_a_reader_that_has_seen_enough_is_no_error(place: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "bigloop", "status"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=600)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_removed_without_a_terminal_or_a_yes(place: Path, capsys, caplog) -> None:
    assert main(["status", "--remove-unreferenced"]) == 1
    assert "add --yes" in capsys.readouterr().err
    assert place.is_dir()


@pytest.mark.parametrize(("answer", "removed"), [("y", True), ("", False), ("n", False), (EOFError, False)])
def test_on_a_terminal_it_is_asked_and_only_yes_removes(place, monkeypatch, answer, removed) -> None:
    def ask(prompt: str) -> str:
        if answer is EOFError:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", ask)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert main(["status", "--remove-unreferenced"]) == 0
    assert place.is_dir() is not removed


def test_with_yes_what_is_listed_is_removed_and_nothing_else(place: Path, tree: Tree, capsys) -> None:
    before = seen(tree.results)
    assert main(["status", "--remove-unreferenced", "--yes"]) == 0
    assert "vae-mnist-00000000: deleted" in capsys.readouterr().out
    assert {path for path in before if place not in (path, *path.parents)} == set(seen(tree.results))
    assert main(["status", "--remove-unreferenced", "--yes"]) == 0
    assert "Nothing to delete." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--configfile", "none.yaml"], "none.yaml: cannot be read (No such file or directory)"),
        (["--configfile", "broken.yaml"], "broken.yaml: runs.vae.generations: "),
        (["--configfile", "empty.yaml"], "empty.yaml: config: expected object, got nothing"),
    ],
)
def test_a_config_at_fault_ends_in_one_line(place: Path, tree: Tree, capsys, arguments, line) -> None:
    tree.config["runs"]["vae"]["generations"] = -1
    Path("broken.yaml").write_text(yaml.safe_dump(tree.config))
    Path("empty.yaml").touch()
    assert main(["status", *arguments]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {line}")
    assert printed.err.count("\n") == 1
    assert printed.out == ""
