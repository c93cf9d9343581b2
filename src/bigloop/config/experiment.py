"""A config file to an experiment: everything the workflow needs to know, checked once, at the edge.

    experiment = Experiment.from_config(config, schema)
    experiment.runs["vae"].spec.folder

Raises SpecError with one line that names the key at fault. Imports nothing heavy: this runs on every
snakemake call.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Self

import jsonschema

from bigloop import loops
from bigloop.artifacts import file_checksum
from bigloop.config.checks import check_moments, check_rows, default_n, measurable
from bigloop.config.datasets import Images, check_images, configured_images, handed_over, images_named
from bigloop.config.runs import Run, Simulation, Span
from bigloop.config.sweep import chosen, loop_defaults, sweep
from bigloop.data import SOURCES
from bigloop.data.densities import DENSITIES, resolve_density
from bigloop.figures import plot as plot_of
from bigloop.metrics import MEASURES
from bigloop.models import FAMILIES, model_spec, resolve
from bigloop.runtime.signals import SAVE_SECONDS
from bigloop.spec.jobs import (
    ClassifierSpec,
    CollectSpec,
    CriticsSpec,
    DensityFloorSpec,
    FloorSpec,
    MeasureSpec,
    SimulateSpec,
    TableRun,
)
from bigloop.spec.options import Scalar, SpecError, misread_number, option, parse, to_dict
from bigloop.spec.runs import Data, DensitySpec, LoopSpec, ModelSpec, RunSpec, data_folder

RESERVED = ("real", "data", "classifier", "runs")


NAME = "is not a name (up to 64 letters, digits, _ and ., with single - between)"


@dataclass(frozen=True)
class Storage:
    """What is kept on disk. None of it changes a result."""

    save_every: float = option(SAVE_SECONDS, "seconds between two saves of a training's state", above=0)
    keep_samples: int = option(
        1, "keep the samples of every k-th generation and of the last; 0: of the last only", minimum=0
    )


@dataclass(frozen=True)
class Experiment:
    """A config, resolved: defaults filled in, references followed, every rule between keys checked."""

    name: str
    storage: Storage
    runs: dict[str, Run]
    images: dict[
        str, Images
    ]  # datasets of images that some run learns, by the names that the config gives them
    classifiers: dict[str, ClassifierSpec]  # by dataset of images, of those with classes
    densities: dict[str, DensitySpec]  # by the name that the config gives them
    measures: dict[str, dict[str, Scalar]]  # as given, without resolved n
    critics_n: int
    figures: dict[str, Any]  # name -> its options
    kinds: dict[str, str]  # name -> the registered figure that it is

    @classmethod
    def from_config(cls, config: Mapping[str, Any], schema: Mapping[str, Any]) -> Self:
        """Check `config` against the JSON Schema and between its keys, and resolve it."""
        validate(config, schema)
        check_name(config["experiment"], "experiment")
        models = {name: _model(name, given, schema) for name, given in config["models"].items()}
        loop_specs = {
            name: parse(LoopSpec, loop_defaults(given), f"loops.{name}")
            for name, given in config["loops"].items()
        }
        densities = {name: _density(name, given) for name, given in (config.get("densities") or {}).items()}
        root = Path(config["data"]["root"]) if (config.get("data") or {}).get("root") else None
        images = configured_images(config.get("datasets") or {}, root)
        runs = {}
        for swept, given in chosen(config).items():
            for name, one, loop in sweep(swept, given, config["loops"]):
                check_name(name, f"runs.{name}")
                if name in runs:
                    raise SpecError(f"runs.{swept}.over: makes a second run {name}")
                known = loop_specs if loop is None else {one["loop"]: loop}
                runs[name] = _run(name, one, models, known, densities, images, root)
        used = {run.dataset: run.images for run in runs.values() if run.images}
        classifier = config.get("classifier", {})
        experiment = cls(
            name=config["experiment"],
            storage=parse(Storage, config.get("storage") or {}, "storage"),
            runs=runs,
            images=dict(sorted(used.items())),
            classifiers={
                name: parse(ClassifierSpec, {**classifier, "dataset": to_dict(one.data)}, "classifier")
                for name, one in sorted(used.items())
                if one.about.labelled
            },
            densities={run.dataset: run.spec.density for run in runs.values() if run.spec.density},
            measures={
                name: to_dict(parse(MEASURES[name].Options, given or {}, f"measures.{name}"))
                for name, given in config["measures"].items()
                if given is not False
            },
            critics_n=int((config.get("critics") or {}).get("n", 1000)),
            figures={
                name: _figure(name, given) for name, given in config["figures"].items() if given is not False
            },
            kinds={
                name: _kind(name, given) for name, given in config["figures"].items() if given is not False
            },
        )
        if config.get("only"):
            experiment._leave_out()
        experiment._check()
        return experiment

    # --- what each job is told ---

    def measure(self, run: Run, seed: int, generation: int) -> MeasureSpec:
        """The job that measures one generation."""
        return MeasureSpec(
            data_folder(run.spec.dataset),
            self.resolved(run),
            self.classifier(run),
            seed,
            generation,
            run.has_critic,
        )

    def simulate(self, run: Run, block: Span) -> SimulateSpec:
        """The job that simulates a block of a run."""
        every = run.simulation.measure_every
        return SimulateSpec(run.spec, block.seeds, block.first, block.last, self.resolved(run), every)

    def resolved(self, run: Run) -> dict[str, dict[str, Scalar]]:
        """The measures that a run can have, with n filled in: as given, or all rows, up to the limit."""
        return {
            name: options
            | ({"n": options.get("n") or default_n(name, run)} if MEASURES[name].has_rows else {})
            for name, options in self.measures.items()
            if measurable(name, run)
        }

    def floor(self, name: str) -> FloorSpec:
        """The job that measures real data against real data, at every n in use."""
        judge = self.classifiers.get(name)
        return FloorSpec(self.images[name].folder, self._floors(name), judge.folder if judge else None)

    def density_floor(self, name: str) -> DensityFloorSpec:
        """The job that measures points of a density against other points of it, at every n in use."""
        return DensityFloorSpec(self.densities[name], self._floors(name))

    def _floors(self, name: str) -> dict[str, tuple[dict[str, Scalar], ...]]:
        several: dict[str, tuple[dict[str, Scalar], ...]] = {}
        for run in self.runs_on(name):
            for measure, options in self.resolved(run).items():
                if not MEASURES[measure].has_rows:
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
            min(self.critics_n, judged.spec.loop.samples),
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
            )
            for r in self.runs.values()
        )
        pairs = tuple(f"{c}-judges-{g}-seed-{s}" for c, g, s in self.critic_pairs())
        return CollectSpec(self.name, runs, (*self.images, *self.densities), pairs)

    def critic_pairs(self) -> list[tuple[str, str, int]]:
        """(critic run, generator run, seed) of every critic × generator matrix: same dataset, common seeds."""
        return [
            (judge.name, judged.name, seed)
            for judge, judged in product(self.runs.values(), repeat=2)
            if judge.has_critic and judge.dataset == judged.dataset
            for seed in judge.seeds
            if seed in judged.seeds
        ]

    def runs_on(self, name: str) -> list[Run]:
        """The runs on a dataset, or on a density, by its name in the config."""
        return [run for run in self.runs.values() if run.dataset == name]

    @property
    def trained(self) -> list[Run]:
        """The runs on images: each generation is trained, sampled and measured by jobs of its own."""
        return [run for run in self.runs.values() if not run.simulated]

    @property
    def simulated(self) -> list[Run]:
        """The runs on known densities: blocks of them are simulated by one job each."""
        return [run for run in self.runs.values() if run.simulated]

    def classifier(self, run: Run) -> str | None:
        """Folder name of the classifier that judges a run; None for data without classes."""
        judge = self.classifiers.get(run.dataset)
        return judge.folder if judge else None

    def _check(self) -> None:
        for run in self.runs.values():
            for name, options in self.resolved(run).items():
                if MEASURES[name].has_rows:
                    check_rows(name, options, run)
        for name in self.measures:
            if not self._measures_any(name):
                raise SpecError(f"measures.{name}: {self._unmeasurable(name)}; leave it out")
        for name in self.figures:
            if missing := self._missing(name):
                raise SpecError(f"figures.{name}: {missing}")

    def _leave_out(self) -> None:
        """Drop what only runs that were not chosen could be measured by or show."""
        for name in [name for name in self.measures if not self._measures_any(name)]:
            del self.measures[name]
        for name in [name for name in self.figures if self._missing(name)]:
            del self.figures[name], self.kinds[name]

    def _measures_any(self, name: str) -> bool:
        return any(measurable(name, run) for run in self.runs.values())

    def _unmeasurable(self, name: str) -> str:
        """Why a measure cannot be taken of any run, in words."""
        if MEASURES[name].of_images and MEASURES[name].needs_classes and self.images:
            return f"needs two classes or more, which {' and '.join(self.images)} have not"
        return "cannot be measured of any of these runs"

    def _missing(self, figure: str) -> str:
        """What a figure shows and this experiment lacks, in words; empty where nothing is missing."""
        needs = plot_of(self.kinds[figure]).needs
        for what, there in (
            ("images", self.trained),
            ("points", self.simulated),
            ("curves", self.simulated),
        ):
            if what in needs and not there:
                return f"shows {what}, and no run has any; leave this figure out"
        if "critics" in needs and not any(run.has_critic for run in self.runs.values()):
            return "no run has a critic; leave this figure out"
        unmeasured = sorted(needs & MEASURES.keys() - self.measures.keys())
        if unmeasured and not self._measures_any(unmeasured[0]):
            return f"needs {unmeasured[0]}, which {self._unmeasurable(unmeasured[0])}; leave this figure out"
        return f"needs measures.{unmeasured[0]}; add it, or leave the figure out" if unmeasured else ""


def validate(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise SpecError for the first fault that JSON Schema finds, as one line naming the key."""
    validator = jsonschema.Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(config), key=lambda e: [str(p) for p in e.absolute_path])
    if errors:
        where = ".".join(str(p) for p in errors[0].absolute_path)
        raise SpecError(" ".join(_words(errors[0], where).split()))
    _check_finite(config, "")


