"""The jobs of a workflow as their files show them: done, running and how far, failed and why, stopped, or missing.

    jobs = generations(run, seed=0, results=Path("results"))    # {1: (train, sample, measure), …}

Reads no more than the ends of logs, benchmarks and the headers of saved states; changes nothing, imports no torch.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import cast

import safetensors

from bigloop.artifacts import OPTIMIZER_FILE, TABLES, UNFINISHED
from bigloop.config.experiment import Experiment
from bigloop.config.runs import Run
from bigloop.ops.disk import FRESH_SECONDS
from bigloop.ops.resources import training_steps
from bigloop.runtime import locks
from bigloop.runtime.progress import read_left, read_progress
from bigloop.runtime.words import duration
from bigloop.spec.jobs import TrainSpec

TAIL_BYTES = 4_096  # of a log: many lines of progress
_ENDED = re.compile(r"\S+ \S+ (?:(?:error|failed): (?P<why>.*)|stopped by .*|interrupted)")


@dataclass(frozen=True)
class Job:
    """One job of the workflow, as its files show it. Times in seconds.

    state: done, out of date, running, failed, stopped (with its state saved) or missing. note: how far it is, or why
    it failed.
    """

    name: str
    log: Path
    state: str
    note: str = ""
    generation: int = 0
    steps: int = 1  # of a training; 1 of any other job
    changed: float = 0.0  # if done: when its outputs were written
    took: float | None = None  # if done, and if it is known
    trained: float = 0.0  # if done: how much of it its steps of training took
    left: float | None = None  # if it runs and says so
    spent: float = 0.0  # if it runs: since its log changed
    share: float = 0.0  # of a stopped training: the part that is saved


Lineage = Mapping[int, Sequence[Job]]  # of one run and seed: generation → train, sample, measure


def generations(run: Run, seed: int, results: Path) -> Lineage:
    """The jobs train, sample and measure of each generation of a run."""
    found = {}
    for t in range(1, run.generations + 1):
        spec, folders = TrainSpec.of(run.spec, seed, t), (run.spec.model_folder(t), run.spec.folder)
        model, own = (results / "runs" / folder / f"seed-{seed}" / f"gen-{t}" for folder in folders)
        log = model / ("import.log" if spec.weights else "train.log")
        kept = (OPTIMIZER_FILE,) if run.spec.loop.continues and not spec.weights else ()
        found[t] = (
            look("train", log, ("model.safetensors", "model.json", *kept), t, training_steps(spec)),
            look("sample", own / "sample.log", ("preview.safetensors",), t),
            look("measure", own / "measure.log", ("measures.json",), t),
        )
    return found


def block_jobs(run: Run, results: Path) -> list[Job]:
    """The jobs of a simulated run, one a block."""
    folder = results / "runs" / run.spec.folder
    outputs = ("measures.csv", "points.safetensors", "state.safetensors")
    return [
        look(
            "simulate",
            folder / block.folder / "simulate.log",
            outputs,
            block.first,
            len(block.seeds) * (block.last - block.first + 1),
        )
        for block in run.blocks()
    ]


def other_jobs(
    experiment: Experiment, results: Path, of_generations: Collection[Job]
) -> dict[str, list[Job]]:
    """The jobs beside the runs, by kind. Tables that lack a generation, and figures of such tables, are out of date."""
    home, datasets = results / experiment.name, experiment.classifiers
    trained = ("reference.safetensors", "model.safetensors", "model.json")
    splits = ("train.safetensors", "test.safetensors")
    pairs = [f"{c}-judges-{g}-seed-{s}" for c, g, s in experiment.critic_pairs()]
    folders = [results / "classifier" / spec.folder for spec in datasets.values()]
    tables = look("tables", home / "tables" / "collect.log", [f"{name}.csv" for name in TABLES])
    figures = [look(f, home / "figures" / f"{f}.log", (f"{f}.pdf", f"{f}.png")) for f in experiment.figures]
    complete = all(job.state == "done" for job in of_generations)
    newest = max(job.changed for job in of_generations if job.name in ("measure", "simulate"))
    tables = _not_older(tables, newest if complete else math.inf)
    drawn_from = tables.changed if tables.state == "done" else math.inf
    return {
        "data": [look("data", results / "data" / d / "fetch.log", splits) for d in datasets],
        "classifier": [look("classifier", folder / "classify.log", trained) for folder in folders],
        "floor": [
            look("floor", home / "floor" / f"{d}.log", (f"{d}.json",))
            for d in (*datasets, *experiment.densities)
        ],
        "critics": [look("critics", home / "critics" / f"{pair}.log", (f"{pair}.json",)) for pair in pairs],
        "tables": [tables],
        "figures": [_not_older(figure, drawn_from) for figure in figures],
    }


def _not_older(job: Job, moment: float) -> Job:
    outdated = job.state == "done" and job.changed < moment
    return replace(job, state="out of date") if outdated else job


def look(name: str, log: Path, outputs: Iterable[str], generation: int = 0, steps: int = 1) -> Job:
    """A job by its log and its outputs, which lie in the same folder. Never fails on what is half made.

    It runs if its log is locked; or, for locks need not reach other nodes, if its log changed a moment ago.
    """
    job = Job(name, log, "missing", generation=generation, steps=steps)
    written = [_changed(log.with_name(output)) for output in outputs]
    if all(written):
        took, trained = _took(log)
        return replace(job, state="done", changed=min(written), took=took, trained=trained)
    lines, age = _tail(log), max(0.0, time.time() - _changed(log))
    ended = _ENDED.fullmatch(lines[-1]) if lines else None
    if locks.is_locked(log) or (age < FRESH_SECONDS and not ended):
        progress = next(filter(None, map(read_progress, reversed(lines))), None)
        if progress is None:
            said = "".join(lines[-1].split(" ", 2)[2:]).strip() if lines else ""
            left = next((s for s in map(read_left, reversed(lines)) if s is not None), None)
            said = said or f"{duration(age)} so far"
            return replace(
                job,
                state="running",
                note=said,
                spent=age,
                left=None if left is None else max(0.0, left - age),
            )
        left = 0.0 if progress.finished else max(0.0, progress.seconds - age)
        note = f"epoch {progress.epoch:.1f}/{progress.epochs:.1f}, {duration(left)} left"
        silent = f" (nothing logged for {duration(age)})" if age > FRESH_SECONDS else ""
        return replace(job, state="running", note=note + silent, left=left)
    if ended and ended["why"]:
        return replace(job, state="failed", note=ended["why"])
    if log.with_name(UNFINISHED).is_file():
        return replace(job, state="stopped", note="with its state saved")
    state = log.with_suffix(".state.safetensors")
    if state.is_file():
        step = _saved_step(state)
        words = (
            f"at step {step:,} of {steps:,}, goes on from there"
            if 0 < step <= steps
            else "with its state saved"
        )
        return replace(job, state="stopped", note=words, share=min(1.0, step / steps))
    return job


def _changed(path: Path) -> float:
    """When a file was last written, in seconds since the epoch; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _tail(log: Path) -> list[str]:
    """The last lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def _took(log: Path) -> tuple[float | None, float]:
    """Seconds that a finished job took, by its benchmark, and those of them in which it trained, by its log.

    The log counts earlier calls, too, of a training that was stopped; the benchmark knows of the last one only.
    """
    read = map(read_progress, _tail(log))
    trained = next((p.seconds for p in read if p and p.finished), 0.0)
    benchmark = log.with_suffix(".benchmark.tsv")
    with suppress(OSError, ValueError, KeyError, StopIteration), benchmark.open() as file:
        return max(trained, float(next(csv.DictReader(file, delimiter="\t"))["s"])), trained
    return trained or None, trained


def _saved_step(state: Path) -> int:
    """The step at which the state of a training was saved, from its file's header; 0 where that says nothing."""
    try:
        with safetensors.safe_open(str(state), framework="numpy") as file:
            tree = json.loads(json.loads(file.metadata()["bigloop"])["tree"])
        return int(dict(tree["pairs"])["done"])
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError):
        return 0


def remaining(job: Job, of_run: Iterable[Job]) -> float:
    """Seconds that a job still takes, by the finished jobs of its kind in its run; infinite where there are none.

    Generation 1, which trains on real data, and later ones count for each other only where there is nothing else. A
    training's time is that of its steps, and what comes before and after them.
    """
    if job.state == "done":
        return 0.0
    if job.left is not None:
        return job.left
    known = [other for other in of_run if other.name == job.name and other.took is not None]
    alike = [other for other in known if (other.generation == 1) == (job.generation == 1)] or known
    if not alike:
        return math.inf
    if job.name == "simulate":
        return fmean(cast(float, other.took) / other.steps for other in alike) * job.steps
    around = fmean(cast(float, other.took) - other.trained for other in alike)
    pace = fmean(other.trained / other.steps for other in alike)
    return max(0.0, around + pace * job.steps * (1 - job.share) - job.spent)
