"""The tables of an experiment as plain data, of which a page is made: numbers, words, lists and dicts alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bigloop.analysis.published import alike
from bigloop.analysis.series import (
    REAL,
    against,
    distribution,
    features_named,
    n_of,
    reference,
    row_of,
    run_names,
)
from bigloop.analysis.theory import theory
from bigloop.figures import Material
from bigloop.figures.parts import style
from bigloop.figures.parts.names import name_of

DIGITS = 6  # significant ones, of every number
FREQUENCY = "class_frequency"
FIRST = (  # of the measures, in this order, those that a page opens with if it has them
    *("fid", "recall", "precision", "effective_classes", "wasserstein1", "spacing"),
    *(
        "modes_covered",
        "good_share",
        "mode_kl",
        "jensen_shannon",
        "variance",
        "gaussian_wasserstein2",
        "mean_error",
    ),
)
SPEC = ("model.", "loop.", "density.")  # how columns begin that say what a run is
OTHER = ("family", "dataset", "loop", "weights", "files", "published", "folder", "first_folder")
CLAIM = ("paper", "claim_id", "claim", "verdict", "numbers", "reason")

Grouped = Mapping[tuple[str, str], pd.DataFrame]  # (run, measure) → its rows


def contents(experiment: str, material: Material, claims: pd.DataFrame, made: list[str]) -> dict[str, Any]:
    """What a page says of an experiment: its runs, measures, classes, critics and claims.

    made: lines that say which software made it, and where.
    """
    grouped: Grouped = {
        (str(run), str(measure)): rows
        for (run, measure), rows in material.measures.groupby(["run", "measure"], sort=False)
    }
    return {
        "experiment": experiment,
        "made": made,
        "runs": runs(material),
        "measures": measures(material, grouped),
        "classes": classes(material, grouped),
        "critics": critics(material.critics),
        "claims": [{key: words(row.get(key)) for key in CLAIM} for row in claims.to_dict("records")],
    }


def runs(material: Material) -> list[dict[str, Any]]:
    """Each run: how it is named and drawn, what it is, and what became of it."""
    looks = style.looks(material.runs)
    judged = material.verdicts
    verdicts = {} if judged is None else {str(row["run"]): row for row in judged.to_dict("records")}
    found = []
    for row in material.runs.to_dict("records"):
        name = str(row["run"])
        look, verdict = looks[name], verdicts.get(name, {})
        found.append(
            {
                "name": name,
                "label": look.label,
                "colour": look.colour,
                "line": look.linestyle,
                "dataset": str(row["dataset"]),
                "generations": int(row["generations"]),
                "seeds": [int(seed) for seed in str(row["seeds"]).split()],
                "verdict": words(verdict.get("verdict")),
                "reason": words(verdict.get("reason")),
                "spec": spec_of(row),
            }
        )
    return found


def spec_of(row: Mapping[Any, Any]) -> dict[str, str]:
    """What a run is, key by key, as the runs table says it; keys that do not apply are left out."""
    kept = [key for key in row if str(key) in OTHER or str(key).startswith(SPEC)]
    return {str(key): words(row[key]) for key in kept if words(row[key])}


def measures(material: Material, grouped: Grouped) -> list[dict[str, Any]]:
    """Each measure that is one number a generation: the FIRST ones, then as in the table.

    values: by run, by seed, by generation. floors, theory and published values, by run where there are any.
    """
    found: dict[str, dict[str, Any]] = {}
    real = dataclasses.replace(material, measures=material.measures[material.measures["run"] == REAL])
    rows_of_runs = {name: row_of(material, name) for name in run_names(material)}
    for (run, measure), rows in grouped.items():
        if run not in rows_of_runs or len(rows["detail"].dropna().unique()) > 1 or measure == FREQUENCY:
            continue
        entry = found.setdefault(
            measure,
            {
                "name": measure,
                "label": name_of(measure),
                "runs": {},
                "floors": {},
                "theory": {},
                "published": {},
            },
        )
        table = rows.pivot_table(index="seed", columns="generation", values="value", aggfunc="first")
        entry["runs"][run] = {
            "generations": [int(g) for g in table.columns],
            "seeds": {
                str(int(seed)): numbers(row)
                for seed, row in zip(table.index, table.to_numpy(float), strict=True)
            },
            "note": note(rows),
        }
        add_references(entry, real, rows_of_runs[run], rows)
    return [found[name] for name in dict.fromkeys([*(name for name in FIRST if name in found), *found])]


def add_references(
    entry: dict[str, Any], material: Material, run: Mapping[Any, Any], rows: pd.DataFrame
) -> None:
    """Beside a run's values of a measure: the floor of real data, what theory expects, what a paper publishes."""
    name, measure = str(run["run"]), entry["name"]
    floor = reference(material, measure, str(run["dataset"]), n_of(rows))
    if floor is not None and math.isfinite(floor):
        entry["floors"][name] = number(floor)
    expected = theory(run, measure, int(run["generations"]))
    if expected is not None:
        entry["theory"][name] = numbers(expected)
    if run.get("published"):
        known = alike(str(run["published"]), rows)
        known = known[known["generation"] <= int(run["generations"])]
        if len(known):
            entry["published"][name] = [
                [int(g), number(value)] for g, value in zip(known["generation"], known["value"], strict=True)
            ]


def note(rows: pd.DataFrame) -> str:
    """On how many rows a measure was taken; against what and on which features, where that has to be said."""
    n = n_of(rows)
    return ", ".join(filter(None, [f"n = {n:,}" if n else "", against(rows), *features_named(rows)]))


def classes(material: Material, grouped: Grouped) -> dict[str, Any]:
    """Shares of the classes: names by dataset, shares of real images by dataset, and by run, seed and generation."""
    shares: dict[str, Any] = {}
    for (run, measure), rows in grouped.items():
        if measure != FREQUENCY or run == REAL:
            continue
        details = rows.assign(detail=rows["detail"].astype(float))
        table = details.pivot_table(
            index=["seed", "generation"], columns="detail", values="value", aggfunc="first"
        )
        for (seed, generation), row in zip(table.index, table.to_numpy(float), strict=True):
            shares.setdefault(run, {}).setdefault(str(int(seed)), {})[str(int(generation))] = numbers(row)
    real = {}
    if (REAL, FREQUENCY) in grouped:
        for dataset in grouped[REAL, FREQUENCY]["dataset"].unique():
            real[str(dataset)] = numbers(distribution(material, REAL, FREQUENCY, dataset, None).values())
    return {
        "names": {name: list(given) for name, given in material.classes.items()},
        "real": real,
        "shares": shares,
    }


def critics(table: pd.DataFrame) -> dict[str, Any]:
    """Share of samples that a critic calls generated, the mean over seeds: by critic's and generator's run, a matrix of
    the critic's generations by the generator's."""
    found: dict[str, Any] = {}
    if table.empty:
        return found
    keys = ["critic_run", "generator_run"]
    for (critic, generator), rows in table.groupby(keys, sort=False):
        matrix = rows.pivot_table(
            index="critic_generation", columns="generator_generation", values="fake_share"
        )
        found.setdefault(str(critic), {})[str(generator)] = [numbers(row) for row in matrix.to_numpy(float)]
    return found


def number(value: float) -> float | None:
    """A number with DIGITS significant digits; None where it is none."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def numbers(values: Iterable[float] | np.ndarray) -> list[float | None]:
    """Likewise, each of several."""
    return [number(float(value)) for value in values]


def words(value: Any) -> str:
    """A cell of a table in words; nothing for an empty one."""
    if is_missing(value):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
