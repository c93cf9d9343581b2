"""Curves, references and choices are what the tables say, and what would mix two things is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from bigloop.analysis.series import (
    chosen,
    curve,
    distribution,
    generations_of,
    reference,
    require,
    run_names,
    runs_with,
    selection,
)

Make = Callable[..., Any]


def real(measure: str, value: float, n: int, dataset: str = "gaussian", **more: Any) -> dict[str, Any]:
    return {"run": "real", "dataset": dataset, "measure": measure, "value": value, "n": n, **more}


def test_chosen_generations_include_first_and_last() -> None:
    assert chosen((), range(1, 21), most=4) == [1, 7, 14, 20]
    assert chosen((), range(1, 4), most=4) == [1, 2, 3]
    assert chosen((), [1], most=4) == [1]
    assert chosen((10, 20), range(1, 6), most=3) == [1, 3, 5]
    for last in range(1, 120):
        found = chosen((), range(1, last + 1), most=5)
        assert (found[0], found[-1], len(set(found))) == (1, last, min(5, last))


def test_wanted_generations_are_taken_where_one_is_there() -> None:
    assert chosen((3, 5, 9), range(1, 6), most=2) == [3, 5]
    assert chosen((3,), [], most=2) == []


def test_a_curve_is_the_mean_and_the_sample_deviation_over_seeds(make_run: Make, make_tables: Make) -> None:
    found = curve(make_tables([make_run("a")], {("a", "fid"): [[1.0, 4.0, 7.0], [3.0, 8.0]]}), "a", "fid")
    assert found is not None
    assert found.generation.tolist() == [1, 2, 3]
    assert found.mean.tolist() == [2.0, 6.0, 7.0]
    assert found.sd.tolist() == pytest.approx([math.sqrt(2), math.sqrt(8), 0.0], rel=1e-15)  # one seed: 0
    assert (found.seeds, found.n) == (2, 100)


def test_a_curve_of_one_detail_leaves_the_others_out(make_run: Make, make_tables: Make) -> None:
    row = {"run": "a", "seed": 0, "generation": 1, "measure": "final_loss"}
    more = [row | {"detail": name, "value": value} for name, value in (("kl", 2.0), ("loss", 5.0))]
    given = make_tables([make_run("a")], {}, more)
    found = curve(given, "a", "final_loss", "kl")
    assert found is not None
    assert found.mean.tolist() == [2.0]
    assert found.n is None
    assert curve(given, "a", "final_loss", "other") is None
    assert curve(given, "a", "fid") is None


def test_a_reference_has_the_dataset_and_the_n_of_its_curve(make_run: Make, make_tables: Make) -> None:
    more = [
        real("fid", 2.0, 100),
        real("fid", 4.0, 100),
        real("fid", 9.0, 50),
        real("fid", 7.0, 100, "other"),
    ]
    given = make_tables([make_run("a")], {("a", "fid"): [[1.0]]}, more)
    assert reference(given, "fid", "gaussian", 100) == 3.0
    assert reference(given, "fid", "other", 100) == 7.0
    assert reference(given, "fid", "gaussian", 10) is None
    assert reference(given, "recall", "gaussian", None) is None


def test_a_distribution_is_a_mean_over_seeds_and_real_data_that_of_the_most_images(
    make_run: Make, make_tables: Make
) -> None:
    row = {"run": "a", "generation": 2, "measure": "class_frequency", "n": 10}
    generated = [
        row | {"seed": s, "detail": d, "value": v}
        for s, d, v in ((0, "0", 0.2), (1, "0", 0.4), (0, "1", 0.8))
    ]
    reals = [real("class_frequency", v, n, detail="0") for v, n in ((0.9, 10), (0.1, 1_000))]
    given = make_tables([make_run("a")], {}, [*generated, *reals])
    found = distribution(given, "a", "class_frequency", "gaussian", 2)
    assert found == {0.0: pytest.approx(0.3, rel=1e-15), 1.0: 0.8}
    assert distribution(given, "real", "class_frequency", "gaussian", None) == {0.0: 0.1}


def test_one_measure_with_two_n_is_refused(make_run: Make, make_tables: Make) -> None:
    more = [{"run": "a", "seed": 0, "generation": 2, "measure": "fid", "value": 1.0, "n": 500}]
    with pytest.raises(ValueError, match=r"measure fid of run a mixes several n \(100, 500\)"):
        curve(make_tables([make_run("a")], {("a", "fid"): [[1.0]]}, more), "a", "fid")


def test_runs_are_selected_by_name_before_how_it_begins(make_run: Make, make_tables: Make) -> None:
    given = make_tables([make_run(name) for name in ("vae", "vae-wide", "gan")], {})
    assert run_names(selection(given, ())) == ["vae", "vae-wide", "gan"]
    assert run_names(selection(given, ("vae",))) == ["vae"]
    assert run_names(selection(given, ("gan", "vae-"))) == ["vae-wide", "gan"]  # in the table's order
    with pytest.raises(ValueError, match=r"no run is named 'other' \(the table has: vae, vae-wide, gan\)"):
        selection(given, ("vae", "other"))


def test_runs_and_generations_with_a_measure_are_those_of_the_table(
    make_run: Make, make_tables: Make
) -> None:
    runs = [make_run("a"), make_run("b")]
    given = make_tables(runs, {("b", "fid"): [[1.0, None, 2.0]], ("a", "sd"): [[1.0]]})
    assert runs_with(given, "fid") == ["b"]
    assert generations_of(given, "b", "fid") == [1, 3]
    require(given, "fid", "sd")
    with pytest.raises(ValueError, match=r"measure recall is missing \(the table has: fid, sd\)"):
        require(given, "fid", "recall")
