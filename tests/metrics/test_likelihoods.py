"""Divergences by likelihoods are those of Gaussians, in closed form, within the error of their means."""

from __future__ import annotations

import numpy as np
import pytest

from bigloop.data.densities import known_density
from bigloop.measures.points import Generated, Judge
from bigloop.metrics.likelihoods import likelihood_divergences

ROWS, SD, MEAN = 10_000, 0.5, 0.3
STANDARD = known_density("gaussian", {"dimension": 3})


def log_q(points: np.ndarray) -> np.ndarray:
    """ln of N(MEAN, SD² I)."""
    return STANDARD.log_density((points - MEAN) / SD) - 3 * np.log(SD)


def kl(mean: float, sd: float) -> float:
    """D(N(mean, sd² I) ‖ N(0, I)) in three dimensions."""
    return 3 * (sd**2 / 2 + mean**2 / 2 - 0.5 - np.log(sd))


def test_both_directions_are_the_closed_forms_of_gaussians() -> None:
    rng = np.random.default_rng(0)
    real, generated = rng.standard_normal((ROWS, 3)), MEAN + SD * rng.standard_normal((ROWS, 3))
    found = likelihood_divergences(
        (log_q(generated), log_q(real)), (STANDARD.log_density(generated), STANDARD.log_density(real))
    )
    expected = {"forward_kl_likelihood": kl(-MEAN / SD, 1 / SD), "reverse_kl_likelihood": kl(MEAN, SD)}
    for (name, value, _), differences in zip(
        found,
        (
            STANDARD.log_density(real) - log_q(real),
            log_q(generated) - STANDARD.log_density(generated),
        ),
        strict=True,
    ):
        assert abs(value - expected[name]) <= 5 * differences.std() / np.sqrt(ROWS)


def test_points_with_a_sampling_bias_give_the_forward_one_alone() -> None:
    ones = np.ones(4)
    assert likelihood_divergences((None, ones), (2 * ones, 3 * ones)) == [("forward_kl_likelihood", 2.0, "")]


@pytest.mark.parametrize("biased", [False, True])
def test_a_judge_asks_the_model_for_its_density(biased: bool) -> None:
    judge = Judge(STANDARD, {"likelihoods": {"n": 2_000}})
    points = MEAN + SD * np.random.default_rng(1).standard_normal((3_000, 3))
    found = judge.records(Generated(points, log_density=log_q, biased=biased))
    names = ["forward_kl_likelihood", *([] if biased else ["reverse_kl_likelihood"])]
    assert [record["measure"] for record in found] == names
    assert found[0]["value"] == pytest.approx(kl(-MEAN / SD, 1 / SD), rel=0.1)


def test_the_floor_is_0_as_the_density_knows_itself() -> None:
    found = Judge(STANDARD, {"likelihoods": {"n": 100}}).records(
        Generated(np.random.default_rng(1).standard_normal((100, 3)))
    )
    assert [record["value"] for record in found] == [0, 0]
