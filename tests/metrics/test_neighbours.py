"""Nearest-neighbour measures against a double loop, torch-fidelity and prdc, and on sets whose answer is known."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prdc import compute_prdc
from scipy.spatial.distance import cdist
from torch_fidelity.metric_prc import prc_features_to_metric

from bigloop.metrics import neighbours
from bigloop.metrics.neighbours import ball_radii, coverage, density, nearest, precision, recall, spacing

SEEDS = st.integers(0, 2**32 - 1)
MEASURES = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
ROUNDING = 1e-12  # quotients of counts; only the order of a sum or division differs


def measured(generated: np.ndarray, real: np.ndarray, k: int = 5) -> dict[str, float]:
    return {name: measure(generated, real, k) for name, measure in MEASURES.items()}


def by_double_loop(generated: np.ndarray, real: np.ndarray, k: int) -> dict[str, float]:
    """The definitions, word for word."""

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt(np.square(a - b).sum()))

    def radius(points: np.ndarray, i: int) -> float:
        return sorted(distance(points[i], other) for j, other in enumerate(points) if j != i)[k - 1]

    def inside(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
        radii = [radius(centres, j) for j in range(len(centres))]
        return np.array([[distance(p, c) <= r for c, r in zip(centres, radii, strict=True)] for p in points])

    in_real, in_generated = inside(generated, real), inside(real, generated)
    return {
        "precision": in_real.any(axis=1).mean(),
        "recall": in_generated.any(axis=1).mean(),
        "density": in_real.sum() / (k * len(generated)),
        "coverage": in_real.any(axis=0).mean(),
    }


def two_sets(n: int, m: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clouds (n, d) and (m, d) without ties, for which no measure is 0 or 1."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.5, 0.8, size=(n, d)), rng.normal(size=(m, d))


@given(k=st.integers(1, 5), extra=st.tuples(*[st.integers(1, 12)] * 2), d=st.integers(1, 12), seed=SEEDS)
@settings(max_examples=50, deadline=None)
def test_all_four_follow_their_definitions_with_repeated_rows_and_ties(
    k: int, extra: tuple[int, int], d: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    on_a_lattice = rng.integers(-1, 2, size=(10, d))  # ties between different pairs
    pool = np.concatenate([on_a_lattice, rng.normal(size=(10, d))])
    generated, real = (pool[rng.integers(len(pool), size=k + more)] for more in extra)
    assert measured(generated, real, k) == pytest.approx(by_double_loop(generated, real, k), abs=ROUNDING)


@given(
    k=st.integers(1, 4),
    distinct=st.integers(1, 100),
    d=st.integers(1, 40),
    exponents=st.tuples(st.integers(-6, 6), st.integers(-6, 6)),
    seed=SEEDS,
)
@settings(max_examples=60, deadline=None)
def test_every_row_is_in_or_out_as_by_direct_differences_however_the_rows_lie(
    k: int, distinct: int, d: int, exponents: tuple[int, int], seed: int
) -> None:
    """Exactly: rows that are repeated, and centres' own neighbours, lie on the ball's very surface."""
    rng, (scale, offset) = np.random.default_rng(seed), (10.0**e for e in exponents)
    on_a_lattice = rng.integers(-1, 2, size=(distinct, d))  # ties but for rounding, of each pair its own
    pool = scale * np.concatenate([on_a_lattice, rng.normal(size=(distinct, d))]) + offset
    points, centres = (pool[rng.integers(len(pool), size=n)] for n in (30, 100))
    radii = np.sort(cdist(centres, centres), axis=1)[:, k]
    np.testing.assert_array_equal(ball_radii(centres, k), radii)
    inside = cdist(points, centres) <= radii
    assert precision(points, centres, k) == inside.any(axis=1).mean()
    assert density(points, centres, k) == inside.sum() / (k * 30)
    assert coverage(points, centres, k) == inside.any(axis=0).mean()


@pytest.mark.parametrize("seed", range(20))
def test_radii_are_those_of_direct_differences_where_many_pairs_tie_but_for_rounding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scale, offset = 10.0 ** rng.integers(-3, 4, size=2)
    points = scale * rng.integers(-1, 2, size=(200, 3 + seed)) + offset * rng.random()
    np.testing.assert_array_equal(ball_radii(points, 3), np.sort(cdist(points, points), axis=1)[:, 3])


@pytest.mark.parametrize("measure", [precision, density, coverage])
def test_radii_that_are_known_are_taken_as_they_are(measure: Callable[..., float]) -> None:
    generated, real = two_sets(60, 50, d=6)
    assert measure(generated, real, 3, of_real=ball_radii(real, 3)) == measure(generated, real, 3)
    # of another k: the balls are that k's, and density is still over 3
    over = 2 / 3 if measure is density else 1
    expected = pytest.approx(measure(generated, real, 2) * over, rel=ROUNDING)
    assert measure(generated, real, 3, of_real=ball_radii(real, 2)) == expected


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("save_cpu_ram", [False, True], ids=["full", "in parts"])
def test_precision_and_recall_are_torch_fidelitys(k: int, save_cpu_ram: bool) -> None:
    generated, real = two_sets(400, 300, d=20)
    theirs = prc_features_to_metric(
        torch.from_numpy(generated),
        torch.from_numpy(real),
        prc_neighborhood=k,
        prc_batch_size=128,
        save_cpu_ram=save_cpu_ram,
        verbose=False,
    )
    assert 0 < theirs["recall"] < 0.8 * theirs["precision"] < 0.8  # so that an exchange would show
    # theirs averages in float32
    assert precision(generated, real, k) == pytest.approx(theirs["precision"], abs=1e-6)
    assert recall(generated, real, k) == pytest.approx(theirs["recall"], abs=1e-6)


@given(k=st.integers(1, 5), extra=st.tuples(*[st.integers(2, 40)] * 2), d=st.integers(1, 20), seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_all_four_are_prdcs_where_no_distance_equals_a_radius(
    k: int, extra: tuple[int, int], d: int, seed: int
) -> None:
    generated, real = two_sets(k + extra[0], k + extra[1], d, seed)
    assert measured(generated, real, k) == pytest.approx(compute_prdc(real, generated, k), abs=ROUNDING)


def test_rows_at_exactly_the_radius_are_inside_here_and_outside_in_prdc() -> None:
    real = np.arange(10.0)[:, None]  # every ball has radius 1; whole numbers leave nothing to rounding
    beside = np.full((10, 1), -1.0)
    assert measured(beside, real, 1) == {"precision": 1, "recall": 0, "density": 1, "coverage": 0.1}
    assert compute_prdc(real, beside, 1) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_a_collapsed_generator_is_precise_and_recalls_little_and_a_noisy_one_the_reverse() -> None:
    rng = np.random.default_rng(0)
    modes = rng.normal(0, 10, size=(10, 8))
    all_modes, half = modes[np.arange(500) % 10], (np.arange(500) < 250)[:, None]
    real = all_modes + rng.normal(size=(500, 8))
    collapsed = measured(modes[3] + rng.normal(0, 0.5, size=(500, 8)), real)
    noisy = measured(all_modes + rng.normal(size=(500, 8)) * np.where(half, 5, 1), real)
    assert collapsed["precision"] > 0.95
    assert collapsed["recall"] < 0.05
    assert collapsed["density"] > 1
    assert collapsed["coverage"] <= 0.1
    assert noisy["precision"] < 0.6
    assert noisy["recall"] > 0.95
    assert noisy["density"] < 0.6
    assert noisy["coverage"] > 0.8


@given(k=st.integers(1, 8), more=st.integers(1, 30), d=st.integers(1, 20), seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_a_set_against_itself_is_perfect_and_its_density_counts_each_row_and_its_k_nearest(
    k: int, more: int, d: int, seed: int
) -> None:
    points = np.random.default_rng(seed).normal(size=(k + more, d))
    expected = {"precision": 1, "recall": 1, "density": (k + 1) / k, "coverage": 1}
    assert measured(points, points.copy(), k) == pytest.approx(expected, abs=ROUNDING)


@given(seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_the_order_of_rows_is_irrelevant(seed: int) -> None:
    rng = np.random.default_rng(seed)
    generated, real = (np.repeat(side, 2, axis=0) for side in two_sets(30, 40, 5, seed))
    assert measured(rng.permutation(generated), rng.permutation(real)) == measured(generated, real)


def test_an_offset_of_all_features_changes_nothing() -> None:
    # moves distances by 1e-12 here, and by the size of the distances themselves in a float32 matrix product
    generated, real = two_sets(300, 300, d=20)
    assert measured(generated + 1e4, real + 1e4) == measured(generated, real)


def test_float32_features_are_compared_in_float64() -> None:
    generated, real = (1e4 + side.astype(np.float32) for side in two_sets(300, 300, d=20))
    assert generated.dtype == np.float32
    assert measured(generated, real) == measured(generated.astype(float), real.astype(float))
    assert nearest(generated, real) == nearest(generated.astype(float), real.astype(float))


@pytest.mark.parametrize("block", [1, 7, 60])
def test_blocks_give_what_one_block_gives(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generated, real = two_sets(50, 60, d=6)
    in_one = measured(generated, real), nearest(generated, real)
    monkeypatch.setattr(neighbours, "BLOCK", block)
    assert (measured(generated, real), nearest(generated, real)) == in_one


@pytest.mark.parametrize("measure", [*MEASURES.values(), nearest])
def test_memory_is_bounded_by_a_few_blocks(
    measure: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 100)
    generated, real = two_sets(3_000, 3_000, d=10)
    block = 100 * 3_000 * 8
    measure(generated[:10], real[:10])  # imports are not what is measured
    tracemalloc.start()
    try:
        measure(generated, real)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * block  # the full matrix has 30


@pytest.mark.parametrize("measure", MEASURES.values())
@pytest.mark.parametrize(("n", "m"), [(5, 20), (20, 5), (0, 20)])
def test_fewer_than_k_plus_1_rows_on_a_side_are_an_error(
    measure: Callable[..., float], n: int, m: int
) -> None:
    with pytest.raises(ValueError, match="n ≥ 6 rows in each set, got"):
        measure(np.zeros((n, 3)), np.zeros((m, 3)), 5)
    assert measure(np.zeros((6, 3)), np.zeros((6, 3)), 5) > 0


@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0)])
def test_an_empty_set_has_no_nearest_row(n: int, m: int) -> None:
    with pytest.raises(ValueError, match="n ≥ 1 rows in each set, got 0"):
        nearest(np.zeros((n, 3)), np.zeros((m, 3)))


@given(n=st.integers(1, 20), m=st.integers(1, 30), d=st.integers(1, 20), seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_nearest_is_the_mean_of_each_generated_rows_shortest_distance(
    n: int, m: int, d: int, seed: int
) -> None:
    generated, real = two_sets(n, m, d, seed)
    expected = np.mean([min(np.sqrt(np.square(x - y).sum()) for y in real) for x in generated])
    assert nearest(generated, real) == pytest.approx(expected, rel=1e-9)  # sums in another order


def test_exact_copies_of_real_images_are_at_distance_0(digits: np.ndarray) -> None:
    assert nearest(digits[2_000:2_100], digits[:5_000].reshape(5_000, -1).astype(np.float64)) == 0


def test_memorised_images_are_far_nearer_than_held_out_ones_and_blur_is_nearer_too(
    digits: np.ndarray,
) -> None:
    real, held_out = digits[:5_000], digits[5_000:5_200]
    floor = nearest(held_out, real)
    noise = np.random.default_rng(0).normal(0, 0.02, size=held_out.shape)
    blurred = 0.7 * held_out + 0.3 * real.mean(axis=0)
    assert nearest(real[:200] + noise, real) < 0.2 * floor
    assert nearest(blurred, real) < 0.95 * floor


def test_spacing_is_the_same_at_any_scale_and_place_and_0_where_a_quarter_has_a_twin() -> None:
    points = np.random.default_rng(0).normal(size=(80, 4))
    found = spacing(points, points)
    nearest_other = np.sort(cdist(points, points), axis=1)[:, 1]
    between = np.sqrt(np.square(cdist(points, points)).sum() / (80 * 79))
    assert found == pytest.approx(np.quantile(nearest_other, 0.25) / between)
    assert spacing(1e-3 * points + 7, points) == pytest.approx(found)
    assert spacing(np.concatenate([points, points[:40]]), points) == 0
    assert spacing(np.ones((5, 3)), points) == 0


def test_where_clusters_shrink_spacing_shrinks_with_them() -> None:
    random = np.random.default_rng(0)
    centres, within = np.repeat(10 * np.eye(5), 60, axis=0), random.normal(size=(300, 5))
    wide, narrow = (spacing(centres + width * within, within) for width in (1.0, 0.1))
    assert narrow == pytest.approx(0.1 * wide, rel=0.2)
