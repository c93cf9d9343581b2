"""A loop in one process: it trains on what the loop asks for, and how it is cut into jobs changes nothing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from bigloop.artifacts import UNFINISHED, read_table, read_tensors
from bigloop.measures.points import Judge
from bigloop.metrics.theory import expected_sd, fresh_recursion, mixing_recursion
from bigloop.models import resolve
from bigloop.runtime.signals import Interrupted
from bigloop.simulation.lineages import Lineages
from bigloop.simulation.simulate import STATE, beginnings, key_of, simulate
from bigloop.spec.registry import declared
from bigloop.spec.runs import RunSpec

from ..simulated import QUIET, advanced, folder, made, run_of, whole

pytestmark = pytest.mark.long


FULL = {"initial": {"n": 20}, "samples": 20, "synthetic": {"n": 20}}
MIXED = {
    "initial": {"n": 40},
    "samples": 60,
    "real": {"fixed": 30, "fresh": 10},
    "synthetic": {"ratio": 0.5},
    "start": "continue",
}
FLOW = {"batch_size": 16, "hidden": 8, "layers": 1, "sampling_steps": 4}


def sorted_rows(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["seed", "generation", "measure"], kind="stable").reset_index(drop=True)


# What a generation trains on


def test_fixed_rows_stay_fresh_rows_are_new_and_synthetic_rows_are_those_of_the_generation_before() -> None:
    run = run_of(MIXED, "otcfm", "moons", FLOW)
    block = advanced(run, 2, 1)
    first = block.rows(1)
    rows = {}
    for t in (2, 3):
        rows[t] = block.rows(t)
        assert rows[t].shape == (2, 30 + 10 + 20, 2)
        assert torch.equal(rows[t][:, :30], first[:, :30])
        of_before = torch.from_numpy(block.pool[t - 1]["points"])
        for mine, theirs in zip(rows[t][:, 40:], of_before, strict=True):
            known = {tuple(point) for point in theirs.tolist()}
            taken = [tuple(point) for point in mine.tolist()]
            assert set(taken) <= known
            assert len(set(taken)) == 20
        block.advance(QUIET)
    everything = torch.cat([first, rows[2][:, 30:40], rows[3][:, 30:40]], dim=1)[0]
    assert len({tuple(point) for point in everything.tolist()}) == 40 + 10 + 10


def test_rows_of_the_last_k_generations_are_n_in_all_and_of_all_generations_n_of_each() -> None:
    loops = ({"n": 20, "from": 2}, 20), ({"n": 20, "from": "all"}, 60)
    for synthetic, expected in loops:
        block = advanced(run_of(FULL | {"synthetic": synthetic}, "otcfm", "moons", FLOW), 2, 3)
        assert block.rows(4).shape == (2, expected, 2)
    assert sorted(block.pool) == [1, 2, 3]
    assert sorted(advanced(run_of(FULL, "otcfm", "moons", FLOW), 1, 3).pool) == [3]


def test_a_scratch_loop_begins_anew_and_a_continuing_one_goes_on_from_its_weights() -> None:
    moved = {}
    for start in ("scratch", "continue"):
        block = advanced(run_of(FULL | {"start": start}, "otcfm", "moons", FLOW), 1, 1)
        before = block.model.state()["velocity.0.weight"]
        block.advance(QUIET)
        moved[start] = np.abs(block.model.state()["velocity.0.weight"] - before).max()
    # one or two steps of Adam move no weight by more than the learning rate each
    assert moved["continue"] < 0.01 < 0.1 < moved["scratch"]


@pytest.mark.parametrize("family", [name for name, about in declared("families").items() if about.stacked])
def test_every_registered_family_of_points_goes_through_a_loop(family: str) -> None:
    tiny = {"hidden": 8, "batch_size": 16, "components": 3, "timesteps": 5, "sampling_steps": 4}
    options = {k: v for k, v in tiny.items() if k in resolve(family, {}, "").options | {"sampling_steps": 0}}
    if family != "otcfm":
        options.pop("sampling_steps")
    density = {"projection": "bimodal", "counting": "zipf"}.get(family, "ring")
    start = "continue" if declared("families")[family].continues else "scratch"
    block = advanced(run_of(MIXED | {"start": start}, family, density, options), 2, 3)
    points = block.pool[3]["points"]
    assert points.shape == (2, 60, block.density.dimension)
    assert np.isfinite(points).all()
    assert all(len(array) == 2 for array in block.model.state().values())


# Theory as judge: the loop itself, not the family alone


@pytest.mark.parametrize("draws", ["rows", "moments"])
def test_the_standard_deviation_of_a_fully_synthetic_gaussian_falls_as_c4_says(
    draws: str, tmp_path: Path
) -> None:
    table = made(tmp_path, whole(run_of(FULL, options={"draws": draws}), 1_000, 8))
    sd = table[table["measure"] == "sd"].pivot_table(index="seed", columns="generation", values="value")
    expected = expected_sd(np.arange(1, 9), 20, 20)
    error = sd.sem(axis=0).to_numpy()  # over 1 000 independent seeds
    assert np.all(np.abs(sd.mean(axis=0).to_numpy() - expected) < 5 * error)
    assert expected[-1] + 5 * error[-1] < 1  # no decay would have been seen


@pytest.mark.parametrize("draws", ["rows", "moments"])
@pytest.mark.parametrize("bias", [1.0, 0.8])
def test_a_fresh_data_loop_has_the_mean_error_and_variance_of_its_recursion(
    draws: str, bias: float, tmp_path: Path
) -> None:
    loop = {"initial": {"n": 5}, "samples": 30, "real": {"fresh": 10}, "synthetic": {"n": 30}, "bias": bias}
    table = made(tmp_path, whole(run_of(loop, options={"draws": draws}), 1_000, 12))
    for name, expected in zip(("mean_error", "trace"), fresh_recursion(12, 5, 10, 30, bias), strict=True):
        found = table[table["measure"] == name].pivot_table(
            index="seed", columns="generation", values="value"
        )
        error = found.sem(axis=0).to_numpy()
        assert np.all(np.abs(found.mean(axis=0).to_numpy() - expected) < 5 * error), name


def test_a_mixing_loop_has_the_variance_of_its_recursion(tmp_path: Path) -> None:
    loop = {"initial": {"n": 20}, "samples": 40, "real": {"fixed": 20}, "synthetic": {"ratio": 2.0}}
    table = made(tmp_path, whole(run_of(loop, options={"draws": "moments"}), 1_000, 10))
    found = table[table["measure"] == "trace"].pivot_table(index="seed", columns="generation", values="value")
    expected = mixing_recursion(10, 20, 2.0)[1]
    error = found.sem(axis=0).to_numpy()
    assert np.all(np.abs(found.mean(axis=0).to_numpy() - expected) < 5 * error)


def test_a_longer_memory_keeps_the_mean_closer(tmp_path: Path) -> None:
    ends = {}
    for k in (1, 5):
        loop = {
            "initial": {"n": 10},
            "samples": 90,
            "real": {"fresh": 10},
            "synthetic": {"n": 90, "from": k},
        }
        table = made(tmp_path / str(k), whole(run_of(loop, options={"draws": "moments"}), 500, 30))
        last = table[(table["measure"] == "mean_error") & (table["generation"] == 30)]["value"]
        ends[k] = last.mean(), last.sem()
    assert ends[1][0] - ends[5][0] > 5 * np.hypot(ends[1][1], ends[5][1])


# Blocks


@pytest.fixture(params=["gaussian rows", "gaussian moments", "flow"])
def run(request: pytest.FixtureRequest) -> RunSpec:
    if request.param == "flow":
        return run_of(MIXED, "otcfm", "moons", FLOW)
    draws = {"draws": request.param.removeprefix("gaussian ")}
    return run_of(FULL | {"synthetic": {"n": 20, "from": 2}}, options=draws, dimension=2)


def measures_of(run: RunSpec) -> dict[str, Any]:
    return {"moments": {}} if run.model.family == "gaussian" else {"wasserstein1": {"n": 20}, "training": {}}


def test_blocks_of_generations_give_what_one_block_gives(run: RunSpec, tmp_path: Path) -> None:
    spec = whole(run, 3, 6, measures=measures_of(run))
    expected = made(tmp_path / "one", spec)
    parts = [
        made(tmp_path / "many", replace(spec, first=first, last=last)) for first, last in ((1, 4), (5, 6))
    ]
    pd.testing.assert_frame_equal(sorted_rows(pd.concat(parts)), sorted_rows(expected), check_exact=True)


def test_blocks_of_seeds_give_what_one_block_gives(run: RunSpec, tmp_path: Path) -> None:
    spec = whole(run, 3, 4, measures=measures_of(run))
    expected = made(tmp_path / "one", spec)
    parts = [made(tmp_path / "many", replace(spec, seeds=seeds)) for seeds in ((0, 1), (2,))]
    # sums of a batched matrix product may be rounded otherwise for another number of replicates
    pd.testing.assert_frame_equal(sorted_rows(pd.concat(parts)), sorted_rows(expected), rtol=1e-4)


def test_more_seeds_and_generations_go_on_from_what_there_is(
    run: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = (whole(run, s, g, measures=measures_of(run)) for s, g in ((2, 3), (3, 5)))
    made(tmp_path, small)
    advance, steps = Lineages.advance, []

    def counted(block: Lineages, report: Callable[[str], None]) -> None:
        steps.append((block.seeds, block.generation + 1))
        advance(block, report)

    monkeypatch.setattr(Lineages, "advance", counted)
    found = made(tmp_path, large)
    assert steps == [((0, 1), 4), ((0, 1), 5), *(((2,), t) for t in range(1, 6))]
    expected = made(tmp_path / "anew", large)
    pd.testing.assert_frame_equal(sorted_rows(found), sorted_rows(expected), rtol=1e-4)


def test_a_block_that_is_complete_is_not_simulated_again(run: RunSpec, tmp_path: Path) -> None:
    spec = whole(run, 2, 3, measures=measures_of(run))
    made(tmp_path, spec)
    (found,) = beginnings(spec, folder(tmp_path, spec))
    assert (found.seeds, found.generation) == ((0, 1), 3)
    measured_otherwise = replace(spec, measure_every=2)
    (anew,) = beginnings(measured_otherwise, folder(tmp_path, measured_otherwise))
    assert anew.generation == 0


def test_a_stopped_block_saves_its_state_and_goes_on_from_it(
    run: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = whole(run, 2, 5, measures=measures_of(run))
    expected = made(tmp_path / "undisturbed", spec)
    advance = Lineages.advance

    def stopped_in_the_third(block: Lineages, report: Callable[[str], None]) -> None:
        advance(block, report)
        if block.generation == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Lineages, "advance", stopped_in_the_third)
    with pytest.raises(Interrupted, match="after generation 3 of 5"):
        simulate(spec, folder(tmp_path, spec))
    assert not (folder(tmp_path, spec) / "measures.csv").exists()
    assert (folder(tmp_path, spec) / UNFINISHED).is_file()
    monkeypatch.setattr(Lineages, "advance", advance)
    said: list[str] = []
    simulate(spec, folder(tmp_path, spec), said.append)
    assert "resuming after generation 3" in said[0]
    found = read_table(folder(tmp_path, spec) / "measures.csv", dtype={"detail": str})
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert not (folder(tmp_path, spec) / UNFINISHED).exists()


def test_a_damaged_state_costs_its_work_and_nothing_else(run: RunSpec, tmp_path: Path) -> None:
    spec = whole(run, 2, 3, measures=measures_of(run))
    expected = made(tmp_path, spec)
    state = folder(tmp_path, spec) / STATE
    state.write_bytes(state.read_bytes()[:-100])
    pd.testing.assert_frame_equal(made(tmp_path, spec), expected, check_exact=True)


def test_only_every_kth_generation_is_measured_and_shown(tmp_path: Path) -> None:
    run = run_of(FULL, "otcfm", "moons", FLOW)
    spec = whole(run, 2, 6, measures={"variance": {"n": 20}}, measure_every=2)
    table = made(tmp_path, spec)
    assert sorted(set(table["generation"])) == [1, 3, 5]
    points, header = read_tensors(folder(tmp_path, spec) / "points.safetensors")
    assert sorted(points) == ["1", "3", "5"]
    assert header["seed"] == "0"
    shown = np.var(points["3"].astype(np.float64), axis=0, ddof=1).sum()
    measured = table[(table["seed"] == 0) & (table["generation"] == 3)]["value"].item()
    assert shown == pytest.approx(measured, rel=1e-6)


def test_a_replicate_is_what_it_is_alone(run: RunSpec) -> None:
    together, alone = advanced(run, 3, 3), Lineages.fresh(run, (1,))
    for _ in range(3):
        alone.advance(QUIET)
    for name, array in together.model.state().items():
        np.testing.assert_allclose(array[1], alone.model.state()[name][0], rtol=1e-3, atol=1e-5)


def test_the_state_file_says_what_it_is(run: RunSpec, tmp_path: Path) -> None:
    spec = whole(run, 2, 3, measures=measures_of(run))
    made(tmp_path, spec)
    _, header = read_tensors(folder(tmp_path, spec) / STATE)
    assert json.loads(header["seeds"]) == [0, 1]
    assert (header["generation"], header["key"]) == ("3", key_of(spec))


def test_measures_of_points_and_of_a_model_stand_together() -> None:
    run = run_of(FULL, dimension=2)
    block = advanced(run, 2, 1)
    block.measure([Judge(block.density, {"moments": {}, "wasserstein2": {"n": 20}})])
    assert {r["measure"] for r in block.records} >= {"wasserstein2", "trace", "gaussian_wasserstein2"}


@pytest.mark.parametrize("family", ["gaussian", "gmm", "glow"])
def test_each_seeds_model_is_asked_for_its_own_density(family: str, tmp_path: Path) -> None:
    options = {"gmm": {"components": 2}, "glow": {"couplings": 1, "hidden": 4, "batch_size": 16}}.get(family)
    run = run_of({**FULL, "initial": {"n": 60}, "samples": 60}, family, "gaussian", options, dimension=2)
    spec = whole(run, 2, 1, measures={"likelihoods": {"n": 50}})
    table = made(tmp_path, spec)
    block = advanced(run, 2, 1)
    known = block.model.log_density(torch.from_numpy(block.pool[1]["points"]))[:, :50].double().numpy()
    for seed in (0, 1):
        points = block.pool[1]["points"][seed][:50].astype(np.float64)
        rows = table[(table["seed"] == seed) & (table["measure"] == "reverse_kl_likelihood")]
        expected = float(np.mean(known[seed] - block.density.log_density(points)))
        assert rows["value"].item() == pytest.approx(expected, rel=1e-5, abs=1e-5)  # float32
