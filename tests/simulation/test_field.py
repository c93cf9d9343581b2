"""Loops of later papers against their closed forms: the loop itself, many seeds at once, is the experiment."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from bigloop.analysis.tables import runs_table
from bigloop.analysis.theory import theory
from bigloop.artifacts import read_tensors
from bigloop.metrics.theory import accumulating_recursion, curated, drifting_diversity
from bigloop.simulation.ecosystem import Ecosystem
from bigloop.spec.jobs import CollectSpec, SimulateSpec, TableRun
from bigloop.spec.options import SpecError
from bigloop.spec.registry import declared
from bigloop.spec.runs import EcosystemSpec, MemberSpec, RunSpec

from ..simulated import QUIET, advanced, folder, made, run_of, whole

pytestmark = pytest.mark.long

LIMIT = 4.0  # standard errors of the mean over seeds: a test of 12 generations fails by chance once in 1 300
ACCUMULATE = {
    "initial": {"n": 10},
    "samples": 10,
    "real": {"fixed": 10},
    "synthetic": {"n": 10, "from": "all"},
}


def off(run: RunSpec, measure: str, expected: np.ndarray, seeds: int, **measures: Any) -> float:
    """The largest deviation of a mean over seeds from what is expected of it, in standard errors."""
    with tempfile.TemporaryDirectory() as folder:
        table = made(Path(folder), whole(run, seeds, len(expected), measures=measures))
    by_generation = table[table["measure"] == measure].groupby("generation")["value"]
    return float(np.abs((by_generation.mean() - expected) / by_generation.sem()).max())


def expected_of(run: RunSpec, measure: str, generations: int) -> np.ndarray | None:
    """What the tables' theory says of a run."""
    known = TableRun("a", "a", "a", run.dataset, "loop", generations, (0,), run)
    row = runs_table(CollectSpec("e", (known,), (), ())).iloc[0].dropna()
    return theory(row.to_dict(), measure, generations)


@pytest.mark.parametrize("draws", ["rows", "moments"])
@pytest.mark.parametrize("bias", [1.0, 0.7])
def test_what_accumulates_stays_bounded_as_the_product_says(draws: str, bias: float) -> None:
    run = run_of(ACCUMULATE | {"bias": bias}, options={"draws": draws})
    mean_error, variance = accumulating_recursion(12, 10, 10, bias)
    if bias == 1:
        assert variance[-1] == pytest.approx(np.prod([1 - 1 / (k * (10 * k - 1)) for k in range(2, 13)]))
        assert variance[-1] == pytest.approx(0.9427, abs=5e-5)
    assert off(run, "trace", variance, 2_000, moments={}) < LIMIT
    assert off(run, "mean_error", mean_error, 2_000, moments={}) < LIMIT
    assert expected_of(run, "trace", 12) == pytest.approx(variance)
    assert expected_of(run, "sd", 12) is None


def test_moments_of_rows_that_stay_are_drawn_once() -> None:
    block = advanced(run_of(ACCUMULATE, options={"draws": "moments"}), 3, 3)
    kept = {g: arrays["mean"].copy() for g, arrays in block.pool.items()}
    block.advance(lambda line: None)
    assert sorted(kept) == [1, 2, 3]
    assert all((block.pool[g]["mean"] == mean).all() for g, mean in kept.items())


def test_a_budget_drawn_from_all_rows_loses_no_variance_as_replacing_them_does() -> None:
    """Kazdan et al. 2025. The mean of the variance itself would not tell: it is 1 where all rows are replaced."""
    pooled = run_of(ACCUMULATE | {"pool": {"n": 10}})
    alone = {"initial": {"n": 10}, "samples": 10, "synthetic": {"n": 10}}
    ends = {}
    for name, run in (("replace", run_of(alone)), ("pool", pooled), ("accumulate", run_of(ACCUMULATE))):
        log_variance = np.log(advanced(run, 300, 30).model.covariance[:, 0, 0].numpy())
        ends[name] = log_variance.mean(), log_variance.std() / np.sqrt(len(log_variance))
    (low, _), (middle, error), (high, _) = ends["replace"], ends["pool"], ends["accumulate"]
    assert low < -3 < middle - 10 * error
    assert abs(middle - high) < 0.5  # both stay near 0, a fit of 10 rows alone at −0.12
    assert expected_of(pooled, "trace", 5) is None


