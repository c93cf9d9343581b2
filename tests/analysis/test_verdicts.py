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
    "effective_classes": 9.5,
    "spacing": 0.2,
    "fid_relative": 0.3,
    "precision": 0.8,
    "recall": 0.7,
    "coverage": 0.6,
}
REAL = {"effective_classes": 9.9, "spacing": 0.19, "fid_relative": 0.01, "precision": 0.95}


def line(first: float, last: float, generations: int = GENERATIONS) -> np.ndarray:
    return np.linspace(first, last, generations)


def measures(
    seeds: int = 3,
    generations: int = GENERATIONS,
    run: str = "vae",
    noise: float = 1e-3,
    rng: int = 0,
    levels: dict[str, float] = LEVELS,
    **curves: Any,
) -> pd.DataFrame:
    """Rows of a run that stays as it is, but for the curves given; noise: standard deviation, relative to the level."""
    random = np.random.default_rng(rng)
    records = []
    for measure, level in levels.items():
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


def verdict(*tables: pd.DataFrame, classes: str = '["0", "1"]') -> dict[str, Any]:
    """The only row of the verdicts of some rows."""
    table = pd.concat(tables, ignore_index=True)
    runs = pd.DataFrame({"run": [run for run in table["run"].unique() if run != "real"], "classes": classes})
    (row,) = verdicts_table(table, runs).to_dict("records")
    return row


@pytest.mark.parametrize(
    ("curves", "expected"),
    [
        ({}, "stable"),
        ({"effective_classes": line(9.5, 3)}, "collapse"),
        ({"effective_classes": line(9.5, 3), "fid_relative": line(0.3, 0.9)}, "collapse"),
        ({"spacing": line(0.2, 0.02)}, "collapse"),
        ({"fid_relative": line(0.3, 0.9)}, "drift"),
        ({"precision": line(0.8, 0.2)}, "drift"),
        ({"recall": line(0.7, 0.0), "coverage": line(0.6, 0.1)}, "drift"),  # images that leave the real ones
        (
            {
                "fid_relative": line(0.3, 0.1),
                "precision": line(0.8, 0.9),
                "effective_classes": line(9.5, 9.9),
            },
            "stable",
        ),
        ({"spacing": line(0.2, 0.4)}, "stable"),
    ],
)
@pytest.mark.parametrize("seeds", [1, 3])
def test_each_verdict(curves: dict[str, np.ndarray], expected: str, seeds: int) -> None:
    found = verdict(measures(seeds, **curves), real())
    assert found["verdict"] == expected
    assert ("one seed" if seeds == 1 else "3 seeds") in found["reason"]


def test_the_reason_of_a_collapse_names_the_loss_of_quality_beside_that_of_variety() -> None:
    found = verdict(measures(spacing=line(0.2, 0.01), fid_relative=line(0.3, 0.9)))
    assert found["verdict"] == "collapse"
    assert "the spacing of images 0.2 → 0.01" in found["reason"]
    assert "quality falls, too: FID relative to the variance of real features 0.3 → 0.9" in found["reason"]


@pytest.mark.parametrize(
    ("measure", "inside", "beyond", "expected"),
    [
        ("effective_classes", line(9.5, 0.853 * 9.5), line(9.5, 0.847 * 9.5), "collapse"),
        ("spacing", line(0.2, 0.102), line(0.2, 0.098), "collapse"),
        ("fid_relative", line(0.3, 0.395), line(0.3, 0.405), "drift"),
        ("precision", line(0.75, 0.657), line(0.75, 0.643), "drift"),
        ("recall", line(0.75, 0.657), line(0.75, 0.643), "drift"),
        ("coverage", line(0.55, 0.457), line(0.55, 0.443), "drift"),
    ],
)
def test_the_limits_lie_where_they_are_said_to(
    measure: str, inside: np.ndarray, beyond: np.ndarray, expected: str
) -> None:
    assert verdict(measures(noise=1e-4, **{measure: inside}))["verdict"] == "stable"
    assert verdict(measures(noise=1e-4, **{measure: beyond}))["verdict"] == expected


def test_losing_a_surplus_over_real_images_is_no_collapse() -> None:
    curve = {"spacing": line(0.5, 0.18)}
    assert verdict(measures(**curve), real())["verdict"] == "stable"
    assert verdict(measures(**curve))["verdict"] == "collapse"


def test_without_classes_recall_and_coverage_stand_for_variety() -> None:
    curves = {"recall": line(0.7, 0.1), "fid_relative": line(0.3, 0.9)}
    assert verdict(measures(**curves))["verdict"] == "drift"
    found = verdict(measures(effective_classes=None, **curves), classes="[]")
    assert found["verdict"] == "collapse"
    unmeasured = verdict(measures(effective_classes=None, spacing=None, **curves))
    assert unmeasured["verdict"] == "not measured"


