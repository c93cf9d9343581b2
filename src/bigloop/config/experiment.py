"""From a config file to an experiment, checked once: everything the workflow needs to know.

    experiment = Experiment.from_config(yaml.safe_load(text))
    experiment.runs["vae"].spec.folder

Raises SpecError with one line that names the key at fault. Imports nothing heavy: this runs on every
snakemake call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Self

from bigloop.config.checks import check_images, check_judged, check_rows, default_n, measurable, of_images
from bigloop.config.datasets import Images
from bigloop.config.declared import Config, Critics, Explorer, Storage, check_names
from bigloop.config.features import Compared
from bigloop.config.lacking import missing, unmeasurable
from bigloop.config.resolve import figure_of, measure_of, runs_of
from bigloop.config.runs import Run, Span
from bigloop.spec.faults import named, shown
from bigloop.spec.jobs import (
    OWN,
    ClassifierSpec,
    CollectSpec,
    CriticsSpec,
    DensityFloorSpec,
    ExploreSpec,
    FeaturesSpec,
    FloorSpec,
    MeasureSpec,
    PlotSpec,
    SimulateSpec,
    TableRun,
)
from bigloop.spec.options import Scalar, SpecError, parse, to_dict
from bigloop.spec.registry import declared, load_plugins
from bigloop.spec.runs import DensitySpec, called, data_folder


@dataclass(frozen=True)
class Experiment:
    """A config, resolved: defaults filled in, references followed, every rule between keys checked."""

    name: str
    plugins: tuple[str, ...]  # modules that add things of their own
    storage: Storage
    runs: dict[str, Run]
    images: dict[str, Images]  # datasets that some run learns, by the names that the config gives them
    lenders: dict[str, Images]  # other datasets, whose classifiers judge these, likewise
    classifiers: dict[str, ClassifierSpec]  # of those of both that have classes, likewise
    compared: Compared  # what images are compared on
    densities: dict[str, DensitySpec]  # by the name that the config gives them
    measures: dict[str, dict[str, Scalar]]  # as given, without resolved n
    critics_n: int
    explorer: Explorer | None
    figures: dict[str, Any]  # name -> its options
    kinds: dict[str, str]  # name -> the registered figure that it is

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """Check a config, as YAML gives it, key by key and between its keys, and resolve it."""
        given = parse(Config, config, "")
        plugins = load_plugins(given.plugins)
        check_names(given)
        runs, known, root = runs_of(given)
        figures = {
            name: figure_of(name, entry) for name, entry in given.figures.items() if entry is not False
        }
        used = dict(sorted((run.dataset, run.images) for run in runs.values() if run.images))
        measures = {
            name: measure_of(name, entry) for name, entry in given.measures.items() if entry is not False
        }
        compared = Compared.of(given, known, used, root)
        shows_features = any("features" in declared("figures")[kind].needs for kind, _ in figures.values())
        asked = [*measures, *[None] * shows_features]
        lenders = compared.lenders(asked)
        experiment = cls(
            name=given.experiment,
            plugins=plugins,
            storage=given.storage or Storage(),
            runs=runs,
            images=used,
            lenders=lenders,
            classifiers=compared.trained(asked, lenders),
            compared=compared,
            densities={run.dataset: run.spec.density for run in runs.values() if run.spec.density},
            measures=measures,
            explorer=None if given.explorer is False else (given.explorer or Explorer()),
            critics_n=0 if given.critics is False else (given.critics or Critics()).n,
            figures={name: options for name, (_, options) in figures.items()},
            kinds={name: kind for name, (kind, _) in figures.items()},
        )
        if given.only:
            experiment._leave_out()
        experiment._check()
        return experiment

    # --- what each job is told ---

    def measure(self, run: Run, seed: int, generation: int) -> MeasureSpec:
        """The job that measures one generation."""
        measures, judge = self.resolved(run), self.classifier(run)
        told = data_folder(run.spec.dataset), measures, judge, seed, generation, run.has_critic
        return MeasureSpec(*told, self._features(measures.values()), run.of_selected)

    def simulate(self, run: Run, block: Span) -> SimulateSpec:
        """The job that simulates a block of a run."""
        every = run.simulation.measure_every
        own = {} if run.siblings else self.resolved(run)
        members = tuple(self.resolved(self.runs[name]) for name in run.siblings)
        told = run.spec.whole, block.seeds, block.first, block.last, own, every
        return SimulateSpec(*told, run.of_selected, members)

    def resolved(self, run: Run) -> dict[str, dict[str, Scalar]]:
        """The measures that a run can have, with n filled in: as given, or all rows, up to the limit.

        Those on features have the name of these, unless they are of the classifier of the run's own dataset; those on
        colour planes that of the classifier of these.
        """
        known = {n: options for n, options in self.measures.items() if measurable(n, run, self.compared)}
        if run.simulated:  # no model has seen the points that it is held against in any case
            known = {n: {k: v for k, v in o.items() if k != "reference"} for n, o in known.items()}
        if run.images:
            known = {name: o | self.compared.told(name, run.images) for name, o in known.items()}
        return {name: self._told(name, options, run) for name, options in known.items()}

    def _told(self, name: str, options: dict[str, Scalar], run: Run) -> dict[str, Scalar]:
        """The options of a measure of a run, with n and, but for the first, the revision of its code."""
        about = declared("measures")[name]
        rows = {"n": options.get("n") or default_n(name, options, run)} if about.has_rows else {}
        return options | rows | ({"revision": about.revision} if about.revision > 1 else {})

    def floor(self, name: str) -> FloorSpec:
        """The job that measures real data against real data, at every n in use."""
        judge, floors = self.classifiers.get(name), self._floors(name)
        every = [options for several in floors.values() for options in several]
        folder = judge.folder if judge else None
        return FloorSpec(self.images[name].folder, floors, folder, self._features(every))

    def judges(self, runs: Iterable[Run]) -> list[str]:
        """Folder names of the classifiers that judge these runs' images and are of other datasets."""
        measures = [options for run in runs for options in self.resolved(run).values()]
        return _trained_here((self._features(measures) or {}).values())

    def shown_by(self, figure: str) -> list[str]:
        """Folder names of the classifiers whose features a figure shows."""
        spec = self.plot(figure)
        return [*(spec.classifiers or {}).values(), *_trained_here((spec.features or {}).values())]

    def _on(self, run: Run) -> dict[str, Scalar]:
        """By measure, the features that a run's images are compared on, where they are not their classifier's."""
        return {n: options["features"] for n, options in self.resolved(run).items() if "features" in options}

    def _features(self, measures: Iterable[Mapping[str, Scalar]]) -> dict[str, FeaturesSpec] | None:
        """What the features are that these measures name; None where they name none."""
        names = {options.get("features") for options in measures}
        return {name: spec for name, spec in self.compared.specs.items() if name in names} or None

    def density_floor(self, name: str) -> DensityFloorSpec:
        """The job that measures points of a density against other points of it, at every n in use."""
        return DensityFloorSpec(self.densities[name], self._floors(name))

    def _floors(self, name: str) -> dict[str, tuple[dict[str, Scalar], ...]]:
        several: dict[str, tuple[dict[str, Scalar], ...]] = {}
        for run in self.runs_on(name):
            for measure, options in self.resolved(run).items():
                if not declared("measures")[measure].has_rows or declared("measures")[measure].needs_critic:
                    continue
                known = several.get(measure, ())
                several[measure] = known if options in known else (*known, options)
        return several

    def critics(self, critic: str, generator: str, seed: int) -> CriticsSpec:
        """The job that lets all critics of one run judge all samples of another."""
        judge, judged = self.runs[critic], self.runs[generator]
        return CriticsSpec(
            critic,
            tuple(judge.spec.model_folder(g) for g in range(1, judge.generations + 1)),
            generator,
            (judged.spec.folder,) * judged.generations,
            seed,
            min(self.critics_n, judged.samples),
        )

    def collect(self) -> CollectSpec:
        """The job that writes the tables."""
        runs = tuple(
            TableRun(
                r.name,
                r.label,
                r.sweep,
                r.dataset,
                r.loop,
                r.generations,
                r.seeds,
                r.spec,
                tuple(block.folder for block in r.blocks()) if r.simulated else (),
                r.faithful,
                r.published,
                r.siblings,
            )
            for r in self.runs.values()
        )
        pairs = tuple(f"{c}-judges-{g}-seed-{s}" for c, g, s in self.critic_pairs())
        return CollectSpec(self.name, runs, (*self.images, *self.densities), pairs)

    def plot(self, figure: str) -> PlotSpec:
        """The job that draws a figure."""
        kind, options = self.kinds[figure], to_dict(self.figures[figure])
        if "features" not in declared("figures")[kind].needs:
            return PlotSpec(self.name, figure, kind, options)
        on = {name: self.compared.on(None, images) for name, images in self.images.items()}
        own = {name: self.classifiers[name].folder for name in on if on[name] == OWN}
        others = {name: self.compared.specs[on[name]] for name in on if on[name] != OWN}
        return PlotSpec(self.name, figure, kind, options, own or None, others or None)

    def explore(self) -> ExploreSpec:
        """The job that writes the explorer page."""
        return ExploreSpec(self.name, **to_dict(self.explorer))

    def critic_pairs(self) -> list[tuple[str, str, int]]:
        """(critic run, generator run, seed) of every critic × generator matrix: same dataset, common seeds."""
        return [
            (judge.name, judged.name, seed)
            for judge, judged in product(self.runs.values(), repeat=2)
            if self.critics_n and judge.has_critic and judge.dataset == judged.dataset
            for seed in judge.seeds
            if seed in judged.seeds
        ]

    def runs_on(self, name: str) -> list[Run]:
        """The runs on a dataset, or on a density, by its name in the config."""
        return [run for run in self.runs.values() if run.dataset == name]

    @property
    def datasets(self) -> dict[str, Images]:
        """All datasets that are fetched, those of the lenders too, by the names that the config gives them."""
        return self.images | self.lenders

    @property
    def trained(self) -> list[Run]:
        """The runs on images: each generation is trained or imported, sampled and measured by jobs of its own."""
        return [run for run in self.runs.values() if not run.simulated]

    @property
    def filtered(self) -> list[tuple[str, int]]:
        """The folder and the seed of each job that filters real rows; several runs may have one."""
        jobs = ((run.spec.filter_folder, seed) for run in self.trained for seed in run.seeds)
        return list(dict.fromkeys((folder, seed) for folder, seed in jobs if folder))

    @property
    def simulated(self) -> list[Run]:
        """The runs on known densities: blocks of them are simulated by one job each."""
        return [run for run in self.runs.values() if run.simulated]

    def classifier(self, run: Run) -> str | None:
        """Folder name of the classifier that judges a run; None for data without classes."""
        judge = self.classifiers.get(run.dataset)
        return judge.folder if judge else None

    def _check(self) -> None:
        told: dict[str, Run] = {}
        for run in self.trained:
            same = told.setdefault(run.spec.folder, run)
            if run.dataset != same.dataset and self._on(run) != self._on(same):
                raise SpecError(
                    f"datasets.{run.dataset}.features: run {run.name} is the same as run {same.name} on "
                    f"{same.dataset}, whose images are compared on other features; give both the same"
                )
        for run in self.runs.values():
            check_judged(run, self.classifiers)
            for name, options in self.resolved(run).items():
                if declared("measures")[name].has_rows:
                    check_rows(name, options, run)
        for name, options in self.measures.items():
            if not self.measures_any(name):
                about = declared("measures")[name]
                other = ", or give other `features`" * (about.on_features and not about.needs_classes)
                raise SpecError(f"measures.{name}: {unmeasurable(self, name)}; leave it out{other}")
            check_images(name, options, self.runs.values(), self.compared)
        for name, options in self.figures.items():
            if lacking := missing(self, name):
                raise SpecError(f"figures.{name}: {lacking}")
            for asked in getattr(options, "runs", ()):
                if not called(asked, self.runs):
                    known = ", ".join(map(named, self.runs))
                    raise SpecError(f"figures.{name}.runs: no run is named {shown(asked)} (known: {known})")

    def _leave_out(self) -> None:
        """Drop what only runs that were not chosen could be measured by or show."""
        for name in [name for name in self.measures if not self.measures_any(name)]:
            del self.measures[name]
        for name, options in self.measures.items():
            if not of_images(name, self.runs.values(), self.compared):
                options.pop("reference", None)
                self.compared.measures.pop(name, None)
        for name, options in list(self.figures.items()):
            asked = getattr(options, "runs", ())
            there = tuple(run for run in asked if called(run, self.runs))
            if missing(self, name) or (asked and not there):
                del self.figures[name], self.kinds[name]
            elif asked:
                self.figures[name] = replace(options, runs=there)

    def measures_any(self, name: str) -> bool:
        """Whether a measure can be taken of any run."""
        return any(measurable(name, run, self.compared) for run in self.runs.values())


def _trained_here(features: Iterable[FeaturesSpec]) -> list[str]:
    """Folder names of the classifiers among these."""
    kinds = declared("features")
    return [str(spec.options[spec.kind]) for spec in features if kinds[spec.kind].trained_here]
