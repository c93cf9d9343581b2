"""The entries of a config, with their defaults filled in and their references followed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bigloop import loops
from bigloop.analysis import published
from bigloop.artifacts import file_checksum
from bigloop.config.checks import check_density, check_moments
from bigloop.config.datasets import Images, handed_over, images_named, images_of
from bigloop.config.declared import Config, DatasetEntry, RunEntry, check_name
from bigloop.config.ecosystems import joined, members_of
from bigloop.config.elsewhere import add_sizes, lineage_of, rows_of
from bigloop.config.features import classifier_spec
from bigloop.config.runs import Run, Simulation
from bigloop.config.selection import settled
from bigloop.config.sweep import Point, chosen, loop_of, points, referred
from bigloop.data import SOURCES, root_of
from bigloop.data.densities import DENSITIES, resolve_density
from bigloop.models import refuses, resolve
from bigloop.spec.faults import named, shown
from bigloop.spec.hints import key_of, typed_fields
from bigloop.spec.jobs import ClassifierSpec
from bigloop.spec.loops import LoopSpec
from bigloop.spec.options import Scalar, SpecError, parse, to_dict
from bigloop.spec.registry import Declared, declared
from bigloop.spec.runs import GENERATED, DensitySpec, ModelSpec, RunSpec

T = TypeVar("T")
MOST_RUNS = 10_000  # of an experiment, sweeps taken apart
MOST_JOBS = (
    1_000_000  # generations that are trained one by one, or blocks that are simulated, in an experiment
)


def runs_of(config: Config) -> tuple[dict[str, Run], dict[str, Images], Path | None]:
    """The runs that an experiment consists of, and the datasets that its config describes, by name; and where published
    files lie."""
    models = _each(config.models, _model)
    loop_specs = _each(config.loops, lambda name, given: loop_of(given, f"loops.{name}"))
    densities = {name: _density(name, given) for name, given in (config.densities or {}).items()}
    root = root_of(config.data.root, "data") if config.data else None
    images = {name: _images(name, given, root) for name, given in (config.datasets or {}).items()}
    runs: dict[str, Run] = {}
    sizes: dict[str, int] = {}  # of files from elsewhere: runs may share them
    beside = densities, images, root, sizes, partial(classifier_spec, config)

    def add(run: Run, key: str) -> None:
        check_name(run.name, f"runs.{run.name}")
        if run.name in runs:
            raise SpecError(f"{key}: would create a second run {run.name}")
        if len(runs) == MOST_RUNS:
            raise SpecError(f"runs: are more than {MOST_RUNS}, expected no more")
        runs[run.name] = run

    for swept, given in chosen(config).items():
        entry = parse(RunEntry, given, f"runs.{swept}")
        if entry.ecosystem is not None:
            members = members_of(swept, entry, config.ecosystems)
            made = {name: _run(point, models, loop_specs, *beside) for name, point in members.items()}
            for run in joined(entry, config.ecosystems, made):
                add(run, f"runs.{swept}.ecosystem")
            continue
        for point in points(swept, entry, config.loops):
            check_name(point.name, f"runs.{point.name}")
            known = loop_specs if point.loop is None else {str(entry.loop): point.loop}
            add(_run(point, models, known, *beside), f"runs.{swept}.over")
    _check_size(runs)
    return runs, images, root


def _each(section: Mapping[Any, Any] | None, resolved: Callable[[Any, Any], T]) -> dict[Any, T] | None:
    """The entries of a section, resolved; None where the config has no such section."""
    return None if section is None else {name: resolved(name, given) for name, given in section.items()}


def measure_of(name: Any, given: Any) -> dict[str, Scalar]:
    """The options of a measure, as far as they are known before the runs are; what it compares images on is not."""
    if name not in declared("measures"):
        raise SpecError(f"measures.{named(name)}: unknown key (known: {', '.join(declared('measures'))})")
    options = to_dict(parse(declared("measures")[name].Options, given or {}, f"measures.{name}"))
    return {k: v for k, v in options.items() if k != "features" or not declared("measures")[name].on_features}


def figure_of(name: Any, given: Any) -> tuple[str, Any]:
    """The kind of a figure, and its options."""
    kind, where = (given or {}).get("figure", name), f"figures.{named(name)}"
    about = _registered("figures", kind, where, f"{where}.figure")
    check_name(name, where)
    options = {key: value for key, value in (given or {}).items() if key != "figure"}
    return kind, parse(about.Options, options, where)


def _registered(kind: str, name: Any, where: str, key: str) -> Declared:
    """What is declared of a thing that stands by its name at `key`; `where` is what it is unknown at."""
    try:
        hash(name)
    except TypeError:
        raise SpecError(f"{key}: expected string, got {shown(name)}") from None
    try:
        return declared(kind)[name]
    except SpecError as error:
        raise SpecError(f"{where}: {str(error).partition(': ')[2]}") from None


def _kind(given: Mapping[Any, Any], key: str, where: str) -> str:
    """The registered thing that an entry is, a word."""
    if key not in given:
        raise SpecError(f"{where}.{key}: missing")
    if not isinstance(given[key], str):
        raise SpecError(f"{where}.{key}: expected string, got {shown(given[key])}")
    return given[key]


def _model(name: str, given: Mapping[Any, Any]) -> ModelSpec:
    where = f"models.{name}"
    family = _kind(given, "family", where)
    _registered("families", family, f"{where}.family", f"{where}.family")
    return resolve(family, {key: value for key, value in given.items() if key != "family"}, where)


def _images(name: str, given: Mapping[Any, Any], root: Path | None) -> Images:
    where = f"datasets.{name}"
    of = _kind(given, "source", where)
    _registered("sources", of, f"{where}.source", f"{where}.source")
    beside = {key_of(f) for f, _ in typed_fields(DatasetEntry)}
    if taken := beside & declared("sources")[of].options.keys():
        raise SpecError(
            f"{where}: {of} has an option {min(taken)!r}, a key that every dataset has; rename it"
        )
    parse(DatasetEntry, {key: given[key] for key in given if key in beside}, where)
    return images_of(name, of, {key: given[key] for key in given if key not in {"source", *beside}}, root)


def _density(name: str, given: Mapping[Any, Any]) -> DensitySpec:
    where = f"densities.{name}"
    if name in SOURCES:
        raise SpecError(f"{where}: is already the name of an image dataset; choose another")
    kind = _kind(given, "density", where)
    _registered("densities", kind, f"{where}.density", f"{where}.density")
    return resolve_density(kind, {key: value for key, value in given.items() if key != "density"}, where)


def _run(
    point: Point,
    models: Mapping[str, ModelSpec] | None,
    loop_specs: Mapping[str, LoopSpec] | None,
    densities: Mapping[str, DensitySpec],
    configured: Mapping[str, Images],
    root: Path | None,
    sizes: dict[str, int],
    judge: Callable[[Images], ClassifierSpec],
) -> Run:
    where, given = f"runs.{point.name}", point.entry
    lineage = lineage_of(given, where)
    model = GENERATED if given.generated else referred("model", given.model, models, where)
    loop = None if lineage else referred("loop", given.loop, loop_specs, where)
    density = densities.get(given.dataset)
    if density is None and given.dataset in DENSITIES:
        density = resolve_density(given.dataset, {}, where)
    images = None if density else images_named(given.dataset, configured, root, where)
    train_rows = images.about.rows["train"] if images else math.inf
    seeds, rows = _seeds(given.seeds, where), 0
    if lineage:
        key = "generated" if given.generated else "weights"
        if images is None:
            raise SpecError(f"{where}.{key}: only runs on images can come from elsewhere")
        if lineage.holds == "weights":
            _check_family(model, given, images, where, lineage.bias, f"{where}.bias")
            if not declared("families")[model.family].continues:
                raise SpecError(f"{where}.weights: {model.family} cannot take over weights from elsewhere")
            lineage = replace(lineage, handover=handed_over(None, images))
        add_sizes(sizes, lineage, seeds, given.generations, f"{where}.{key}")
        rows = rows_of(lineage, seeds)
    if loop:
        _check_family(model, given, images, where, loop.bias, f"loops.{given.loop}.bias")
        _check_start(model, loop, f"loops.{given.loop}.start")
        _check_against(model, loop, f"loops.{given.loop}.against")
        loop = settled(loop, model, images, judge, f"loops.{given.loop}")
        if images:
            loop = replace(loop, handover=handed_over(loop.handover, images))
        elif loop.handover:
            raise SpecError(
                f"loops.{given.loop}.handover: {given.dataset} is of points, which are never rounded"
            )
        loops.check(loop, given.generations, train_rows, f"loops.{given.loop}")
    if given.measured == "selected" and not (loop and loop.select):
        raise SpecError(f"{where}.measured: selected: the run has no loop with a key select")
    if density is None and given.simulation is not None:
        raise SpecError(f"{where}.simulation: only runs on known densities are simulated")
    faithful = (given.faithful,) if isinstance(given.faithful, str) else given.faithful or ()
    for paper in faithful:
        if paper not in (papers := declared("claims")):
            raise SpecError(f"{where}.faithful: unknown paper {shown(paper)} (known: {', '.join(papers)})")
    if given.published and given.published not in (there := published.runs()):
        raise SpecError(
            f"{where}.published: nothing is published as {shown(given.published)} (known: {', '.join(there)})"
        )
    weights = Path(given.weights) if given.weights and not lineage else None
    if weights and not weights.is_file():
        raise SpecError(f"{where}.weights: {weights}: no such file")
    if weights and (word := re.search(r"\{[^{}]*\}|<[^<>]*>", str(weights))):
        raise SpecError(
            f"{where}.weights: {weights}: Snakemake would fill in {word[0]}; give the file another name"
        )
    if density is not None and weights:
        raise SpecError(f"{where}.weights: only runs on images can start from imported weights")
    checksum = file_checksum(weights) if weights else None
    run = Run(
        point.name,
        point.label,
        point.sweep,
        given.dataset,
        given.loop or "elsewhere",
        RunSpec(
            images.data if images else density.name if density else "",
            model,
            loop,
            checksum,
            density,
            lineage,
        ),
        given.generations,
        seeds,
        weights,
        images,
        given.simulation or Simulation(),
        faithful,
        given.published or "",
        sizes,
        rows,
        given.measured == "selected",
    )
    check_density(run, where)
    check_moments(run, where)
    return run


def _check_family(
    model: ModelSpec, given: RunEntry, images: Images | None, where: str, bias: float, key: str
) -> None:
    """Raise SpecError where a family cannot do what a run asks of it; key: where the sampling bias stands."""
    family, about = model.family, declared("families")[model.family]
    if about.stacked != (images is None):
        fitting = [n for n, other in declared("families").items() if other.stacked == (images is None)]
        kind = "a dataset of images" if images else "a known density"
        raise SpecError(
            f"{where}.model: {family} cannot learn {given.dataset}, {kind}; use one of {', '.join(fitting)}"
        )
    if images and (why := refuses(family, images.about.shape, model.options)):
        height, width = images.about.shape[1:]
        raise SpecError(f"{where}.model: {family} {why}; those of {given.dataset} are {height}×{width}")
    if images and about.conditional and bias != 1 and not images.about.labelled:
        raise SpecError(
            f"{key}: {family} is biased by guidance towards classes, but {given.dataset} has fewer "
            "than two; set it to 1"
        )
    if bias == 0 and not about.reaches_modes:
        raise SpecError(f"{key}: {family} needs a bias above 0 (λ = 0 means infinite guidance)")


def _check_start(model: ModelSpec, loop: LoopSpec, key: str) -> None:
    """Raise SpecError where a loop continues and its family cannot."""
    if loop.continues and not declared("families")[model.family].continues:
        raise SpecError(
            f"{key}: continue: {model.family} cannot continue from earlier weights (its class does not say "
            "continues = True)"
        )


def _check_against(model: ModelSpec, loop: LoopSpec, key: str) -> None:
    """Raise SpecError where a loop uses samples against a model of a family that has no such way."""
    if loop.against is None:
        return
    families, way = declared("families"), loop.against.way
    able = "guides" if way == "scores" else "extrapolates"
    if not getattr(families[model.family], able):
        known = ", ".join(name for name, about in families.items() if getattr(about, able))
        raise SpecError(f"{key}.way: {way}: {model.family} cannot; use one of {known}")


def _seeds(given: tuple[int, ...] | int, where: str) -> tuple[int, ...]:
    seeds = tuple(range(given)) if isinstance(given, int) else given
    if len(set(seeds)) < len(seeds):
        raise SpecError(f"{where}.seeds: {shown(list(seeds))} contains a seed twice")
    return seeds


def _check_size(runs: Mapping[str, Run]) -> None:
    """Raise SpecError where an experiment has more jobs than can be planned, before any of them is listed."""
    trained = sum(run.generations * len(run.seeds) for run in runs.values() if not run.simulated)
    simulated = sum(run.block_count for run in runs.values() if run.simulated)
    judges = [run for run in runs.values() if run.has_critic]
    matrices = sum(len(judge.seeds) for judge in judges) * len(runs)
    for count, words in (
        (trained, "generations, seeds counted, to train one by one"),
        (simulated, "blocks to simulate (larger ones: simulation.block_seeds, simulation.block_generations)"),
        (matrices, "critic × generator matrices"),
    ):
        if count > MOST_JOBS:
            raise SpecError(f"runs: have {count} {words}, expected at most {MOST_JOBS}")
