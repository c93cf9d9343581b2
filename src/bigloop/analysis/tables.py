"""From the measures.json files of runs to the tables of an experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from bigloop.analysis.claims import claims_table
from bigloop.analysis.origins import origins
from bigloop.analysis.runtime import runtime_table
from bigloop.analysis.theory import VARIANCES, column_of_variances
from bigloop.analysis.verdicts import verdicts_table
from bigloop.artifacts import (
    PROVENANCE_FILE,
    TABLES,
    ArtifactError,
    link,
    read_json,
    read_table,
    write_json,
    write_table,
)
from bigloop.data import dataset
from bigloop.metrics import MEASURES
from bigloop.spec.jobs import CollectSpec, TableRun
from bigloop.spec.options import to_dict
from bigloop.spec.runs import data_folder

MEASURE_COLUMNS = [
    *("experiment", "run", "family", "dataset", "loop", "bias", "seed", "generation"),
    *("measure", "value", "n", "k", "features", "reference", "detail"),
]
CRITIC_COLUMNS = [
    *("experiment", "critic_run", "critic_generation", "generator_run", "generator_generation"),
    *("seed", "fake_share", "n", "threshold"),
]


def collect(spec: CollectSpec, results: Path) -> None:
    """Write the TABLES of an experiment, what made it, and the links that give its runs their names."""
    home = results / spec.experiment
    measures = measures_table(spec, results)
    runs = with_variances(runs_table(spec), measures)
    critics = critics_table(spec, results)
    verdicts = verdicts_table(measures, runs)
    claims = claims_table(measures, runs, critics, verdicts)
    runtime = runtime_table(spec, results)
    for name, table in zip(TABLES, (measures, runs, critics, verdicts, claims, runtime), strict=True):
        write_table(home / "tables" / f"{name}.csv", table)
    write_json(home / "tables" / PROVENANCE_FILE, origins(spec, results))
    for old in (home / "runs").glob("*"):
        if old.is_symlink() and old.name not in {run.run for run in spec.runs}:
            old.unlink()
    for run in spec.runs:
        link(home / "runs" / run.run, results / "runs" / run.spec.folder)


def measures_table(spec: CollectSpec, results: Path) -> pd.DataFrame:
    """The tidy table: one row per value, the columns MEASURE_COLUMNS; rows of the floor have run `real`."""
    parts = []
    for name in spec.datasets:
        floor = results / spec.experiment / "floor" / f"{name}.json"
        parts.append(_on_features(_records(floor)).assign(run="real", dataset=name))
    for run in spec.runs:
        folder = results / "runs" / run.spec.folder
        own = _simulated(run, folder) if run.blocks else _on_features(_trained(run, folder))
        if run.siblings:  # a record says by its number which member it is about
            about = own["measure"] == "between"
            names = own["detail"].map({str(i): name for i, name in enumerate(run.siblings)})
            own["detail"] = own["detail"].mask(about, names)
        parts.append(
            own.assign(
                run=run.run,
                family=run.spec.model.family,
                dataset=run.dataset,
                loop=run.loop,
                bias=run.spec.bias,
            )
        )
    table = pd.concat(parts, ignore_index=True).assign(experiment=spec.experiment)
    whole = dict.fromkeys(("seed", "generation", "n", "k"), "Int64")
    return table.reindex(columns=MEASURE_COLUMNS).astype(whole)


def _trained(run: TableRun, folder: Path) -> pd.DataFrame:
    """The records of every seed and generation, a file each."""
    parts = [
        _records(folder / f"seed-{seed}" / f"gen-{generation}" / "measures.json").assign(
            seed=seed, generation=generation
        )
        for seed in run.seeds
        for generation in range(1, run.generations + 1)
    ]
    return pd.concat(parts, ignore_index=True)


def _on_features(records: pd.DataFrame) -> pd.DataFrame:
    """The records of images with what each measure compares them on and with, where the record itself does not say."""
    if records.empty:  # the floor of measures that have none
        return records
    features = {
        value: measure.features or None
        for name, measure in MEASURES.items()
        for value in (name, *measure.compared)
    }
    reference = {
        value: "training" for name, measure in MEASURES.items() for value in measure.compared_values(name)
    }
    known = {
        "features": records["measure"].map(features),
        "reference": records["measure"].map(reference),
    }
    return records.assign(
        **{column: records.get(column, usual).fillna(usual) for column, usual in known.items()}
    )


def _simulated(run: TableRun, folder: Path) -> pd.DataFrame:
    """The records of all blocks."""
    parts = [read_table(folder / block / "measures.csv", dtype={"detail": str}) for block in run.blocks]
    whole = pd.concat(parts, ignore_index=True).sort_values(["seed", "generation"], kind="stable")
    return whole[whole["member"] == run.spec.member].reset_index(drop=True) if run.siblings else whole


def with_variances(runs: pd.DataFrame, measures: pd.DataFrame) -> pd.DataFrame:
    """The table of runs, with the principal variances of real images where they were measured: theory needs them."""
    found = {name: column_of_variances(measures, str(name)) for name in runs["dataset"].unique()}
    column = runs["dataset"].map(found)
    return runs.assign(**{VARIANCES: column}) if column.notna().any() else runs


def critics_table(spec: CollectSpec, results: Path) -> pd.DataFrame:
    """One row a (critic generation, generator generation, seed) of every pair of runs; empty without critics."""
    home = results / spec.experiment / "critics"
    parts = [_records(home / f"{stem}.json") for stem in spec.critics]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return table.assign(experiment=spec.experiment).reindex(columns=CRITIC_COLUMNS)


def runs_table(spec: CollectSpec) -> pd.DataFrame:
    """One row a run: name, folder, and its whole spec as columns such as `model.width` and `loop.samples`."""
    rows = []
    for run in spec.runs:
        model, loop = to_dict(run.spec.model), to_dict(run.spec.loop or {})
        if rules := loop.pop("rules", ()):  # each by its name, as in the config
            loop |= {rule["name"]: rule["options"] for rule in rules}
            loop["rules"] = " ".join(rule["name"] for rule in rules)
        for select in (loop.get("select"), loop.get("filter")):
            if not select:
                continue
            several = select.pop("by")
            shares = {f"share-{one['name']}": one["share"] for one in several if "share" in one}
            select |= shares | {"by": " ".join(one["name"] for one in several)}
            select |= {one["name"]: {k: _worded(v) for k, v in one["options"].items()} for one in several}
        given = model.pop("options") | model.pop("sampler", {})
        options = {f"model.{k}": _worded(v) for k, v in given.items()}
        row = {
            "run": run.run,
            "label": run.label,
            "sweep": run.sweep,
            "family": run.spec.model.family,
            "dataset": run.dataset,
            "loop": run.loop,
            "generations": run.generations,
            "seeds": " ".join(map(str, run.seeds)),
            "folder": run.spec.folder,
            "first_folder": run.spec.model_folder(1),
        }
        if not run.spec.density:
            row["data"] = data_folder(run.spec.dataset)
            row["classes"] = json.dumps(dataset(run.spec.dataset).classes, ensure_ascii=False)
        row |= {"faithful": " ".join(run.faithful), "published": run.published}
        if run.spec.weights:
            row["weights"] = run.spec.weights
        if given := run.spec.elsewhere:
            row["files"] = given.files
            loop = {"bias": given.bias} | ({"samples": given.samples} if given.samples else {})
        if run.spec.ecosystem:
            given_shares = zip(run.siblings, run.spec.shares or (), strict=True)
            row |= {"member": run.spec.member} | {f"shares.{name}": share for name, share in given_shares}
        if run.spec.density:
            row |= {"density": run.spec.density.name} | _flat(run.spec.density.options, "density")
            row["blocks"] = " ".join(run.blocks)
        rows.append(row | options | {"model.revision": model["revision"]} | _flat(loop, "loop"))
    return pd.DataFrame(rows).convert_dtypes()  # whole numbers stay whole where a run lacks a column


def _worded(value: Any) -> Any:
    """A list as words, as a cell of a table; other values as they are."""
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _records(path: Path) -> pd.DataFrame:
    records = read_json(path)
    if not isinstance(records, list) or not all(isinstance(r, dict) and r for r in records):
        raise ArtifactError(f"{path}: expected a list of records; delete it and run snakemake again")
    return pd.DataFrame(records)


def _flat(value: object, prefix: str) -> dict[str, object]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{prefix}.{key}").items()}
