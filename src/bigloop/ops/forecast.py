"""What a whole experiment will take, once each kind of job has been timed: hours and bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bigloop.artifacts import PREVIEW_ROWS
from bigloop.config.experiment import Experiment
from bigloop.config.runs import Run
from bigloop.data import dataset
from bigloop.ops.resources import FLOAT16, FLOAT32, LABEL, training_steps
from bigloop.spec.jobs import TrainSpec
from bigloop.spec.runs import LoopSpec


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
