"""What a whole experiment will take, once each kind of job has been timed: hours and bytes, and how they are said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from bigloop.artifacts import PREVIEW_ROWS, SNAPSHOT_ROWS
from bigloop.config.experiment import Experiment
from bigloop.config.runs import Run
from bigloop.data import dataset
from bigloop.ops.resources import FLOAT16, FLOAT32, LABEL, training_batch, training_rows, training_steps
from bigloop.runtime.words import between, size
from bigloop.spec.generations import TrainSpec
from bigloop.spec.loops import LoopSpec
from bigloop.spec.registry import declared

HEADS = ("training", "sampling", "measuring", "longest chain")


@dataclass(frozen=True)
class Pace:
    """What the jobs of a run take on some machine, in seconds; and the bytes of one generation's weights, and of the
    features that are kept beside its samples."""

    start: float  # of any job: the interpreter and its imports
    around: float  # of a training beside its steps
    step: float  # of training
    row: float  # sampled
    measure: float  # all measures of one generation
    weights: int
    features: int = 0


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
    runs: dict[str, RunForecast] = {}
    firsts: dict[tuple[str, int], float] = {}
    trained, other = classify, extra + sum(r.train + r.sample + r.measure for r in simulated.values())
    lineages = _lineages(experiment)
    for run in experiment.trained:
        seconds = job_seconds(run, paces[run.name])
        train, sample, measure = (sum(kind) for kind in zip(*seconds.values(), strict=True))
        seeds = len(run.seeds)
        runs[run.name] = RunForecast(
            seeds * train, seeds * sample, seeds * measure, chain(run.spec.loop, seconds)
        )
        own = sum(lineages[run.spec.folder, seed] is run for seed in run.seeds)
        further = _further(run, paces[run.name])
        trained += own * (train - seconds[1][0] + sample - further)
        other += own * measure
        firsts |= {(run.spec.model_folder(1), seed): seconds[1][0] for seed in run.seeds}
        firsts |= {(beside, seed): further for seed in run.seeds if (beside := run.spec.auxiliary_folder(1))}
    weights, features = (
        {name: getattr(pace, kind) for name, pace in paces.items()} for kind in ("weights", "features")
    )
    kept = disk(experiment, weights, features)
    if simulated:
        kept |= {"simulations": sum(r.kept for r in simulated.values())}
    together = {name: runs.get(name) or simulated[name] for name in experiment.runs}
    return Forecast(together, trained + sum(firsts.values()), other, kept)


def _lineages(experiment: Experiment) -> dict[tuple[str, int], Run]:
    """By folder and seed, the run that has most generations there: runs may differ in no more than their names."""
    found: dict[tuple[str, int], Run] = {}
    for run in experiment.trained:
        for seed in run.seeds:
            other = found.setdefault((run.spec.folder, seed), run)
            if other.generations < run.generations:
                found[run.spec.folder, seed] = run
    return found


def job_seconds(run: Run, pace: Pace) -> dict[int, tuple[float, float, float]]:
    """Seconds of training or importing, sampling and measuring each generation of a run."""
    found: dict[int, tuple[float, float, float]] = {}
    growing = run.spec.loop is not None and run.spec.loop.synthetic.from_ == "all"
    for t in range(1, run.generations + 1):
        if t <= 2 or growing:  # the others are like the second
            spec = TrainSpec.of(run.spec, 0, t)
            steps = 0.0 if spec.imported else pace.around + pace.step * training_steps(spec)
            sampling = (pace.start + pace.row * run.samples) if run.spec.has_model else 0.0
            selecting = run.spec.loop is not None and run.spec.loop.select is not None
            sampling += _further(run, pace) + selecting * pace.start  # scores take little
            jobs = (pace.start + steps, sampling, pace.start + pace.measure)
        found[t] = jobs
    return found


def _further(run: Run, pace: Pace) -> float:
    """Seconds of training the auxiliary model of a generation."""
    if run.spec.loop is None or (against := run.spec.loop.against) is None:
        return 0.0
    batch = int(run.spec.model.options.get("batch_size", 1))
    steps = against.budget.steps(against.samples, batch)
    return pace.around + pace.step * steps + pace.start + pace.row * against.samples


def chain(loop: LoopSpec | None, seconds: Mapping[int, Sequence[float]]) -> float:
    """Seconds until all generations are measured, if each job begins as soon as those are done that it needs.

    seconds: of training, sampling and measuring each generation, and between them of what else a loop has. Without a
    loop, none waits for another.
    """
    if loop is None:
        return max(map(sum, seconds.values()))
    trained, ended = 0.0, 0.0  # the last generation, and all of them
    sampled: dict[int, float] = {}
    for t, (train, *more, measure) in seconds.items():
        sources = loop.synthetic.sources(t)  # of which the last is ready last
        trained = train + max(sampled[sources[-1]] if sources else 0.0, trained if loop.continues else 0.0)
        sampled[t] = trained + sum(more)
        ended = max(ended, sampled[t] + measure)
    return ended


def disk(
    experiment: Experiment, weights: Mapping[str, int], features: Mapping[str, int] = MappingProxyType({})
) -> dict[str, int]:
    """Bytes of an experiment that is done: its arrays, without the small files of words and numbers.

    weights, features: bytes of one generation's, by run. While it runs there is more: samples that later generations
    train on, and the saved states of trainings, of about three times their weights.
    """
    kinds = dict.fromkeys(("weights", "optimiser states", "samples", "features", "previews", "snapshots"), 0)
    firsts: dict[tuple[str, int], tuple[int, int, int]] = {}
    keep, every = experiment.storage.keep_samples, experiment.storage.snapshots
    for (_, seed), run in _lineages(experiment).items():
        n, generations, weighs = run.samples, run.generations, weights[run.name]
        row = math.prod(dataset(run.spec.dataset).shape) * (1 if run.spec.handover == "uint8" else FLOAT16)
        state = 2 * weighs * run.spec.continues  # Adam's two moments
        one = firsts.get((run.spec.model_folder(1), seed), (0, 0, 0))
        firsts[run.spec.model_folder(1), seed] = (weighs, max(state, one[1]), snapshots(run, seed, 1, every))
        kinds["snapshots"] += (generations - 1) * snapshots(run, seed, 2, every)
        kinds["weights"] += (generations - 1) * weighs
        kinds["optimiser states"] += (generations - 1) * state
        kept = generations // keep + (generations % keep > 0) if keep else 1
        kept = kept if run.spec.has_model else generations
        kinds["samples"] += row * n * kept
        kinds["features"] += features.get(run.name, 0) * kept
        kinds["previews"] += row * min(n, PREVIEW_ROWS) * generations
    for weighs, state, taken in firsts.values():
        kinds["snapshots"] += taken
        kinds["weights"] += weighs
        kinds["optimiser states"] += state
    kinds |= {"real data": 0, "classifier": 0}
    for images in {images.folder: images for images in experiment.datasets.values()}.values():
        kinds["real data"] += sum(images.about.rows.values()) * (math.prod(images.about.shape) + LABEL)
    for spec in experiment.classifiers.values():
        about = dataset(spec.dataset)
        kinds["classifier"] += about.rows["train"] * (spec.features + len(about.classes)) * FLOAT32
    return kinds


def snapshots(run: Run, seed: int, generation: int, every: float) -> int:
    """Bytes of the snapshots of one generation's training, taken `every` so many epochs; 0 where none are taken."""
    if not every or not run.spec.loop or not declared("families")[run.spec.model.family].takes_snapshots:
        return 0
    training = TrainSpec.of(run.spec, seed, generation)
    if training.imported:
        return 0
    steps, batch = training_steps(training), training_batch(training)
    epochs = steps / max(1, round(training_rows(training) / batch))
    # before the first step, at the end, and between them no nearer to the end than half the distance
    count = min(1 + max(1, math.floor(epochs / every + 0.5)), steps + 1)
    return count * SNAPSHOT_ROWS * math.prod(dataset(run.spec.dataset).shape)


