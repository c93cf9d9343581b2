"""A claim's row sets what the sampler does by itself, or what theory expects, beside what was measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bigloop.analysis.claims import claims_table
from bigloop.analysis.claims.evidence import Tables, compare, moves
from bigloop.analysis.theory import theory
from bigloop.analysis.trends import change, difference, number
from bigloop.analysis.verdicts import verdicts_table

from ..tables import DIFFUSION as BARE

Make = Callable[..., Any]
DIFFUSION = BARE | {"loop.start": "continue"}
PERFECT = "sampler alone, perfect network"


def numbers(claim: str, tables: Any) -> str:
    """What the row of a claim says of these tables."""
    verdicts = verdicts_table(tables.measures, tables.runs)
    table = claims_table(tables.measures, tables.runs, pd.DataFrame(), verdicts)
    return str(table.set_index("claim_id").loc[claim, "numbers"])


def lineages(curve: Sequence[float], seeds: int = 3, scatter: float = 1e-4) -> np.ndarray:
    return np.asarray(curve) + scatter * np.random.default_rng(0).normal(size=(seeds, len(curve)))


@pytest.mark.parametrize(("part", "share"), [(1.0, 100), (0.5, 200), (4.0, 25), (-1.0, -100)])
def test_of_a_diffusion_the_row_says_what_share_the_sampler_alone_explains(
    part: float, share: int, make_run: Make, make_tables: Make
) -> None:
    """The measured change is `part` times the sampler's own."""
    run = make_run("full", **DIFFUSION)
    alone = theory(run, "modal_variance", 6)
    assert alone is not None
    curve = alone[0] + part * (alone - alone[0])
    said = numbers("points-collapse", make_tables([run], {("full", "modal_variance"): lineages(curve)}))
    assert f"; {PERFECT}: {number(alone[0])} → {number(alone[-1])}, {share} % of the change)" in said
    assert f"{number(curve[0])} → {number(curve[-1])} until generation 6" in said


def test_generations_that_were_not_measured_do_not_count(make_run: Make, make_tables: Make) -> None:
    run = make_run("full", **DIFFUSION)
    alone = theory(run, "modal_variance", 6)
    assert alone is not None
    full, short = ([None, v, None, v / 2, None, v / 4] for v in (0.2, 0.19))
    said = numbers("points-collapse", make_tables([run], {("full", "modal_variance"): [full, short]}))
    assert f"{PERFECT}: {number(alone[1])} → {number(alone[5])}" in said
    short[5] = None  # of one seed: the change then ends where both are
    said = numbers("points-collapse", make_tables([run], {("full", "modal_variance"): [full, short]}))
    assert f"{PERFECT}: {number(alone[1])} → {number(alone[3])}" in said
    assert "until generation 4" in said


def test_a_change_that_is_not_clear_has_no_share(make_run: Make, make_tables: Make) -> None:
    run = make_run("full", **DIFFUSION)
    curve = [0.2, 0.1, 0.2, 0.1, 0.2, 0.19]
    said = numbers("points-collapse", make_tables([run], {("full", "modal_variance"): [curve]}))
    assert PERFECT in said
    assert "% of the change" not in said


def test_what_no_theory_knows_is_told_without(make_run: Make, make_tables: Make) -> None:
    mixed = {"loop.real.fixed": 50, "loop.synthetic.n": 50, "loop.synthetic.ratio": 1.0}
    run = make_run("mixed", **DIFFUSION | mixed)
    said = numbers("points-stable", make_tables([run], {("mixed", "wasserstein1"): lineages([1.0] * 6)}))
    assert re.fullmatch(r"mixed: wasserstein1 1 → 1 until generation 6 \([^;]*\)", said)
    moons = make_run("moons", **DIFFUSION | {"density": "moons", "density.variance": None})
    values = lineages(np.linspace(1, 0.5, 6))
    assert PERFECT not in numbers(
        "points-collapse", make_tables([moons], {("moons", "modal_variance"): values})
    )


def test_of_fits_of_gaussians_it_is_theory_of_the_whole_loop(make_run: Make, make_tables: Make) -> None:
    run = make_run("fits", **{"loop.initial.n": 20})
    decay = theory(run, "sd", 6)
    assert decay is not None
    said = numbers("gaussian-decay", make_tables([run], {("fits", "sd"): lineages(decay, scatter=1e-6)}))
    assert f"; theory: {number(decay[0])} → {number(decay[-1])}, 100 % of the change)" in said


