"""Whether a measure can be taken of a run, and on how many rows."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from bigloop.config.features import Compared
from bigloop.config.runs import Run, by_moments
from bigloop.data import plane_source
from bigloop.spec.jobs import OWN, ClassifierSpec
from bigloop.spec.options import Scalar, SpecError
from bigloop.spec.registry import Declared, declared


def check_density(run: Run, where: str) -> None:
    """Raise SpecError where a family cannot learn the known density that a run gives it."""
    if run.density is None:
        return
    family, about = run.spec.model.family, declared("families")[run.spec.model.family]
    symbols = hasattr(run.density, "probabilities")
    if about.discrete and not symbols:
        raise SpecError(
            f"{where}.dataset: {family} learns symbols, those of the density zipf; others are no such"
        )
    if symbols and not about.discrete:
        raise SpecError(
            f"{where}.model: {family} cannot learn symbols, which {run.dataset} is made of; use counting"
        )
    if about.sees_density and run.density.dimension != 1:
        raise SpecError(f"{where}.dataset: {family} needs a density in one dimension")


def check_moments(run: Run, where: str) -> None:
    """A Gaussian that draws moments instead of rows has no rows of which some could be taken."""
    if not by_moments(run):
        return
    loop = run.spec.looped
    for key, selection in (("select", loop.select), ("filter", loop.filter)):
        if selection:
            raise SpecError(f"loops.{run.loop}.{key}: with draws: moments, there are no rows to choose")
    if run.spec.dataset != "gaussian":
        raise SpecError(f"{where}.dataset: draws: moments works for the density gaussian only")
    if loop.real.fixed not in (0, loop.initial.n):
        raise SpecError(
            f"loops.{run.loop}.real.fixed: with draws: moments, expected all rows of generation 1 or none"
        )
    if loop.rules:
        raise SpecError(
            f"loops.{run.loop}.{loop.rules[0].name}: with draws: moments, there are no rows to choose"
        )
    if loop.synthetic.from_ == "all" and loop.synthetic.rows(loop.real.fixed) != loop.samples:
        raise SpecError(
            f"loops.{run.loop}.synthetic.from: with draws: moments, expected a number of generations, or all with "
            f"n: {loop.samples}, all samples of each"
        )


def check_judged(run: Run, classifiers: Mapping[str, ClassifierSpec]) -> None:
    """Raise SpecError where a run's selections look through a classifier that this experiment does not train."""
    given = {"select": run.spec.loop.select, "filter": run.spec.loop.filter} if run.spec.loop else {}
    for key, select in given.items():
        if select and select.classifier and run.dataset not in classifiers:
            raise SpecError(
                f"loops.{run.loop}.{key}.by: needs the classifier of {run.dataset}; add a measure that is taken with it"
            )


def measurable(name: str, run: Run, compared: Compared) -> bool:
    """Whether a measure can be taken of a run."""
    measure, density = declared("measures")[name], run.density
    if "others" in measure.on and not run.spec.ecosystem:
        return False
    if "selection" in measure.on and not (run.spec.loop and run.spec.loop.select):
        return False
    if run.images:
        classes = measure.needs_classes or (measure.on_features and compared.on(name, run.images) == OWN)
        possible = run.images.about.labelled or not classes
        model = run.has_critic if measure.needs_critic else measure.has_rows or run.spec.has_model
        planes = bool(plane_source(run.images.data)) or not measure.on_planes
        return measure.of_images and possible and planes and model
    if density is None or not measure.of_points:
        return False
    about = declared("families")[run.spec.model.family]
    seen = {
        "images": not by_moments(run),
        "features": not by_moments(run),
        "cells": density.dimension <= 2 and not by_moments(run) and not about.discrete,
        "modes": density.modes is not None and not by_moments(run),
        "mode_weights": hasattr(density, "weights") and not by_moments(run),
        "symbols": about.discrete,
        "log_densities": about.has_log_density and not by_moments(run),
        "moments": about.has_moments and hasattr(density, "covariance"),
        "history": True,
        "selection": True,
        "others": not by_moments(run),
    }
    return all(seen[view] for view in measure.on)


def of_images(name: str, runs: Iterable[Run], compared: Compared) -> bool:
    """Whether a measure is taken of any images."""
    return any(run.images and measurable(name, run, compared) for run in runs)


def check_images(name: str, options: Mapping[str, Scalar], runs: Iterable[Run], compared: Compared) -> None:
    """Raise SpecError where a measure has an option that is of images alone, and is taken of none."""
    if of_images(name, runs, compared):
        return
    if options.get("reference") == "test":
        raise SpecError(
            f"measures.{name}.reference: only datasets have test rows; points of a known density are held "
            "against points that no model has seen, leave it out"
        )
    if name in compared.measures:
        raise SpecError(
            f"measures.{name}.features: only images are compared on features; points of a known density are "
            "compared as they are, leave it out"
        )


def default_n(name: str, options: Mapping[str, Scalar], run: Run) -> int:
    """The rows on each side that a measure takes where the config does not say."""
    measure = declared("measures")[name]
    available = min(run.samples, _real_rows(measure, options, run))
    return min(measure.limit, available // measure.per_side)


def check_rows(name: str, options: Mapping[str, Scalar], run: Run) -> None:
    """Raise SpecError where a measure asks for more rows, or more neighbours, than there are."""
    measure, n, samples = declared("measures")[name], int(options["n"]), run.samples
    wanted, k = measure.per_side * n, int(options.get("k", 0))
    there = _real_rows(measure, options, run)
    if options.get("reference") == "test" and there < 2 * measure.per_side:
        assert run.images
        raise SpecError(
            f"measures.{name}.reference: test needs at least {4 * measure.per_side} real test rows, {run.dataset} "
            f"has {run.images.about.rows['test']}"
        )
    if n < 2:
        raise SpecError(
            f"measures.{name}.n: needs at least {2 * measure.per_side} samples, but run {run.name} generates {samples}"
        )
    if wanted > samples:
        raise SpecError(
            f"measures.{name}.n: {n} needs {wanted} samples, but run {run.name} generates {samples}"
        )
    if k >= n:
        raise SpecError(f"measures.{name}.k: {k} nearest other rows, but n is {n}")
    if wanted > there:
        assert run.images
        rows = run.images.about.rows
        if measure.against == "training":
            needed = f"{wanted} real test rows, {run.dataset} has {rows['test']}"
        elif options.get("reference") == "test":
            needed = f"two disjoint sets of {wanted} real test rows, {run.dataset} has {rows['test']}"
        else:
            needed = f"two disjoint real sets of {wanted} rows, {run.dataset} has {rows['train']}"
        raise SpecError(f"measures.{name}.n: {n} needs {needed}")


def _real_rows(measure: Declared, options: Mapping[str, Scalar], run: Run) -> int:
    """The real rows that there are for a side of the floor: half the training or test set, or the test set."""
    if run.images is None:
        return sys.maxsize
    rows = run.images.about.rows
    if measure.against == "training":
        return rows["test"]
    return rows["test" if options.get("reference") == "test" else "train"] // 2