def show(
    experiment: Experiment, best: Forecast, worst: Forecast, cores: int, gpus: int, threads: int
) -> None:
    """Print a forecast from best case to worst, for so many cores and GPUs, and jobs of so many threads."""
    jobs = f"{threads} thread{'s' * (threads != 1)} a job"
    where = f"{gpus} GPUs for training and sampling, {jobs}" if gpus else f"no GPU, {jobs}"
    print(f"Experiment {experiment.name}, as it would run on this machine ({where})\n")
    table: list[tuple[str, ...]] = [("run", "generations", *HEADS)]
    for name, run in experiment.runs.items():
        ends = best.runs[name], worst.runs[name]
        seeds = f" × {len(run.seeds)} seeds" if len(run.seeds) > 1 else ""
        times = zip(*((one.train, one.sample, one.measure, one.chain) for one in ends), strict=True)
        table.append((name, f"{run.generations}{seeds}", *(between(*ends) for ends in times)))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for first, *others in table:
        print(
            first.ljust(widths[0])
            + "".join(f"{word:>{2 + w}}" for word, w in zip(others, widths[1:], strict=True))
        )
    longest = max(worst.runs, key=lambda name: worst.runs[name].chain)
    trained, other, work = (
        between(getattr(best, kind), getattr(worst, kind)) for kind in ("trained", "other", "work")
    )
    used = f"{trained} of GPU and {other}" if gpus else work
    parts = ", ".join(f"{kind} {size(number)}" for kind, number in best.disk.items() if number)
    print(f"""
Work of all jobs   {used} of CPU time, classifiers, floors, critics, tables and figures included
With --cores {cores:<5} {between(best.wall(cores, gpus), worst.wall(cores, gpus))}
On any machine     {between(best.runs[longest].chain, worst.runs[longest].chain)} at least: the generations of {longest}
Disk at the end    {size(sum(best.disk.values()))}: {parts}""")
