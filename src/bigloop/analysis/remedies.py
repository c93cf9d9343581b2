"""Which remedies for mode collapse help: each run against the plain run of its panel, by each measure.

A panel is a dataset, or one loop on it where several are run ("digits, synthetic").

    found = comparison(tables, ("modes_covered", "mode_kl"))
    found.cells["packed", "ring", "mode_kl"].outcome     # "better", "worse" or "not clear"

The difference of two runs is that of trends.difference, with Welch's error over independent seeds. Whether one helps is
said by its p, adjusted for all comparisons that are judged (trends.holm): where no remedy does anything, the chance
that the table holds one false "better" or "worse" is at most 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
import pandas as pd

from bigloop.analysis.series import Tables, rows_of, run_names
from bigloop.analysis.trends import CONFIDENCE, Change, difference, grid, holm

HIGHER = (  # is better
    *("modes_covered", "good_share", "precision", "recall", "density", "coverage"),
    *("class_entropy", "effective_classes", "vendi"),
)
LOWER = (
    *(
        "mode_kl",
        "forward_kl",
        "reverse_kl",
        "forward_kl_likelihood",
        "reverse_kl_likelihood",
        "jensen_shannon",
    ),
    *("wasserstein1", "wasserstein1_excess", "wasserstein2", "gaussian_wasserstein2", "mean_error"),
    *("fid", "fid_relative", "fid_inception", "class_tv", "different_bins", "bins_js"),
)

Way = Literal["up", "down", ""]
Value = Literal["end", "change"]
Outcome = Literal["better", "worse", "not clear", ""]


@dataclass(frozen=True)
class Cell:
    """A measure of one run: mean ± s.d. over seeds, NaN of one, and its difference from the plain run.

    change: None of the plain run itself, and where that was not measured. better: the way that is better, "" where
    neither is. p: of the difference, adjusted; NaN where it is unknown or nothing is judged.
    """

    run: str
    mean: float
    sd: float
    seeds: int
    change: Change | None = None
    better: Way = ""
    p: float = math.nan

    @property
    def clear(self) -> bool:
        """Whether the 95 % interval of the difference, by itself, excludes 0."""
        return self.change is not None and self.change.sign != "not clear"

    @property
    def outcome(self) -> Outcome:
        """What the run does to the measure; "" where that is not judged."""
        if self.change is None or math.isnan(self.p):
            return ""
        if self.p > 1 - CONFIDENCE:
            return "not clear"
        return "better" if (self.change.value > 0) == (self.better == "up") else "worse"


@dataclass(frozen=True)
class Comparison:
    """All runs against the plain ones.

    runs: (label, panel) → run. plain: panel → its plain run. labels: rows, those of plain runs first. columns:
    (panel, measure) → the generations that its values are of. cells: (label, panel, measure) → what was measured.
    """

    runs: Mapping[tuple[str, str], str]
    plain: Mapping[str, str]
    columns: Mapping[tuple[str, str], tuple[int, ...]]
    cells: Mapping[tuple[str, str, str], Cell]

    @property
    def labels(self) -> tuple[str, ...]:
        plain = [label for label, panel in self.runs if self.is_plain(label, panel)]
        return tuple(dict.fromkeys([*plain, *(label for label, _ in self.runs)]))

    def is_plain(self, label: str, panel: str) -> bool:
        """Whether this row holds the plain run of the panel."""
        return self.runs[label, panel] == self.plain[panel]

    @property
    def blocks(self) -> list[tuple[str, list[str]]]:
        """The panels and the measures that they have."""
        found: dict[str, list[str]] = {}
        for panel, measure in self.columns:
            found.setdefault(panel, []).append(measure)
        return list(found.items())

    @property
    def lone(self) -> bool:
        """Whether an interval is that of two runs of which one has one seed."""
        changes = [cell.change for cell in self.cells.values() if cell.change]
        return any(change.seeds == 1 and math.isfinite(change.error) for change in changes)

    @property
    def judged(self) -> int:
        """How many comparisons the p are adjusted for."""
        return sum(not math.isnan(cell.p) for cell in self.cells.values())


def comparison(
    material: Tables,
    measures: Sequence[str],
    plain: str = "",
    value: Value = "end",
    last: int = 1,
    higher: Iterable[str] = (),
    lower: Iterable[str] = (),
) -> Comparison:
    """Every run against the plain one of its panel: the one of this name or label, or else the first.

    value: a seed's value is its mean over the `last` generations, or its change from the first to the last, for each
    generation between. Both are of the generations that all seeds of all runs of the panel have. higher, lower:
    measures of which so is better, beside those known. Panels without a measure have no column of it. Raises
    ValueError where runs have no such generations, or a panel has no plain run.
    """
    runs = labelled(material)
    plains = plain_runs(material, runs, plain)
    ways = ways_of(higher, lower)
    columns: dict[tuple[str, str], tuple[int, ...]] = {}
    cells: dict[tuple[str, str, str], Cell] = {}
    for panel, base in plains.items():
        names = {label: run for (label, where), run in runs.items() if where == panel}
        for measure in measures:
            grids = {run: found for run in names.values() if (found := _grid(material, run, measure)).size}
            if not grids:
                continue
            columns[panel, measure] = generations = _generations(grids, f"{measure} on {panel}", value, last)
            seeds = {run: _of_seeds(found, generations, value) for run, found in grids.items()}
            for label, run in names.items():
                if run in seeds:
                    cells[label, panel, measure] = _cell(run, base, seeds, ways.get(measure, ""))
    if not columns:
        raise ValueError(f"remedies: no run has one value a generation of {' or '.join(measures)}")
    return Comparison(runs, plains, columns, _adjusted(cells))


def ways_of(higher: Iterable[str] = (), lower: Iterable[str] = ()) -> dict[str, Way]:
    """measure → the way that is better, where one is; `higher` and `lower` beside and before those known."""
    ways: dict[str, Way] = {}
    for way, names in (("up", HIGHER), ("down", LOWER), ("up", higher), ("down", lower)):
        ways |= dict.fromkeys(names, cast(Way, way))
    return ways


def panels(material: Tables) -> dict[str, str]:
    """run → its panel: the dataset, and the loop where the dataset has several."""
    table = material.runs
    loops = table.groupby("dataset")["loop"].nunique() if "loop" in table else pd.Series(dtype=int)
    return {
        str(row["run"]): f"{row['dataset']}, {row['loop']}"
        if loops.get(row["dataset"], 1) > 1
        else str(row["dataset"])
        for _, row in table.iterrows()
    }


def labelled(material: Tables) -> dict[tuple[str, str], str]:
    """(label, panel) → run, in the order of the table; runs of one panel with one label have their names added."""
    table = material.runs
    given = table["label"].fillna(table["run"]) if "label" in table else table["run"]
    where = panels(material)
    keys = [(str(label), where[run]) for label, run in zip(given, run_names(material), strict=True)]
    return {
        (f"{label} ({run})" if keys.count((label, panel)) > 1 else label, panel): run
        for (label, panel), run in zip(keys, run_names(material), strict=True)
    }


def plain_runs(material: Tables, runs: Mapping[tuple[str, str], str], plain: str = "") -> dict[str, str]:
    """The plain run of each panel: the first, or the one of this label, or labelled as the run of this name."""
    label = next((label for (label, _), run in runs.items() if run == plain), plain)
    found: dict[str, str] = {}
    for (own, panel), run in runs.items():
        if not plain or own == label:
            found.setdefault(panel, run)
    for _, panel in runs:
        if panel not in found:
            there = ", ".join(dict.fromkeys(own for own, where in runs if where == panel))
            raise ValueError(f"plain: {panel} has no run named or labelled {plain!r} (it has: {there})")
    return {panel: found[panel] for panel in dict.fromkeys(panel for _, panel in runs)}


def _grid(material: Tables, run: str, measure: str) -> pd.DataFrame:
    rows = rows_of(material, run, measure)
    if "detail" in rows:
        rows = rows[rows["detail"].isna() | (rows["detail"] == "")]
    return grid(rows)


def _generations(grids: Mapping[str, pd.DataFrame], what: str, value: Value, last: int) -> tuple[int, ...]:
    """The last generations in common, or the first and the last."""
    common = sorted(set.intersection(*(set(found.columns) for found in grids.values())))
    if not common:
        raise ValueError(f"remedies: {what} has no generation that all runs have; choose some by `runs`")
    if value == "change" and len(common) < 2:
        raise ValueError(f"value: change needs two generations that all runs have, {what} has one")
    return tuple(int(g) for g in (common[-last:] if value == "end" else (common[0], common[-1])))


def _of_seeds(found: pd.DataFrame, generations: tuple[int, ...], value: Value) -> pd.DataFrame:
    """One value a seed, as rows of a measure."""
    if value == "end":
        values = found[list(generations)].mean(axis=1)
    else:
        first, last = generations
        values = (found[last] - found[first]) / (last - first)
    return pd.DataFrame({"seed": values.index, "generation": generations[-1], "value": values.to_numpy()})


def _cell(run: str, plain: str, seeds: Mapping[str, pd.DataFrame], better: Way) -> Cell:
    values = seeds[run]["value"].to_numpy(float)
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    found = difference(seeds[run], seeds[plain]) if run != plain and plain in seeds else None
    p = found.p() if found and better else math.nan
    return Cell(run, float(values.mean()), sd, len(values), found, better, p)


def _adjusted(cells: Mapping[tuple[str, str, str], Cell]) -> dict[tuple[str, str, str], Cell]:
    adjusted = holm([cell.p for cell in cells.values()])
    return {key: replace(cell, p=p) for (key, cell), p in zip(cells.items(), adjusted, strict=True)}
