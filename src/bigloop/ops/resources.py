"""Memory (MB) and time (minutes) that a job requests on a cluster, from its specification.

Generous by intention: a job that asks for too little is stopped. It then runs again with more, and a
training continues from its saved state.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

from bigloop.config.experiment import Experiment
from bigloop.config.runs import Run, Span
from bigloop.data import dataset, source
from bigloop.data.densities import Density
from bigloop.runtime.words import duration
from bigloop.spec.generations import ImportSpec, SampleSpec, TrainSpec
from bigloop.spec.jobs import ClassifierSpec
from bigloop.spec.loops import Handover, Initial
from bigloop.spec.options import Scalar
from bigloop.spec.registry import declared
from bigloop.spec.runs import Data, RunSpec

BASE = 1_500  # MB of a process that has imported torch, and of the Snakemake beside it
FLOAT16, FLOAT32, FLOAT64, LABEL = 2, 4, 8, 8  # bytes
COPIES = 3  # of what a job takes from one file and writes to another
HELD = 2  # of training rows: their files', and the training set
SIMULATING_MINUTES = 240  # of a block; one that is stopped continues from its saved state
ACTIVATIONS = 64 * 8  # floats of a hidden layer, times those that a step holds
IMAGES_A_MINUTE = 15_000  # trained; the WGAN of Knutsen et al. on a GPU is faster, on two cores slower
NETWORK = 2_500  # MB of a network with features of its own and a batch of images in it
MOST_FEATURES = 2_048  # numbers an image, of the networks in common use
LOOKED_A_MINUTE = 200  # images that such a network sees on one core
PLANNING = 4e-3  # seconds in which Snakemake plans a job: found for 1,500 and for 6,000 jobs, on two cores
LONG = 60.0  # seconds of planning that are worth a warning


def planned_jobs(experiment: Experiment) -> int:
    """How many jobs a workflow has at most, when nothing is done yet."""
    trained = sum((3 if r.spec.has_model else 2) * r.generations * len(r.seeds) for r in experiment.trained)
    blocks = sum(run.block_count for run in experiment.simulated)
    return (
        trained
        + blocks
        + len(experiment.critic_pairs())
        + len(experiment.figures)
        + bool(experiment.explorer)
    )


def planning_warning(experiment: Experiment) -> str:
    """A line about a plan of so many jobs that making it takes minutes; empty where it does not."""
    jobs = planned_jobs(experiment)
    if jobs * PLANNING < LONG:
        return ""
    return (
        f"warning: {experiment.name} has {jobs:,} jobs; Snakemake plans them in {duration(jobs * PLANNING)} or so, "
        "each time; fewer generations or seeds, or only=RUN, are planned sooner"
    )


def training_rows(spec: TrainSpec) -> int:
    """The most rows that a training job holds."""
    if spec.initial is None:  # an import: all real rows
        return dataset(spec.dataset).rows["train"]
    if spec.generation == 1 or spec.real is None or spec.synthetic is None:
        return spec.initial.n
    real = spec.real.fixed + spec.real.fresh
    several = spec.generation - 1 if spec.synthetic.from_ == "all" else 1
    return real + several * spec.synthetic.rows(real)


def training_batch(spec: TrainSpec) -> int:
    """Rows of an optimiser step; all of them in a family that knows no batches."""
    return cast(int, spec.model.options.get("batch_size", training_rows(spec)))


def training_steps(spec: TrainSpec) -> int:
    """Optimiser steps of a training job, or passes over its rows in a family that knows no batches; 1 of an import."""
    if spec.budget is None:
        return 1
    return spec.budget.steps(training_rows(spec), training_batch(spec))


def training_memory(spec: TrainSpec, handover: Handover | None = None) -> int:
    """MB for a training job, whose generated rows are handed over like that; None for float16."""
    about = dataset(spec.dataset)
    rows = training_rows(spec) + about.rows["train"]
    takes_bytes = declared("families")[spec.model.family].takes_bytes
    bytes_only = takes_bytes and source(about.source).handover == handover == "uint8"
    size = 1 if bytes_only else FLOAT32
    return BASE + _megabytes(rows, *about.shape, size, HELD)


def auxiliary(run: RunSpec) -> TrainSpec:
    """The training of a run's auxiliary models, as one of a first generation: what it asks for is the same."""
    against = run.looped.against
    assert against
    return replace(TrainSpec.of(run, 0, 1), initial=Initial(against.samples), budget=against.budget)