def _words(error: jsonschema.ValidationError, where: str) -> str:
    value = error.instance
    at = where or "config"
    if "propertyNames" in error.absolute_schema_path:
        return f"{at}.{value}: {NAME}"
    match error.validator:
        case "additionalProperties":
            known = error.schema.get("properties", {})
            unknown = next(k for k in value if k not in known)
            return f"{f'{where}.' if where else ''}{unknown}: unknown key (known: {', '.join(known)})"
        case "required":
            missing = next(k for k in error.validator_value if k not in value)
            return f"{f'{where}.' if where else ''}{missing}: missing"
        case "type":
            numeric = {"number", "integer"} & set(_list(error.validator_value))
            number = misread_number(value) if numeric else None
            hint = "" if number is None else f" (a word in YAML; write {number:.1e})"
            expected = " or ".join(map(str, _list(error.validator_value)))
            return f"{at}: expected {expected}, got {value!r}{hint}"
        case "enum":
            return f"{at}: expected one of {', '.join(map(str, error.validator_value))}, got {value!r}"
        case "minProperties" | "minItems":
            return f"{at}: is empty, expected at least {error.validator_value} entry"
        case "maxProperties":
            return f"{at}: give only one of {', '.join(map(str, value))}"
        case "anyOf":
            expected = " or ".join(_expected(choice) for choice in error.validator_value)
            return f"{at}: expected {expected}, got {value!r}"
        case "pattern" | "maxLength":
            return f"{at}: {value!r} {NAME}"
        case _:
            return f"{at}: {error.message}"


