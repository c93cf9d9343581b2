"""Each known density is normalised, and its box, its modes and its samples are those of its log-density."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2, ks_1samp, multivariate_normal, norm

from bigloop.data.densities import DENSITIES, Density, known_density, resolve_density
from bigloop.metrics.divergences import cell_masses, cell_probabilities
from bigloop.spec.options import SpecError

CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in DENSITIES if name != "zipf"),  # of symbols, which have probabilities
    ("gaussian", {"dimension": 2}),
    ("grid", {"side": 3, "spacing": 1.0, "sd": 0.2}),
    ("grid", {"side": 1}),
    ("ring", {"modes": 5, "radius": 1.0, "variance": 0.2}),
    ("gaussians8", {"scale": 2.0, "variance": 0.3}),
    ("bimodal", {"weight": 0.8, "separation": 1.0, "sd": 0.3}),
    ("moons", {"noise": 0.1, "scale": 1.0, "shift": 0.0}),
]
IDS = [f"{name}-{'-'.join(map(str, options.values()))}".strip("-") for name, options in CASES]
every_case = pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
WITH_MODES = [(name, options) for name, options in CASES if name not in ("moons", "rosenbrock")]


def drawn(density: Density, n: int, seed: int = 0) -> np.ndarray:
    return density.sample(n, np.random.default_rng(seed))


# --- every density ---


@every_case
def test_the_density_integrates_to_1_and_its_box_holds_99_percent(name: str, options: dict[str, Any]) -> None:
    density = known_density(name, options)
    width = density.high - density.low
    bins = 100 if name == "grid" else 32  # twice the grid's box is 340 standard deviations wide
    corners = (density.low, density.high), (density.low - width / 2, density.high + width / 2)
    inside, wide = (cell_masses(density.log_density, *box, bins)[:-1].sum() for box in corners)
    assert 0.99 < inside < wide
    # Rosenbrock's ridge leaves the wide box at x₂ = 20, where x₁ = ±4.5 : 8e-6; of others less is left, and rules
    # err by less than 1e-6
    assert wide == pytest.approx(1, abs=1e-5)


@every_case
def test_samples_fall_into_cells_as_the_log_density_says(name: str, options: dict[str, Any]) -> None:
    density, n = known_density(name, options), 40_000
    masses = cell_masses(density.log_density, density.low, density.high, 24, sub=12)
    counts = n * cell_probabilities(drawn(density, n), density.low, density.high, 24)
    expected = n * masses
    rare = expected < 10  # too few for χ²: pooled into one cell, left out where that, too, is rare
    if expected[rare].sum() > 10:
        expected, counts = (np.append(cells[~rare], cells[rare].sum()) for cells in (expected, counts))
    else:
        assert counts[rare].sum() < 40
        expected, counts = expected[~rare], counts[~rare]
    statistic = np.sum((counts - expected) ** 2 / expected)
    assert chi2(len(expected) - 1).sf(statistic) > 1e-6  # as improbable as 5 standard errors


@every_case
def test_samples_are_those_of_their_generator_and_of_nothing_else(name: str, options: dict[str, Any]) -> None:
    density = known_density(name, options)
    first = drawn(density, 500)
    np.random.default_rng().random()
    np.testing.assert_array_equal(first, drawn(known_density(name, options), 500))
    assert first.shape == (500, density.dimension)
    assert first.dtype == np.float64
    assert len(np.unique(first, axis=0)) == 500
    assert not np.isin(first, drawn(density, 500, seed=1)).any()


@every_case
def test_successive_samples_are_not_correlated(name: str, options: dict[str, Any]) -> None:
    n = 20_000
    points = drawn(known_density(name, options), n)
    centred = (points - points.mean(axis=0)) / points.std(axis=0)
    # under independence the mean product has standard error 1/√n
    assert (np.abs((centred[1:] * centred[:-1]).mean(axis=0)) < 5 / np.sqrt(n)).all()


@every_case
def test_the_log_density_is_finite_in_twice_the_box_and_takes_any_number_of_points(
    name: str, options: dict[str, Any]
) -> None:
    density = known_density(name, options)
    centre, width = (density.low + density.high) / 2, density.high - density.low
    points = centre + width * np.random.default_rng(0).uniform(-1, 1, size=(300, density.dimension))
    values = density.log_density(points)
    assert values.shape == (300,)
    assert values.dtype == np.float64
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(values[:1], density.log_density(points[:1]))
    assert density.log_density(points[:0]).shape == (0,)
    near = density.log_density(points.astype(np.float32).astype(float))
    np.testing.assert_array_equal(near, density.log_density(points.astype(np.float32)))


@pytest.mark.parametrize(("name", "options"), WITH_MODES)
def test_modes_and_spread_are_those_of_the_samples(name: str, options: dict[str, Any]) -> None:
    density, n = known_density(name, options), 20_000
    assert density.modes is not None
    assert density.spread is not None
    assert density.modes.shape[1] == density.dimension
    distances = np.linalg.norm(drawn(density, n)[:, None] - density.modes, axis=2).min(axis=1)
    share = (distances <= 3 * density.spread).mean()
    inside = norm.cdf(3) - norm.cdf(-3) if density.dimension == 1 else 1 - np.exp(-4.5)
    error = 5 * np.sqrt(inside * (1 - inside) / n)
    separate = [np.inf, *np.linalg.norm(density.modes - density.modes[0], axis=1)[1:]]
    if min(separate) > 6 * density.spread:
        assert share == pytest.approx(inside, abs=error)
    else:  # points beyond 3 spreads of their own mode may be within those of another
        assert inside - error < share <= 1


# --- each by an independent formula ---


@pytest.mark.parametrize("d", [1, 2, 100])
def test_the_gaussian_is_scipys(d: int) -> None:
    density = known_density("gaussian", {"dimension": d})
    points = drawn(density, 50)
    expected = multivariate_normal(np.zeros(d), np.eye(d)).logpdf(points)
    np.testing.assert_allclose(density.log_density(points), expected, rtol=1e-12)
    np.testing.assert_array_equal(density.mean, np.zeros(d))
    np.testing.assert_array_equal(density.covariance, np.eye(d))
    assert (norm.cdf(4) - norm.cdf(-4)) ** d > 0.99  # the box's mass


def test_the_gaussian_in_100_dimensions_has_independent_normal_coordinates() -> None:
    n = 5_000
    points = drawn(known_density("gaussian", {"dimension": 100}), n)
    p = [ks_1samp(points[:, j], norm.cdf).pvalue for j in range(100)]
    assert min(p) > 1e-6
    squares = np.square(points).sum(axis=1)
    assert ks_1samp(squares, chi2(100).cdf).pvalue > 1e-6


@pytest.mark.parametrize(("name", "options"), [case for case in WITH_MODES if case[0] != "gaussian"])
def test_a_mixture_is_the_weighted_sum_of_scipys_gaussians(name: str, options: dict[str, Any]) -> None:
    density = known_density(name, options)
    rng, d = np.random.default_rng(0), density.dimension
    points = rng.uniform(density.low, density.high, size=(200, d))
    weights = [options.get("weight", 0.5), 1 - options.get("weight", 0.5)] if name == "bimodal" else None
    each = [multivariate_normal(mode, density.spread**2 * np.eye(d)).logpdf(points) for mode in density.modes]
    expected = np.logaddexp.reduce(each + np.log(weights or [1 / len(each)] * len(each))[:, None])
    np.testing.assert_allclose(density.log_density(points), expected, rtol=1e-10, atol=1e-10)


def test_rosenbrock_is_one_normal_law_around_the_square_of_another() -> None:
    density = known_density("rosenbrock", {})
    points = np.random.default_rng(0).uniform(density.low, density.high, size=(200, 2))
    expected = norm(0, 1).logpdf(points[:, 0]) + norm(points[:, 0] ** 2, np.sqrt(0.5)).logpdf(points[:, 1])
    np.testing.assert_allclose(density.log_density(points), expected, rtol=1e-12)
    ratio = density.log_density(points) - density.log_density(np.zeros((1, 2)))
    x, y = points.T
    np.testing.assert_allclose(ratio, -(x**2) / 2 - (y - x**2) ** 2, rtol=1e-10)


def fine_moons(points: np.ndarray, noise: float, scale: float, shift: float) -> np.ndarray:
    """The noise's density averaged over the arcs, with 16 nodes in each of 1 000 parts: exact up to rounding."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    angles = (np.pi * (np.arange(1_000)[:, None] + (1 + nodes) / 2) / 1_000).ravel()
    upper = np.column_stack([np.cos(angles), np.sin(angles)])
    y = (points - shift) / scale
    squares = [np.square(y[:, None] - arc).sum(axis=2) for arc in (upper, [1, 0.5] - upper)]
    logs = np.concatenate(squares, axis=1) / (-2 * noise**2) + np.log(np.tile(weights / 4_000, 2_000))
    return np.logaddexp.reduce(logs, axis=1) - np.log(2 * np.pi * (noise * scale) ** 2)


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.2, 1.0])
def test_the_moons_quadrature_is_as_exact_as_stated(noise: float) -> None:
    density = known_density("moons", {"noise": noise})
    points = np.random.default_rng(0).uniform(density.low, density.high, size=(200, 2))
    fine = fine_moons(points, noise, 3.0, -1.0)
    np.testing.assert_allclose(density.log_density(points), fine, rtol=0, atol=1e-8)


