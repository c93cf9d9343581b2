"""Where loops end up, and how many real rows in a single fit come as near (Alemohammad et al. 2024, § 5)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bigloop.analysis.series import Tables, row_of, rows_of, run_names


@dataclass(frozen=True)
class End:
    """Where a run ends up: mean over seeds, and the ends of the error bar, one standard error each way."""

    run: str
    x: float
    by: Any
    mean: float
    low: float
    high: float
    seeds: int


def ends_of(
    material: Tables, measure: str, x: str, by: str = "", last: int = 1, with_fresh_data: bool = False
) -> list[End]:
    """Where each run ends up that has the measure and the swept keys x and `by`; raises ValueError if none does.

    A seed's value is its mean over the `last` measured generations. with_fresh_data: loops with fresh rows alone.
    """
    ends = []
    for run in run_names(material):
        row = row_of(material, run)
        at, line = number(row.get(x)), row.get(by) if by else ""
        values = last_values(material, run, measure, last)
        known = not math.isnan(at) and line is not None and len(values) > 0
        if not known or (with_fresh_data and not is_loop_with_fresh_data(row)):
            continue
        mean = float(values.mean())
        error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
        ends.append(End(run, at, line, mean, mean - error, mean + error, len(values)))
    if not ends:
        fresh = ", loop.real.fresh and several generations" if with_fresh_data else ""
        keys = " and ".join(filter(None, (x, by)))
        raise ValueError(f"sweep: no run has {measure}, {keys}{fresh}")
    return ends


def is_loop_with_fresh_data(row: dict[str, Any]) -> bool:
    return row.get("loop.real.fresh", 0) > 0 and row["generations"] > 1


def last_values(material: Tables, run: str, measure: str, last: int = 1) -> np.ndarray:
    """Of each seed, the mean of the `last` generations that were measured, (seeds,); empty where none was."""
    rows = rows_of(material, run, measure).dropna(subset="value").sort_values("generation")
    return rows.groupby("seed")["value"].apply(lambda values: values.iloc[-last:].mean()).to_numpy(float)


def in_effective_samples(material: Tables, ends: Sequence[End], measure: str) -> list[End]:
    """The ends in effective samples for each fresh real row, n_e / n_r, their error bars taken along.

    The bars hold the spread of the loops, not that of the single fits. A bar that reaches a distance of 0 or less,
    which no number of rows has, is left out above.
    """
    fits: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
    found = []
    for end in ends:
        row = row_of(material, end.run)
        key = row["family"], row["dataset"]
        if key not in fits:
            fits[key] = single_fits(material, *key, measure)
        mean, high, low = (
            effective_sample_size(distance, *fits[key]) / row["loop.real.fresh"] if distance > 0 else math.nan
            for distance in (end.mean, end.high, end.low)
        )
        found.append(dataclasses.replace(end, mean=mean, low=high, high=low))
    return found


def single_fits(material: Tables, family: str, dataset: str, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of real rows and the mean distance of single fits on them, (k,) each: runs of one generation.

    Raises ValueError where the runs of this family and dataset have fewer than two such numbers.
    """
    found: dict[float, list[float]] = {}
    for row in material.runs[material.runs["generations"] == 1].to_dict("records"):
        if (row["family"], row["dataset"]) == (family, dataset):
            values = last_values(material, str(row["run"]), measure)
            found.setdefault(float(row["loop.initial.n"]), []).extend(values)
    sizes = sorted(size for size, values in found.items() if values)
    if len(sizes) < 2:
        raise ValueError(
            f"effective: {family} on {dataset} needs two runs of one generation or more, of different"
            f" loop.initial.n, got {len(sizes)}"
        )
    return np.array(sizes), np.array([np.mean(found[size]) for size in sizes])


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
        raise ValueError("effective sample size: needs two or more sizes and distances, all above 0")
    target = math.log(distance)
    crossing = np.flatnonzero((y[:-1] >= target) & (target >= y[1:]))
    place = int(crossing[0]) if len(crossing) else 0 if target > y[0] else len(x) - 2
    slope = (y[place + 1] - y[place]) / (x[place + 1] - x[place])
    if slope >= 0:
        low, high = np.exp(x[place : place + 2])
        raise ValueError(f"effective sample size: single fits do not improve from {low:g} to {high:g} rows")
    return math.exp(x[place] + (target - y[place]) / slope)


def number(value: Any) -> float:
    """`value` as a number, NaN for a word or for nothing."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
