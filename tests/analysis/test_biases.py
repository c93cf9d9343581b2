"""Runs are compared over the sampling bias λ only where they differ in nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bigloop.analysis.biases import biases, comparable_runs

Make = Callable[..., Any]
LAST = {1.0: 4, 0.5: 2, 0.8: 6, 0.66: 4}


@pytest.fixture
def given(make_run: Make, make_tables: Make) -> Any:
    """A run for each λ, with so many generations."""
    runs = [make_run(f"λ-{bias:g}", generations=last, **{"loop.bias": bias}) for bias, last in LAST.items()]
    return make_tables(runs, {(f"λ-{bias:g}", "fid"): [[1.0] * last] for bias, last in LAST.items()})


def test_a_table_without_the_bias_is_unbiased(given: Any) -> None:
    assert biases(given) == {"λ-1": 1.0, "λ-0.5": 0.5, "λ-0.8": 0.8, "λ-0.66": 0.66}
    unsaid = replace(given, runs=given.runs.drop(columns="loop.bias"))
    assert set(biases(unsaid).values()) == {1.0}


def test_the_last_common_generation_or_the_wanted_one_of_those_that_reach_it(given: Any) -> None:
    assert comparable_runs(given, "fid", 0) == ([["λ-0.5", "λ-0.66", "λ-0.8", "λ-1"]], 2)
    assert comparable_runs(given, "fid", 4) == ([["λ-0.66", "λ-0.8", "λ-1"]], 4)
    with pytest.raises(ValueError, match=r"differ only in loop\.bias and reach generation 5"):
        comparable_runs(given, "fid", 5)


def test_runs_that_differ_in_another_key_are_not_joined(given: Any) -> None:
    wide = given.runs.assign(**{"model.hidden": [1, 2, 2, 1]})
    groups, _ = comparable_runs(replace(given, runs=wide), "fid", 0)
    assert sorted(groups) == [["λ-0.5", "λ-0.8"], ["λ-0.66", "λ-1"]]


def test_two_lambdas_are_needed(given: Any) -> None:
    with pytest.raises(ValueError, match=r"two or more runs that differ only in loop\.bias$"):
        comparable_runs(replace(given, runs=given.runs.iloc[:1]), "fid", 0)
    with pytest.raises(ValueError, match="two or more runs"):
        comparable_runs(given, "recall", 0)
