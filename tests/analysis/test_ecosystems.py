"""Distances between the members of ecosystems, and from when on they agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bigloop.analysis.ecosystems import Together, ecosystems


def table(values: dict[tuple[str, str, int], list[float]]) -> pd.DataFrame:
    rows = [
        {"run": run, "detail": other, "generation": t, "seed": seed, "value": value}
        for (run, other, t), several in values.items()
        for seed, value in enumerate(several)
    ]
    real = {"run": "real", "value": 0.1, "dataset": "normal", "n": 50}
    found = pd.DataFrame([*(r | {"dataset": "normal", "n": 50} for r in rows), real]).assign(
        measure="between"
    )
    return found.reindex(columns=["run", "detail", "generation", "seed", "value", "dataset", "n", "measure"])


RUNS = pd.DataFrame(
    [
        {"run": "p-a", "shares.p-a": 0.5, "shares.p-b": 0.5},
        {"run": "p-b", "shares.p-a": 0.25, "shares.p-b": 0.75},
        {"run": "alone"},
    ]
)


def test_distances_are_means_over_seeds_in_the_order_of_the_members() -> None:
    measures = table({("p-a", "p-b", 1): [1.0, 3.0], ("p-b", "p-a", 1): [2.0, 2.0]})
    (one,) = ecosystems(measures, RUNS)
    assert one.members == ("p-a", "p-b")
    assert one.shares.tolist() == [[0.5, 0.5], [0.25, 0.75]]
    assert one.distances[1][0, 1] == one.distances[1][1, 0] == 2.0
    assert np.isnan(one.distances[1][0, 0])
    assert (one.floor, one.seeds) == (0.1, 2)


def test_runs_without_such_a_measure_are_no_ecosystem() -> None:
    assert ecosystems(table({}), RUNS) == []


@pytest.mark.parametrize(
    ("apart", "agreed"),
    [
        ([1.0, 0.5, 0.19, 0.1], 3),
        ([0.1, 0.1], 1),
        ([0.1, 0.3, 0.1], 3),  # they parted again in between
        ([1.0, 0.1, 0.3], None),
        ([1.0], None),
    ],
)
def test_consensus_is_reached_where_it_is_kept(apart: list[float], agreed: int | None) -> None:
    distances = {t: np.array([[np.nan, d], [d, np.nan]]) for t, d in enumerate(apart, start=1)}
    assert Together(("a", "b"), np.eye(2), distances, 0.1, 1).consensus == agreed
