"""The distance that a critic sees, against what an exact one does."""

from __future__ import annotations

import numpy as np
import pytest

from bigloop.metrics import MEASURES
from bigloop.metrics.critics import critic_distance
from bigloop.metrics.wasserstein import wasserstein1


def test_it_is_how_much_higher_real_images_score() -> None:
    assert critic_distance(np.array([0.1, 0.3]), np.array([0.9, 0.5, 0.7])) == pytest.approx(0.5)
    assert critic_distance(np.array([2.0]), np.array([-1.0])) == -3


def test_the_best_critic_of_slope_one_sees_the_wasserstein_distance_and_no_other_sees_more() -> None:
    rng = np.random.default_rng(0)
    generated = rng.normal(size=(200, 3)) * [1.0, 0, 0]
    real = generated + np.array([2.0, 0, 0])
    exact = wasserstein1(generated, real)
    assert critic_distance(generated[:, 0], real[:, 0]) == pytest.approx(exact)
    for _ in range(50):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        assert critic_distance(generated @ direction, real @ direction) <= exact + 1e-9


def test_float32_scores_are_averaged_in_float64() -> None:
    scores = np.full(100_000, 0.1, np.float32)
    assert critic_distance(np.zeros(3, np.float32), scores) == pytest.approx(np.float32(0.1), rel=1e-12)


def test_it_is_of_images_with_a_critic_alone_and_says_what_it_compares() -> None:
    measure = MEASURES["critic_distance"]
    assert measure.needs_critic
    assert measure.of_images
    assert not measure.of_points
    assert [name for name, other in MEASURES.items() if other.needs_critic] == ["critic_distance"]