FRESH = {"initial": {"n": 50}, "samples": 40, "synthetic": {"n": 30}, "real": {"fresh": 10}}


@pytest.mark.parametrize("loop", [{"initial": {"n": 50}, "samples": 40, "synthetic": {"n": 40}}, FRESH])
def test_symbols_drift_as_alleles_do(loop: dict[str, Any]) -> None:
    run = run_of(loop, "counting", "zipf", symbols=20)
    law = np.arange(1, 21) ** -1.0 / np.sum(np.arange(1, 21) ** -1.0)
    real, synthetic = loop.get("real", {}).get("fresh", 0), loop["synthetic"]["n"]
    expected = drifting_diversity(8, 1 - np.square(law).sum(), 50, real, synthetic)
    assert off(run, "symbol_diversity", expected, 2_000, symbols={"n": 40}) < LIMIT
    assert expected_of(run, "symbol_diversity", 8) == pytest.approx(expected)
    assert expected_of(run, "symbol_entropy", 8) is None
    if not real:
        assert expected[1:] / expected[:-1] == pytest.approx(np.full(7, 1 - 1 / 40))


def test_kernels_smooth_what_they_smoothed_before() -> None:
    run = run_of({"initial": {"n": 50}, "samples": 40, "synthetic": {"n": 40}}, "kde")
    expected = (1 - 1 / 50 + 50**-0.4) * (1 - 1 / 40 + 40**-0.4) ** np.arange(6)
    assert off(run, "variance", expected, 2_000, variance={"n": 40}) < LIMIT
    assert expected_of(run, "variance", 6) == pytest.approx(expected)


def test_the_table_of_runs_says_what_rules_a_loop_follows() -> None:
    run = run_of(ACCUMULATE | {"pool": {"n": 10, "real": 0.5}})
    known = TableRun("a", "a", "a", run.dataset, "loop", 3, (0,), run)
    row = runs_table(CollectSpec("e", (known,), (), ())).iloc[0]
    assert (row["loop.pool.n"], row["loop.pool.real"], row["loop.rules"]) == (10, 0.5, "pool")


# Selection


def chosen_among(candidates: int, n: int = 400, **more: Any) -> dict[str, Any]:
    select = {"by": {"score": "quadratic", "scale": 1.0}, "choice_of": candidates} | more
    return {"initial": {"n": 20_000}, "samples": n * candidates, "synthetic": {"n": n}, "select": select}


@pytest.mark.parametrize("candidates", [2, 5])
def test_curation_narrows_a_gaussian_as_its_integral_says(candidates: int) -> None:
    """One step, whose expectation is exact: the second generation's law is fitted to what was chosen of the first's."""
    run = run_of(chosen_among(candidates))
    expected = expected_of(run, "trace", 2)
    assert expected is not None
    assert expected[1] == curated(1.0, 1.0, candidates)
    # generation 1's variance varies by 1 %, and what is chosen is nearly linear in it
    assert off(run, "trace", expected, 300, moments={}) < LIMIT


def test_endless_choice_adds_the_reward_to_the_precision() -> None:
    """Ferbach et al. 2024: precision 1 + t/τ². With 1000 candidates the variance is 2e-4 above it."""
    variance = 1.0
    for t in range(1, 5):
        variance = curated(variance, 1.5, 1_000)
        assert 1 / variance == pytest.approx(1 + t / 1.5**2, rel=1e-3)
        assert curated(1.0, 1.5, None) == pytest.approx(1 / (1 + 1 / 1.5**2))
    run = run_of(chosen_among(1_000, 200, by={"score": "quadratic", "scale": 1.5}))
    expected = expected_of(run, "trace", 4)
    assert expected == pytest.approx(1 / (1 + np.arange(4) / 1.5**2), rel=1e-3)
    block = advanced(run, 20, 4)
    found = block.model.covariance[:, 0, 0].numpy()
    # 200 rows a generation: the variance of a fit has a standard deviation of 10 % in each of three
    assert found.mean() == pytest.approx(expected[-1], rel=0.2 * 4 / np.sqrt(20))


