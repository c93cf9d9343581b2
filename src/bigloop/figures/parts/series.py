"""What figures read from the tables of a Material: curves over generations, references, choices."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bigloop.figures import Material

if TYPE_CHECKING:
    import pandas as pd

REAL = "real"


@dataclass(frozen=True)
class Curve:
    """A measure of one run over its generations; arrays of shape (generations,).

    mean, sd: over seeds; sd is the sample standard deviation, 0 where a generation has one seed.
    n: images measured, None where the table does not say.
    """

    run: str
    generation: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    seeds: int
    n: int | None


def run_names(material: Material) -> list[str]:
    """The runs in plotting order."""
    return [str(run) for run in material.runs["run"]]


def dataset_of(material: Material, run: str) -> str:
    """Name of the dataset that `run` started from."""
    return str(material.runs.loc[material.runs["run"] == run, "dataset"].iloc[0])


def classes_of(material: Material, run: str) -> tuple[str, ...]:
    """Names of the classes of the dataset that `run` learns; () where it has none."""
    return material.classes.get(dataset_of(material, run), ())


def selection(material: Material, wanted: Sequence[str]) -> Material:
    """`material` with those runs alone that `wanted` names, in full or by how their names begin; () names all.

    Looks go by place in the table, so that the few runs chosen from a long sweep differ in colour. Raises ValueError
    for a name that no run has.
    """
    if not wanted:
        return material
    names = run_names(material)
    picked = set()
    for name in wanted:
        found = {name} & set(names) or {run for run in names if run.startswith(name)}
        if not found:
            raise ValueError(f"runs: no run is named {name!r} (the table has: {', '.join(names)})")
        picked |= found
    return dataclasses.replace(material, runs=material.runs[material.runs["run"].isin(picked)])


def row_of(material: Material, run: str) -> dict[str, Any]:
    """What the runs table says of `run`; columns that it leaves empty are left out."""
    row = material.runs[material.runs["run"] == run].iloc[0].dropna()
    return {str(key): value for key, value in row.items()}


def require(material: Material, *measures: str) -> None:
    """Raise ValueError naming the first of `measures` that no run of the material has."""
    table = material.measures
    known = table.loc[table["run"].isin(run_names(material)), "measure"].unique()
    for measure in measures:
        if measure not in known:
            raise ValueError(f"measure {measure} is missing (the table has: {', '.join(known) or 'none'})")


def rows_of(material: Material, run: str, measure: str) -> pd.DataFrame:
    """The rows of one run (or of "real") and one measure; raises ValueError if they mix several n."""
    table = material.measures
    rows = table[(table["run"] == run) & (table["measure"] == measure)]
    sizes = sorted(set(rows["n"].dropna()))
    if run != REAL and len(sizes) > 1:
        shown = ", ".join(f"{size:g}" for size in sizes)
        raise ValueError(f"measure {measure} of run {run} mixes several n ({shown}); draw one at a time")
    return rows


def curve(material: Material, run: str, measure: str, detail: str | None = None) -> Curve | None:
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
    )


def reference(material: Material, measure: str, dataset: str, n: int | None) -> float | None:
    """The measure of real data of `dataset`, from n images like the curve beside it; None if not measured."""
    rows = rows_of(material, REAL, measure)
    rows = rows[rows["dataset"] == dataset]
    if n is not None:
        rows = rows[rows["n"] == n]
    return None if rows.empty else float(rows["value"].mean())


def distribution(
    material: Material, run: str, measure: str, dataset: str, generation: int | None
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


def generations_of(material: Material, run: str, measure: str) -> list[int]:
    """The generations of `run` that have the measure, in order."""
    return sorted({int(g) for g in rows_of(material, run, measure)["generation"]})


def last_values(material: Material, run: str, measure: str, last: int = 1) -> np.ndarray:
    """Of each seed, the mean of the `last` generations that were measured, (seeds,); empty where none was."""
    rows = rows_of(material, run, measure).dropna(subset="value").sort_values("generation")
    return rows.groupby("seed")["value"].apply(lambda values: values.iloc[-last:].mean()).to_numpy(float)


def effective_sample_size(distance: float, sizes: np.ndarray, distances: np.ndarray) -> float:
    """n_e: how many real rows a single fit needs to come as near as `distance`, above 0.

    sizes, distances: (k ≥ 2,), both above 0: numbers of rows and the expected distance of a single fit on them,
    taken as a line between them in log–log. Where it takes the value several times, n_e is the smallest; beyond
    its ends, the first or last segment is extended. Raises ValueError where that segment does not fall.

    Source: Alemohammad et al. 2024, §5 and figs. 11 and 12.
    """
    order = np.argsort(sizes)
    x, y = np.log(np.asarray(sizes, float)[order]), np.log(np.asarray(distances, float)[order])
    if len(x) < 2 or not (np.isfinite(x).all() and np.isfinite(y).all() and (np.diff(x) > 0).all()):
        raise ValueError("effective sample size: takes two or more sizes and distances, all above 0")
    target = math.log(distance)
    crossing = np.flatnonzero((y[:-1] >= target) & (target >= y[1:]))
    place = int(crossing[0]) if len(crossing) else 0 if target > y[0] else len(x) - 2
    slope = (y[place + 1] - y[place]) / (x[place + 1] - x[place])
    if slope >= 0:
        low, high = np.exp(x[place : place + 2])
        raise ValueError(f"effective sample size: single fits do not improve from {low:g} to {high:g} rows")
    return math.exp(x[place] + (target - y[place]) / slope)


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


def seeds_note(counts: Iterable[int], what: str = "mean ± s.d.") -> str:
    """What a line is, given the number of seeds of each run: "mean ± s.d. over 3 seeds", or "one seed"."""
    fewest, *_, most = [*sorted(counts)] * 2
    if most == 1:
        return "one seed"
    return f"{what} over {most if fewest == most else f'{fewest}–{most}'} seeds"


def n_note(sizes: Iterable[int | None]) -> str:
    """The numbers of images measured, "n = 1 000"; empty where the table does not say."""
    known = [grouped(size) for size in sorted({size for size in sizes if size is not None})]
    if len(known) > 2:
        return f"n = {known[0]} to {known[-1]}"
    return f"n = {' and '.join(known)}" if known else ""


def grouped(number: float) -> str:
    """A number as it is read, its thousands set apart: 2 000 000, 0.5."""
    return f"{number:,.10g}".replace(",", chr(0x2009))