def test_moons_lie_along_their_arcs() -> None:
    density = known_density("moons", {"noise": 0.01})
    x, y = ((drawn(density, 5_000) + 1) / 3).T
    upper, lower = np.hypot(x, y), np.hypot(1 - x, 0.5 - y)
    on_upper = np.abs(upper - 1) < 0.05
    assert (on_upper | (np.abs(lower - 1) < 0.05)).all()
    assert y[np.abs(lower - 1) > 0.05].min() > -0.05
    assert y[~on_upper].max() < 0.55
    assert on_upper.mean() == pytest.approx(
        0.5, abs=5 * 0.5 / np.sqrt(5_000) + 0.05
    )  # where the arcs are close


# --- geometry of the modes ---


def test_the_25_gaussians_are_those_of_the_field() -> None:
    density = known_density("grid", {})
    assert {tuple(mode) for mode in density.modes} == {
        (x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)
    }
    assert density.spread**2 == pytest.approx(0.0025)


@pytest.mark.parametrize(("name", "radius", "variance"), [("ring", 2.0, 0.05), ("gaussians8", 5.0, 0.1)])
def test_eight_modes_are_in_the_compass_directions(name: str, radius: float, variance: float) -> None:
    density = known_density(name, {})
    angles = np.degrees(np.arctan2(*density.modes.T[::-1])) % 360
    np.testing.assert_allclose(np.linalg.norm(density.modes, axis=1), radius)
    np.testing.assert_allclose(angles, np.arange(8) * 45, atol=1e-9)
    assert density.spread**2 == pytest.approx(variance)
    gap = np.linalg.norm(density.modes[0] - density.modes[1])
    assert gap > 6 * density.spread  # discs of 3 sd do not overlap


