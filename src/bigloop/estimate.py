"""What a job will need, from what it is told: memory in MB and time in minutes, as a cluster asks for them.

Generous by intention: a job that asks for too little is stopped. It then runs again with more, and a
training goes on from its saved state.

And what a whole experiment will take, once `bigloop.calibrate` has timed each kind of job: hours and bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from bigloop.artifacts import PREVIEW_ROWS
from bigloop.data import dataset
from bigloop.data.densities import Density
from bigloop.experiment import Span, Experiment, Run
from bigloop.spec import LoopSpec, SampleSpec, Scalar, TrainSpec

BASE = 1_500  # MB of a process that has imported torch, and of the Snakemake beside it
FLOAT16, FLOAT32, FLOAT64, LABEL = 2, 4, 8, 8  # bytes
# Their solver holds about five matrices of distances; the other measures hold blocks of rows.
TRANSPORT = {"wasserstein1", "wasserstein1_excess", "wasserstein2"}
COPIES = 3  # of the training rows while they are gathered
SIMULATING_MINUTES = 240  # of a block; one that is stopped goes on from its saved state
ACTIVATIONS = 64 * 8  # floats of a hidden layer, times those that a step holds
IMAGES_A_MINUTE = 15_000  # trained; the WGAN of Knutsen et al. on a GPU is faster, on two cores slower


def training_rows(spec: TrainSpec) -> int:
    """The most rows that a training job holds."""
    if spec.generation == 1 or spec.real is None or spec.synthetic is None:
        return spec.initial.n
    real = spec.real.fixed + spec.real.fresh
    several = spec.generation - 1 if spec.synthetic.from_ == "all" else 1
    return real + several * spec.synthetic.rows(real)


def training_steps(spec: TrainSpec) -> int:
    """Optimiser steps of a training job; 1 for a family that knows no batches."""
    batch = spec.model.options.get("batch_size")
    return spec.budget.steps(training_rows(spec), batch) if isinstance(batch, int) else 1


def training_memory(spec: TrainSpec) -> int:
    """MB for a training job."""
    about = dataset(spec.dataset)
    rows = training_rows(spec) + about.rows["train"]
    return BASE + _megabytes(rows, *about.shape, FLOAT32, COPIES)


def training_minutes(spec: TrainSpec) -> int:
    """Minutes for a training job."""
    budget = spec.budget
    images = budget.images or cast(float, budget.epochs) * training_rows(spec)
    return 30 + math.ceil(images / IMAGES_A_MINUTE)


def sampling_memory(spec: SampleSpec, name: str) -> int:
    """MB for a sampling job of the dataset `name`."""
    return BASE + _megabytes(spec.n, *dataset(name).shape, FLOAT32, COPIES)


def sampling_minutes(spec: SampleSpec) -> int:
    """Minutes for a sampling job."""
    return 20 + math.ceil(spec.n / 2_000)


def simulating_memory(run: Run, block: Span) -> int:
    """MB for simulating a block of a run: its pool of samples, and the activations of sampling it."""
    loop, seeds = run.spec.loop, len(block.seeds)
    density = cast(Density, run.density)
    kept = min(block.last, len(loop.synthetic.sources(block.last + 1)) + 1)
    pool = _megabytes(kept, seeds, loop.samples, density.dimension, FLOAT64, COPIES)
    return BASE + pool + _megabytes(seeds, loop.samples, ACTIVATIONS, FLOAT32)


def measuring_memory(measures: dict[str, dict[str, Scalar]], name: str) -> int:
    """MB for a measuring job of the dataset `name`: optimal transport's matrices, and the real rows."""
    n = max((cast(int, options.get("n", 0)) for m, options in measures.items() if m in TRANSPORT), default=0)
    about = dataset(name)
    return BASE + _megabytes(n, n, FLOAT64, 5) + _megabytes(about.rows["train"], *about.shape, FLOAT64)


@dataclass(frozen=True)
class Pace:
    """What the jobs of a run take on some machine, in seconds, and the bytes of one generation's weights."""

    start: float  # of any job: the interpreter and its imports
    around: float  # of a training beside its steps
    step: float  # of training
    row: float  # sampled
    measure: float  # all measures of one generation
    weights: int


@dataclass(frozen=True)
class RunForecast:
    """Seconds of one run: of all jobs of each kind, over all its seeds, and of the longest chain of jobs.

    kept: bytes of the files of a simulated run.
    """

    train: float
    sample: float
    measure: float
    chain: float
    kept: int = 0


