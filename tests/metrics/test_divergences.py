"""Divergences against integrals, cells against distribution functions, and the bounds that the docstring states."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from bigloop.data.densities import DENSITIES, known_density
from bigloop.metrics.divergences import SKEW, cell_masses, cell_probabilities, divergences

PLANE = ["grid", "ring", "gaussians8", "moons", "rosenbrock"]
LOW, HIGH = np.array([-8.0]), np.array([8.0])


def named(generated: np.ndarray, real: np.ndarray) -> dict[str, float]:
    return {name: value for name, value, _ in divergences(generated, real)}


def log_normal(mean: float, sd: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda points: norm.logpdf(points[:, 0], mean, sd)


def normal_cells(mean: float, sd: float, bins: int) -> np.ndarray:
    return cell_masses(log_normal(mean, sd), LOW, HIGH, bins)


@st.composite
def two_laws(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities q and p of as many cells; p is positive."""
    rng, cells = np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw(st.integers(2, 50))
    q, p = rng.gamma(draw(st.sampled_from([0.05, 1.0])), size=(2, cells))
    q, p = q * (rng.random(cells) < 0.7), p + 1e-12
    q[rng.integers(cells)] += 1e-3
    return q / q.sum(), p / p.sum()


# --- divergences ---


def gaussian_kl(mean: float, sd: float, other_mean: float, other_sd: float) -> float:
    ratio = (sd**2 + (mean - other_mean) ** 2) / other_sd**2
    return float(np.log(other_sd / sd) + (ratio - 1) / 2)


@pytest.mark.parametrize(("mean", "sd"), [(0.5, 0.8), (-0.3, 1.3), (0.0, 0.5)])
def test_two_gaussians_have_the_closed_form_reversed_and_the_skew_integral_forward(
    mean: float, sd: float
) -> None:
    found = named(normal_cells(mean, sd, 2_000), normal_cells(0, 1, 2_000))
    p, q = norm(0, 1).pdf, norm(mean, sd).pdf

    def integral(a: Callable[[float], float], b: Callable[[float], float]) -> float:
        return float(quad(lambda x: a(x) * np.log(a(x) / b(x)) if a(x) else 0.0, -8, 8, limit=200)[0])

    # cells of width h = 0.008 lose about h²/24 of the law's Fisher information in ln p − ln q, less than 1e-4
    assert found["reverse_kl"] == pytest.approx(gaussian_kl(mean, sd, 0, 1), abs=1e-4)
    assert found["forward_kl"] == pytest.approx(
        integral(p, lambda x: (1 - SKEW) * q(x) + SKEW * p(x)), abs=1e-4
    )
    middle = (integral(p, lambda x: (p(x) + q(x)) / 2) + integral(q, lambda x: (p(x) + q(x)) / 2)) / 2
    assert found["jensen_shannon"] == pytest.approx(middle, abs=1e-4)


@given(two_laws())
@settings(max_examples=100, deadline=None)
def test_the_forward_divergence_is_below_the_plain_one_by_no_more_than_its_skew_explains(
    laws: tuple[np.ndarray, np.ndarray],
) -> None:
    q, p = laws
    forward = named(q, p)["forward_kl"]
    assert 0 <= forward + 1e-12 <= np.log(1 / SKEW) + 1e-9
    if (q > 0).all():
        plain, chi2 = np.sum(p * np.log(p / q)), np.sum(p**2 / q) - 1
        assert plain - np.log1p(SKEW * chi2) - 1e-9 <= forward <= (1 - SKEW) * plain + 1e-9


@given(two_laws())
@settings(max_examples=100, deadline=None)
def test_jensen_shannon_is_symmetric_and_between_0_and_ln_2(laws: tuple[np.ndarray, np.ndarray]) -> None:
    q, p = laws[0] + 1e-12, laws[1]  # positive, so that the sides can be exchanged
    there, back = named(q, p)["jensen_shannon"], named(p, q)["jensen_shannon"]
    assert there == pytest.approx(back, abs=1e-12)
    assert -1e-12 < there < np.log(2) + 1e-9
    assert named(p, p) == pytest.approx({"forward_kl": 0, "reverse_kl": 0, "jensen_shannon": 0}, abs=1e-12)


def test_a_missed_mode_costs_forward_and_samples_astray_cost_reversed() -> None:
    p = np.array([0.5, 0.5 - 1e-9, 1e-9])
    missing, astray = named(np.array([1.0, 0, 0]), p), named(np.array([0.45, 0.45, 0.1]), p)
    # half of the mass at a ratio of α, and half at ½ : 1 − α / 2
    assert missing["forward_kl"] == pytest.approx(
        0.5 * np.log(1 / SKEW) + 0.5 * np.log(0.5 / (1 - SKEW / 2)), abs=1e-6
    )
    assert missing["reverse_kl"] == pytest.approx(np.log(2), abs=1e-6)
    assert astray["reverse_kl"] == pytest.approx(0.9 * np.log(0.9) + 0.1 * np.log(0.1 / 1e-9), abs=1e-6)
    assert astray["forward_kl"] < 0.11


def test_laws_without_a_common_cell_are_ln_2_apart() -> None:
    tiny = np.finfo(np.float64).tiny
    found = named(np.array([0, 1.0]), np.array([1.0, tiny]))
    assert found["jensen_shannon"] == pytest.approx(np.log(2))
    assert found["reverse_kl"] == pytest.approx(-np.log(tiny))


