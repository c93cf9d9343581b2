"""Trends and differences agree with scipy.stats, err as often as they say, and know when they know nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bigloop.analysis.loops import kind_of_loop
from bigloop.analysis.trends import CONFIDENCE, Change, change, difference, number, series

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


def test_one_seed_is_a_least_squares_line_with_its_own_error() -> None:
    values = noise(8)
    found, line = change(rows(values)), stats.linregress(np.arange(1, 9), values)
    assert found.value == pytest.approx(7 * line.slope)
    assert found.error == pytest.approx(7 * line.stderr)
    assert (found.seeds, found.freedom, found.generations) == (1, 6, tuple(range(1, 9)))
    assert (found.first, found.last) == (values[0], values[-1])


def test_several_seeds_are_a_line_each_and_their_spread_is_the_error() -> None:
    values = noise(3, 5)
    slopes = [4 * stats.linregress(np.arange(1, 6), seed).slope for seed in values]
    found = change(rows(values))
    assert found.value == pytest.approx(np.mean(slopes))
    assert found.error == pytest.approx(stats.sem(slopes))
    assert found.freedom == 2
    assert found.margin == pytest.approx(np.ptp(stats.t.interval(CONFIDENCE, 2, scale=found.error)) / 2)


def test_a_clear_trend_of_several_seeds_is_students_test_of_their_slopes() -> None:
    for seed in range(40):
        values = noise(3, 4, seed=seed) + np.arange(4)
        slopes = [stats.linregress(np.arange(4), v).slope for v in values]
        assert (change(rows(values)).sign != "not clear") == (stats.ttest_1samp(slopes, 0).pvalue < ALPHA)


def test_a_straight_line_has_no_error_and_a_constant_no_trend() -> None:
    line = change(rows([1.0, 3.0, 5.0, 7.0]))
    assert line.value == pytest.approx(6)
    assert line.error == pytest.approx(0, abs=1e-12)  # rounding
    assert line.sign == "up"
    assert change(rows([7.0, 5.0, 3.0, 1.0])).sign == "down"
    for constant in ([0.1] * 7, np.full((3, 7), 0.1)):  # 0.1 is not exact: its mean rounds
        assert change(rows(constant)).sign == "not clear"


@pytest.mark.parametrize(("seeds", "generations"), [(1, 1), (1, 3), (3, 1)])
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


@pytest.mark.parametrize("shape", [(1, 6), (2, 4), (3, 5)])
def test_noise_is_a_clear_trend_as_often_as_the_confidence_says(shape: tuple[int, int]) -> None:
    tries = 400
    false = sum(change(rows(noise(*shape, seed=seed))).sign != "not clear" for seed in range(tries))
    low, high = stats.binom.interval(0.999, tries, ALPHA)
    assert low <= false <= high


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
    assert Change(-2.0, 0.5, 3, 1.0, -1.0, 4, (1, 2)).text == "-2 ± 0.5"