def test_the_temperature_of_a_choice_is_a_factor_of_the_reward() -> None:
    assert curated(1.0, 1.0, 3, temperature=4.0) == pytest.approx(curated(1.0, 2.0, 3))
    assert curated(1.0, 1.0, 3, temperature=1e9) == pytest.approx(1.0)


def test_real_rows_hold_what_curation_would_narrow() -> None:
    alone = chosen_among(4, 200)
    held = alone | {"initial": {"n": 200}, "real": {"fixed": 200}}
    ends = [advanced(run_of(loop), 20, 8).model.covariance.mean() for loop in (alone, held)]
    assert ends[0] < 0.2 < 0.5 < ends[1]


@pytest.mark.parametrize(
    "way",
    [
        {"by": {"score": "quadratic", "scale": 1.5}, "choice_of": 3},
        {"by": "quadratic", "above": -0.5},  # within one standard deviation
        {"by": "density", "top": 0.25},
    ],
)
def test_real_rows_that_are_filtered_have_the_law_of_what_is_let_through(way: dict[str, Any]) -> None:
    block = advanced(run_of({"initial": {"n": 200}, "samples": 200, "filter": way}), 300, 1)
    rows = np.stack([block.real(seed, np.arange(200)).numpy()[:, 0] for seed in block.seeds])
    if "choice_of" in way:
        expected = curated(1.0, 1.5, 3)
    else:
        edge = 1.0 if "above" in way else float(norm.ppf(0.625))
        expected = 1 - 2 * edge * norm.pdf(edge) / (2 * norm.cdf(edge) - 1)
    squares = np.square(rows).mean(axis=1)
    allowed = LIMIT * squares.std() / np.sqrt(300)
    if (
        "top" in way
    ):  # of 800 rows those within their own quantile, which scatters: a bias of the order of 1/800
        allowed += 1 / 800
    assert abs(squares.mean() - expected) < allowed


def test_fresh_rows_are_filtered_as_those_of_generation_1() -> None:
    loop = {"initial": {"n": 50}, "samples": 50, "real": {"fresh": 50}, "synthetic": {"n": 0}}
    block = advanced(run_of(loop | {"filter": {"by": "quadratic", "above": -0.125}}), 20, 4)
    rows = np.stack([block.real(seed, np.arange(200)).numpy()[:, 0] for seed in block.seeds])
    assert np.abs(rows).max() <= 0.5
    assert len(np.unique(rows)) == rows.size
    plain = run_of(loop | {"filter": {"by": "quadratic", "above": -1e6}})
    assert torch.equal(
        advanced(plain, 1, 1).real(0, np.arange(200)), advanced(run_of(loop), 1, 1).real(0, np.arange(200))
    )


def test_a_filter_that_lets_nothing_through_is_one_line() -> None:
    run = run_of({"initial": {"n": 5}, "samples": 5, "filter": {"by": "quadratic", "above": 1.0}})
    with pytest.raises(SpecError, match="filter: lets fewer than one in 1000 points through"):
        advanced(run, 1, 1)


def test_two_rewards_in_shares_keep_two_camps() -> None:
    """Pluralistic curation: half of the choices by either of two who want different things."""
    both = [{"score": "quadratic", "centre": [at], "scale": 0.7} for at in (-2.0, 2.0)]
    spread = {}
    for name, by in (("one", both[:1]), ("two", both)):
        run = run_of(chosen_among(8, 300, by=by), "kde")
        points = advanced(run, 4, 5).pool[5]["points"][:, :, 0]
        spread[name] = (np.sign(points).mean(axis=1) ** 2).mean(), np.abs(points).mean()
    assert spread["one"][0] > 0.8
    assert spread["two"][0] < 0.1
    assert spread["two"][1] > 1.2


