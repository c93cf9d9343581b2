"""Small tables of an experiment, made from the values of a few runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest

from ..tables import run

COLUMNS = ["run", "family", "dataset", "seed", "generation", "measure", "value", "n", "k", "detail"]


@dataclass(frozen=True)
class SmallTables:
    """What bigloop.analysis.series.Tables asks for."""

    measures: pd.DataFrame
    runs: pd.DataFrame


@pytest.fixture
def make_run() -> Callable[..., dict[str, Any]]:
    return run


@pytest.fixture
def make_tables() -> Callable[..., SmallTables]:
    return tables


def tables(
    runs: Sequence[Mapping[str, Any]],
    values: Mapping[tuple[str, str], Sequence[Sequence[float | None]]],
    more: Sequence[Mapping[str, Any]] = (),
    n: float = 100,
) -> SmallTables:
    """values: (run, measure) → for each seed its value in every generation from 1, None where not measured."""
    named = {row["run"]: row for row in runs}
    measures = [
        {key: named[name][key] for key in ("run", "family", "dataset")}
        | {"seed": seed, "generation": t, "measure": measure, "value": value, "n": n}
        for (name, measure), seeds in values.items()
        for seed, generations in enumerate(seeds)
        for t, value in enumerate(generations, start=1)
        if value is not None
    ]
    return SmallTables(pd.DataFrame([*measures, *more]).reindex(columns=COLUMNS), pd.DataFrame(runs))
