"""Each run against the plain one of its panel: values by hand, intervals and p from SciPy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bigloop.analysis.remedies import Comparison, comparison
from bigloop.analysis.trends import holm

Values = Mapping[str, Sequence[Sequence[float]]]  # measure → values, seeds × generations


class Given(NamedTuple):
    measures: pd.DataFrame
    runs: pd.DataFrame


def given(runs: Mapping[str, tuple[str, str | None, Values]], **more: Any) -> Given:
    """run → (dataset, label, its values); generations count from 1."""
    rows = [
        {
            "run": run,
            "dataset": dataset,
            "measure": name,
            "seed": seed,
            "generation": t,
            "value": value,
            "n": 100,
        }
        for run, (dataset, _, measures) in runs.items()
        for name, values in measures.items()
        for seed, own in enumerate(values)
        for t, value in enumerate(own, start=1)
    ]
    table = [{"run": run, "dataset": dataset, "label": label} for run, (dataset, label, _) in runs.items()]
    return Given(pd.DataFrame(rows).assign(**more), pd.DataFrame(table))


def drawn(mean: float, seeds: int, seed: int) -> list[list[float]]:
    return [[value] for value in np.random.default_rng(seed).normal(mean, 1.0, seeds)]


def flat(values: Sequence[Sequence[float]]) -> np.ndarray:
    return np.ravel(values)


def test_a_cell_is_mean_and_deviation_and_its_interval_is_that_of_welch() -> None:
    plain, packed = drawn(4, 10, 0), drawn(7, 12, 1)
    tables = given({"a": ("ring", "plain", {"vendi": plain}), "b": ("ring", "packed", {"vendi": packed})})
    cells = comparison(tables, ("vendi",)).cells
    cell = cells["packed", "ring", "vendi"]
    assert (cell.mean, cell.sd, cell.seeds) == pytest.approx((np.mean(packed), np.std(packed, ddof=1), 12))
    test = stats.ttest_ind(flat(packed), flat(plain), equal_var=False)
    assert cell.change is not None
    assert cell.change.interval == pytest.approx(test.confidence_interval(0.95), rel=1e-12)
    assert cell.p == pytest.approx(test.pvalue, rel=1e-9)  # of one comparison
    assert cells["plain", "ring", "vendi"].change is None
    assert cells["plain", "ring", "vendi"].outcome == ""


@pytest.mark.parametrize(
    ("measure", "up", "down"),
    [
        *((name, "better", "worse") for name in ("modes_covered", "good_share", "recall", "class_entropy")),
        *((name, "worse", "better") for name in ("mode_kl", "fid", "jensen_shannon", "wasserstein1")),
        *((name, "", "") for name in ("gradient_norm_critic", "seconds")),
    ],
)
def test_which_way_is_better_depends_on_the_measure(measure: str, up: str, down: str) -> None:
    runs = {
        name: ("ring", name, {measure: drawn(mean, 10, seed)})
        for seed, (name, mean) in enumerate({"plain": 20, "up": 30, "down": 10, "same": 20}.items())
    }
    cells = comparison(given(runs), (measure,)).cells
    found = {name: cells[name, "ring", measure].outcome for name in runs}
    assert found == {"plain": "", "up": up, "down": down, "same": "not clear" if up else ""}
    assert cells["up", "ring", measure].clear
    assert not cells["same", "ring", measure].clear


def test_other_measures_can_be_said_to_be_better_higher_or_lower() -> None:
    runs = {
        name: ("ring", name, {"mine": drawn(mean, 10, mean)}) for name, mean in (("plain", 10), ("more", 30))
    }
    for ways, outcome in (({}, ""), ({"higher": ("mine",)}, "better"), ({"lower": ("mine",)}, "worse")):
        assert comparison(given(runs), ("mine",), **ways).cells["more", "ring", "mine"].outcome == outcome
    fid = {name: (data, label, {"fid": own["mine"]}) for name, (data, label, own) in runs.items()}
    assert comparison(given(fid), ("fid",), higher=("fid",)).cells["more", "ring", "fid"].outcome == "better"


def test_what_is_clear_by_itself_may_not_be_after_adjusting_for_all_that_is_judged() -> None:
    runs = {
        f"r{i}": ("ring", f"r{i}", {"fid": drawn(10 + 0.9 * (i % 2), 10, i), "seconds": drawn(i, 10, i)})
        for i in range(12)
    }
    found = comparison(given(runs), ("fid", "seconds"))
    cells = [found.cells[f"r{i}", "ring", "fid"] for i in range(1, 12)]
    plain = flat(runs["r0"][2]["fid"])
    p = [stats.ttest_ind(flat(runs[f"r{i}"][2]["fid"]), plain, equal_var=False).pvalue for i in range(1, 12)]
    assert found.judged == 11  # seconds are neither better nor worse
    assert [cell.p for cell in cells] == pytest.approx(holm(p), rel=1e-9)
    assert [cell.clear for cell in cells] == [value <= 0.05 for value in p]
    assert any(cell.clear and cell.outcome == "not clear" for cell in cells)


def test_rows_are_matched_by_label_and_each_dataset_has_its_own_plain_run() -> None:
    one: Values = {"fid": [[1.0], [2.0]]}
    found = comparison(
        given(
            {
                "ring-packed": ("ring", "packed", one),
                "ring": ("ring", "plain", one),
                "grid": ("grid", "plain", {"fid": [[5.0], [6.0]]}),
                "grid-packed": ("grid", "packed", {"fid": [[8.0], [9.0]]}),
                "grid-bare": ("grid", None, {"fid": [[8.0], [9.0]]}),
            }
        ),
        ("fid",),
        "plain",
    )
    assert found.labels == ("plain", "packed", "grid-bare")
    assert found.plain == {"ring": "ring", "grid": "grid"}
    assert list(found.columns) == [("ring", "fid"), ("grid", "fid")]
    assert found.cells["packed", "grid", "fid"].run == "grid-packed"
    assert differences(found) == {
        ("packed", "ring"): 0.0,
        ("packed", "grid"): 3.0,
        ("grid-bare", "grid"): 3.0,
    }


def differences(found: Comparison) -> dict[tuple[str, str], float]:
    return {
        (label, dataset): cell.change.value
        for (label, dataset, _), cell in found.cells.items()
        if cell.change is not None
    }


def test_the_plain_run_is_the_first_or_one_of_this_label_or_labelled_as_the_run_of_this_name() -> None:
    one: Values = {"fid": [[1.0]]}
    tables = given(
        {
            "a": ("ring", "base", one),
            "b": ("ring", "packed", one),
            "c": ("grid", "packed", one),
            "d": ("grid", "base", one),
        }
    )
    for plain, expected in (("", "ac"), ("base", "ad"), ("packed", "bc"), ("d", "ad"), ("b", "bc")):
        assert "".join(comparison(tables, ("fid",), plain).plain.values()) == expected
    with pytest.raises(
        ValueError, match=r"^plain: ring has no run .* labelled 'other' \(it has: base, packed\)"
    ):
        comparison(tables, ("fid",), "other")


def test_runs_of_one_dataset_with_one_label_keep_two_rows() -> None:
    one: Values = {"fid": [[1.0]]}
    tables = given({"a": ("ring", "GAN", one), "b": ("ring", "GAN", one), "c": ("grid", "GAN", one)})
    assert comparison(tables, ("fid",)).labels == ("GAN (a)", "GAN", "GAN (b)")


def test_the_end_is_the_mean_of_the_last_generations_that_all_runs_have() -> None:
    tables = given(
        {
            "a": ("ring", "plain", {"fid": [[1, 2, 3, 4], [2, 3, 4, 5]]}),
            "b": ("ring", "packed", {"fid": [[1, 5, 7], [1, 5, 9]]}),
        }
    )
    found = comparison(tables, ("fid",))
    assert found.columns == {("ring", "fid"): (3,)}
    assert found.cells["packed", "ring", "fid"].mean == 8
    assert differences(found) == {("packed", "ring"): 8 - 3.5}
    found = comparison(tables, ("fid",), last=2)
    assert found.columns == {("ring", "fid"): (2, 3)}
    assert differences(found) == {("packed", "ring"): 6.5 - 3}


def test_the_change_is_from_the_first_generation_to_the_last_over_the_generations_between() -> None:
    tables = given(
        {
            "a": ("ring", "plain", {"modes_covered": [[8, 7, 9, 2], [8, 1, 1, 5]]}),
            "b": ("ring", "packed", {"modes_covered": [[8, 0, 0, 8], [8, 0, 0, 5]]}),
        }
    )
    found = comparison(tables, ("modes_covered",), value="change")
    assert found.columns == {("ring", "modes_covered"): (1, 4)}
    plain, packed = (found.cells[label, "ring", "modes_covered"] for label in ("plain", "packed"))
    assert (plain.mean, packed.mean) == pytest.approx((-1.5, -0.5))  # of −2, −1 and 0, −1
    assert plain.sd == pytest.approx(math.sqrt(0.5))
    assert packed.change is not None
    assert packed.change.value == pytest.approx(1.0)
    test = stats.ttest_ind([0.0, -1.0], [-2.0, -1.0], equal_var=False)
    assert packed.change.interval == pytest.approx(test.confidence_interval(0.95), rel=1e-12)


def test_one_seed_gives_a_difference_without_an_interval() -> None:
    tables = given({"a": ("ring", "plain", {"fid": [[3.0]]}), "b": ("ring", "packed", {"fid": [[1.0]]})})
    cell = comparison(tables, ("fid",)).cells["packed", "ring", "fid"]
    assert cell.change is not None
    assert cell.change.value == -2
    assert math.isnan(cell.change.error)
    assert math.isnan(cell.sd)
    assert (cell.clear, cell.outcome) == (False, "")


def test_what_is_not_measured_has_no_cell_and_a_dataset_without_the_measure_no_column() -> None:
    one: Values = {"fid": [[1.0], [2.0]]}
    found = comparison(
        given(
            {
                "a": ("ring", "plain", {}),
                "b": ("ring", "packed", one),
                "c": ("grid", "plain", {"vendi": [[2.0]]}),
            }
        ),
        ("fid", "vendi"),
    )
    assert list(found.cells) == [("packed", "ring", "fid"), ("plain", "grid", "vendi")]
    assert list(found.columns) == [("ring", "fid"), ("grid", "vendi")]
    assert found.cells["packed", "ring", "fid"].change is None  # nothing to hold it against


def test_two_loops_on_one_dataset_are_two_panels() -> None:
    one: Values = {"vendi": [[1.0], [2.0]]}
    apart = given({"r": ("ring", "plain", one), "l": ("line", "plain", one)})
    twice = given({f"{name} {loop}": ("ring", name, one) for name in ("plain", "packed") for loop in "ab"})
    found = comparison(twice._replace(runs=twice.runs.assign(loop=list("abab"))), ("vendi",))
    assert found.plain == {"ring, a": "plain a", "ring, b": "plain b"}
    assert found.runs["packed", "ring, b"] == "packed b"
    lone = comparison(apart._replace(runs=apart.runs.assign(loop=list("ab"))), ("vendi",))
    assert lone.plain == {"ring": "r", "line": "l"}


def test_generations_that_cannot_be_compared_are_named() -> None:
    short = given({"a": ("ring", "plain", {"fid": [[1.0]]})})
    with pytest.raises(ValueError, match=r"^value: change needs two generations .*, fid on ring has one"):
        comparison(short, ("fid",), value="change")
    apart = given(
        {"a": ("ring", "plain", {"fid": [[1.0, math.nan]]}), "b": ("ring", "b", {"fid": [[math.nan, 1.0]]})}
    )
    with pytest.raises(ValueError, match=r"^remedies: fid on ring has no generation that all runs have"):
        comparison(apart, ("fid",))
    with pytest.raises(ValueError, match=r"^remedies: no run has one value a generation of fid"):
        comparison(given({"a": ("ring", "plain", {"fid": [[1.0]]})}, detail="3"), ("fid",))
