"""The distance of weights is a Euclidean norm over their number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigloop.metrics.parameters import parameter_distance


def named(parameters: np.ndarray, first: np.ndarray, initial: np.ndarray) -> dict[str, float]:
    return {name: value for name, value, _ in parameter_distance(parameters, first, initial)}


def test_distances_are_euclidean_and_divided_by_the_number_of_parameters() -> None:
    initial, first, now = np.array([1.0, 1]), np.array([1.0, 7]), np.array([4.0, 11])
    assert parameter_distance(now, first, initial) == [
        ("parameter_distance", 5 / 2, ""),
        ("parameter_distance_initial", 6 / 2, ""),
    ]


@given(p=st.integers(1, 100), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_distances_are_pythons_own(p: int, seed: int) -> None:
    now, first, initial = np.random.default_rng(seed).normal(size=(3, p))
    expected = {
        "parameter_distance": math.dist(now, first) / p,
        "parameter_distance_initial": math.dist(first, initial) / p,
    }
    assert named(now, first, initial) == pytest.approx(expected, rel=1e-12)  # sums in another order


def test_the_first_generation_has_not_moved() -> None:
    first, initial = np.random.default_rng(0).normal(size=(2, 50))
    assert named(first, first.copy(), initial)["parameter_distance"] == 0


def test_float32_weights_are_subtracted_and_summed_in_float64() -> None:
    weights = np.random.default_rng(0).normal(100, 1e-3, size=(3, 10_000)).astype(np.float32)
    assert named(*weights) == named(*weights.astype(np.float64))


@pytest.mark.parametrize("shorter", [0, 1, 2])
def test_vectors_of_unequal_length_are_an_error(shorter: int) -> None:
    lengths = [4 if i == shorter else 5 for i in range(3)]
    with pytest.raises(ValueError, match="unequal shapes"):
        parameter_distance(*(np.zeros(p) for p in lengths))