@pytest.mark.parametrize(
    ("curves", "expected"),
    [
        ({"modes_covered": line(25, 9)}, "collapse"),
        ({"variance": line(1.0, 0.1)}, "collapse"),
        ({"modal_variance": line(0.02, 0.002), "good_share": line(0.9, 0.9)}, "collapse"),
        ({"trace": line(100, 20)}, "collapse"),
        ({"variance": line(1.0, 1.0), "good_share": line(0.9, 0.5)}, "drift"),
        ({"variance": line(1.0, 1.0)}, "stable"),
        ({"variance": line(1.0, 3.0)}, "drift"),  # as kernels that smooth their own samples
        ({"trace": line(1.0, 3.0), "modes_covered": line(8, 8)}, "drift"),
        ({"variance": line(1.0, 3.0), "modes_covered": line(25, 9)}, "collapse"),
        ({"variance": line(1.0, 1.9)}, "stable"),
        ({"precision": line(0.9, 0.9)}, "not measured"),
    ],
)
def test_a_run_on_a_known_density_is_judged_by_its_modes_and_variance(
    curves: dict[str, np.ndarray], expected: str
) -> None:
    others = dict.fromkeys(LEVELS)
    table = measures(**(others | curves), levels={name: curve[0] for name, curve in curves.items()})
    (row,) = verdicts_table(table, pd.DataFrame({"run": ["vae"], "density": ["grid"]})).to_dict("records")
    assert row["verdict"] == expected, row["reason"]


def test_a_limit_passed_within_the_error_is_not_clear() -> None:
    seeds = [measures(1, fid_relative=line(0.3, last), rng=i) for i, last in enumerate((0.2, 0.3, 0.9))]
    table = pd.concat(rows.assign(seed=seed) for seed, rows in enumerate(seeds))
    found = verdict(table)
    assert found["verdict"] == "not clear"
    assert "features 0.3 → 0.467" in found["reason"]
    assert "may be worse by" in found["reason"]


def test_drift_is_not_said_while_the_loss_of_variety_is_not_clear() -> None:
    seeds = [
        measures(1, fid_relative=line(0.3, 0.9), effective_classes=line(9.5, last), rng=i)
        for i, last in enumerate((9.5, 9.5, 2.0))
    ]
    found = verdict(pd.concat(rows.assign(seed=seed) for seed, rows in enumerate(seeds)))
    assert found["verdict"] == "not clear"


@pytest.mark.parametrize(
    ("seeds", "generations", "expected"),
    [(1, 3, "too short"), (1, 4, "collapse"), (3, 2, "too short"), (2, 3, "collapse")],
)
def test_short_runs_are_not_judged(seeds: int, generations: int, expected: str) -> None:
    curve = line(9.5, 3, generations=generations)
    found = verdict(measures(seeds, generations, effective_classes=curve))
    assert found["verdict"] == expected
    assert found["generations"] == generations


@pytest.mark.parametrize(
    ("wanted", "named"), [(("spacing", "effective_classes"), "fid_relative"), (("precision",), "spacing")]
)
def test_without_variety_or_without_quality_there_is_no_verdict(wanted: tuple[str, ...], named: str) -> None:
    found = verdict(measures(levels={name: LEVELS[name] for name in wanted}))
    assert found["verdict"] == "not measured"
    assert named in found["reason"]


def test_one_measure_of_each_is_enough() -> None:
    found = verdict(
        measures(levels={"spacing": 0.2, "effective_classes": 9, "precision": 0.9}, precision=line(0.9, 0.3))
    )
    assert found["verdict"] == "drift"
    assert math.isnan(found["recall_last"])


def test_a_run_without_rows_and_a_table_without_detail_or_dataset_are_no_error() -> None:
    table = measures().drop(columns=["detail", "dataset", "n", "k"])
    found = verdicts_table(table, pd.DataFrame({"run": ["vae", "planned"]})).set_index("run")
    assert list(found["verdict"]) == ["stable", "not measured"]
    assert list(found["seeds"]) == [3, 0]


def test_the_row_has_the_numbers_behind_the_verdict() -> None:
    other = real(n=50, fid_relative=99.0)
    found = verdict(measures(effective_classes=line(9.5, 3)), real(), other)
    assert found["effective_classes_first"] == pytest.approx(9.5)
    assert found["effective_classes_last"] == pytest.approx(3.0)
    assert found["effective_classes_change"] == pytest.approx(-6.5)
    assert found["effective_classes_low"] < -6.5 < found["effective_classes_high"] < -6
    assert found["effective_classes_real"] == pytest.approx(9.9)
    assert found["fid_relative_real"] == 0.01  # of as many images
    assert math.isnan(found["recall_real"])
    assert (found["fid_relative_first"], found["recall_last"]) == pytest.approx((0.3, 0.7))
    assert math.isnan(found["modes_covered_first"])
    assert 0 <= found["p"] < 1e-6
    assert "9.5 → 3" in found["reason"]


