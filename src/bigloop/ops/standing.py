"""The state of a workflow's jobs, from their files: done, running, failed, stopped or missing.

    jobs = generations(run, seed=0, results=Path("results"))    # {1: (train, sample, measure), …}

Reads what jobs say of themselves in the JSON files beside their logs; changes nothing, imports no torch. Results of
versions that wrote no such files are done where their outputs are there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import cast

from bigloop.artifacts import AUXILIARY_FILE, OPTIMIZER_FILE, PROVENANCE_FILE, TABLES, UNFINISHED
from bigloop.config.experiment import Experiment
from bigloop.config.runs import Run
from bigloop.ops.disk import FRESH_SECONDS
from bigloop.ops.resources import training_steps
from bigloop.runtime import locks
from bigloop.runtime.progress import Progress, read_state
from bigloop.runtime.words import duration
from bigloop.spec.generations import TrainSpec


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
    trained: float = 0.0  # if done: how much of it its steps took
    left: float | None = None  # if it runs and says so
    spent: float = 0.0  # if it runs, as far as it is known
    share: float = 0.0  # of a stopped job: the part that is saved
    progress: Progress | None = None  # if it runs and says so


Lineage = Mapping[int, Sequence[Job]]  # of one run and seed: generation → train or import, sample, measure


def generations(run: Run, seed: int, results: Path) -> Lineage:
    """The jobs of each generation of a run: train or import, sample where there is a model, and measure.

    Between them those of an auxiliary model and of a selection, where the loop has any.
    """
    found: dict[int, Sequence[Job]] = {}
    for t in range(1, run.generations + 1):
        folders = (run.spec.model_folder(t), run.spec.folder)
        model, own = (results / "runs" / folder / f"seed-{seed}" / f"gen-{t}" for folder in folders)
        measure = look("measure", own / "measure.log", ("measures.json",), t)
        if not run.spec.has_model:
            found[t] = (look("import", own / "import.log", ("preview.safetensors",), t), measure)
            continue
        spec = TrainSpec.of(run.spec, seed, t)
        log = model / ("import.log" if spec.imported else "train.log")
        kept = (OPTIMIZER_FILE,) if run.spec.continues and not spec.imported else ()
        kind = "import" if run.spec.elsewhere else "train"
        loop = run.spec.loop
        beside = run.spec.auxiliary_folder(t)
        further = results / "runs" / (beside or "") / f"seed-{seed}" / f"gen-{t}" / "auxiliary.log"
        more = [look("auxiliary", further, (AUXILIARY_FILE,), t)] * bool(beside)
        chosen = [look("select", own / "select.log", ("selected.safetensors",), t)] * bool(
            loop and loop.select
        )
        found[t] = (
            look(kind, log, ("model.safetensors", "model.json", *kept), t, training_steps(spec)),
            *more,
            look("sample", own / "sample.log", ("preview.safetensors",), t),
            *chosen,
            measure,
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
    home = results / experiment.name
    trained = ("reference.safetensors", "model.safetensors", "model.json")
    splits = ("train.safetensors", "test.safetensors")
    pairs = [f"{c}-judges-{g}-seed-{s}" for c, g, s in experiment.critic_pairs()]
    filters = [results / "runs" / f / f"seed-{s}" / "gen-0" / "filter.log" for f, s in experiment.filtered]
    folders = [results / "classifier" / spec.folder for spec in experiment.classifiers.values()]
    tables = look(
        "tables", home / "tables" / "collect.log", [PROVENANCE_FILE, *(f"{name}.csv" for name in TABLES)]
    )
    figures = [look(f, home / "figures" / f"{f}.log", (f"{f}.pdf", f"{f}.png")) for f in experiment.figures]
    if experiment.explorer:
        figures.append(look("explorer", home / "explorer.log", ("explorer.html",)))
    complete = all(job.state == "done" for job in of_generations)
    newest = max(job.changed for job in of_generations if job.name in ("measure", "simulate"))
    tables = _not_older(tables, newest if complete else math.inf)
    drawn_from = tables.changed if tables.state == "done" else math.inf
    return {
        "data": [
            look("data", results / "data" / images.folder / "fetch.log", splits)
            for images in {images.folder: images for images in experiment.datasets.values()}.values()
        ],
        "classifier": [look("classifier", folder / "classify.log", trained) for folder in folders],
        "filter": [look("filter", log, ("selected.safetensors",)) for log in filters],
        "floor": [
            look("floor", home / "floor" / f"{d}.log", (f"{d}.json",))
            for d in (*experiment.images, *experiment.densities)
        ],
        "critics": [look("critics", home / "critics" / f"{pair}.log", (f"{pair}.json",)) for pair in pairs],
        "tables": [tables],
        "figures": [_not_older(figure, drawn_from) for figure in figures],
    }


def _not_older(job: Job, moment: float) -> Job:
    outdated = job.state == "done" and job.changed < moment
    return replace(job, state="out of date") if outdated else job


def look(name: str, log: Path, outputs: Iterable[str], generation: int = 0, steps: int = 1) -> Job:
    """A job by what it says of itself and by its outputs, which lie beside its log. Never fails on what is half made.

    It runs if its log is locked; or, for locks need not reach other nodes, if it said so a moment ago.
    """
    job = Job(name, log, "missing", generation=generation, steps=steps)
    told, written = read_state(log), [_changed(log.with_name(output)) for output in outputs]
    if all(written):
        took, trained = (told.seconds, told.trained) if told else (None, 0.0)
        return replace(job, state="done", changed=min(written), took=took, trained=trained)
    age = max(0.0, time.time() - (told.time if told else _changed(log)))
    progress = told.progress if told else None
    if locks.is_locked(log) or (age < FRESH_SECONDS and (told is None or told.state == "running")):
        return _running(job, told.message if told else "", progress, age)
    if told and told.state == "failed":
        return replace(job, state="failed", note=told.message)
    saved = progress.saved if progress else 0
    if any(place.is_file() for place in (log.with_suffix(".state.safetensors"), log.with_name(UNFINISHED))):
        note = (
            f"at {progress.unit} {saved:,} of {progress.total:,}"
            if progress and saved
            else "with its state saved"
        )
        share = progress.share_of(saved) if progress else 0.0
        return replace(job, state="stopped", note=note, share=share)
    return job


def _running(job: Job, message: str, progress: Progress | None, age: float) -> Job:
    """A job at work that said something so many seconds ago."""
    if progress is None:
        return replace(job, state="running", note=message or f"{duration(age)} so far", spent=age)
    left = None if progress.left is None else max(0.0, progress.left - age)
    note = progress.where if left is None else f"{progress.where}, {duration(left)} left"
    spent = progress.seconds + age
    silent = f" (nothing heard for {duration(age)})" if age > FRESH_SECONDS else ""
    return replace(job, state="running", note=note + silent, left=left, spent=spent, progress=progress)


def _changed(path: Path) -> float:
    """When a file was last written, in seconds since the epoch; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


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
