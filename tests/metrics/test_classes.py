"""Class statistics have closed forms where the predictions are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from bigloop.metrics.classes import class_frequencies, class_statistics, effective_classes, entropy

EVEN = np.eye(10)[np.arange(100) % 10]
ONE = np.eye(10)[np.full(100, 3)]


def named(statistics: list[tuple[str, float, str]]) -> dict[str, float]:
    return {name: value for name, value, _ in statistics if name != "class_frequency"}


def test_ten_classes_evenly_have_entropy_ln_10_and_no_distance_to_themselves() -> None:
    assert named(class_statistics(EVEN, EVEN)) == pytest.approx(
        {"class_entropy": math.log(10), "class_tv": 0, "confidence": 1}
    )


def test_one_class_has_entropy_0_and_nine_tenths_of_the_mass_in_the_wrong_place() -> None:
    assert named(class_statistics(ONE, EVEN)) == pytest.approx(
        {"class_entropy": 0, "class_tv": 0.9, "confidence": 1}
    )


def test_disjoint_classes_are_at_total_variation_1() -> None:
    assert named(class_statistics(ONE, np.roll(ONE, 1, axis=1)))["class_tv"] == 1


def test_confidence_is_the_mean_probability_of_the_predicted_class() -> None:
    generated = np.array([[0.6, 0.4], [0.1, 0.9]])
    assert named(class_statistics(generated, generated))["confidence"] == pytest.approx(0.75)


def test_classes_that_nothing_is_predicted_as_are_listed_with_frequency_0() -> None:
    rows = [
        (detail, value) for name, value, detail in class_statistics(ONE, EVEN) if name == "class_frequency"
    ]
    assert rows == [(str(c), float(c == 3)) for c in range(10)]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=200))
def test_frequencies_are_shares_and_entropy_is_scipys(predicted: list[int]) -> None:
    frequencies = class_frequencies(np.eye(10, dtype=np.float32)[predicted])
    assert frequencies == pytest.approx([predicted.count(c) / len(predicted) for c in range(10)])
    assert entropy(frequencies) == pytest.approx(scipy_entropy(frequencies), abs=1e-12)


def test_effective_classes_are_as_many_as_are_even_and_fewer_where_one_is_rare() -> None:
    def of(*shares: int) -> float:
        return effective_classes(np.eye(10)[np.repeat(np.arange(len(shares)), shares)], np.eye(10))

    assert of(*[7] * 10) == pytest.approx(10)
    assert of(5, 5) == pytest.approx(2)
    assert of(30) == pytest.approx(1)
    assert 1 < of(9, 1) < 2


def test_an_image_between_two_classes_counts_half_for_each() -> None:
    between = np.zeros((60, 10))
    between[:, [2, 5]] = 0.51, 0.49
    assert effective_classes(between, EVEN) == pytest.approx(2, abs=1e-3)
