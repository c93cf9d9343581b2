"""Loops of later papers against their closed forms: the loop itself, many seeds at once, is the experiment."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigloop.analysis.loops import theory
from bigloop.analysis.tables import runs_table
from bigloop.metrics.theory import accumulating_recursion, drifting_diversity
from bigloop.spec.jobs import CollectSpec, TableRun
from bigloop.spec.runs import RunSpec

from ..simulated import advanced, made, run_of, whole

pytestmark = pytest.mark.long

LIMIT = 4.0  # standard errors of the mean over seeds: a test of 12 generations fails by chance once in 1 300
ACCUMULATE = {
    "initial": {"n": 10},
    "samples": 10,
    "real": {"fixed": 10},
    "synthetic": {"n": 10, "from": "all"},
}


def off(run: RunSpec, measure: str, expected: np.ndarray, seeds: int, **measures: Any) -> float:
    """The largest deviation of a mean over seeds from what is expected of it, in standard errors."""
    with tempfile.TemporaryDirectory() as folder:
        table = made(Path(folder), whole(run, seeds, len(expected), measures=measures))
    by_generation = table[table["measure"] == measure].groupby("generation")["value"]
    return float(np.abs((by_generation.mean() - expected) / by_generation.sem()).max())


def expected_of(run: RunSpec, measure: str, generations: int) -> np.ndarray | None:
    """What the tables' theory says of a run."""
    known = TableRun("a", "a", "a", run.dataset, "loop", generations, (0,), run)
    row = runs_table(CollectSpec("e", (known,), (), ())).iloc[0].dropna()
    return theory(row.to_dict(), measure, generations)


@pytest.mark.parametrize("draws", ["rows", "moments"])
@pytest.mark.parametrize("bias", [1.0, 0.7])
def test_what_accumulates_stays_bounded_as_the_product_says(draws: str, bias: float) -> None:
    run = run_of(ACCUMULATE | {"bias": bias}, options={"draws": draws})
    mean_error, variance = accumulating_recursion(12, 10, 10, bias)
    if bias == 1:
        assert variance[-1] == pytest.approx(np.prod([1 - 1 / (k * (10 * k - 1)) for k in range(2, 13)]))
        assert variance[-1] == pytest.approx(0.9427, abs=5e-5)
    assert off(run, "trace", variance, 2_000, moments={}) < LIMIT
    assert off(run, "mean_error", mean_error, 2_000, moments={}) < LIMIT
    assert expected_of(run, "trace", 12) == pytest.approx(variance)
    assert expected_of(run, "sd", 12) is None


def test_moments_of_rows_that_stay_are_drawn_once() -> None:
    block = advanced(run_of(ACCUMULATE, options={"draws": "moments"}), 3, 3)
    kept = {g: arrays["mean"].copy() for g, arrays in block.pool.items()}
    block.advance(lambda line: None)
    assert sorted(kept) == [1, 2, 3]
    assert all((block.pool[g]["mean"] == mean).all() for g, mean in kept.items())


def test_a_budget_drawn_from_all_rows_loses_no_variance_as_replacing_them_does() -> None:
    """Kazdan et al. 2024. The mean of the variance itself would not tell: it is 1 where all rows are replaced."""
    pooled = run_of(ACCUMULATE | {"pool": {"n": 10}})
    alone = {"initial": {"n": 10}, "samples": 10, "synthetic": {"n": 10}}
    ends = {}
    for name, run in (("replace", run_of(alone)), ("pool", pooled), ("accumulate", run_of(ACCUMULATE))):
        log_variance = np.log(advanced(run, 300, 30).model.covariance[:, 0, 0].numpy())
        ends[name] = log_variance.mean(), log_variance.std() / np.sqrt(len(log_variance))
    (low, _), (middle, error), (high, _) = ends["replace"], ends["pool"], ends["accumulate"]
    assert low < -3 < middle - 10 * error
    assert abs(middle - high) < 0.5  # both stay near 0, a fit of 10 rows alone at −0.12
    assert expected_of(pooled, "trace", 5) is None


FRESH = {"initial": {"n": 50}, "samples": 40, "synthetic": {"n": 30}, "real": {"fresh": 10}}


@pytest.mark.parametrize("loop", [{"initial": {"n": 50}, "samples": 40, "synthetic": {"n": 40}}, FRESH])
def test_symbols_drift_as_alleles_do(loop: dict[str, Any]) -> None:
    run = run_of(loop, "counting", "zipf", symbols=20)
    law = np.arange(1, 21) ** -1.0 / np.sum(np.arange(1, 21) ** -1.0)
    real, synthetic = loop.get("real", {}).get("fresh", 0), loop["synthetic"]["n"]
    expected = drifting_diversity(8, 1 - np.square(law).sum(), 50, real, synthetic)
    assert off(run, "symbol_diversity", expected, 2_000, symbols={"n": 40}) < LIMIT
    assert expected_of(run, "symbol_diversity", 8) == pytest.approx(expected)
    assert expected_of(run, "symbol_entropy", 8) is None
    if not real:
        assert expected[1:] / expected[:-1] == pytest.approx(np.full(7, 1 - 1 / 40))


def test_kernels_smooth_what_they_smoothed_before() -> None:
    run = run_of({"initial": {"n": 50}, "samples": 40, "synthetic": {"n": 40}}, "kde")
    expected = (1 - 1 / 50 + 50**-0.4) * (1 - 1 / 40 + 40**-0.4) ** np.arange(6)
    assert off(run, "variance", expected, 2_000, variance={"n": 40}) < LIMIT
    assert expected_of(run, "variance", 6) == pytest.approx(expected)


def test_the_table_of_runs_says_what_rules_a_loop_follows() -> None:
    run = run_of(ACCUMULATE | {"pool": {"n": 10, "real": 0.5}})
    known = TableRun("a", "a", "a", run.dataset, "loop", 3, (0,), run)
    row = runs_table(CollectSpec("e", (known,), (), ())).iloc[0]
    assert (row["loop.pool.n"], row["loop.pool.real"], row["loop.rules"]) == (10, 0.5, "pool")
