"""What is left of a vocabulary, against counting by hand and against what chance alone leaves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bigloop.data.densities import known_density
from bigloop.metrics.symbols import symbol_statistics


def statistics(
    symbols: list[int] | np.ndarray, law: list[float] | np.ndarray, tail: float = 0.1
) -> dict[str, float]:
    points = np.asarray(symbols, dtype=np.float64)[:, None]
    return {name: value for name, value, _ in symbol_statistics(points, np.asarray(law), tail)}


def test_of_a_few_symbols_by_hand() -> None:
    found = statistics([0, 0, 1, 3], [0.5, 0.3, 0.15, 0.05], tail=0.2)
    assert found["symbols_left"] == 3
    assert found["symbol_diversity"] == pytest.approx(5 / 6)  # of six pairs, one is alike
    assert found["symbol_entropy"] == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))
    assert found["tail_mass"] == 0.25  # symbols 2 and 3
    assert found["symbol_tv"] == pytest.approx((0.0 + 0.05 + 0.15 + 0.2) / 2)


def test_one_symbol_alone() -> None:
    found = statistics([2] * 5, [0.25] * 4)
    assert (found["symbols_left"], found["symbol_diversity"], found["symbol_entropy"]) == (1, 0, 0)
    assert found["symbol_tv"] == 0.75
    assert found["tail_mass"] == 0  # no symbol is as rare as 0.1


def test_of_the_law_itself_they_are_what_chance_leaves() -> None:
    law = known_density("zipf", {"symbols": 50})
    several = [law.sample(200, np.random.default_rng(seed)) for seed in range(400)]
    found = [statistics(points[:, 0], law.probabilities) for points in several]  # type: ignore[attr-defined]
    p = law.probabilities  # type: ignore[attr-defined]
    expected = {
        "symbols_left": (1 - (1 - p) ** 200).sum(),
        "symbol_diversity": 1 - np.square(p).sum(),
        "tail_mass": np.sort(p)[np.cumsum(np.sort(p)) <= 0.1].sum(),
    }
    for name, value in expected.items():
        values = np.array([one[name] for one in found])
        assert abs(values.mean() - value) < 4 * values.std() / math.sqrt(len(values)), name


def test_one_row_is_refused() -> None:
    with pytest.raises(ValueError, match="expected n ≥ 2"):
        statistics([0], [1.0])