def _expected(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return str(schema["const"])
    return schema["type"] + (f" of at least {schema['minimum']}" if "minimum" in schema else "")


def _check_finite(value: Any, where: str) -> None:
    """JSON Schema lets NaN and infinities pass as numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError(f"{where}: expected a number, got {value}")
    inner = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, part in inner:
        _check_finite(part, f"{where}.{key}".lstrip("."))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def check_name(name: str, where: str) -> None:
    if name.endswith("\n"):  # a pattern's $ lets it pass
        raise SpecError(f"{where.strip()}: {name!r} {NAME}")
    if name in RESERVED:
        raise SpecError(f"{where}: {name!r} is a reserved name ({', '.join(RESERVED)})")


def _model(name: str, given: Mapping[str, Any], schema: Mapping[str, Any]) -> ModelSpec:
    options = {k: v for k, v in given.items() if k != "family"}
    family = given["family"]
    if family not in FAMILIES:
        raise SpecError(f"models.{name}.family: unknown family {family!r} (known: {', '.join(FAMILIES)})")
    described = schema["$defs"].get(family)
    if described is None:  # a family that is new here: ask its class, at the price of importing torch
        return resolve(family, options, f"models.{name}")
    revision = described["properties"]["family"]["revision"]
    declared = {k: v for k, v in described["properties"].items() if k != "family"}
    values = {k: options.get(k, entry["default"]) for k, entry in declared.items()}
    sampling = {k for k, entry in declared.items() if entry.get("sampling")}
    kinds = {"number": float, "integer": int}  # one spelling, one digest: YAML's 1 and 1.0 are both in both
    for key, entry in declared.items():
        if entry.get("type") in kinds:
            values[key] = kinds[entry["type"]](values[key])
    if values.get("sampler") == "ddim" and values["sampling_steps"] > values["timesteps"]:
        raise SpecError(f"models.{name}.sampling_steps: expected at most timesteps, {values['timesteps']}")
    return model_spec(family, revision, values, sampling)


def _density(name: str, given: Mapping[str, Any]) -> DensitySpec:
    check_name(name, f"densities.{name}")
    if name in SOURCES:
        raise SpecError(f"densities.{name}: is the name of a dataset of images; choose another")
    options = {key: value for key, value in given.items() if key != "density"}
    try:
        return resolve_density(given["density"], options, f"densities.{name}")
    except SpecError as error:
        raise SpecError(
            f"densities.{name}.{error}" if str(error).startswith("density:") else str(error)
        ) from None


def _run(
    name: str,
    given: Mapping[str, Any],
    models: Mapping[str, ModelSpec],
    loop_specs: Mapping[str, LoopSpec],
    densities: Mapping[str, DensitySpec],
    configured: Mapping[str, Images],
    root: Path | None,
) -> Run:
    where = f"runs.{name}"
    for key, known in (("model", models), ("loop", loop_specs)):
        if given[key] not in known:
            raise SpecError(f"{where}.{key}: no {key} named {given[key]!r} (known: {', '.join(known)})")
    density = densities.get(given["dataset"])
    if density is None and given["dataset"] in DENSITIES:
        density = resolve_density(given["dataset"], {}, where)
    images = None if density else images_named(given["dataset"], configured, root, f"{where}.dataset")
    train_rows = images.about.rows["train"] if images else math.inf
    loop = loop_specs[given["loop"]]
    generations = int(given["generations"])
    family = models[given["model"]].family
    if FAMILIES[family].stacked != (density is not None):
        fitting = [name for name, entry in FAMILIES.items() if entry.stacked == (density is not None)]
        kind = "a known density, whose points" if density else "a dataset of images, which"
        raise SpecError(
            f"{where}.model: {family} does not learn {given['dataset']}, {kind} {', '.join(fitting)} learn"
        )
    if loop.continues and not FAMILIES[family].continues:
        raise SpecError(
            f"loops.{given['loop']}.start: continue: {family} cannot go on from earlier weights (its line in "
            "FAMILIES does not say continues=True)"
        )
    if loop.bias == 0 and not FAMILIES[family].reaches_modes:
        raise SpecError(
            f"loops.{given['loop']}.bias: {family} needs one above 0 (λ = 0 is infinite guidance)"
        )
    if images:
        check_images(models[given["model"]], loop, images, where, f"loops.{given['loop']}")
        loop = replace(loop, handover=handed_over(loop, images))
    elif loop.handover:
        raise SpecError(
            f"loops.{given['loop']}.handover: {given['dataset']} is of points, which are never rounded"
        )
    loops.check(loop, generations, train_rows, f"loops.{given['loop']}")
    listed = given.get("seeds", [0])
    seeds = tuple(range(listed)) if isinstance(listed, int) else tuple(int(seed) for seed in listed)
    if len(set(seeds)) < len(seeds):
        raise SpecError(f"{where}.seeds: {list(seeds)} has a seed twice")
    weights = Path(given["weights"]) if given.get("weights") else None
    if weights and not weights.is_file():
        raise SpecError(f"{where}.weights: {weights}: no such file")
    simulation = given.get("simulation")
    if density is None and simulation is not None:
        raise SpecError(f"{where}.simulation: only runs on known densities are simulated")
    if density is not None and weights:
        raise SpecError(f"{where}.weights: only runs on images can start from imported weights")
    model, checksum = models[given["model"]], file_checksum(weights) if weights else None
    data: Data = density.name if density else images.data if images else ""
    spec = RunSpec(data, model, loop, checksum, density)
    run = Run(
        name,
        given.get("label", name),
        given.get("sweep", given.get("label", name)),
        given["dataset"],
        given["loop"],
        spec,
        generations,
        seeds,
        weights,
        images,
        parse(Simulation, simulation or {}, f"{where}.simulation"),
    )
    check_moments(run, where)
    return run


def _kind(name: str, given: Any) -> str:
    return given.get("figure", name) if isinstance(given, Mapping) else name


def _figure(name: str, given: Any) -> Any:
    try:
        entry = plot_of(_kind(name, given))
    except SpecError as error:
        raise SpecError(f"figures.{name}: {str(error).partition(': ')[2]}") from None
    check_name(name, f"figures.{name}")
    if isinstance(given, Mapping):
        given = {key: value for key, value in given.items() if key != "figure"}
    return parse(entry.Options, given or {}, f"figures.{name}")