@pytest.mark.parametrize("name", ["gaussian", "ring", "moons"])
def test_points_of_the_density_itself_have_the_floor_of_the_docstring(name: str) -> None:
    density, n = known_density(name, {}), 10_000
    real = cell_masses(density.log_density, density.low, density.high, 32)
    rng = np.random.default_rng(0)
    draws = [
        named(cell_probabilities(density.sample(n, rng), density.low, density.high, 32), real)
        for _ in range(10)
    ]
    found = {name: float(np.mean([draw[name] for draw in draws])) for name in draws[0]}
    cells = float((real > 1 / n).sum())
    # 2n times it is χ² of `cells` degrees of freedom, here over 10: 5 standard errors are 0.4 of it for 30 cells;
    # up to 0.5 more from cells with less than one point on average, each of which has λ ln(1/λ) / n for 1 / 2n
    assert 0.6 < found["reverse_kl"] / (cells / (2 * n)) < 1.9
    assert 0.6 < found["jensen_shannon"] / (cells / (8 * n)) < 1.9
    assert found["reverse_kl"] < found["forward_kl"] < 4 * found["reverse_kl"]


def test_generated_points_where_the_real_law_has_none_are_an_error() -> None:
    with pytest.raises(ValueError, match="probability 0 hold generated points"):
        divergences(np.array([0.5, 0.5]), np.array([1.0, 0]))
    with pytest.raises(ValueError, match="unequal shapes"):
        divergences(np.ones(3) / 3, np.ones(2) / 2)


# --- cells ---


def test_cells_are_the_shares_of_points_by_a_double_loop_in_the_plane() -> None:
    rng, low, high = np.random.default_rng(0), np.array([-1.0, 0.0]), np.array([2.0, 5.0])
    points = rng.uniform(low - 0.5, high + 0.5, size=(500, 2))
    found = cell_probabilities(points, low, high, 4)
    expected = np.zeros(17)
    for point in points:
        i, j = np.floor((point - low) / (high - low) * 4).astype(int)
        expected[4 * i + j if 0 <= i < 4 and 0 <= j < 4 else 16] += 1 / 500
    assert expected[16] > 0
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_box_includes_its_border_and_infinite_points_are_outside() -> None:
    points = np.array([[0.0], [1.0], [1.0001], [-np.inf], [np.inf]])
    found = cell_probabilities(points, np.array([0.0]), np.array([1.0]), 2)
    assert found == pytest.approx([0.2, 0.2, 0.6])
    with pytest.raises(ValueError, match="not all are numbers"):
        cell_probabilities(np.array([[np.nan]]), np.array([0.0]), np.array([1.0]), 2)


@pytest.mark.parametrize("bins", [2, 7, 32, 300])
def test_masses_on_a_line_are_the_differences_of_the_distribution_function(bins: int) -> None:
    law = norm(0.3, 0.5)
    edges = np.linspace(-4, 4, bins + 1)
    found = cell_masses(lambda x: law.logpdf(x[:, 0]), edges[:1], edges[-1:], bins)
    expected = np.append(np.diff(law.cdf(edges)), law.cdf(-4) + law.sf(4))
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("bins", [4, 16, 32, 50])
def test_masses_of_25_narrow_modes_are_the_products_of_distribution_functions(bins: int) -> None:
    density = known_density("grid", {})
    found = cell_masses(density.log_density, density.low, density.high, bins)
    edges = np.linspace(density.low[0], density.high[0], bins + 1)
    along = np.mean([np.diff(norm(centre, 0.05).cdf(edges)) for centre in range(-4, 5, 2)], axis=0)
    expected = np.append(np.outer(along, along).ravel(), 1 - along.sum() ** 2)
    assert np.abs(found - expected).sum() / 2 < 1e-5  # the widest cells hold whole modes


@pytest.mark.parametrize("name", [name for name in DENSITIES if name != "zipf"])  # symbols have no cells
def test_masses_with_the_default_rule_are_those_of_a_finer_one(name: str) -> None:
    density = known_density(name, {})
    masses = partial(cell_masses, density.log_density, density.low, density.high, 32)
    found = masses()
    assert np.abs(found - masses(sub=20)).sum() / 2 < 4e-6  # as stated
    assert (found > 0).all()
    assert found.sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", PLANE)
def test_masses_and_shares_of_points_speak_of_the_same_cells(name: str) -> None:
    density, n = known_density(name, {}), 50_000
    low, high = density.low, density.low + 0.7 * (density.high - density.low)  # some of the mass is outside
    masses = cell_masses(density.log_density, low, high, 6, sub=64)
    shares = cell_probabilities(density.sample(n, np.random.default_rng(0)), low, high, 6)
    # 5 standard errors of each share, and one point where a cell has next to no mass
    assert (np.abs(shares - masses) < 5 * np.sqrt(masses / n) + 1 / n).all()
    assert masses[-1] > 0.05


def test_three_dimensions_are_an_error() -> None:
    density = known_density("gaussian", {"dimension": 3})
    with pytest.raises(ValueError, match="at most 2 dimensions, got 3"):
        cell_masses(density.log_density, density.low, density.high, 4)
    with pytest.raises(ValueError, match="at most 2 dimensions, got 3"):
        cell_probabilities(np.zeros((5, 3)), density.low, density.high, 4)
