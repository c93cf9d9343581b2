"""Trends and differences agree with scipy.stats, err as often as they say, and know when they know nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bigloop.analysis.loops import kind_of_loop
from bigloop.analysis.trends import CONFIDENCE, Change, change, difference, drift, holm, number, series, slope

ALPHA = 1 - CONFIDENCE


def rows(values: Any) -> pd.DataFrame:
    """A measure's rows from an array (seeds, generations)."""
    table = np.atleast_2d(np.asarray(values, float))
    seeds, generations = np.indices(table.shape)
    return pd.DataFrame(
        {"seed": seeds.ravel(), "generation": generations.ravel() + 1, "value": table.ravel()}
    )


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_the_steps_of_one_seed_are_students_sample() -> None:
    values = noise(8).cumsum()
    found, steps = change(rows(values)), stats.ttest_1samp(np.diff(values), 0)
    assert found.value == pytest.approx(values[-1] - values[0])
    assert found.error == pytest.approx(7 * stats.sem(np.diff(values)))
    assert found.p() == pytest.approx(steps.pvalue)
    assert (found.seeds, found.freedom, found.generations) == (1, 6, tuple(range(1, 9)))
    assert (found.first, found.last) == (values[0], values[-1])
    assert math.isnan(found.between)
    assert np.isnan(found.another).all()


def test_the_steps_of_all_seeds_are_one_sample() -> None:
    values = noise(3, 5).cumsum(axis=1)
    found, steps = change(rows(values)), np.diff(values).ravel()
    by_steps, by_seeds = (stats.ttest_1samp(x, 0).pvalue for x in (steps, values[:, -1] - values[:, 0]))
    assert found.p() == pytest.approx(min(1, 2 * min(by_steps, by_seeds)))
    assert found.freedom == 11
    assert found.interval == pytest.approx(
        tuple(4 * np.array(stats.ttest_1samp(steps, 0).confidence_interval()))
    )


def test_where_another_seed_is_expected_is_the_prediction_interval_of_the_seeds_changes() -> None:
    values = noise(4, 5).cumsum(axis=1)
    changes = values[:, -1] - values[:, 0]
    found = change(rows(values))
    assert found.between == pytest.approx(changes.std(ddof=1))
    expected = stats.t.interval(CONFIDENCE, 3, changes.mean(), changes.std(ddof=1) * math.sqrt(1 + 1 / 4))
    assert found.another == pytest.approx(expected)


def test_a_step_over_several_generations_weighs_as_many() -> None:
    generations, values = np.array([1, 2, 5, 10, 20]), noise(2, 5).cumsum(axis=1)
    table = rows(values).assign(generation=np.tile(generations, 2))
    gaps = np.tile(np.diff(generations), 2)
    weighted = np.diff(values).ravel() / np.sqrt(gaps)
    (slope_,), (squares,), *_ = np.linalg.lstsq(np.sqrt(gaps)[:, None], weighted)
    found = change(table)
    assert found.value == pytest.approx(19 * slope_)
    assert found.error == pytest.approx(19 * math.sqrt(squares / 7 / gaps.sum()))
    assert found.freedom == 7


def lineages(kind: str, *shape: int) -> np.ndarray:
    """Lineages in which nothing happens: white noise, autoregressive noise of this coefficient, or random walks."""
    steps = noise(*shape)
    if kind in ("white noise", "random walk"):
        return steps if kind == "white noise" else steps.cumsum(axis=-1)
    values, share = steps.copy(), float(kind)
    values[..., 0] /= math.sqrt(1 - share**2)  # as it is after long
    for t in range(1, shape[-1]):
        values[..., t] += share * values[..., t - 1]
    return values


def clear(values: np.ndarray) -> np.ndarray:
    """Whether each lineage has a clear change; `change` says the same of one: see below."""
    gain, error, freedom = drift(values, np.arange(values.shape[-1]))
    seeds, changes = values.shape[1], values[..., -1] - values[..., 0]
    p = 2 * stats.t.sf(np.abs(gain) / error, freedom)
    if seeds > 1:
        p = 2 * np.minimum(p, stats.ttest_1samp(changes, 0, axis=1).pvalue)
    return p <= ALPHA


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_rule_of_the_simulations_below_is_that_of_a_change(seeds: int) -> None:
    walks = noise(60, seeds, 5).cumsum(axis=-1) + np.arange(5)
    assert [change(rows(walk)).sign != "not clear" for walk in walks] == list(clear(walks))


def test_an_abrupt_change_that_all_seeds_share_is_clear() -> None:
    values = np.array([1.0, 1, 0, 0, 0]) + 0.01 * noise(3, 5)
    assert change(rows(values)).p() < 1e-3
    assert change(rows(values[:1])).sign == "not clear"


