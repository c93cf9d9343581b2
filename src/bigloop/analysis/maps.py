"""Where collapse begins: what is done with synthetic rows, against the share of real ones, cell by cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bigloop.analysis.loops import real_rows, synthetic_rows
from bigloop.analysis.series import Tables, curve, row_of, run_names


@dataclass(frozen=True)
class Cell:
    """A run on the map. policy: its sweep's label. share: of real rows in what generation 2 trains on, in [0, 1]. left:
    of a measure, the mean over seeds in the last generation divided by that in the first."""

    run: str
    policy: str
    share: float
    left: float
    seeds: int


def cells(material: Tables, measure: str) -> list[Cell]:
    """The runs of which the measure is there in several generations, in the order of the table."""
    found = []
    for run in run_names(material):
        row, drawn = row_of(material, run), curve(material, run, measure)
        real, synthetic = real_rows(row), synthetic_rows(row)
        if drawn is None or len(drawn.mean) < 2 or not real + synthetic:
            continue
        first, last = float(drawn.mean[0]), float(drawn.mean[-1])
        left = last / first if first else math.nan
        found.append(Cell(run, str(row.get("sweep", run)), _share(row, real, synthetic), left, drawn.seeds))
    return found


def _share(row: dict, real: int, synthetic: int) -> float:
    """Of a loop that draws a budget with a share of its own, that."""
    given = row.get("loop.pool.real")
    return real / (real + synthetic) if given is None else float(given)


def grid(several: Sequence[Cell]) -> tuple[list[str], list[float], dict[tuple[int, int], Cell]]:
    """Policies in their order, shares rising, and the cell at each (policy, share).

    Raises ValueError for two in one.
    """
    policies = list(dict.fromkeys(cell.policy for cell in several))
    shares = sorted({round(cell.share, 6) for cell in several})
    placed: dict[tuple[int, int], Cell] = {}
    for cell in several:
        place = policies.index(cell.policy), shares.index(round(cell.share, 6))
        if place in placed:
            raise ValueError(f"map: runs {placed[place].run} and {cell.run} share a cell; choose other runs")
        placed[place] = cell
    return policies, shares, placed


def values(policies: int, shares: int, placed: dict[tuple[int, int], Cell]) -> np.ndarray:
    """What is left in each cell, (policies, shares), NaN where no run is."""
    found = np.full((policies, shares), math.nan)
    for place, cell in placed.items():
        found[place] = cell.left
    return found
