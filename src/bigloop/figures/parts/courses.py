"""The course of a training: one generation's, or those of all generations of a run that continues, end to end."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from bigloop.analysis.series import row_of
from bigloop.figures import Material, Snapshots

if TYPE_CHECKING:
    import pandas as pd

WHICH = (
    "generation whose training is shown; 0: of runs that continue from generation to generation, all as one"
)


def snapshots_of(material: Material, run: str, generation: int) -> Snapshots | None:
    """The snapshots of a training; of several, each begins where the one before ended, and that is shown once."""
    parts = trainings(material, run, generation, {g for name, g in material.snapshots if name == run})
    epochs: list[np.ndarray] = []
    images: list[np.ndarray] = []
    for part in parts:
        taken = material.snapshots[run, part]
        first = 1 if epochs else 0
        epochs.append(taken.epochs[first:] + (epochs[-1][-1] if epochs else 0.0))
        images.append(taken.images[first:])
    return Snapshots(np.concatenate(epochs), np.concatenate(images)) if parts else None


def steps_of(material: Material, run: str, seed: int, generation: int) -> pd.DataFrame | None:
    """The table of a training's steps; of several, steps are counted through."""
    import pandas as pd

    there = {g for name, of, g in material.steps if (name, of) == (run, seed)}
    tables: list[pd.DataFrame] = []
    for part in trainings(material, run, generation, there):
        before = int(tables[-1]["step"].iloc[-1]) if tables else 0
        table = material.steps[run, seed, part]
        tables.append(table.assign(step=table["step"] + before))
    return pd.concat(tables, ignore_index=True) if tables else None


def trainings(material: Material, run: str, generation: int, there: Collection[int]) -> list[int]:
    """The generations shown, of those that are there: for 0 all from the first, as far as none is missing."""
    if generation:
        return [generation] if generation in there else []
    if row_of(material, run).get("loop.start") != "continue":
        return []
    missing = next(g for g in range(1, len(there) + 2) if g not in there)
    return list(range(1, missing))
