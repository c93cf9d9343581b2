"""Modes of stacked pictures: counts and divergences have closed forms where the predictions are known."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from bigloop.metrics.stacked import mode_counts, stacked_modes

EVERY = np.array([*product(range(10), repeat=3)])
MODES = st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=200)


def certain(modes: np.ndarray, classes: int = 10) -> np.ndarray:
    """Probabilities (n, planes, classes) of images whose classes (n, planes) are certain."""
    return np.eye(classes, dtype=np.float32)[modes]


def statistics(probabilities: np.ndarray) -> dict[str, float]:
    """By name; the real side is garbage that must not be looked at."""
    found = stacked_modes(probabilities, np.full((0, 0, 0), np.nan))
    assert not any(detail for _, _, detail in found)
    return {name: value for name, value, _ in found}


def test_all_modes_evenly_are_covered_with_no_divergence() -> None:
    found = statistics(certain(np.repeat(EVERY, 3, axis=0)))
    assert found == pytest.approx({"modes_covered": 1_000, "mode_kl": 0}, abs=1e-12)  # float64 rounding


@pytest.mark.parametrize("modes", [1, 2, 8, 500])
def test_some_modes_evenly_have_the_divergence_of_their_share(modes: int) -> None:
    chosen = np.random.default_rng(0).permutation(EVERY)[:modes]
    found = statistics(certain(np.repeat(chosen, 4, axis=0)))
    assert found == pytest.approx({"modes_covered": modes, "mode_kl": math.log(1_000 / modes)})


@given(MODES)
def test_modes_are_distinct_triples_and_the_divergence_is_scipys(modes: list[tuple[int, ...]]) -> None:
    found = statistics(certain(np.array(modes), classes=4))
    shares = [modes.count(mode) / len(modes) for mode in product(range(4), repeat=3)]
    assert found["modes_covered"] == len(set(modes))
    assert found["mode_kl"] == pytest.approx(scipy_entropy(shares, [1 / 64] * 64), abs=1e-12)


def test_a_plane_is_of_its_most_probable_class() -> None:
    unsure = np.array([[[0.6, 0.4], [0.49, 0.51]], [[0.51, 0.49], [0.1, 0.9]], [[0.2, 0.8], [0.7, 0.3]]])
    assert mode_counts(unsure).tolist() == [0, 2, 1, 0]
    assert statistics(unsure)["modes_covered"] == 2


def test_modes_are_numbered_as_the_labels_of_stacked_digits() -> None:
    (mode,) = np.flatnonzero(mode_counts(certain(np.array([[7, 0, 4]]))))
    assert mode == 704


def test_planes_change_nothing_by_changing_places_and_repeated_digits_are_one_mode() -> None:
    modes = np.array([[1, 2, 3], [3, 2, 1], [2, 2, 2], [2, 2, 2]])
    found = statistics(certain(modes))
    assert found["modes_covered"] == 3
    assert statistics(certain(modes[:, [2, 0, 1]])) == pytest.approx(found)


def test_uniform_draws_miss_modes_and_diverge_as_their_number_says() -> None:
    rng, m = np.random.default_rng(0), 1_000
    for n in (1_000, 26_000):
        found = [statistics(certain(rng.integers(10, size=(n, 3)))) for _ in range(20)]
        covered = m * (1 - (1 - 1 / m) ** n)
        empty = math.exp(-n / m)  # the number of empty cells has the variance m p (1 − (1 + n/m) p); 20 draws
        spread = math.sqrt(m * empty * (1 - (1 + n / m) * empty) / 20)
        assert np.mean([f["modes_covered"] for f in found]) == pytest.approx(covered, abs=4 * spread + 1e-6)
        if (
            n > 10 * m
        ):  # 2n KL is χ² of m − 1 degrees of freedom, to the next order in m/n; 20 draws, four deviations
            divergence = (m - 1) / (2 * n)
            tolerance = divergence * (4 * math.sqrt(2 / (m - 1) / 20) + m / n)
            assert np.mean([f["mode_kl"] for f in found]) == pytest.approx(divergence, abs=tolerance)
