"""How long an experiment would take on this machine: a little of each kind of work is timed, and scaled.

    estimate(experiment, needs, threads=1, cores=2, report=print)

On one thread of a CPU, times are the processor's own, so that other work on the machine does not count. With a GPU they
are the wall clock's; that was never tried.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from bigloop.config.experiment import Experiment
from bigloop.config.runs import Run
from bigloop.data import dataset
from bigloop.measures.records import most_features, most_rows, rows_of
from bigloop.metrics import MEASURES
from bigloop.models import Critic, family
from bigloop.models.classifier import Classifier, train_classifier
from bigloop.models.features import FEATURES, Network
from bigloop.ops.forecast import Forecast, Pace, forecast, show
from bigloop.ops.resources import FLOAT32, planning_warning, training_batch, training_steps
from bigloop.ops.simulating import judged, simulation
from bigloop.ops.stand_ins import grey, least_batch, planes, untrained, weight_bytes
from bigloop.ops.timing import Line, Probe, Stopwatch
from bigloop.runtime.gpus import visible_gpus
from bigloop.runtime.job import take_share
from bigloop.runtime.progress import Report, quiet
from bigloop.spec.generations import TrainSpec
from bigloop.spec.jobs import ClassifierSpec
from bigloop.spec.loops import Budget
from bigloop.spec.options import Scalar, parse
from bigloop.spec.registry import declared
from bigloop.spec.runs import Data, source_of
from bigloop.training.devices import default_device

SECONDS = 8.0  # for all probes; with imports, and what probes need to be ready, an estimate takes twice that
NUMBERS = 2**23  # of training rows that are made for a probe; more rows make no step longer
LEARNING = 3  # of the time, where a measure gets 1: trainings and samplings are what takes long
INCEPTION_FEATURES = 2_048
CPU = torch.device("cpu")


def estimate(
    experiment: Experiment, needs: Mapping[str, Sequence[str]], threads: int, cores: int, report: Report
) -> None:
    """Print what an experiment would take here, with jobs of so many threads on so many cores."""
    if warning := planning_warning(experiment):
        report(warning)
    take_share(threads, None)
    timing = Timing(needs, threads, report=report)
    best, worst = timing.forecast(experiment)
    show(experiment, best, worst, cores, len(visible_gpus()) if timing.device.type == "cuda" else 0, threads)


class Timing:
    """Times the works of experiments with so many threads each, on the GPU if there is one.

    needs: the modules that each verb of the command line imports.
    """

    def __init__(
        self,
        needs: Mapping[str, Sequence[str]],
        threads: int = 1,
        device: torch.device | None = None,
        report: Report = quiet,
    ) -> None:
        self.device, self.report = device or default_device(), report
        self.watch = Stopwatch(needs, threads, self.device)

    def forecast(self, experiment: Experiment) -> tuple[Forecast, Forecast]:
        """What an experiment will take on this machine, in the best case and in the worst."""
        self._forecast(experiment)
        self.watch.run(SECONDS, self.report)
        best, worst = (self._forecast(experiment, worst=worst) for worst in (False, True))
        return best, worst

    def _forecast(self, experiment: Experiment, *, worst: bool = False) -> Forecast:
        self.watch.worst = worst
        paces = {run.name: self.pace(experiment, run) for run in experiment.trained}
        simulated = {run.name: simulation(self.watch, experiment, run) for run in experiment.simulated}
        start, extra, classify = self.watch.start, 0.0, 0.0
        for spec in experiment.classifiers.values():
            classify += start("train") + self.classifier(spec)
        for name, images in experiment.images.items():
            judge = experiment.classifiers.get(name)
            floor = [(m, o) for m, several in experiment.floor(name).measures.items() for o in several]
            extra += start("measure") + 2 * self.looking(experiment, floor, images.data)
            extra += sum(
                self.measure(m, o, images.data, judge, self.numbers(experiment, o)) for m, o in floor
            )
        for name in experiment.densities:
            run, floors = experiment.runs_on(name)[0], experiment.density_floor(name).measures
            measured = (judged(self.watch, m, o, run) for m, several in floors.items() for o in several)
            extra += start("measure") + sum(measured)
        extra += len(experiment.filtered) * start("train")  # what is scored takes less than to begin
        for critic, generator, seed in experiment.critic_pairs():
            judging = experiment.critics(critic, generator, seed)
            cells = len(judging.critic_folders) * len(judging.generator_folders)
            extra += start("train") + cells * self.scores(experiment.runs[critic], judging.n)
        extra += start("plot") * (
            1 + len(experiment.figures) + bool(experiment.explorer)
        )  # the tables, each figure, the page
        return forecast(experiment, paces, simulated, classify, extra)

    # --- runs on images ---

    def pace(self, experiment: Experiment, run: Run) -> Pace:
        """What each job of a run takes."""
        judge, measures = experiment.classifiers.get(run.dataset), experiment.resolved(run)
        data = run.spec.dataset
        seconds = self.looking(experiment, measures.items(), data)
        for name, options in measures.items():
            seconds += self.measure(name, options, data, judge, self.numbers(experiment, options))
        if judge:
            for views in ({"features", "probabilities"}, {"adapted"}):
                seconds += self.judging(judge, most_rows(measures, views))
        if run.has_critic:
            asked = 2 * most_rows(measures, {"scores"})
            seconds += self.scores(run, dataset(run.spec.dataset).rows["test"] + asked)
        start = self.watch.start("train")
        measuring = seconds + self.watch.start("measure") - start
        features = self.kept(experiment, run)
        if not run.spec.has_model:
            return Pace(start, 0.0, 0.0, 0.0, measuring, 0, features)
        weights = self.watch.once(run.spec.model_folder(1), lambda: weight_bytes(untrained(run, CPU)))
        sampling = self.sampling(run)
        if run.spec.elsewhere:
            return Pace(start, 0.0, 0.0, sampling.unit, measuring, weights, features)
        batch = training_batch(TrainSpec.of(run.spec, 0, 1))
        training = self.training(run, batch)
        step = training.unit * batch
        return Pace(start, training.around, step, sampling.unit, measuring, weights, features)

    def kept(self, experiment: Experiment, run: Run) -> int:
        """Bytes of the features of one generation."""
        judge, measures = experiment.classifiers.get(run.dataset), experiment.resolved(run)
        numbers = most_rows(measures, {"features", "probabilities"}) * (
            judge.features + len(dataset(run.spec.dataset).classes) if judge else 0
        )
        for name, n in most_features(measures.items()).items():
            numbers += n * (self.numbers(experiment, {"features": name}) or 0)
        for name, options in measures.items():
            if MEASURES[name].on_planes:
                numbers += rows_of(MEASURES[name], options) * prod(planes(run.spec.dataset))
        return numbers * FLOAT32

    def training(self, run: Run, batch: int) -> Line:
        """Seconds of a training on so many images."""
        most, least = max(NUMBERS // prod(dataset(run.spec.dataset).shape), batch), least_batch(run)

        def prepare(n: int) -> Callable[[], object]:
            model = untrained(run, self.device, batch_size=min(n, batch))
            rows, labels = self._rows(run, min(n, most))
            return lambda: model.fit(rows, Budget(images=n), self._generator(), quiet, **labels)

        last = {1, min(2, run.generations), run.generations}
        steps = max(training_steps(TrainSpec.of(run.spec, 0, t)) for t in last)
        depends = "training", run.spec.model.trained, run.spec.dataset
        words, size = f"training {run.name}", batch * steps
        probe = Probe(words, prepare, size, least=least, batch=batch, share=LEARNING)
        return self.watch.line(depends, probe)

    def sampling(self, run: Run) -> Line:
        """Seconds of sampling so many rows."""
        model, spec = run.spec.model, run.spec
        shorten = getattr(family(model.family), "shortened", lambda options: (options, 1.0))
        shorter, times = shorten(model.options | (model.sampler or {}))
        short = replace(run, spec=replace(spec, model=replace(model, options=shorter, sampler=None)))

        def prepare(n: int) -> Callable[[], object]:
            sampled, (_, labels) = untrained(short, self.device), self._rows(run, n)
            return lambda: sampled.sample(n, spec.bias, self._generator(), **labels).cpu()

        depends = "sampling", model, spec.dataset, spec.bias
        return self.watch.line(
            depends, Probe(f"sampling {run.name}", prepare, run.samples, share=LEARNING)
        ).times(times)

    def scores(self, run: Run, n: int) -> float:
        """Seconds in which a run's critic judges n images."""

        def prepare(n: int) -> Callable[[], object]:
            critic, (images, _) = cast(Critic, untrained(run, self.device)), self._rows(run, n)
            return lambda: critic.scores(images).cpu()

        depends = "critic", run.spec.model.trained, run.spec.dataset
        return self.watch.line(depends, Probe(f"critic of {run.name}", prepare, n)).at(n)

    def _rows(self, run: Run, n: int) -> tuple[Tensor, dict[str, Tensor]]:
        """n images of noise, and their labels where the family takes any."""
        labels = torch.zeros(n, dtype=torch.int64)
        conditional = declared("families")[run.spec.model.family].conditional
        return torch.rand(n, *dataset(run.spec.dataset).shape), {"labels": labels} if conditional else {}

    def _generator(self) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(0)

    # --- classifiers, and measures of images ---

    def classifier(self, spec: ClassifierSpec) -> float:
        """Seconds of training a classifier, and of its judgement of all real images."""
        about = dataset(spec.dataset)
        return self.teaching(spec, spec.epochs * about.rows["train"]) + self.judging(
            spec, sum(about.rows.values())
        )

    def teaching(self, spec: ClassifierSpec, images: int) -> float:
        """Seconds of training a classifier on so many images, repetitions counted."""
        about = dataset(spec.dataset)

        def prepare(n: int) -> Callable[[], object]:
            epochs = -(-n // most)
            part = replace(spec, epochs=epochs, batch_size=min(n, spec.batch_size))
            images, labels = np.zeros((n // epochs, *about.shape), np.uint8), np.zeros(n // epochs, np.int64)
            return lambda: train_classifier(part, images, labels, len(about.classes), self.device, quiet)

        whole, most = spec.epochs * about.rows["train"], max(NUMBERS // prod(about.shape), spec.batch_size)
        words = f"training the classifier of {source_of(spec.dataset)}"
        probe = Probe(words, prepare, whole, batch=spec.batch_size)
        return self.watch.line(("classifier", spec), probe).at(images)

    def judging(self, spec: ClassifierSpec, n: int) -> float:
        """Seconds in which a classifier judges n images."""
        about = dataset(spec.dataset)

        def prepare(n: int) -> Callable[[], object]:
            net = Classifier(spec, about.shape, len(about.classes)).to(self.device)
            images = np.zeros((n, *about.shape), np.uint8)
            return lambda: net.judge(images)

        probe = Probe(f"the classifier of {source_of(spec.dataset)}", prepare, n)
        return self.watch.line(("judging", spec), probe).at(n) if n else 0.0

    def measure(
        self,
        name: str,
        options: dict[str, Scalar],
        data: Data,
        judge: ClassifierSpec | None,
        numbers: int | None = None,
    ) -> float:
        """Seconds of one measure of images, of noise, whose features are known.

        numbers: how many each image has, where the features are not those of `judge`.
        """
        about, measure = dataset(data), MEASURES[name]
        features = numbers or (judge.features if judge else 0)
        if not measure.has_rows:  # of weights: no more than reading them
            return 0.0
        if "accuracy" in measure.on and judge:
            images = float(cast(float, options["epochs"])) * cast(int, options["n"])
            return self.teaching(judge, round(images)) + self.judging(judge, about.rows["test"])
        shapes: dict[str, tuple[int, ...]] = {
            "images": about.shape,
            "features": (features,),
            "probabilities": (len(about.classes),),
            "adapted": (len(about.classes),),
            "inception": (cast(int, options.get("features", INCEPTION_FEATURES)),),
            "planes": planes(data),
            "scores": (),
        }
        n, noise = cast(int, options["n"]), np.random.default_rng(0)
        extra = measure.arguments(options)

        def seen(on: str, count: int) -> Any:
            if on == "others":  # as if there was one
                return {"": seen("features", count)}
            return noise.random((count, *shapes[on]), dtype=np.float32)

        def prepare(part: int) -> Callable[[], object]:
            rows = measure.per_side * part
            other = about.rows["train"] * part // n if measure.against == "training" else rows
            made, real = ([seen(on, count) for on in measure.on] for count in (rows, other))
            known = {} if measure.of_real is None else {"of_real": measure.of_real(*real, **extra)}
            return lambda: measure.function(*made, *real, **extra, **known)

        least = (
            len(about.classes) + 2 + cast(int, options.get("k", 0))
        )  # two rows of some class, k others in any case
        probe = Probe(f"{name} of {source_of(data)}", prepare, max(n, least), measure.power, least)
        seconds = self.watch.line((name, options, data, features), probe).at(n)
        return seconds + (self.network("inception", {}, 2 * n) if "inception" in measure.on else 0.0)

    def looking(
        self, experiment: Experiment, measures: Collection[tuple[str, dict[str, Scalar]]], data: Data
    ) -> float:
        """Seconds in which the features of one side are computed that these measures name, each once."""
        seconds = 0.0
        for name, options in measures:
            if MEASURES[name].on_planes and (judge := _lent(experiment, str(options["features"]))):
                seconds += self.judging(judge, dataset(data).shape[0] * rows_of(MEASURES[name], options))
        for name, n in most_features(measures).items():
            judge, spec = _lent(experiment, name), experiment.compared.specs[name]
            seconds += self.judging(judge, n) if judge else self.network(spec.kind, spec.options, n)
        return seconds

    def numbers(self, experiment: Experiment, options: Mapping[str, Scalar]) -> int | None:
        """How many numbers an image has of the features that a measure's options name; None where they name none."""
        name = str(options.get("features"))
        if name not in experiment.compared.specs:
            return None
        judge, spec = _lent(experiment, name), experiment.compared.specs[name]
        if judge:
            return judge.features
        seen = self.watch.once(("numbers", name), lambda: self._untrained(spec.kind, spec.options)(grey(1)))
        return seen.shape[1]

    def network(self, kind: str, options: Mapping[str, Scalar], n: int) -> float:
        """Seconds in which a network that gives features, with any weights, sees n images."""

        def prepare(n: int) -> Callable[[], object]:
            look, batch = self._untrained(kind, options), FEATURES[kind].batch
            return lambda: [look(grey(min(batch, n - start))) for start in range(0, n, batch)]

        words = f"the network of {kind} features"
        return self.watch.line((kind, options), Probe(words, prepare, n)).at(n) if n else 0.0

    def _untrained(self, kind: str, options: Mapping[str, Scalar]) -> Network:
        return FEATURES[kind].untrained(parse(FEATURES[kind].Options, options, kind), self.device)


def _lent(experiment: Experiment, features: str) -> ClassifierSpec | None:
    """The classifier that gives the features of this name; None where another network does."""
    spec = experiment.compared.specs[features]
    folders = {judge.folder: judge for judge in experiment.classifiers.values()}
    return folders[str(spec.options[spec.kind])] if declared("features")[spec.kind].trained_here else None