@pytest.mark.parametrize("generations", [4, 8, 20, 100])
@pytest.mark.parametrize("seeds", [1, 3, 5])
@pytest.mark.parametrize("kind", ["white noise", "0.5", "0.9", "random walk"])
def test_where_nothing_happens_a_trend_is_clear_in_one_case_of_twenty_at_most(
    kind: str, seeds: int, generations: int
) -> None:
    tries = 4_000
    most = stats.binom.ppf(1 - 1e-6, tries, ALPHA)
    assert clear(lineages(kind, tries, seeds, generations)).sum() <= most


def test_a_drift_of_two_step_deviations_is_found_in_eight_generations_of_one_seed() -> None:
    walks = lineages("random walk", 4_000, 1, 8) + 2 * np.arange(8)
    assert clear(walks).mean() > 0.98  # the non-central t has 0.990


def test_the_power_of_one_seed_is_that_of_students_test_and_several_have_nearly_that_of_their_steps() -> None:
    for seeds, generations, effect in ((1, 8, 1.0), (1, 20, 0.5), (3, 8, 0.5), (5, 8, 0.5)):
        found = clear(lineages("random walk", 4_000, seeds, generations) + effect * np.arange(generations))
        steps, alpha = seeds * (generations - 1), ALPHA / (1 if seeds == 1 else 2)
        limit = stats.t.ppf(1 - alpha / 2, steps - 1)
        power = stats.nct.sf(limit, steps - 1, effect * math.sqrt(steps))
        error = 5 * math.sqrt(power * (1 - power) / 4_000)
        assert power - error < found.mean() < power + error + (0 if seeds == 1 else 0.05)


def test_a_slope_over_independent_points_is_the_least_squares_line_of_all_seeds() -> None:
    values = noise(3, 4)
    line = stats.linregress(np.tile(np.arange(1, 5), 3), values.ravel())
    found = slope(rows(values))
    assert found.value == pytest.approx(3 * line.slope)
    assert found.p() == pytest.approx(line.pvalue)
    assert found.freedom == 10


def test_holm_adjusts_as_by_hand_and_leaves_the_unknown() -> None:
    assert holm([0.01, math.nan, 0.04, 0.03, 0.6]) == pytest.approx(
        [0.04, math.nan, 0.09, 0.09, 0.6], nan_ok=True
    )
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_of_many_questions_without_an_answer_holm_lets_one_pass_in_one_case_of_twenty() -> None:
    questions = np.random.default_rng(0).uniform(size=(2_000, 14))
    false = sum(min(holm(list(row))) <= ALPHA for row in questions)
    assert false <= stats.binom.ppf(1 - 1e-6, len(questions), ALPHA)
    assert false >= stats.binom.ppf(1e-6, len(questions), ALPHA)


def test_a_straight_line_has_no_error_and_a_constant_no_trend() -> None:
    line = change(rows([1.0, 3.0, 5.0, 7.0]))
    assert line.value == pytest.approx(6)
    assert line.error == pytest.approx(0, abs=1e-12)  # rounding
    assert line.sign == "up"
    assert change(rows([7.0, 5.0, 3.0, 1.0])).sign == "down"
    for constant in ([0.1] * 7, np.full((3, 7), 0.1)):  # 0.1 is not exact: its mean rounds
        assert change(rows(constant)).sign == "not clear"


@pytest.mark.parametrize(("seeds", "generations"), [(1, 1), (1, 2), (3, 1)])
def test_too_few_rows_leave_the_error_unknown(seeds: int, generations: int) -> None:
    found = change(rows(np.arange(seeds * generations).reshape(seeds, generations)))
    assert math.isnan(found.error)
    assert found.sign == "not clear"
    assert (found.seeds, len(found.generations)) == (seeds, generations)
    assert "unknown" in found.text


def test_only_generations_that_every_seed_has_are_compared() -> None:
    whole = rows(noise(2, 6))
    part = whole[(whole["seed"] == 0) | (whole["generation"] <= 4)]
    assert change(part) == change(whole[whole["generation"] <= 4])


@pytest.mark.parametrize("sizes", [(3, 3), (2, 5)])
def test_a_difference_is_welchs(sizes: tuple[int, int]) -> None:
    a, b = noise(sizes[0], 4), 3 * noise(sizes[1], 6, seed=1) + 1
    found = difference(rows(a), rows(b))
    welch = stats.ttest_ind(a[:, 3], b[:, 3], equal_var=False)
    assert found.generations == (4,)
    assert found.value == pytest.approx(a[:, 3].mean() - b[:, 3].mean())
    assert found.value / found.error == pytest.approx(welch.statistic)
    assert found.freedom == pytest.approx(welch.df)
    assert found.seeds == min(sizes)


