"""What a loop is called, how much its models have seen, and what theory knows of it, from a row of the runs table."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bigloop.analysis.loops import images_seen, kind_of_loop, synthetic_rows
from bigloop.analysis.theory import column_of_variances, theory, variances_of, words_of_theory
from bigloop.metrics.samplers import (
    alpha_bar,
    denoised_by_heun,
    diffused,
    diffused_by_ddim,
    drift,
    flowed,
    levels,
    within,
)
from bigloop.metrics.theory import expected_sd, fresh_recursion, mixing_recursion
from bigloop.models.points.gmm import GMM
from bigloop.models.points.stacked import Streams
from bigloop.spec.loops import Budget

from ..tables import DIFFUSION

Make = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("fixed", "fresh", "n", "ratio", "kind"),
    [
        (0, 0, 20, math.nan, "fully synthetic"),
        (0, 0, math.nan, 0.5, "fully synthetic"),
        (10, 0, 20, math.nan, "synthetic augmentation"),
        (10, 0, math.nan, 0.5, "synthetic augmentation"),
        (0, 10, 20, math.nan, "fresh data"),
        (10, 10, 20, math.nan, "fresh data"),
        (10, 0, 0, math.nan, "real data only"),
        (0, 10, 0, math.nan, "real data only"),
        (0, 0, 0, math.nan, ""),
    ],
)
def test_a_loop_is_named_by_what_it_trains_on(
    fixed: int, fresh: int, n: float, ratio: float, kind: str
) -> None:
    keys = {"real.fixed": fixed, "real.fresh": fresh, "synthetic.n": n, "synthetic.ratio": ratio}
    assert kind_of_loop({f"loop.{key}": value for key, value in keys.items()}) == kind


IMAGES: dict[str, tuple[dict[str, Any], list[float]]] = {
    "epochs": ({}, [100, 160, 220]),  # 2 × 50 first, 3 × 20 later
    "epochs with real rows": ({"loop.real.fresh": 5, "loop.real.fixed": 2}, [100, 181, 262]),
    "ratio": (
        {"loop.synthetic.n": None, "loop.synthetic.ratio": 0.5, "loop.real.fixed": 10},
        [100, 145, 190],
    ),
    "a pool that grows": ({"loop.synthetic.from": "all"}, [100, 160, 280]),
    "the last generations": ({"loop.synthetic.from": "2"}, [100, 160, 220]),
    "images": (
        {"loop.budget.retrain.epochs": None, "loop.budget.retrain.images": 7},
        [100, 107, 114],
    ),
}


@pytest.mark.parametrize("case", IMAGES)
def test_images_seen_add_up_over_the_budgets(make_run: Make, case: str) -> None:
    keys, seen = IMAGES[case]
    given = make_run("a", **keys)
    np.testing.assert_allclose(images_seen(given, np.array([1, 2, 3])), seen, rtol=1e-12)
    np.testing.assert_allclose(images_seen(given, np.array([3])), seen[2:], rtol=1e-12)


def test_a_run_without_a_budget_has_no_images(make_run: Make) -> None:
    with pytest.raises(ValueError, match=r"run a has no loop\.budget\.retrain"):
        images_seen(make_run("a", **{"loop.budget.retrain.epochs": None}), np.array([1]))


def test_a_ratio_is_of_all_real_rows(make_run: Make) -> None:
    keys = {
        "loop.synthetic.n": None,
        "loop.synthetic.ratio": 0.5,
        "loop.real.fixed": 10,
        "loop.real.fresh": 4,
    }
    assert synthetic_rows(make_run("a", **keys)) == 7


@pytest.mark.parametrize(
    ("keys", "real", "bias", "dimension"),
    [
        ({}, 0, 1.0, 1),
        ({"loop.bias": 0.8}, 0, 0.8, 1),
        ({"density.dimension": 4}, 0, 1.0, 4),
        ({"loop.real.fresh": 30}, 30, 1.0, 1),
    ],
)
def test_theory_of_a_gaussian_is_the_recursion_of_its_loop(
    make_run: Make, keys: dict[str, Any], real: int, bias: float, dimension: int
) -> None:
    given = make_run("a", **keys)
    error, variance = fresh_recursion(6, 50, real, 20, bias)
    np.testing.assert_array_equal(theory(given, "mean_error", 6), dimension * error)
    np.testing.assert_array_equal(theory(given, "trace", 6), dimension * variance)
    sd = theory(given, "sd", 6)
    if real or dimension > 1:
        assert sd is None
    else:
        np.testing.assert_array_equal(sd, expected_sd(np.arange(1, 7), 50, 20, bias))
    assert theory(given, "good_share", 6) is None


@pytest.mark.parametrize(
    "keys",
    [
        {"family": "gmm"},
        {"density": "ring"},
        {"loop.start": "continue"},
        {"loop.synthetic.from": "3"},
        {"loop.real.fixed": 30},  # of 50 that generation 1 had
        {"loop.real.fixed": 50, "loop.real.fresh": 30},
        {"loop.rules": "[{'name': 'curation'}]"},
    ],
)
def test_theory_knows_nothing_of_other_loops(make_run: Make, keys: dict[str, Any]) -> None:
    assert all(theory(make_run("a", **keys), measure, 6) is None for measure in ("sd", "mean_error", "trace"))


@pytest.mark.parametrize("more", [{}, {"loop.synthetic.n": None, "loop.synthetic.ratio": 0.4}])
def test_theory_of_fixed_real_rows_is_the_mixing_recursion_seen_from_the_true_mean(
    make_run: Make, more: dict[str, Any]
) -> None:
    given = make_run("a", **{"loop.real.fixed": 50, "loop.bias": 0.8, "density.dimension": 3, **more})
    off, variance = mixing_recursion(6, 50, 0.4, 0.8)
    np.testing.assert_allclose(theory(given, "trace", 6), 3 * variance, rtol=1e-14)
    np.testing.assert_allclose(theory(given, "mean_error", 6), 3 * (off + 1 / 50), rtol=1e-14)
    np.testing.assert_allclose(theory(given, "variance", 6), 0.8 * 3 * variance, rtol=1e-14)
    assert theory(given, "sd", 6) is None


@pytest.mark.parametrize("sampler", [{}, {"model.variance": "beta"}, {"model.sampler": "ddim"}])
def test_theory_of_a_diffusion_is_what_its_sampler_does_to_a_mode(
    make_run: Make, sampler: dict[str, str]
) -> None:
    given = make_run("a", **DIFFUSION, **sampler, **{"loop.start": "continue"})
    levels = alpha_bar(300, 3.3e-4, 0.067)

    def sampled(variance: float) -> float:  # in the network's unit
        if sampler == {"model.sampler": "ddim"}:
            return diffused_by_ddim(variance, levels)
        return diffused(variance, levels, noise="beta" if sampler else "posterior")

    variance = 4 * drift(6, 0.1 / 4, sampled)
    share, inside = within(variance, 3 * math.sqrt(0.1), 2)
    np.testing.assert_allclose(theory(given, "good_share", 6), share, rtol=1e-12)
    np.testing.assert_allclose(theory(given, "modal_variance", 6), inside, rtol=1e-12)
    assert theory(given, "variance", 6) is None  # of eight modes, with their distances
    assert words_of_theory(given) == "sampler alone, perfect network"
    stays = theory(given | {"loop.real.fixed": 50, "loop.synthetic.n": 0}, "modal_variance", 6)
    np.testing.assert_allclose(stays, inside[0], rtol=1e-12)
    assert theory(given | {"loop.real.fixed": 50}, "modal_variance", 6) is None
    moons = {"density": "moons", "density.variance": None}
    assert theory(given | moons, "modal_variance", 6) is None


def test_theory_of_flow_matching_is_known_on_the_standard_normal(make_run: Make) -> None:
    given = make_run("a", **{"family": "otcfm", "model.sigma": 0.1, "loop.bias": 0.9, "density.dimension": 2})
    expected = 2 * 0.9 * 1.01 / 1.01
    assert theory(given, "variance", 1) == pytest.approx([expected], rel=1e-12)
    assert theory(given, "variance", 2)[1] == pytest.approx(2 * 0.9 * 0.91 / 1.01, rel=1e-12)
    assert theory(given | {"density": "ring"}, "variance", 2) is None


def test_theory_of_one_component_is_that_of_maximum_likelihood(make_run: Make) -> None:
    given = make_run("a", **{"family": "gmm", "model.components": 1, "model.regularisation": 0.01})
    expected = [0.98 + 0.01]  # 50 rows, then 20
    for _ in range(3):
        expected.append(0.95 * expected[-1] + 0.01)
    np.testing.assert_allclose(theory(given, "variance", 4), expected, rtol=1e-12)
    assert theory(given | {"model.components": 2}, "variance", 4) is None
    assert theory(given | {"density": "moons", "density.dimension": None}, "variance", 4) is None


def test_one_component_in_a_loop_has_the_variance_that_is_expected(make_run: Make) -> None:
    keys = {"family": "gmm", "model.components": 1, "model.regularisation": 0.01, "loop.bias": 0.9}
    expected = theory(make_run("a", **keys), "variance", 4)
    source = Streams([np.random.Generator(np.random.SFC64([0, r])) for r in range(3_000)])
    rows = source.normal(50, 1)
    for t in range(4):
        model = GMM.fresh(GMM.Options(components=1, regularisation=0.01), 1, source)
        model.fit(rows, Budget(epochs=20), source)
        rows = model.sample(20, 0.9, source)
        drawn = rows[:, :, 0].var(1).numpy()  # unbiased, as the measure's
        assert abs(drawn.mean() - expected[t]) <= 5 * drawn.std() / math.sqrt(len(drawn))


# --- images: what a sampler does to Gaussian data that vary like the real ones ---

EDM: dict[str, Any] = {
    "sampling_steps": 18,
    "sigma_least": 0.002,
    "sigma_most": 80.0,
    "rho": 7.0,
    "churn": 0.0,
}
FLOW: dict[str, Any] = {"sigma": 0.0, "sampler": "euler", "sampling_steps": 10}
DDIM: dict[str, Any] = {
    "timesteps": 100,
    "beta_first": 1e-3,
    "beta_last": 0.2,
    "sampler": "ddim",
    "sampling_steps": 20,
}


def of_images(family: str, options: dict[str, Any], **loop: Any) -> dict[str, Any]:
    run: dict[str, Any] = {"run": "r", "family": family, "pixel_variances": "0.0625x1 0.01x3"}
    run |= {f"model.{key}": value for key, value in options.items()}
    return run | {f"loop.{key.replace('__', '.')}": value for key, value in loop.items()}


def test_a_fully_synthetic_edm_widens_every_direction_by_itself() -> None:
    """At a variance of ¼ in [-1, 1], which is 1/16 in [0, 1], 1.114 times in generation 1."""
    run = of_images("edm", EDM, synthetic__n=100) | {"pixel_variances": "0.0625x2"}
    made = theory(run, "variance", 3)
    assert made is not None
    assert made[0] / 0.125 == pytest.approx(1.114, abs=5e-4)
    sigmas = levels(18, 0.002, 80.0, 7.0)
    assert made / 2 == pytest.approx(drift(3, 0.25, lambda v: denoised_by_heun(v, sigmas)) / 4)


@pytest.mark.parametrize(
    ("family", "options", "made"),
    [
        ("edm", EDM, lambda v: denoised_by_heun(v, levels(18, 0.002, 80.0, 7.0))),
        ("otcfm_unet", FLOW, lambda v: flowed(v, 10)),
        ("otcfm_unet", FLOW | {"sampler": "midpoint"}, lambda v: flowed(v, 10, halfway=True)),
        ("otcfm_unet", FLOW | {"sampler": "dopri5"}, lambda v: v),
        ("ddpm", DDIM | {"sampler": "ddpm"}, lambda v: diffused(v, alpha_bar(100, 1e-3, 0.2))),
        ("ddpm", DDIM, lambda v: diffused_by_ddim(v, alpha_bar(100, 1e-3, 0.2)[4::5])),
    ],
)
def test_directions_add_up_and_real_rows_hold_them(
    family: str, options: dict[str, Any], made: Callable[[float], float]
) -> None:
    """Of what is trained on, as large a share of the variance is the real data's as of the rows."""
    run = of_images(family, options, real__fixed=300, synthetic__n=100)
    expected = np.zeros(4)
    for variance, directions in ((0.0625, 1), (0.01, 3)):
        seen = variance
        for t in range(4):
            reached = made(4 * seen) / 4
            expected[t] += directions * reached
            seen = 0.75 * variance + 0.25 * reached
    np.testing.assert_allclose(theory(run, "variance", 4), expected)  # type: ignore[arg-type]
    real = theory(of_images(family, options, real__fixed=300), "variance", 4)
    np.testing.assert_allclose(real, expected[0])  # type: ignore[arg-type]
    assert words_of_theory(run) == "sampler alone, perfect network, Gaussian data"


@pytest.mark.parametrize(
    ("family", "options"),
    [("edm", EDM | {"churn": 20.0}), ("otcfm_unet", FLOW | {"sigma": 0.1}), ("vae", {})],
)
def test_nothing_is_expected_of_samplers_that_are_not_covered(family: str, options: dict[str, Any]) -> None:
    run = of_images(family, options, synthetic__n=100)
    assert theory(run, "variance", 3) is None
    assert theory(of_images("edm", EDM, synthetic__n=100), "fid", 3) is None


def test_the_principal_variances_come_from_the_floor_of_the_dataset() -> None:
    rows = [
        ("real", "a", "1", 0.5),
        ("real", "a", "2-3", 0.1),
        ("real", "a", "1", 0.7),
        ("real", "a", "2-3", 0.1),
        ("real", "b", "1", 9.0),
        ("run", "a", "1", 9.0),
    ]
    table = pd.DataFrame(rows, columns=["run", "dataset", "detail", "value"]).assign(
        measure="pixel_variances"
    )
    found = column_of_variances(table, "a")
    assert found == "0.6x1 0.1x2"
    assert variances_of({"pixel_variances": found}) == [(0.6, 1), (0.1, 2)]
    assert column_of_variances(table, "c") is None
