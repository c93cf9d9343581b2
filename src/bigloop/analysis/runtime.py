"""What the jobs of an experiment took: the benchmark files that Snakemake leaves beside their outputs, as one table."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from bigloop.spec.jobs import CollectSpec, TableRun

JOBS = ("train", "auxiliary", "sample", "measure")  # of a generation
SIMULATE = "simulate"  # of a block of seeds and generations
COLUMNS = {
    "experiment": str,
    "run": str,
    "job": str,
    "seeds": str,  # "0", or "0-9" of a block
    "generations": str,  # likewise
    "folder": str,  # of the results: a first generation may belong to several runs, which then share its row's job
    "seconds": float,  # of the wall clock
    "cpu_seconds": float,
    "memory_mb": float,  # the largest resident set
}
MEASURED = {"seconds": "s", "cpu_seconds": "cpu_time", "memory_mb": "max_rss"}  # Snakemake's names


def runtime_table(spec: CollectSpec, results: Path) -> pd.DataFrame:
    """One row a job that trained (a model or its auxiliary one), sampled, measured or simulated, in the COLUMNS; jobs
    without a benchmark have none.

    A job that was stopped and went on is measured from its last start. Jobs of less than some seconds may lack CPU time
    and memory, which Snakemake looks at in intervals.
    """
    rows = [
        {"experiment": spec.experiment, "run": run.run, **found}
        for run in spec.runs
        for found in (blocks(run, results) if run.blocks else generations(run, results))
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def generations(run: TableRun, results: Path) -> Iterator[dict[str, Any]]:
    """The jobs of each generation of a run on images."""
    for seed in run.seeds:
        for generation in range(1, run.generations + 1):
            elsewhere = {
                "train": run.spec.model_folder(generation),
                "auxiliary": run.spec.auxiliary_folder(generation),
            }
            for job in JOBS:
                folder = elsewhere.get(job) or run.spec.folder
                place = results / "runs" / folder / f"seed-{seed}" / f"gen-{generation}"
                if took := benchmark(place / f"{job}.benchmark.tsv"):
                    yield {
                        "job": job,
                        "seeds": str(seed),
                        "generations": str(generation),
                        "folder": folder,
                        **took,
                    }


def blocks(run: TableRun, results: Path) -> Iterator[dict[str, Any]]:
    """The jobs of each block of a simulated run."""
    for block in run.blocks:
        if took := benchmark(results / "runs" / run.spec.folder / block / f"{SIMULATE}.benchmark.tsv"):
            seeds, generations = (part.partition("-")[2] for part in block.split("/"))
            names = {"job": SIMULATE, "seeds": seeds, "generations": generations}
            yield {**names, "folder": run.spec.folder, **took}


def benchmark(path: Path) -> dict[str, float] | None:
    """Seconds, CPU seconds and megabytes of a job, by Snakemake's benchmark file; None where there is none."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            row = next(csv.DictReader(file, delimiter="\t"), None)
    except OSError:
        return None
    return None if row is None else {name: number(row.get(key)) for name, key in MEASURED.items()}


def number(text: str | None) -> float:
    """A number, or NaN where Snakemake says that it has none."""
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
