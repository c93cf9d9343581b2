"""Runs beside published values: said to be as published, or not to be, only where that is sure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bigloop.analysis import published
from bigloop.analysis.claims import CLAIMS, claims_table
from bigloop.analysis.claims.evidence import (
    AGREES,
    DISAGREES,
    NOT_CLEAR,
    NOT_TESTED,
    SAME,
    VERIFIED,
    claims_of,
)
from bigloop.analysis.claims.replication import as_published
from bigloop.analysis.verdicts import verdicts_table

GENERATIONS = 12
RANGE = 4.0
CURVE = np.linspace(5, 5 + RANGE, GENERATIONS)
RUN = {"run": "mine", "family": "another", "dataset": "mnist", "published": "some2026/theirs"}
Publish = Callable[[np.ndarray], None]


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Publish:
    """Puts values (generations,) in the place of all that is published, as the one paper that has claims."""
    monkeypatch.setattr(published, "FOLDER", tmp_path)

    def write(values: np.ndarray) -> None:
        rows = [
            ("some2026", "7", "theirs", t, "wasserstein1", value, 500, "pixels", "a test")
            for t, value in enumerate(values, start=1)
        ]
        pd.DataFrame(rows, columns=list(published.COLUMNS)).to_csv(tmp_path / "some2026.csv", index=False)
        claims_of_it = claims_of("Some 2026", as_published("some2026"))
        monkeypatch.setattr("bigloop.analysis.claims.CLAIMS", {"some2026": claims_of_it})

    return write


def rows(values: np.ndarray, **columns: Any) -> pd.DataFrame:
    """The rows of a run from its values, (seeds, generations)."""
    table = [
        {"run": "mine", "seed": seed, "generation": t + 1, "value": values[seed, t]}
        for seed, t in np.ndindex(*values.shape)
    ]
    usual = {"measure": "wasserstein1", "n": 500, "features": "pixels", "detail": "", "dataset": "mnist"}
    return pd.DataFrame(table).assign(**(usual | columns))


def claim(measures: pd.DataFrame, **run: Any) -> dict[str, Any]:
    runs = pd.DataFrame([RUN | run])
    (found,) = claims_table(measures, runs, pd.DataFrame(), verdicts_table(measures, runs)).to_dict("records")
    return found


def noise(seeds: int, scale: float, rng: int = 0, generations: int = GENERATIONS) -> np.ndarray:
    return scale * np.random.default_rng(rng).normal(size=(seeds, generations))


@pytest.mark.parametrize(
    ("off", "verdict"),
    [(0.5, AGREES), (0.94, NOT_CLEAR), (1.06, NOT_CLEAR), (2.0, DISAGREES), (-2.0, DISAGREES)],
)
def test_it_takes_to_be_surely_within_or_beyond_the_tolerance(
    off: float, verdict: str, publish: Publish
) -> None:
    """Off by so many tolerances in one generation, with noise of 5 % of one."""
    publish(CURVE)
    tolerance = SAME * RANGE
    values = CURVE + noise(5, 0.05 * tolerance)
    values[:, 7] += off * tolerance
    assert claim(rows(values))["verdict"] == verdict


def test_the_largest_and_the_mean_difference_are_told_with_generations_and_seeds(publish: Publish) -> None:
    publish(CURVE)
    values = np.stack([CURVE + 0.1, CURVE + 0.1, CURVE + 0.1])[:, :10]
    values[0, 2] += 0.3
    found = claim(rows(values))
    tolerance = SAME * (CURVE[9] - CURVE[0])
    assert found["claim"].endswith("within a quarter of the range that it covers (fig. 7).")
    start, _, end = found["numbers"].partition(" [")
    assert start == "mine: wasserstein1 differs from some2026/theirs by 0.2"  # 0.4, 0.1 and 0.1
    assert end.endswith(
        f"at most and by 0.11 on average, tolerance {tolerance:.3g} (10 of 12 generations, 3 seeds)"
    )


def test_one_seed_is_told_and_not_judged(publish: Publish) -> None:
    publish(CURVE)
    for off in (0.01, 10):
        found = claim(rows(CURVE[None] + off))
        assert (found["verdict"], found["reason"]) == (NOT_TESTED, "one seed: the error is unknown")
        assert f"by {off:g} at most and by {off:g} on average" in found["numbers"]


def test_a_run_that_stays_where_the_published_one_moves_is_never_as_published(publish: Publish) -> None:
    publish(CURVE)
    for level in np.linspace(CURVE[0], CURVE[-1], 9):
        assert claim(rows(level + noise(5, 1e-3)))["verdict"] == DISAGREES


def test_units_and_floors_change_nothing(publish: Publish) -> None:
    values = CURVE + noise(4, 0.2)
    said = set()
    for unit, floor in ((1, 0), (1000, 0), (1e-3, 6)):
        publish(unit * CURVE + floor)
        found = claim(rows(unit * values + floor))
        said.add((found["verdict"], found["reason"]))
    assert len(said) == 1


def test_faithful_runs_verify_and_others_agree(publish: Publish) -> None:
    publish(CURVE)
    values = rows(CURVE + noise(3, 0.01))
    assert claim(values)["verdict"] == AGREES
    assert claim(values, faithful="some2026")["verdict"] == VERIFIED
    assert claim(values, faithful="knutsen2025")["verdict"] == AGREES


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"n": 600}, "wasserstein1 is published for another n, features or reference"),
        ({"features": "inception-64"}, "wasserstein1 is published for another n, features or reference"),
        ({"reference": "test"}, "wasserstein1 is published for another n, features or reference"),
        ({"measure": "fid"}, "wasserstein1 not measured"),
    ],
)
def test_what_is_measured_otherwise_is_not_held_against(
    columns: dict[str, Any], why: str, publish: Publish
) -> None:
    publish(CURVE)
    found = claim(rows(CURVE + noise(3, 0.01), **columns))
    assert (found["verdict"], found["reason"]) == (NOT_TESTED, why)


def test_few_common_generations_and_other_runs_say_nothing(publish: Publish) -> None:
    publish(CURVE)
    values = rows(CURVE + noise(3, 0.01))
    found = claim(values[values["generation"] <= 2])
    assert (found["verdict"], found["reason"]) == (NOT_TESTED, "fewer than 3 generations in common")
    assert claim(values, published="another2026/theirs")["reason"] == "no such runs"
    assert claim(values, published="")["reason"] == "no such runs"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["noise", "random walks"])
@pytest.mark.parametrize("seeds", [2, 8])
def test_lineages_of_the_same_kind_are_called_different_in_one_case_of_twenty_at_most(
    kind: str, seeds: int, publish: Publish
) -> None:
    """Also where the published values cover no range but their own noise, so that the tolerance is smaller than it."""
    tries, different = 100, 0
    for rng in range(tries):
        all_of = noise(seeds + 1, 1.0, rng)
        theirs, *ours = 9 + (all_of.cumsum(axis=1) if kind == "random walks" else all_of)
        publish(theirs)
        different += claim(rows(np.array(ours)))["verdict"] == DISAGREES
    assert different <= stats.binom.ppf(1 - 1e-4, tries, 0.05)


@pytest.mark.long
@pytest.mark.parametrize("seeds", [2, 8])
def test_what_is_off_by_the_tolerance_is_called_as_published_in_one_case_of_twenty_at_most(
    seeds: int, publish: Publish
) -> None:
    publish(CURVE)
    tries, same = 100, 0
    for rng in range(tries):
        values = CURVE + noise(seeds, 0.2, rng)
        values[:, 4] += SAME * RANGE
        same += claim(rows(values))["verdict"] == AGREES
    assert same <= stats.binom.ppf(1 - 1e-4, tries, 0.05)


def test_every_published_file_has_its_claims() -> None:
    for paper in {name.partition("/")[0] for name in published.runs()}:
        claims = {one.id for one in CLAIMS[paper]}
        assert {f"{m.replace('_', '-')}-as-published" for m in published.measures(paper)} <= claims