def test_order_of_rows_and_names_of_runs_change_nothing() -> None:
    table = pd.concat([measures(effective_classes=line(9.5, 3)), real()], ignore_index=True)
    expected = verdict(table)
    assert verdict(table.sample(frac=1, random_state=1)) == pytest.approx(expected, nan_ok=True)
    renamed = verdict(table.replace({"run": {"vae": "a rose"}}))
    assert renamed | {"run": "vae"} == pytest.approx(expected, nan_ok=True)


def test_each_run_is_judged_by_itself() -> None:
    one, other = measures(fid_relative=line(0.3, 0.9)), measures(run="wgan")
    table = verdicts_table(pd.concat([one, other, real()]), pd.DataFrame({"run": ["wgan", "vae"]}))
    assert list(table["run"]) == ["wgan", "vae"]
    assert list(table["verdict"]) == ["stable", "drift"]


def null(number: int, runs: int, seeds: int, generations: int, step: float) -> pd.DataFrame:
    """An experiment of runs whose quantities are random walks: nothing drives them anywhere."""
    random = np.random.default_rng(number)
    walks = random.normal(size=(len(LEVELS), runs, seeds, generations)).cumsum(axis=-1)
    places = [axis.ravel() for axis in np.indices(walks.shape)]
    names = np.array(list(LEVELS))[places[0]]
    levels = np.array(list(LEVELS.values()))[places[0]]
    columns = {"run": [f"run {i}" for i in places[1]], "seed": places[2], "generation": places[3] + 1}
    values = levels * (1 + step * walks.ravel())
    return pd.DataFrame(columns | {"measure": names, "value": values, "dataset": "mnist", "detail": ""})


@pytest.mark.long
@pytest.mark.parametrize("seeds", [1, 3])
def test_an_experiment_of_14_runs_in_which_nothing_happens_has_a_false_word_in_one_case_of_twenty(
    seeds: int,
) -> None:
    tries, runs, wrong, unclear = 60, [f"run {i}" for i in range(14)], 0, 0
    for number in range(tries):
        table = null(number, 14, seeds, 6, 0.5)  # so that limits are passed all the time
        found = verdicts_table(table, pd.DataFrame({"run": runs}))["verdict"]
        wrong += found.isin(["collapse", "drift"]).any()
        unclear += (found == "not clear").sum()
    assert wrong <= stats.binom.ppf(1 - 1e-4, tries, 1 - CONFIDENCE)
    assert unclear > tries * 14 / 2


def test_little_noise_is_stable() -> None:
    runs = [measures(3, 6, run=f"run {i}", noise=0.01, rng=i) for i in range(100)]
    found = verdicts_table(pd.concat(runs), pd.DataFrame({"run": [f"run {i}" for i in range(100)]}))
    assert set(found["verdict"]) == {"stable"}


def test_what_is_held_against_test_rows_is_read_beside_their_floor_and_says_so() -> None:
    drifts, other = {"fid_relative": line(0.3, 0.9)}, real(fid_relative=99.0).assign(reference="training")
    rows = measures(**drifts).assign(reference="test"), real().assign(reference="test"), other
    found = verdict(*rows)
    assert found["verdict"] == "drift"
    assert found["fid_relative_real"] == 0.01
    assert "FID relative to the variance of real features against test rows 0.3 → 0.9" in found["reason"]
    assert "test rows" not in verdict(measures(**drifts).assign(reference="training"), other)["reason"]


def test_of_symbols_the_vocabulary_counts_and_no_variance() -> None:
    run = {"run": "words", "density": "zipf", "generations": 5}
    rows = [
        {
            "run": "words",
            "dataset": "words",
            "seed": seed,
            "generation": g,
            "measure": measure,
            "value": value(g) + 0.1 * seed,
        }
        for seed in range(4)
        for g in range(1, 6)
        for measure, value in (
            ("symbols_left", lambda g: 600 - 100.0 * g),
            ("symbol_tv", lambda g: 0.01 * g),
            ("variance", lambda g: 1e4),
        )
    ]
    (verdict,) = verdicts_table(pd.DataFrame(rows), pd.DataFrame([run])).to_dict("records")
    assert verdict["verdict"] == "collapse"
    assert "the number of symbols" in verdict["reason"]
    assert "variance" not in verdict["reason"]