def test_two_runs_have_both_values_that_are_expected_of_them(make_run: Make, make_tables: Make) -> None:
    small, large = make_run("small"), make_run("large", **{"loop.initial.n": 500, "loop.synthetic.n": 200})
    expected = [theory(run, "sd", 6) for run in (small, large)]
    values = {
        (run["run"], "sd"): lineages(one, scatter=1e-6)
        for run, one in zip((small, large), expected, strict=True)
        if one is not None
    }
    said = numbers("gaussian-slower", make_tables([small, large], values))
    last = [number(one[-1]) for one in expected if one is not None]
    assert f"; theory: {last[0]} against {last[1]}, 100 % of the difference)" in said


def test_the_means_over_all_generations_are_set_beside_those_that_are_compared(
    make_run: Make, make_tables: Make
) -> None:
    runs = {
        name: make_run(name, **DIFFUSION | {"loop.bias": bias}) for name, bias in (("a", 0.9), ("b", 1.0))
    }
    curves = {name: theory(run, "modal_variance", 6) for name, run in runs.items()}
    table = make_tables(
        list(runs.values()), {(n, "modal_variance"): lineages(c) for n, c in curves.items() if c is not None}
    ).measures
    rows = {(name, "modal_variance"): table[table["run"] == name] for name in runs}

    def over_all(a: pd.DataFrame, b: pd.DataFrame) -> Any:
        return difference(a, b, over="all")

    def down(found: Any) -> tuple[bool, float]:
        return moves(found, "down")

    tables = Tables(rows, runs, pd.DataFrame(), {})
    said = compare(tables, ("a", "b"), "modal_variance", over_all, down, 1).text
    means = [number(float(np.mean(curves[name]))) for name in runs]  # type: ignore[arg-type]
    assert f"{PERFECT}: {means[0]} against {means[1]}, 100 % of the difference" in said
    alone = compare(tables, ("a",), "modal_variance", change, down, 3).text
    assert alone.count(PERFECT) == 1


def test_a_verdict_names_it_too(make_run: Make, make_tables: Make) -> None:
    run = make_run("full", **DIFFUSION) | {"loop.rules": None}
    alone = theory(run, "modal_variance", 6)
    assert alone is not None
    curve = alone[0] * np.linspace(1, 0.3, 6)
    tables = make_tables([run], {("full", "modal_variance"): lineages(curve)})
    (row,) = verdicts_table(tables.measures, tables.runs).to_dict("records")
    assert row["verdict"] == "collapse"
    share = 100 * (alone[-1] - alone[0]) / (curve[-1] - curve[0])
    said = f"{PERFECT}: {number(alone[0])} → {number(alone[-1])}, {share:.0f} % of the change)"
    assert said in row["reason"]
    assert PERFECT not in str(verdicts_table(tables.measures, tables.runs.assign(family="gmm"))["reason"][0])


def test_beside_the_fid_of_a_diffusion_on_images_stands_what_its_sampler_does_to_the_variance(
    make_run: Make, make_tables: Make
) -> None:
    edm = {"family": "edm", "dataset": "small", "density": None, "pixel_variances": "0.0625x3"}
    edm |= {
        "model.sampling_steps": 18,
        "model.sigma_least": 0.002,
        "model.sigma_most": 80.0,
        "model.rho": 7.0,
    }
    run = make_run("full", **edm, **{"loop.start": "continue", "model.churn": 0.0})
    said = numbers("continue-fid", make_tables([run], {("full", "fid"): lineages(np.linspace(10, 20, 6))}))
    made = theory(run, "variance", 6)
    assert made is not None
    assert f"sampler alone: {number(made[-1] / 0.1875)} of the real variance)" in said
    assert made[-1] / 0.1875 > 1.5
    plain = make_run("full", **edm | {"pixel_variances": None}, **{"loop.start": "continue"})
    said = numbers("continue-fid", make_tables([plain], {("full", "fid"): lineages(np.linspace(10, 20, 6))}))
    assert "sampler" not in said