@dataclass(frozen=True)
class Forecast:
    """What an experiment will take. All in seconds, each job once, also where runs share it; disk in bytes, by kind.

    trained: the jobs that use a GPU where there is one; other: the rest.
    """

    runs: Mapping[str, RunForecast]
    trained: float
    other: float
    disk: Mapping[str, int]

    @property
    def work(self) -> float:
        return self.trained + self.other

    def wall(self, cores: int, gpus: int = 0) -> float:
        """Seconds on so many cores and GPUs: those of the longest chain, or of the work shared out, if that is more."""
        shared = max(self.trained / gpus, self.other / cores) if gpus else self.work / cores
        return max(shared, *(run.chain for run in self.runs.values()))


def forecast(
    experiment: Experiment,
    paces: Mapping[str, Pace],
    simulated: Mapping[str, RunForecast],
    classify: float,
    extra: float,
) -> Forecast:
    """The time and disk of an experiment.

    paces: by run on images. simulated: by simulated run. classify: seconds of training the classifiers; extra: of all
    that is not a run's own job.
    """
    runs, trained, measured = {}, {}, {}
    for run in experiment.trained:
        name = run.name
        seconds, folder = job_seconds(run, paces[name]), run.spec.folder
        train, sample, measure = (len(run.seeds) * sum(kind) for kind in zip(*seconds.values(), strict=True))
        runs[name] = RunForecast(train, sample, measure, chain(run.spec.loop, seconds))
        for seed, t in run.jobs():
            trained[run.spec.model_folder(t), seed, t, "train"] = seconds[t][0]
            trained[folder, seed, t, "sample"] = seconds[t][1]
            measured[folder, seed, t] = seconds[t][2]
    weights = {name: pace.weights for name, pace in paces.items()}
    other = sum(measured.values()) + sum(r.train + r.sample + r.measure for r in simulated.values()) + extra
    kept = disk(experiment, weights)
    if simulated:
        kept |= {"simulations": sum(r.kept for r in simulated.values())}
    together = {name: runs.get(name) or simulated[name] for name in experiment.runs}
    return Forecast(together, sum(trained.values()) + classify, other, kept)


def job_seconds(run: Run, pace: Pace) -> dict[int, tuple[float, float, float]]:
    """Seconds of training, sampling and measuring each generation of a run."""
    found = {}
    for t in range(1, run.generations + 1):
        spec = TrainSpec.of(run.spec, 0, t)
        steps = 0.0 if spec.weights else pace.around + pace.step * training_steps(spec)
        found[t] = (
            pace.start + steps,
            pace.start + pace.row * run.spec.loop.samples,
            pace.start + pace.measure,
        )
    return found


def chain(loop: LoopSpec, seconds: Mapping[int, Sequence[float]]) -> float:
    """Seconds until all generations are measured, if each job begins as soon as those are done that it needs.

    seconds: of training, sampling and measuring each generation.
    """
    trained: dict[int, float] = {0: 0.0}
    sampled: dict[int, float] = {}
    for t, (train, sample, _) in seconds.items():
        began = [sampled[g] for g in loop.synthetic.sources(t)]
        trained[t] = max([*began, trained[t - 1] if loop.continues else 0.0]) + train
        sampled[t] = trained[t] + sample
    return max(sampled[t] + measure for t, (_, _, measure) in seconds.items())


def disk(experiment: Experiment, weights: Mapping[str, int]) -> dict[str, int]:
    """Bytes of an experiment that is done: its arrays, without the small files of words and numbers.

    weights: bytes of one generation's weights, by run. While it runs there is more: samples that later generations
    train on, and the saved states of trainings, of about three times their weights.
    """
    weighed, states, samples, previews = {}, {}, {}, {}
    keep = experiment.storage.keep_samples
    for run in experiment.trained:
        name, folder, n = run.name, run.spec.folder, run.spec.loop.samples
        row = math.prod(dataset(run.spec.dataset).shape) * FLOAT16
        for seed, t in run.jobs():
            weighed[run.spec.model_folder(t), seed, t] = weights[name]
            if run.spec.loop.continues:
                states[run.spec.model_folder(t), seed, t] = 2 * weights[name]  # Adam's two moments
            previews[folder, seed, t] = row * min(n, PREVIEW_ROWS)
            if t == run.generations or (keep and t % keep == 0):
                samples[folder, seed, t] = row * n
    real, judged = 0, 0
    for name, spec in experiment.classifiers.items():
        about = dataset(name)
        real += sum(about.rows.values()) * (math.prod(about.shape) + LABEL)
        judged += about.rows["train"] * (spec.features + len(about.classes)) * FLOAT32
    kinds = {"weights": weighed, "samples": samples, "previews": previews}
    if states:
        kinds["optimiser states"] = states
    return {kind: sum(by.values()) for kind, by in kinds.items()} | {
        "real data": real,
        "classifier": judged,
    }


def _megabytes(*factors: int) -> int:
    return math.ceil(math.prod(factors) / 1e6)
