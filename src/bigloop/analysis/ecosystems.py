"""How the members of ecosystems draw together or apart, from an experiment's tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bigloop.analysis.series import REAL

if TYPE_CHECKING:
    import pandas as pd

BETWEEN = "between"
AGREED = 2.0  # times the distance between two sets of real rows: closer than this, models are as good as one


@dataclass(frozen=True)
class Together:
    """An ecosystem: its members in order, the shares of their synthetic rows, (members, members), and the distances
    between them by generation, likewise, means over seeds, NaN on the diagonal. floor: between sets of real rows."""

    members: tuple[str, ...]
    shares: np.ndarray
    distances: Mapping[int, np.ndarray]
    floor: float
    seeds: int

    @property
    def consensus(self) -> int | None:
        """The first generation from which on no two members are farther apart than AGREED floors; None if there is
        none."""
        apart = {g: float(np.nanmax(d)) for g, d in self.distances.items()}
        late = [g for g, most in apart.items() if not most <= AGREED * self.floor]
        after = [g for g in apart if g > max(late, default=0)]
        return min(after) if after else None


def ecosystems(measures: pd.DataFrame, runs: pd.DataFrame) -> list[Together]:
    """The ecosystems among the runs whose members' distances were measured, in the order of the table."""
    found: dict[tuple[str, ...], dict[str, dict[str, float]]] = {}
    for row in runs.to_dict("records"):
        given = {
            str(key).removeprefix("shares."): value for key, value in row.items() if _is_share(key, value)
        }
        if given:
            found.setdefault(tuple(given), {})[str(row["run"])] = {
                name: float(v) for name, v in given.items()
            }
    between = measures[measures["measure"] == BETWEEN]
    several = (_together(members, shares, between) for members, shares in found.items())
    return [one for one in several if one.distances]


def _is_share(key: Any, value: Any) -> bool:
    return str(key).startswith("shares.") and bool(np.isfinite(value))  # no member of the ecosystem: NaN


def _together(
    members: tuple[str, ...], shares: Mapping[str, Mapping[str, float]], between: pd.DataFrame
) -> Together:
    own = between[between["run"].isin(members)]
    places = {name: i for i, name in enumerate(members)}
    distances = {}
    for generation, rows in own.groupby("generation"):
        matrix = np.full((len(members), len(members)), np.nan)
        for (run, detail), values in rows.groupby(["run", "detail"])["value"]:
            matrix[places[run], places[detail]] = values.mean()
        distances[int(generation)] = matrix
    real = between[between["run"] == REAL]
    if len(own):
        real = real[(real["dataset"] == own["dataset"].iloc[0]) & (real["n"] == own["n"].iloc[0])]
    matrix = np.array([[shares.get(one, {}).get(other, 0.0) for other in members] for one in members])
    return Together(members, matrix, distances, float(real["value"].mean()), own["seed"].nunique())