def test_over_all_generations_the_means_of_the_common_ones_are_compared() -> None:
    a, b = noise(3, 4), noise(3, 6, seed=1)
    found = difference(rows(a), rows(b), over="all")
    welch = stats.ttest_ind(a.mean(axis=1), b[:, :4].mean(axis=1), equal_var=False)
    assert found.generations == (1, 2, 3, 4)
    assert found.value / found.error == pytest.approx(welch.statistic)


def test_exchanging_the_sides_changes_only_the_sign() -> None:
    a, b = rows(noise(3, 4)), rows(noise(3, 4, seed=1) + 9)
    there, back = difference(a, b), difference(b, a)
    assert (there.value, there.error) == pytest.approx((-back.value, back.error))
    assert (there.sign, back.sign) == ("down", "up")


def test_one_seed_on_one_side_borrows_the_spread_of_the_other() -> None:
    one, many = noise(1, 3), noise(4, 3, seed=1)
    found = difference(rows(one), rows(many))
    pooled = stats.ttest_ind(one[:, 2], many[:, 2], equal_var=True)  # all of the spread is the second side's
    assert found.value / found.error == pytest.approx(pooled.statistic)
    assert found.freedom == pooled.df == 3
    assert difference(rows(many), rows(one)).error == pytest.approx(found.error)


def test_a_difference_of_one_seed_each_or_without_common_generation_is_not_clear() -> None:
    single = difference(rows([1.0, 2.0]), rows([1.0, 50.0]))
    assert single.value == -48
    assert math.isnan(single.error)
    assert single.sign == "not clear"
    late = rows(noise(2, 3)).assign(generation=9)
    apart = difference(rows(noise(2, 3)), late)
    assert apart.generations == ()
    assert apart.sign == "not clear"


def test_equal_seeds_on_both_sides_differ_clearly_if_at_all() -> None:
    same = rows(np.ones((2, 3)))
    assert difference(same, same).sign == "not clear"
    assert difference(same, rows(np.full((2, 3), 2.0))).sign == "down"


def test_the_order_of_rows_and_the_type_of_columns_change_nothing() -> None:
    plain = rows(noise(3, 5))
    shuffled = plain.sample(frac=1, random_state=0).astype({"seed": "Int64", "generation": "Int64"})
    assert change(shuffled) == change(plain)
    assert difference(shuffled, plain).value == 0


def test_series_leave_out_rows_with_a_detail() -> None:
    table = pd.DataFrame(
        {"run": "vae", "measure": ["fid", "class_frequency", "fid"], "value": [1.0, 0.1, 2.0]},
    )
    detailed = table.assign(detail=["", "3", None])
    assert list(series(detailed)) == [("vae", "fid")]
    assert list(series(detailed)["vae", "fid"]["value"]) == [1.0, 2.0]
    assert set(series(table)) == {("vae", "fid"), ("vae", "class_frequency")}


@pytest.mark.parametrize(
    ("run", "kind"),
    [
        ({"loop.synthetic.n": 600, "loop.real.fixed": 0, "loop.real.fresh": 0}, "fully synthetic"),
        ({"loop.synthetic.n": 600}, "fully synthetic"),
        ({"loop.synthetic.ratio": 0.5, "loop.real.fixed": 600}, "synthetic augmentation"),
        ({"loop.synthetic.n": 600, "loop.real.fresh": 60}, "fresh data"),
        ({"loop.synthetic.n": 600, "loop.real.fixed": 60, "loop.real.fresh": 60}, "fresh data"),
        ({"loop.synthetic.ratio": 0.0, "loop.real.fixed": 600}, "real data only"),
        ({"loop.real.fresh": 600}, "real data only"),
        ({"loop.synthetic.n": math.nan, "loop.synthetic.ratio": 1.0}, "fully synthetic"),
        ({}, ""),
    ],
)
def test_the_kind_of_a_loop_is_read_from_its_columns(run: dict[str, float], kind: str) -> None:
    assert kind_of_loop(run) == kind


def test_numbers_have_three_digits_and_no_powers() -> None:
    assert [number(x) for x in (0.012345, 4.5678, 123.4, 1234.5, -98765.0)] == [
        *("0.0123", "4.57", "123", "1234", "-98765")
    ]
    assert Change(-2.0, 0.5, 3, 1.0, -1.0, 4, (1, 2)).text == "-2 [-3.59, -0.409]"