@pytest.mark.parametrize("accuracy", [1.0, 0.5])
def test_a_verifier_keeps_what_it_takes_for_good(accuracy: float) -> None:
    select = {"by": "density", "above": -1.5, "accuracy": accuracy}
    loop = {"initial": {"n": 500}, "samples": 2_000, "synthetic": {"n": 400}, "select": select}
    block = advanced(run_of(loop, "gaussian"), 4, 1)
    chosen, scores = block.pool[1]["selected"], block.pool[1]["scores"][:, 0]
    good = scores >= -1.5
    assert (
        (chosen == good).mean(axis=1) > 0.99
        if accuracy == 1
        else np.abs((chosen == good).mean() - 0.5) < 0.03
    ).all()
    rows = block.rows(2)
    assert rows.shape == (4, 400, 1)
    if accuracy == 1:
        assert (block.density.log_density(rows.numpy().reshape(-1, 1)) >= -1.5).all()


@settings(deadline=None, max_examples=20)
@given(
    way=st.sampled_from(
        [{"best_of": 3}, {"choice_of": 3}, {"top": 0.5}, {"above": -1.0}, {"above": -1.0, "accuracy": 0.8}]
    ),
    filtered=st.booleans(),
    shorter=st.integers(1, 3),
    longer=st.integers(4, 6),
    seeds=st.integers(1, 3),
)
def test_what_is_selected_depends_on_nothing_that_comes_later(
    way: dict[str, Any], filtered: bool, shorter: int, longer: int, seeds: int
) -> None:
    by = {"by": {"score": "quadratic", "scale": 2.0}, **way}
    loop = {"initial": {"n": 20}, "samples": 60, "real": {"fresh": 5}, "synthetic": {"n": 10}, "select": by}
    run = run_of(loop | ({"filter": by} if filtered else {}))
    tables = []
    for generations, several in ((shorter, 3), (longer, seeds)):  # other seeds are nothing to it, either
        with tempfile.TemporaryDirectory() as folder:
            spec = whole(run, several, generations, measures={"selection": {}, "moments": {}})
            tables.append(made(Path(folder), spec))
    few, many = (
        table[(table["generation"] <= shorter) & (table["seed"] < seeds)].reset_index(drop=True)
        for table in tables
    )
    pd.testing.assert_frame_equal(few, many)


def test_too_few_that_pass_are_said_in_one_line() -> None:
    select = {"by": "density", "above": -0.95}
    loop = {"initial": {"n": 50}, "samples": 100, "synthetic": {"n": 60}, "select": select}
    with pytest.raises(
        SpecError, match="its selection gives the seeds of generation 2 unequal numbers of rows"
    ):
        advanced(run_of(loop), 8, 2)
    with pytest.raises(SpecError, match="selects none"):
        advanced(run_of(loop | {"select": {"by": "density", "above": 0}}), 1, 2)


def test_what_selection_did_is_measured_of_all_or_of_the_selected() -> None:
    run = run_of(chosen_among(4, 100))
    tables = {}
    for selected in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            spec = whole(run, 3, 3, measures={"selection": {}, "variance": {"n": 100}}, selected=selected)
            tables[selected] = made(Path(folder), spec).set_index(["measure", "seed", "generation"])["value"]
    for table in tables.values():
        assert (table["selected_share"] == 0.25).all()
        assert (table["score_selected"] > table["score"]).all()
    assert tables[True]["variance"].mean() < 0.8 * tables[False]["variance"].mean()
    assert tables[True]["score"].equals(tables[False]["score"])


# Ecosystems


def ecosystem_of(
    shares: list[list[float]],
    real: int = 0,
    synthetic: int = 100,
    draws: str = "rows",
    family: str = "gaussian",
    **loop: Any,
) -> RunSpec:
    given = {"initial": {"n": 100}, "samples": 400, "real": {"fresh": real}, "synthetic": {"n": synthetic}}
    alone = run_of(given | loop, family, options={"draws": draws} if family == "gaussian" else {})
    member = MemberSpec(alone.model, alone.looped)
    return replace(alone, ecosystem=EcosystemSpec((member,) * len(shares), tuple(map(tuple, shares))))