def test_discs_of_three_deviations_overlap_on_a_ring_of_radius_1() -> None:
    density = known_density("ring", {"radius": 1.0})
    assert np.linalg.norm(density.modes[0] - density.modes[1]) < 6 * density.spread


def test_the_left_mode_has_its_weight_and_the_modes_their_distance() -> None:
    density, n = known_density("bimodal", {"weight": 0.3, "separation": 8.0}), 10_000
    np.testing.assert_array_equal(density.modes, [[-4.0], [4.0]])
    left = (drawn(density, n) < 0).mean()
    assert left == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / n))


# --- options and cost ---


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gaussian", {"dimension": 0}, "densities.gaussian.dimension: "),
        ("gaussian", {"dimension": 1.5}, "densities.gaussian.dimension: "),
        ("grid", {"side": 0}, "densities.grid.side: "),
        ("grid", {"sd": 0.0}, "densities.grid.sd: "),
        ("ring", {"modes": 0}, "densities.ring.modes: "),
        ("ring", {"variance": -1.0}, "densities.ring.variance: "),
        ("gaussians8", {"radius": 5.0}, "densities.gaussians8.radius: unknown key"),
        ("bimodal", {"weight": 1.0}, "densities.bimodal.weight: "),
        ("moons", {"noise": 0.0}, "densities.moons.noise: "),
        ("rosenbrock", {"a": 1.0}, "densities.rosenbrock.a: unknown key"),
        ("banana", {}, "density: unknown density 'banana'"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_the_key(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        known_density(name, options)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_resolved_density_has_all_its_options() -> None:
    assert resolve_density("ring", {"modes": 6}, "densities.six").options == {
        "modes": 6,
        "radius": 2.0,
        "variance": 0.05,
    }
    assert resolve_density("rosenbrock", {}, "densities.r").options == {}


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.5])
def test_symbols_are_as_frequent_as_zipf_says(exponent: float) -> None:
    density = known_density("zipf", {"symbols": 12, "exponent": exponent})
    p = density.probabilities  # type: ignore[attr-defined]
    assert p.sum() == pytest.approx(1)
    assert p[0] / p[5] == pytest.approx(6**exponent)
    points = drawn(density, 50_000)
    assert points.shape == (50_000, 1)
    counts, expected = np.bincount(points[:, 0].astype(int), minlength=12), 50_000 * p
    assert ((counts - expected) ** 2 / expected).sum() < chi2(11).isf(1e-4)
    assert np.array_equal(points, drawn(density, 50_000))
    assert density.log_density(points[:100]) == pytest.approx(np.log(p)[points[:100, 0].astype(int)])


@pytest.mark.parametrize("name", DENSITIES)
def test_100_000_points_need_little_memory(name: str) -> None:
    density = known_density(name, {})
    points = drawn(density, 100_000)
    tracemalloc.start()
    density.log_density(points)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # bytes; the moons' distances at once would be 134 MB
