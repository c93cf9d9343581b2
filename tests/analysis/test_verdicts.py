"""Every verdict is reached by a table made for it, the limits lie where they are said to, and noise is no verdict."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bigloop.analysis.trends import CONFIDENCE
from bigloop.analysis.verdicts import verdicts_table

GENERATIONS = 5
LEVELS = {
    "fid": 10.0,
    "class_entropy": math.log(9.5),
    "intra_class_variance": 40.0,
    "precision": 0.8,
    "recall": 0.7,
}
REAL = {"fid": 0.5, "class_entropy": math.log(10.0), "intra_class_variance": 42.0, "precision": 0.95}


def falling_classes(last: float, first: float = 9.5, generations: int = GENERATIONS) -> np.ndarray:
    return np.log(np.linspace(first, last, generations))


def line(first: float, last: float, generations: int = GENERATIONS) -> np.ndarray:
    return np.linspace(first, last, generations)


def measures(
    seeds: int = 3,
    generations: int = GENERATIONS,
    run: str = "vae",
    noise: float = 1e-3,
    rng: int = 0,
    **curves: Any,
) -> pd.DataFrame:
    """Rows of a run that stays as it is, but for the curves given; noise: standard deviation, relative to the level."""
    random = np.random.default_rng(rng)
    records = []
    for measure, level in LEVELS.items():
        curve = curves.get(measure, np.full(generations, level))
        if curve is None:
            continue
        for seed in range(seeds):
            # The ends have no noise, so that a test can place them exactly.
            wiggle = (
                level
                * noise
                * random.normal(size=generations)
                * (np.arange(generations) % (generations - 1) > 0)
            )
            records += [
                {
                    "run": run,
                    "dataset": "mnist",
                    "seed": seed,
                    "generation": t,
                    "measure": measure,
                    "value": value,
                }
                for t, value in enumerate(curve + wiggle, start=1)
            ]
    return pd.DataFrame(records).assign(n=1_000, k=None, detail="")


def real(n: int = 1_000, **values: float) -> pd.DataFrame:
    rows = [{"run": "real", "dataset": "mnist", "measure": m, "value": v} for m, v in (REAL | values).items()]
    return pd.DataFrame(rows).assign(n=n, detail="")


def verdict(*tables: pd.DataFrame) -> dict[str, Any]:
    """The only row of the verdicts of some rows."""
    table = pd.concat(tables, ignore_index=True)
    runs = pd.DataFrame({"run": [run for run in table["run"].unique() if run != "real"]})
    (row,) = verdicts_table(table, runs).to_dict("records")
    return row


@pytest.mark.parametrize(
    ("curves", "expected"),
    [
        ({}, "stable"),
        ({"class_entropy": falling_classes(3.0)}, "collapse"),
        ({"class_entropy": falling_classes(3.0), "fid": line(10, 90)}, "collapse"),
        ({"intra_class_variance": line(40, 4)}, "collapse"),
        ({"fid": line(10, 90)}, "drift"),
        ({"precision": line(0.8, 0.2)}, "drift"),
        ({"fid": line(10, 90), "recall": line(0.7, 0.0)}, "drift"),  # recall falls in both
        ({"fid": line(10, 5), "precision": line(0.8, 0.9), "class_entropy": falling_classes(9.9)}, "stable"),
        ({"intra_class_variance": line(40, 90)}, "stable"),
    ],
)
@pytest.mark.parametrize("seeds", [1, 3])
def test_each_verdict(curves: dict[str, np.ndarray], expected: str, seeds: int) -> None:
    found = verdict(measures(seeds, **curves), real())
    assert found["verdict"] == expected
    assert ("one seed" if seeds == 1 else "3 seeds") in found["reason"]


@pytest.mark.parametrize(
    ("measure", "inside", "beyond", "expected"),
    [
        ("class_entropy", falling_classes(0.901 * 9.5), falling_classes(0.899 * 9.5), "collapse"),
        ("intra_class_variance", line(40, 20.1), line(40, 19.9), "collapse"),
        ("fid", line(10, 14.9), line(10, 15.0), "drift"),
        ("precision", line(0.75, 0.651), line(0.75, 0.649), "drift"),
    ],
)
def test_the_limits_lie_where_they_are_said_to(
    measure: str, inside: np.ndarray, beyond: np.ndarray, expected: str
) -> None:
    assert verdict(measures(**{measure: inside}))["verdict"] == "stable"
    assert verdict(measures(**{measure: beyond}))["verdict"] == expected


def test_losing_a_surplus_over_real_images_is_no_collapse() -> None:
    curve = {"intra_class_variance": line(100, 41)}
    assert verdict(measures(**curve), real())["verdict"] == "stable"
    assert verdict(measures(**curve))["verdict"] == "collapse"


def test_a_limit_passed_within_the_error_is_not_clear() -> None:
    seeds = [measures(1, fid=line(10, last), rng=i) for i, last in enumerate((8, 12, 60))]
    table = pd.concat(rows.assign(seed=seed) for seed, rows in enumerate(seeds))
    found = verdict(table)
    assert found["verdict"] == "not clear"
    assert "FID 10 → 26.7" in found["reason"]


def test_drift_is_not_said_while_the_loss_of_variety_is_not_clear() -> None:
    seeds = [
        measures(1, fid=line(10, 90), class_entropy=falling_classes(last), rng=i)
        for i, last in enumerate((9.5, 9.5, 2.0))
    ]
    found = verdict(pd.concat(rows.assign(seed=seed) for seed, rows in enumerate(seeds)))
    assert found["verdict"] == "not clear"


@pytest.mark.parametrize(
    ("seeds", "generations", "expected"),
    [(1, 3, "too short"), (1, 4, "collapse"), (3, 2, "too short"), (2, 3, "collapse")],
)
def test_short_runs_are_not_judged(seeds: int, generations: int, expected: str) -> None:
    curve = falling_classes(3.0, generations=generations)
    found = verdict(measures(seeds, generations, class_entropy=curve))
    assert found["verdict"] == expected
    assert found["generations"] == generations


@pytest.mark.parametrize("measure", ["fid", "class_entropy"])
def test_without_a_necessary_measure_there_is_no_verdict(measure: str) -> None:
    found = verdict(measures(**{measure: None}))
    assert found["verdict"] == "not measured"
    assert measure in found["reason"]


def test_without_the_others_there_is_one() -> None:
    bare = dict.fromkeys(("intra_class_variance", "precision", "recall"))
    found = verdict(measures(fid=line(10, 90), **bare))
    assert found["verdict"] == "drift"
    assert math.isnan(found["recall_last"])


def test_a_run_without_rows_and_a_table_without_detail_or_dataset_are_no_error() -> None:
    table = measures().drop(columns=["detail", "dataset", "n", "k"])
    found = verdicts_table(table, pd.DataFrame({"run": ["vae", "planned"]})).set_index("run")
    assert list(found["verdict"]) == ["stable", "not measured"]
    assert list(found["seeds"]) == [3, 0]


def test_the_row_has_the_numbers_behind_the_verdict() -> None:
    found = verdict(measures(class_entropy=falling_classes(3.0)), real(), real(n=50, fid=99.0))
    assert found["effective_classes_first"] == pytest.approx(9.5)
    assert found["effective_classes_last"] == pytest.approx(3.0)
    assert found["effective_classes_change"] == pytest.approx(-6.5, abs=0.1)  # noise of 0.1 % on log 9.5
    assert found["effective_classes_real"] == pytest.approx(10)
    assert found["fid_real"] == 0.5  # of as many images
    assert math.isnan(found["recall_real"])
    assert (found["fid_first"], found["recall_last"]) == pytest.approx((10.0, 0.7))
    assert 0 < found["fid_error"] < 0.1
    assert "9.5 → 3" in found["reason"]


def test_order_of_rows_and_names_of_runs_change_nothing() -> None:
    table = pd.concat([measures(class_entropy=falling_classes(3.0)), real()], ignore_index=True)
    expected = verdict(table)
    assert verdict(table.sample(frac=1, random_state=1)) == pytest.approx(expected, nan_ok=True)
    renamed = verdict(table.replace({"run": {"vae": "a rose"}}))
    assert renamed | {"run": "vae"} == pytest.approx(expected, nan_ok=True)


def test_each_run_is_judged_by_itself() -> None:
    one, other = measures(fid=line(10, 90)), measures(run="wgan")
    table = verdicts_table(pd.concat([one, other, real()]), pd.DataFrame({"run": ["wgan", "vae"]}))
    assert list(table["run"]) == ["wgan", "vae"]
    assert list(table["verdict"]) == ["stable", "drift"]


@pytest.mark.long
@pytest.mark.parametrize("seeds", [1, 3])
def test_noise_alone_is_collapse_or_drift_no_oftener_than_the_error_rate_says(seeds: int) -> None:
    runs = [measures(seeds, 6, run=f"run {i}", noise=1.0, rng=i) for i in range(150)]
    table = pd.concat(runs)
    ends = table["generation"] == 6  # anything may happen at the end, so that limits are passed all the time
    table.loc[ends, "value"] *= np.random.default_rng(1).uniform(0.3, 1.7, ends.sum())
    found = verdicts_table(table, pd.DataFrame({"run": [f"run {i}" for i in range(150)]}))["verdict"]
    wrong = found.isin(["collapse", "drift"]).sum()
    one_sided, tests = (1 - CONFIDENCE) / 2, 4
    assert wrong <= stats.binom.ppf(0.999, len(found), tests * one_sided)
    assert (found == "not clear").sum() > len(found) / 4  # the limits alone would have been passed


def test_little_noise_is_stable() -> None:
    runs = [measures(3, 6, run=f"run {i}", noise=0.02, rng=i) for i in range(100)]
    found = verdicts_table(pd.concat(runs), pd.DataFrame({"run": [f"run {i}" for i in range(100)]}))
    assert set(found["verdict"]) == {"stable"}