def means_of(run: RunSpec, seeds: int, generations: int) -> np.ndarray:
    """Means of all models by generation, (generations, members, seeds)."""
    block = Ecosystem.fresh(run, tuple(range(seeds)))
    found = []
    for _ in range(generations):
        block.advance(QUIET)
        found.append([member.model.mean[:, 0].numpy().copy() for member in block.members])
    return np.array(found)


@pytest.mark.parametrize("draws", ["rows", "moments"])
def test_means_of_an_ecosystem_move_as_the_matrix_of_its_shares_says(draws: str) -> None:
    """μ_{t+1} = W μ_t + (I − diag(W1)) μ_real + noise, in which W = shares × the part of synthetic rows."""
    shares = [[0.5, 0.5, 0.0], [0.2, 0.6, 0.2], [0.0, 0.3, 0.7]]
    run = ecosystem_of(shares, real=25, synthetic=75, draws=draws)
    means = means_of(run, 1_500, 7)
    w = 0.75 * np.array(shares)
    # second moments: C_{t+1} = W C_t Wᵀ + noise on the diagonal, where variances stay near 1
    covariance = np.cov(means[-1])
    expected = w @ np.cov(means[-2]) @ w.T
    noise = covariance - expected
    assert np.abs(noise - np.diag(np.diag(noise))).max() < 4 * 0.02 / np.sqrt(1_500)
    assert np.diag(noise) == pytest.approx(np.full(3, 1 / 100), rel=0.15)
    # a regression of the new on the old means finds W itself
    found = np.linalg.lstsq(means[-2].T, means[-1].T, rcond=None)[0].T
    assert np.abs(found - w).max() < 0.12


def test_disagreement_decays_as_the_second_eigenvalue_and_the_common_mean_wanders() -> None:
    """Rows of equal sums: the models agree sooner than they come to rest."""
    apart, s = 6.0, 0.2
    shares = [[1 - s, s], [s, 1 - s]]
    run = ecosystem_of(shares, synthetic=400, samples=800)
    block = Ecosystem.fresh(run, tuple(range(300)))
    block.advance(QUIET)
    for member, at in zip(block.members, (-apart / 2, apart / 2), strict=True):  # two schools
        member.model.mean += at
        member.hand_over()
    gaps = [apart]
    for _ in range(5):
        block.advance(QUIET)
        means = [member.model.mean[:, 0].mean().item() for member in block.members]
        gaps.append(means[1] - means[0])
    assert np.array(gaps[1:]) == pytest.approx(apart * (1 - 2 * s) ** np.arange(1, 6), rel=0.1)


@pytest.mark.parametrize(("part", "stable"), [(0.5, True), (1.0, False)])
def test_an_ecosystem_is_stable_where_the_spectral_radius_is_below_1(part: float, stable: bool) -> None:
    real = round(100 * (1 - part))
    run = ecosystem_of([[0.5, 0.5], [0.5, 0.5]], real, 100 - real, "moments")
    means = means_of(run, 1_000, 40)
    spread = means.var(axis=2).mean(axis=1)
    if stable:  # v = ρ²v̄ + 1/n, of common means v̄
        assert spread[-1] == pytest.approx(spread[-20], rel=0.2)
        assert spread[-1] < 0.02
    else:
        assert spread[-1] > 3 * spread[9] > 9 * spread[1]


def test_members_that_train_on_their_own_alone_are_runs_of_their_own() -> None:
    run = ecosystem_of([[1.0, 0.0], [0.0, 1.0]])
    together = Ecosystem.fresh(run, (0, 1))
    for _ in range(3):
        together.advance(QUIET)
    first, second = (member.model.mean for member in together.members)
    assert not torch.equal(first, second)
    assert first.shape == (2, 1)
    shared = Ecosystem.fresh(ecosystem_of([[0.5, 0.5], [0.5, 0.5]]), (0, 1))
    shared.advance(QUIET)
    alone = Ecosystem.fresh(run, (0, 1))
    alone.advance(QUIET)
    for one, other in zip(
        shared.members, alone.members, strict=True
    ):  # generation 1 knows nothing of the shares
        assert torch.equal(one.model.mean, other.model.mean)