def classifying_memory(spec: ClassifierSpec) -> int:
    """MB for training the classifier of a dataset, which holds its images as bytes, and their features."""
    about = dataset(spec.dataset)
    features = _megabytes(about.rows["train"], spec.features + len(about.classes), FLOAT32, COPIES)
    return max(4_000, BASE + _megabytes(sum(about.rows.values()), *about.shape, COPIES) + features)


def filtering_memory(data: Data) -> int:
    """MB for scoring all real rows of a dataset."""
    about = dataset(data)
    return BASE + _megabytes(about.rows["train"], *about.shape, FLOAT32, COPIES)


def training_minutes(spec: TrainSpec) -> int:
    """Minutes for a training job."""
    budget = spec.budget
    assert budget is not None
    images = budget.images or cast(float, budget.epochs) * training_rows(spec)
    return 30 + math.ceil(images / IMAGES_A_MINUTE)


def importing_memory(spec: ImportSpec) -> int:
    """MB for a job that imports samples."""
    return BASE + _megabytes(spec.file_bytes, FLOAT32, COPIES)


def sampling_memory(spec: SampleSpec, data: Data) -> int:
    """MB for a sampling job of a dataset."""
    return BASE + _megabytes(spec.n, *dataset(data).shape, FLOAT32, COPIES)


def sampling_minutes(spec: SampleSpec) -> int:
    """Minutes for a sampling job."""
    return 20 + math.ceil(spec.n / 2_000)


def simulating_memory(run: Run, block: Span) -> int:
    """MB for simulating a block of a run: its pool of samples, and the activations of sampling it."""
    loop, seeds = run.spec.looped, len(block.seeds)
    density = cast(Density, run.density)
    kept = min(block.last, len(loop.synthetic.sources(block.last + 1)) + 1)
    pool = _megabytes(kept, seeds, loop.samples, density.dimension, FLOAT64, COPIES)
    members = max(1, len(run.siblings))  # of an ecosystem, each with a pool of its own
    return BASE + members * pool + _megabytes(seeds, loop.samples, ACTIVATIONS, FLOAT32)


def looked_at(measures: dict[str, dict[str, Scalar]]) -> int:
    """The most images of a side that a network with features of its own sees in a measuring job."""
    known = declared("measures")
    return max(
        (
            known[m].per_side * cast(int, o["n"])
            for m, o in measures.items()
            if "inception" in known[m].on or (known[m].on_features and "features" in o)
        ),
        default=0,
    )


def measuring_minutes(measures: dict[str, dict[str, Scalar]]) -> int:
    """Minutes for a measuring job."""
    return 20 + math.ceil(2 * looked_at(measures) / LOOKED_A_MINUTE)


def measuring_memory(measures: dict[str, dict[str, Scalar]], data: Data) -> int:
    """MB for a measuring job of a dataset: the largest measure's matrices, the real rows, and networks' features."""
    known = declared("measures")
    held = max((known[m].matrices * cast(int, o.get("n", 0)) ** 2 for m, o in measures.items()), default=0)
    about = dataset(data)
    n = looked_at(measures)
    seen = (NETWORK if n else 0) + _megabytes(n, MOST_FEATURES, FLOAT64, COPIES)
    return BASE + _megabytes(held, FLOAT64) + _megabytes(about.rows["train"], *about.shape, FLOAT64) + seen


def _megabytes(*factors: int) -> int:
    return math.ceil(math.prod(factors) / 1e6)
