"""Loops in one process, as small as a test needs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from bigloop.artifacts import read_table
from bigloop.config.sweep import loop_of
from bigloop.data.densities import resolve_density
from bigloop.models import resolve
from bigloop.simulation.lineages import Lineages
from bigloop.simulation.simulate import simulate
from bigloop.spec.jobs import SimulateSpec
from bigloop.spec.runs import RunSpec

EPOCH = {"initial": {"epochs": 1}, "retrain": {"epochs": 1}}
QUIET: Callable[[str], None] = lambda line: None  # noqa: E731
MEASURES: dict[str, Any] = {"moments": {}}


def run_of(
    loop: dict[str, Any],
    family: str = "gaussian",
    density: str = "gaussian",
    options: dict[str, Any] | None = None,
    **parameters: Any,
) -> RunSpec:
    spec = loop_of({"real": {}, "synthetic": {}, "budget": EPOCH, **loop}, "loop")
    model = resolve(family, options or {}, "model")
    return RunSpec(density, model, spec, None, resolve_density(density, parameters, "density"))


def whole(run: RunSpec, seeds: int, generations: int, **more: Any) -> SimulateSpec:
    return SimulateSpec(run, tuple(range(seeds)), 1, generations, more.pop("measures", MEASURES), **more)


def folder(results: Path, spec: SimulateSpec) -> Path:
    return results / f"seeds-{spec.seeds[0]}-{spec.seeds[-1]}" / f"gens-{spec.first}-{spec.last}"


def made(results: Path, spec: SimulateSpec) -> pd.DataFrame:
    simulate(spec, folder(results, spec))
    return read_table(folder(results, spec) / "measures.csv", dtype={"detail": str})


def advanced(run: RunSpec, seeds: int, generations: int) -> Lineages:
    block = Lineages.fresh(run, tuple(range(seeds)))
    for _ in range(generations):
        block.advance(QUIET)
    return block
