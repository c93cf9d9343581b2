"""Rank correlation over generations and its interval over seeds, by closed forms and by what they cover."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr, t

from bigloop.analysis.ranks import RankCorrelation, pairs, rank_correlation

from .conftest import SmallTables


def found(*seeds: tuple[list[float], list[float]]) -> pd.DataFrame:
    """Two values of each generation of each seed."""
    parts = [
        pd.DataFrame({"seed": s, "generation": range(1, len(x) + 1), "x": x, "y": y})
        for s, (x, y) in enumerate(seeds)
    ]
    return pd.concat(parts, ignore_index=True)


def test_ranks_count_and_distances_do_not() -> None:
    one = found(([1, 2, 3, 4], [0.1, 5, 6, 1e6]))
    assert rank_correlation(one) == RankCorrelation(pytest.approx(1), pytest.approx(math.nan, nan_ok=True), 1)
    other = found(([1, 2, 3, 4], [0.1, 6, 5, 1e6]))
    assert rank_correlation(other).rho == pytest.approx(1 - 6 * 2 / (4 * 15))  # 1 − 6 Σd² / (n (n² − 1))


def test_the_interval_is_students_over_seeds() -> None:
    x = [1.0, 2, 3, 4, 5]
    correlation = rank_correlation(found((x, [1, 2, 3, 5, 4]), (x, [1, 3, 2, 5, 4]), (x, [2, 1, 4, 3, 5])))
    each = [0.9, 0.8, 0.8]
    half = t.ppf(0.975, 2) * np.std(each, ddof=1) / math.sqrt(3)
    assert correlation.rho == pytest.approx(np.mean(each))
    assert correlation.interval == pytest.approx((np.mean(each) - half, np.mean(each) + half))
    assert str(correlation) == "ρ = 0.83 [0.69, 0.98], 3 seeds"


def test_seeds_that_agree_exactly_scatter_by_the_rounding_to_steps_of_ranks() -> None:
    x = [1.0, 2, 3, 4, 5, 6]
    same = rank_correlation(found((x, x), (x, x), (x, x)))
    one_step = 1 - spearmanr(x, [1, 2, 3, 4, 6, 5]).statistic
    assert same.error == pytest.approx(one_step / math.sqrt(12) / math.sqrt(3))
    assert same.p(0.5) == pytest.approx(2 * t.sf(0.5 / same.error, 2))
    assert same.p(1.0) == pytest.approx(1)


def test_it_never_leaves_what_a_correlation_can_be() -> None:
    x = [1.0, 2, 3]
    assert rank_correlation(found((x, x), (x, [1, 3, 2]))).interval == (-1, 1)


@pytest.mark.parametrize(
    "seeds", [[], [([1, 2], [1, 2])], [([1, 1, 1], [1, 2, 3])], [([1, 2, 3], [4, 4, 4])]], ids=str
)
def test_where_there_is_nothing_to_rank_it_says_so(seeds: list[Any]) -> None:
    table = found(*seeds) if seeds else found(([], []))
    assert str(rank_correlation(table)) == "no rank correlation"


def test_of_independent_values_the_interval_holds_0_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = [
        low <= 0 <= high
        for low, high in (
            rank_correlation(found(*[(list(rng.random(8)), list(rng.random(8))) for _ in range(4)])).interval
            or (1, 1)
            for _ in range(400)
        )
    ]
    # a share of 0.95 of 400 has a standard error of 0.011
    assert abs(np.mean(held) - 0.95) < 0.04


def row(seed: int, generation: int, measure: str, value: float, detail: str = "") -> dict[str, Any]:
    keys = {"run": "a", "seed": seed, "generation": generation, "measure": measure}
    return keys | {"value": value, "detail": detail, "n": 100 if measure == "fid" else np.nan}


def test_losses_stand_beside_the_measure_of_the_same_seed_and_generation() -> None:
    rows = [row(s, g, "fid", 10 * s + g) for s in (0, 1) for g in (1, 2, 3)]
    rows += [
        row(s, g, "final_loss", s - g, name)
        for g in (3, 2)
        for s in (1, 0)
        for name in ("loss_critic", "loss_generator")
    ]
    rows += [
        row(0, 2, "final_loss", 99.0, "loss_kl"),
        row(0, 1, "classes", 0.5, "0"),
        row(0, 1, "classes", 0.5, "1"),
    ]
    material = SmallTables(pd.DataFrame(rows), pd.DataFrame({"run": ["a"]}))
    table = pairs(material, "a", ("final_loss", "loss_critic"), ("fid", ""))
    expected = [(0, 2, -2, 2), (0, 3, -3, 3), (1, 2, -1, 12), (1, 3, -2, 13)]
    assert [tuple(values) for values in table.itertuples(index=False)] == expected
    with pytest.raises(ValueError, match=r"\Ameasure classes has several values in a generation; [^\n]+\Z"):
        pairs(material, "a", ("final_loss", "loss_critic"), ("classes", ""))