@pytest.mark.parametrize(("family", "select"), [("gaussian", None), ("gmm", None), ("kde", "density")])
def test_how_an_ecosystem_is_cut_into_jobs_changes_nothing(
    family: str, select: str | None, tmp_path: Path
) -> None:
    loop = {"select": {"by": select, "top": 0.5}} if select else {}
    run = ecosystem_of([[0.5, 0.5], [0.25, 0.75]], family=family, synthetic=100, **loop)
    measures: dict[str, Any] = {"variance": {"n": 100}, "between": {"n": 100}}

    def spec(seeds: tuple[int, ...], first: int, last: int) -> SimulateSpec:
        return SimulateSpec(run, seeds, first, last, {}, of_members=(measures, measures))

    whole_ = made(tmp_path / "a", spec((0, 1, 2), 1, 4))
    made(tmp_path / "b", spec((0, 1, 2), 1, 2))
    later = made(tmp_path / "b", spec((0, 1, 2), 3, 4))
    alone = made(tmp_path / "c", spec((1,), 1, 4))
    keys = ["member", "seed", "generation", "measure", "detail"]
    known = whole_.fillna({"detail": ""}).set_index(keys)["value"]
    for part in (later, alone):
        values = part.fillna({"detail": ""}).set_index(keys)["value"]
        assert values.to_numpy() == pytest.approx(known.loc[values.index].to_numpy(), rel=1e-6)
    between = whole_[whole_["measure"] == "between"]
    both = between.set_index(["seed", "generation", "member", "detail"])["value"]
    for (seed, generation, member, detail), value in both.items():
        assert value == pytest.approx(both[seed, generation, int(detail), str(member)], rel=1e-6)
    points, _ = read_tensors(folder(tmp_path / "a", spec((0, 1, 2), 1, 4)) / "points.safetensors")
    assert set(points) == {f"{i}/{t}" for i in (0, 1) for t in range(1, 5)}


def test_members_share_a_folder_where_they_are_simulated_and_only_there() -> None:
    run = ecosystem_of([[0.5, 0.5], [0.25, 0.75]])
    members = [run.of_member(i) for i in range(2)]
    assert len({one.folder for one in members}) == 1
    assert members[0].folder.startswith("ecosystem-gaussian-")
    images = [replace(one, dataset="mnist", density=None) for one in members]
    assert len({one.folder for one in images}) == 2
    assert len({one.first.folder for one in images}) == 2
    alone = replace(images[0], ecosystem=None)
    assert images[0].first.folder == alone.first.folder  # the first member begins as a run alone does
    assert images[0].folder != alone.folder


# Own samples used against the model

FLOW_LOOP = {"initial": {"n": 60}, "samples": 60, "synthetic": {"n": 60}}


@pytest.mark.parametrize(
    ("family", "way"),
    [("mlp_ddpm", "scores"), ("otcfm", "scores"), ("otcfm", "weights"), ("glow", "weights")],
)
def test_a_loop_samples_away_from_what_its_own_samples_teach(family: str, way: str) -> None:
    tiny = {"hidden": 8, "batch_size": 16, "timesteps": 5, "sampling_steps": 4}
    known = declared("families")[family].options
    against = {"way": way, "strength": 1.0, "samples": 50, "budget": {"images": 64}}
    loops = FLOW_LOOP, FLOW_LOOP | {"against": against}
    blocks = [
        advanced(run_of(loop, family, "ring", {k: v for k, v in tiny.items() if k in known}), 2, 2)
        for loop in loops
    ]
    one, other = (block.pool[1]["points"] if 1 in block.pool else block.pool[2]["points"] for block in blocks)
    assert one.shape == other.shape
    assert np.isfinite(other).all()
    assert np.abs(one - other).mean() > 1e-4
    assert not torch.equal(blocks[0].rows(3), blocks[1].rows(3))
