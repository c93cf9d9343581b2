"""Measures of points against a known density, and their floor."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from bigloop.artifacts import ArtifactError
from bigloop.data.densities import known_density, resolve_density
from bigloop.measures.points import Generated, Judge, measure_density, normal_cells, reference
from bigloop.seeding import numpy_generator
from bigloop.spec.jobs import DensityFloorSpec

RING = known_density("ring", {})


def values(judge: Judge, generated: Generated) -> dict[str, float]:
    return {record["measure"]: record["value"] for record in judge.records(generated)}


def test_points_of_the_density_itself_score_as_the_floor_does() -> None:
    measures = {
        "wasserstein1": {"n": 300},
        "modes": {"n": 1000, "least": 0.1},
        "divergences": {"n": 1000, "bins": 16},
        "recall": {"n": 500, "k": 5},
    }
    spec = DensityFloorSpec(resolve_density("ring", {}, ""), {name: (o,) for name, o in measures.items()})
    floor = {record["measure"]: record["value"] for record in measure_density(spec)}
    found = values(Judge(RING, measures), Generated(RING.sample(1000, np.random.default_rng(5))))
    assert floor["modes_covered"] == found["modes_covered"] == 8
    # 1 − exp(−4.5) = 0.989 of a mode's points lie within 3 standard deviations; binomial error 0.003
    assert floor["good_share"] == pytest.approx(1 - np.exp(-4.5), abs=0.02)
    # two samples of one law, as far apart as two others; both scatter by less than a third
    assert found["wasserstein1"] == pytest.approx(floor["wasserstein1"], rel=0.5)
    assert found["recall"] == pytest.approx(floor["recall"], abs=0.1)
    assert found["jensen_shannon"] == pytest.approx(floor["jensen_shannon"], rel=0.5)


def test_points_on_one_mode_show_in_every_measure() -> None:
    judge = Judge(RING, {"modes": {"n": 500, "least": 0.1}, "divergences": {"n": 500, "bins": 16}})
    one = RING.modes[:1] + 0.1 * np.random.default_rng(0).standard_normal((500, 2))
    found = values(judge, Generated(one))
    assert found["modes_covered"] == 1
    assert found["forward_kl"] > found["reverse_kl"] > np.log(8) - 0.5  # seven of eight modes are missed


def test_the_cells_of_a_normal_law_are_its_own_not_those_of_its_sample() -> None:
    bimodal = known_density("bimodal", {})
    judge = Judge(bimodal, {"divergences": {"n": 10, "bins": 200}})
    moments = np.array([0.5]), np.array([[1.3]])
    records = judge.records(Generated(np.zeros((10, 1)), moments))
    assert {record["n"] for record in records} == {None}
    x = np.linspace(-20, 20, 400_001)
    p, q = np.exp(bimodal.log_density(x[:, None])), norm.pdf(x, 0.5, np.sqrt(1.3))
    reverse = np.trapezoid(np.where(q > 1e-300, q * np.log(q / np.maximum(p, 1e-300)), 0), x)
    found = next(record["value"] for record in records if record["measure"] == "reverse_kl")
    # the box ends 4 standard deviations beyond the modes; the cells' width leaves less
    assert found == pytest.approx(reverse, rel=0.02)


def test_the_cells_of_a_narrow_normal_law_are_exact() -> None:
    cells = normal_cells(np.array([0.25]), np.array([[1e-12]]), np.array([0.0]), np.array([1.0]), 2)
    np.testing.assert_allclose(cells, [1, 0, 0], atol=1e-12)


def test_too_few_points_are_one_error() -> None:
    with pytest.raises(ArtifactError, match="needs 100 points, got 50"):
        Judge(RING, {"wasserstein1": {"n": 100}}).records(Generated(np.zeros((50, 2))))


def test_the_reference_is_the_same_for_all_and_the_floor_is_other_points() -> None:
    first, again = (reference(RING, 50, floor=False) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.isin(reference(RING, 50, floor=True), first).any()
    assert not np.isin(RING.sample(50, numpy_generator(0, 0, "real rows")), first).any()
