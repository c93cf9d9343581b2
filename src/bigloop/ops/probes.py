"""How long an experiment would take on this machine: a little of each kind of job is run, and timed.

    timing = Timing(threads=1)
    show(experiment, timing.forecast(experiment), timing, cores=2)

On one thread of a CPU, times are the processor's own, so that other work on the machine does not count.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import torch

from bigloop.config.experiment import Experiment
from bigloop.config.runs import Run
from bigloop.data import dataset
from bigloop.generation.store import new_model
from bigloop.measures.points import Judge
from bigloop.measures.records import most_rows
from bigloop.metrics import MEASURES
from bigloop.models import Critic
from bigloop.models.classifier import Classifier, train_classifier
from bigloop.ops.forecast import Forecast, Pace, RunForecast, forecast
from bigloop.ops.resources import training_rows, training_steps
from bigloop.runtime.gpus import visible_gpus
from bigloop.runtime.words import duration, size
from bigloop.simulation.lineages import Lineages
from bigloop.spec.jobs import ClassifierSpec, TrainSpec
from bigloop.spec.options import Scalar, digest
from bigloop.spec.registry import declared
from bigloop.spec.runs import Budget
from bigloop.training.devices import default_device

LONG = 1.0  # seconds: steps that take less are timed in larger numbers
MOST_STEPS = 4_096
PATIENCE = 20.0  # seconds that timing one measure may take
ROWS = 10_000  # trained on; more of them make no step longer
CHUNK = 1_000  # rows sampled or judged at once
PROBE = 500  # n with which a measure is tried
# The power of n as which a measure's time grows: found for 500 to 2,000 digits. That of the others grows as n.
NEIGHBOURS = dict.fromkeys(("precision", "recall", "density", "coverage"), 2.0)
POWER = {"wasserstein1": 2.5, "wasserstein1_excess": 2.5} | NEIGHBOURS
INCEPTION_SIDE, INCEPTION_FEATURES = 299, 2_048
CPU = torch.device("cpu")
HEADS = ("generations", "training", "sampling", "measuring", "together", "longest chain")


@dataclass
class Timing:
    """Times jobs of an experiment with so many threads each, on the GPU if there is one. Nothing is timed twice."""

    threads: int = 1
    device: torch.device = field(default_factory=default_device)
    notes: list[str] = field(default_factory=list)  # what was not timed as it would run
    _known: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        torch.set_num_threads(self.threads)

    def forecast(self, experiment: Experiment) -> Forecast:
        """What the experiment will take on this machine."""
        paces = {run.name: self.pace(experiment, run) for run in experiment.trained}
        simulated = {run.name: self.simulation(experiment, run) for run in experiment.simulated}
        start, extra, classify = self.start(), 0.0, 0.0
        for name, spec in experiment.classifiers.items():
            classify += start + self.classifier(spec)
            floor = ((m, o) for m, several in experiment.floor(name).measures.items() for o in several)
            extra += start + sum(self.measure(m, o, spec) for m, o in floor)
        for critic, generator, seed in experiment.critic_pairs():
            judging = experiment.critics(critic, generator, seed)
            cells = len(judging.critic_folders) * len(judging.generator_folders)
            extra += start + cells * judging.n * self.score(experiment.runs[critic])
        extra += start * (1 + len(experiment.figures))  # the tables, and each figure
        return forecast(experiment, paces, simulated, classify, extra)

    def pace(self, experiment: Experiment, run: Run) -> Pace:
        """What each job of a run takes."""
        around, step, row, weights = self.model(run)
        spec = experiment.classifiers[run.dataset]
        measures = experiment.resolved(run)
        seconds = sum(self.measure(name, options, spec) for name, options in measures.items())
        seconds += most_rows(measures, {"features", "probabilities"}) * self.judge(spec)
        if run.has_critic:
            seconds += dataset(run.spec.dataset).rows["test"] * self.score(run)
        return Pace(self.start(), around, step, row, seconds, weights)

    def simulation(self, experiment: Experiment, run: Run) -> RunForecast:
        """What the blocks of a simulated run take, by some steps, a sampling and a measuring of its first block."""
        every, blocks = run.simulation.measure_every, run.blocks()
        learn, later, sample, measure, kept = self._once(
            f"simulation {digest(run.spec)} {len(blocks[0].seeds)}", lambda: self._simulated(experiment, run)
        )
        train, measured, chains = 0.0, 0.0, dict.fromkeys((block.seeds for block in blocks), 0.0)
        for block in blocks:
            share = len(block.seeds) / len(blocks[0].seeds)
            long = block.last - block.first + 1
            trains = self.start() + share * (later * long + (learn - later) * (block.first == 1))
            measures = share * measure * len(range(-(block.first - 1) % every, long, every))
            train, measured = train + trains, measured + measures
            chains[block.seeds] += trains + measures + share * sample * long
        sampled = sample * run.generations * len(run.seeds) / len(blocks[0].seeds)
        return RunForecast(train, sampled, measured, max(chains.values()), kept * len(blocks))

    def _simulated(self, experiment: Experiment, run: Run) -> tuple[float, float, float, float, int]:
        """Seconds of training generation 1, a later one, of sampling and of measuring one; and the bytes that stay.

        All of the seeds of the run's first block together.
        """
        block = Lineages.fresh(run.spec, run.blocks()[0].seeds)
        model, loop, quiet = block.model, run.spec.loop, lambda line: None
        judge = Judge(block.density, experiment.resolved(run))
        batch = cast(int, run.spec.model.options.get("batch_size", 0))
        if batch:
            rows, streams = cast(Any, block.rows(1)), block.streams(1, "training")
            images = batch * model.batches_per_step
            around, step = self._per_step(
                lambda n: model.fit(rows, Budget(images=n * images), streams, quiet), 4
            )
            steps = [training_steps(TrainSpec.of(run.spec, 0, t)) / model.batches_per_step for t in (1, 2)]
            learn, later = (around + step * n for n in steps)
            block.history = model.fit(rows, Budget(images=images), streams, quiet)
            points = model.sample(loop.samples, loop.bias, streams)
            sample = self._seconds(lambda: model.sample(loop.samples, loop.bias, streams))
            block.generation, block.pool = 1, {1: {"points": points.numpy()}}
        else:
            sample, learn = 0.0, self._seconds(lambda: block.advance(quiet))
            block.advance(quiet)
            later = self._seconds(lambda: block.advance(quiet))
        block.measure(judge)
        measure = self._seconds(lambda: block.measure(judge))
        kept = sum(array.nbytes for array in block.model.state().values())
        return learn, later, sample, measure, kept

    def start(self) -> float:
        """Seconds that a job takes before it does anything."""
        code = f"import ot, torch; from bigloop import measures; torch.zeros(1, device={self.device.type!r})"

        def timed() -> float:
            before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if not self._on_one_thread(self.device):
                return time.perf_counter() - begun
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        return self._once("start", timed)

    def model(self, run: Run) -> tuple[float, float, float, int]:
        """Seconds of a training beside its steps, of a step, of a sampled row; bytes of the weights."""
        rows = min(ROWS, training_rows(TrainSpec.of(run.spec, 0, 1)))

        def timed() -> tuple[float, float, float, int]:
            model = _fresh(run, self.device)
            generator = torch.Generator(self.device).manual_seed(0)
            images = torch.rand(rows, *dataset(run.spec.dataset).shape)
            batch = cast(int, run.spec.model.options.get("batch_size", 1))
            labels = torch.zeros(rows, dtype=torch.int64)
            conditional = declared("families")[run.spec.model.family].conditional
            learn, draw = ({"labels": labels}, {"labels": labels[:CHUNK]}) if conditional else ({}, {})
            around, step = self._per_step(
                lambda n: model.fit(images, Budget(images=n * batch), generator, lambda line: None, **learn)
            )
            bias = run.spec.loop.bias
            model.sample(CHUNK, bias, generator, **draw)
            row = self._seconds(lambda: model.sample(CHUNK, bias, generator, **draw).cpu(), self.device)
            row /= CHUNK
            return around, step, row, sum(array.nbytes for array in model.state()[0].values())

        return self._once(
            f"model {digest(run.spec.model)} {run.spec.dataset} {rows} {run.spec.loop.bias}", timed
        )

    def classifier(self, spec: ClassifierSpec) -> float:
        """Seconds of training a classifier, and of its judgement of all real images."""
        about = dataset(spec.dataset)

        def train(steps: int) -> None:
            images = np.zeros((steps * spec.batch_size, *about.shape), np.uint8)
            labels = np.zeros(len(images), np.int64)
            train_classifier(
                replace(spec, epochs=1), images, labels, len(about.classes), self.device, lambda line: None
            )

        def timed() -> float:
            around, step = self._per_step(train, steps=8)
            steps = spec.epochs * about.rows["train"] / spec.batch_size
            return around + step * steps + sum(about.rows.values()) * self.judge(spec)

        return self._once(f"classifier {spec.folder}", timed)

    def judge(self, spec: ClassifierSpec) -> float:
        """Seconds in which a classifier judges one image."""

        def timed() -> float:
            about = dataset(spec.dataset)
            net, images = (
                Classifier(spec, about.shape, len(about.classes)),
                np.zeros((CHUNK, *about.shape), np.uint8),
            )
            net.judge(images)
            return self._seconds(lambda: net.judge(images)) / CHUNK

        return self._once(f"judge {spec.folder}", timed)

    def score(self, run: Run) -> float:
        """Seconds in which a run's critic judges one image."""

        def timed() -> float:
            critic = cast(Critic, _fresh(run, CPU))
            images = torch.rand(CHUNK, *dataset(run.spec.dataset).shape)
            critic.scores(images)
            return self._seconds(lambda: critic.scores(images)) / CHUNK

        return self._once(f"score {digest(run.spec.model)} {run.spec.dataset}", timed)

    def measure(self, name: str, options: dict[str, Scalar], spec: ClassifierSpec) -> float:
        """Seconds of one measure, timed on noise, at its own n where that is not too long."""
        about, about_measure, n = dataset(spec.dataset), MEASURES[name], cast(int, options.get("n", 0))
        shapes: dict[str, tuple[int, ...]] = {
            "images": about.shape,
            "features": (spec.features,),
            "probabilities": (len(about.classes),),
            "inception": (INCEPTION_FEATURES,),
        }
        if "n" not in options:  # of weights: no more than reading them
            return 0.0
        extra = {k: v for k, v in options.items() if k not in ("n", "weights")}
        power, noise = POWER.get(name, 1.0), np.random.default_rng(0)

        def at(n: int) -> float:
            rows = about_measure.per_side * n
            other = about.rows["train"] if about_measure.against == "training" else rows
            views = [
                noise.random((r, *shapes[on]), dtype=np.float32)
                for r in (rows, other)
                for on in about_measure.on
            ]
            return self._seconds(lambda: about_measure.function(*views, **extra))

        def timed() -> float:
            at(max(2, cast(int, extra.get("k", 0)) + 1))  # imports what it needs
            probe = min(n, PROBE)
            seconds = at(probe)
            if n > probe * (PATIENCE / seconds) ** (1 / power):
                smaller = max(probe, int(probe * (PATIENCE / 4 / seconds) ** (1 / power)))
                self.notes.append(
                    f"{name}: timed at n = {smaller:,}, and scaled to {n:,} by the power {power:g} of n"
                )
                seconds = at(smaller) * (n / smaller) ** power
            elif n > probe:
                seconds = at(n)
            if "inception" in about_measure.on:
                seconds += 2 * n * self.inception()
            return seconds

        return self._once(f"measure {name} {sorted(options.items())} {spec.folder}", timed)

    def inception(self) -> float:
        """Seconds in which an Inception network, without its trained weights, sees one image."""

        def timed() -> float:
            import torchvision

            net = torchvision.models.inception_v3(weights=None, init_weights=False, aux_logits=False).eval()
            images = torch.rand(8, 3, INCEPTION_SIDE, INCEPTION_SIDE)
            with torch.no_grad():
                net(images)
                return self._seconds(lambda: net(images)) / len(images)

        return self._once("inception", timed)

    def _per_step(self, fit: Callable[[int], object], steps: int = 2) -> tuple[float, float]:
        """Seconds of a training beside its steps, and of a step, where `fit(n)` trains n steps."""

        def seconds(n: int) -> float:
            return self._seconds(lambda: fit(n), self.device)

        seconds(steps)  # warms up
        while (short := seconds(steps)) < LONG and steps < MOST_STEPS:
            steps *= 2
        step = max(0.0, seconds(2 * steps) - short) / steps
        return max(0.0, short - steps * step), step

    def _seconds(self, call: Callable[[], object], device: torch.device = CPU) -> float:
        clock = time.process_time if self._on_one_thread(device) else time.perf_counter
        begun = clock()
        call()
        return max(clock() - begun, 1e-6)

    def _on_one_thread(self, device: torch.device) -> bool:
        return device.type == "cpu" and self.threads == 1

    def _once(self, key: str, timed: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = timed()
        return self._known[key]


def _fresh(run: Run, device: torch.device) -> Any:
    about = dataset(run.spec.dataset)
    return new_model(run.spec.model, about.shape, 0, 1, device, len(about.classes))


def show(experiment: Experiment, found: Forecast, timing: Timing, cores: int) -> None:
    """Print a forecast, for a workflow with so many cores."""
    gpus = len(visible_gpus()) if timing.device.type == "cuda" else 0
    jobs = f"{timing.threads} thread{'s' * (timing.threads != 1)} a job"
    where = f"{gpus} GPUs for training and sampling, {jobs}" if gpus else f"no GPU, {jobs}"
    print(f"Experiment {experiment.name}, as it would run on this machine ({where})\n")
    wide = max(map(len, found.runs))
    print(f"{'run':<{wide}}" + "".join(f"{head:>14}" for head in HEADS))
    for name, run in experiment.runs.items():
        one = found.runs[name]
        generations = f"{run.generations} × {len(run.seeds)} seeds" if len(run.seeds) > 1 else run.generations
        times = (one.train, one.sample, one.measure, one.train + one.sample + one.measure, one.chain)
        print(f"{name:<{wide}}{generations:>14}" + "".join(f"{duration(time):>14}" for time in times))
    longest = max(found.runs, key=lambda name: found.runs[name].chain)
    used = f"{duration(found.trained)} of GPU and {duration(found.other)}" if gpus else duration(found.work)
    parts = ", ".join(f"{kind} {size(number)}" for kind, number in found.disk.items() if number)
    print(f"""
Work of all jobs   {used} of CPU time, classifiers, floors, critics, tables and figures included
With --cores {cores:<5} {duration(found.wall(cores, gpus))}
On any machine     {duration(found.runs[longest].chain)} at least: the generations of {longest}, one after the other
Disk at the end    {size(sum(found.disk.values()))}: {parts}""")
    for note in timing.notes:
        print(note)
