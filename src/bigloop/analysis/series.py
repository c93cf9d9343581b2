"""What an experiment's tables say of its runs: curves over generations, references, choices."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from bigloop.spec.runs import called

if TYPE_CHECKING:
    import pandas as pd


REAL = "real"  # the run whose rows measure real data against other real data


class Tables(Protocol):
    """What has the two tables: measures, tidy, one value a row; runs, in plotting order."""

    @property
    def measures(self) -> pd.DataFrame: ...

    @property
    def runs(self) -> pd.DataFrame: ...


SomeTables = TypeVar("SomeTables", bound=Tables)


@dataclass(frozen=True)
class Curve:
    """A measure of one run over its generations; arrays of shape (generations,).

    mean, sd: over seeds; sd is the sample standard deviation, 0 where a generation has one seed.
    n: images measured, None where the table does not say. against: as `against` says.
    """

    run: str
    generation: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    seeds: int
    n: int | None
    against: str = ""


def run_names(material: Tables) -> list[str]:
    """The runs in plotting order."""
    return [str(run) for run in material.runs["run"]]


def dataset_of(material: Tables, run: str) -> str:
    """Name of the dataset that `run` started from."""
    return str(material.runs.loc[material.runs["run"] == run, "dataset"].iloc[0])


def selection(material: SomeTables, wanted: Sequence[str]) -> SomeTables:
    """`material` with those runs alone that `wanted` names, in full or by how their names begin; () names all.

    Looks go by place in the table, so that the few runs chosen from a long sweep differ in colour. Raises ValueError
    for a name that no run has.
    """
    if not wanted:
        return material
    names = run_names(material)
    picked = set()
    for name in wanted:
        found = called(name, names)
        if not found:
            raise ValueError(f"runs: no run is named {name!r} (the table has: {', '.join(names)})")
        picked |= found
    return dataclasses.replace(material, runs=material.runs[material.runs["run"].isin(picked)])  # type: ignore[type-var]


def row_of(material: Tables, run: str) -> dict[str, Any]:
    """What the runs table says of `run`; columns that it leaves empty are left out."""
    row = material.runs[material.runs["run"] == run].iloc[0].dropna()
    return {str(key): value for key, value in row.items()}


def require(material: Tables, *measures: str) -> None:
    """Raise ValueError naming the first of `measures` that no run of the material has."""
    table = material.measures
    known = table.loc[table["run"].isin(run_names(material)), "measure"].unique()
    for measure in measures:
        if measure not in known:
            raise ValueError(f"measure {measure} is missing (the table has: {', '.join(known) or 'none'})")


def rows_of(material: Tables, run: str, measure: str) -> pd.DataFrame:
    """The rows of one run (or of "real") and one measure; raises ValueError if they mix several n."""
    table = material.measures
    rows = table[(table["run"] == run) & (table["measure"] == measure)]
    sizes = sorted(set(rows["n"].dropna()))
    if run != REAL and len(sizes) > 1:
        shown = ", ".join(f"{size:g}" for size in sizes)
        raise ValueError(f"measure {measure} of run {run} mixes several n ({shown}); draw one at a time")
    return rows


def curve(material: Tables, run: str, measure: str, detail: str | None = None) -> Curve | None:
    """Mean and standard deviation over seeds per generation; None if the run lacks the measure."""
    rows = rows_of(material, run, measure)
    if detail is not None:
        rows = rows[rows["detail"].astype(str) == detail]
    if rows.empty:
        return None
    seeds = rows.groupby(rows["generation"].astype(int))["value"]
    return Curve(
        run=run,
        generation=seeds.mean().index.to_numpy(),
        mean=seeds.mean().to_numpy(float),
        sd=seeds.std(ddof=1).fillna(0.0).to_numpy(float),
        seeds=seeds_of(rows),
        n=n_of(rows),
        against=against(rows),
    )


def reference(material: Tables, measure: str, dataset: str, n: int | None) -> float | None:
    """The measure of real data of `dataset`, from n images like the curve beside it; None if not measured."""
    rows = rows_of(material, REAL, measure)
    rows = rows[rows["dataset"] == dataset]
    if n is not None:
        rows = rows[rows["n"] == n]
    return None if rows.empty else float(rows["value"].mean())


def distribution(
    material: Tables, run: str, measure: str, dataset: str, generation: int | None
) -> dict[float, float]:
    """A measure with numbers as detail, as detail → mean over seeds; generation None for real data.

    Real data of `dataset` is taken from the most images measured, since shares and densities, unlike
    distances, have no bias that depends on n.
    """
    rows = rows_of(material, run, measure)
    if generation is not None:
        rows = rows[rows["generation"] == generation]
    else:
        rows = rows[rows["dataset"] == dataset]
        rows = rows[(rows["n"] == rows["n"].max()) | rows["n"].isna()]
    mean = rows["value"].groupby(rows["detail"].astype(float)).mean()
    return {float(detail): float(value) for detail, value in mean.items()}


def runs_with(material: Tables, measure: str) -> list[str]:
    """The runs that have the measure, in plotting order."""
    return [run for run in run_names(material) if generations_of(material, run, measure)]


def generations_of(material: Tables, run: str, measure: str) -> list[int]:
    """The generations of `run` that have the measure, in order."""
    return sorted({int(g) for g in rows_of(material, run, measure)["generation"]})


def chosen(wanted: Sequence[int], there: Iterable[int], most: int) -> list[int]:
    """The wanted generations that are there; if none is, up to `most` from first to last, evenly spread."""
    present = sorted(there)
    picked = [g for g in present if g in wanted]
    if picked or not present:
        return picked
    places = np.linspace(0, len(present) - 1, min(most, len(present)))
    return [present[round(place)] for place in places]


def seeds_of(rows: pd.DataFrame) -> int:
    """How many seeds the rows of a run hold."""
    return int(rows["seed"].nunique())


def n_of(rows: pd.DataFrame) -> int | None:
    """How many images the rows of a run were measured on; None where the table does not say."""
    return None if rows["n"].isna().all() else int(rows["n"].dropna().iloc[0])


def against(rows: pd.DataFrame) -> str:
    """What rows of one measure are held against, in words, where that is not the training set; else ""."""
    return "against test rows" if "reference" in rows and (rows["reference"] == "test").any() else ""


def features_named(rows: pd.DataFrame) -> list[str]:
    """What rows of one measure compare images on, by name; empty where it is the data's own classifier or the pixels,
    which goes without saying."""
    names = [str(name) for name in rows["features"].dropna().unique()] if "features" in rows else []
    return [] if names in (["classifier"], ["pixels"]) else names
