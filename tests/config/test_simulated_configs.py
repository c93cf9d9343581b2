"""Configs of simulated runs: sweeps, blocks, what can be measured, and one line for what cannot be run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from bigloop.config.experiment import Experiment
from bigloop.loops import RULES, Rule
from bigloop.spec.loops import RuleSpec
from bigloop.spec.options import SpecError, option
from bigloop.spec.registry import declared

Config = dict[str, Any]
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def config() -> Config:
    return yaml.safe_load((REPOSITORY / "tests" / "smoke" / "known.yaml").read_text())


def resolved(config: Config) -> Experiment:
    return Experiment.from_config(config)


def test_a_sweep_is_a_run_for_each_combination_of_its_axes(config: Config) -> None:
    runs = resolved(config).runs
    found = {
        name: (run.spec.loop.synthetic.n, run.spec.loop.bias)
        for name, run in runs.items()
        if name.startswith("limit")
    }
    assert found == {f"limit-n{n}-bias{bias:g}": (n, bias) for n in (50, 200) for bias in (1.0, 0.5)}
    assert runs["limit-n50-bias0.5"].label == "limit, nₛ = 50, λ = 0.5"
    assert runs["limit-n50-bias0.5"].loop == "fresh-data"


def test_keys_of_one_axis_go_together(config: Config) -> None:
    config["runs"]["limit"]["over"] = [{"synthetic.n": [50, 300], "samples": [60, 300]}]
    runs = resolved(config).runs
    loops = [run.spec.loop for name, run in runs.items() if name.startswith("limit")]
    assert [(loop.synthetic.n, loop.samples) for loop in loops] == [(50, 60), (300, 300)]


def test_a_swept_run_is_the_run_that_its_loop_would_make_if_written_out(config: Config) -> None:
    swept = resolved(config).runs["limit-n50-bias0.5"]
    config["loops"]["fresh-data"] |= {"bias": 0.5, "synthetic": {"n": 50}}
    del config["runs"]["limit"]["over"]
    assert resolved(config).runs["limit"].spec == swept.spec


def test_a_number_of_seeds_stands_for_the_first_so_many(config: Config) -> None:
    runs = resolved(config).runs
    assert runs["decay"].seeds == (0, 1, 2, 3, 4)
    assert runs["moons"].seeds == (0, 7)


def test_blocks_end_at_multiples_of_their_size(config: Config) -> None:
    config["runs"]["decay"] |= {"seeds": [1, 2, 5, 7], "generations": 9}
    run = resolved(config).runs["decay"]
    assert [block.folder for block in run.blocks()] == [
        f"seeds-{seeds}/gens-{gens}" for seeds in ("1-2", "5-5", "7-7") for gens in ("1-4", "5-8", "9-9")
    ]


def test_neither_blocks_nor_seeds_nor_names_of_densities_move_a_run(config: Config) -> None:
    before = resolved(config).runs["limit-n50-bias0.5"].spec.folder
    config["densities"] = {"other": config["densities"]["normal-3"]}
    config["runs"]["limit"] |= {"dataset": "other", "seeds": 9, "simulation": {"block_seeds": 2}}
    config["runs"]["single"]["dataset"] = "other"
    after = resolved(config)
    assert after.runs["limit-n50-bias0.5"].spec.folder == before
    config["densities"]["other"]["dimension"] = 4
    assert resolved(config).runs["limit-n50-bias0.5"].spec.folder != before


def test_each_run_is_measured_by_what_it_can_be_measured_by(config: Config) -> None:
    experiment = resolved(config)
    found = {name: set(experiment.resolved(run)) for name, run in experiment.runs.items()}
    points = {"wasserstein1", "wasserstein2", "recall", "training", "divergences"}
    assert found["decay"] == {"moments", "training"}  # by moments: it has no rows
    assert found["moons"] == points
    assert found["ring"] == points | {"modes"}
    assert found["reverse"] == points | {"modes", "moments"}


def put(path: str, value: Any) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        *parents, last = path.split("/")
        place = config
        for parent in parents:
            place = place[parent]
        place[last] = value

    return change


BROKEN = {
    "an unknown density": (
        put("densities/normal-3/density", "cauchy"),
        "densities.normal-3.density: unknown",
    ),
    "an unknown parameter": (put("densities/normal-3/radius", 2), "densities.normal-3.radius: unknown key"),
    "a parameter out of range": (
        put("densities/normal-3/dimension", 0),
        "densities.normal-3.dimension: expected at least 1",
    ),
    "a density named as a dataset": (
        put("densities", {"mnist": {"density": "ring"}, "normal-3": {"density": "gaussian"}}),
        "densities.mnist: is already the name",
    ),
    "neither dataset nor density": (put("runs/moons/dataset", "suns"), "runs.moons.dataset: unknown dataset"),
    "a family of images": (
        put("models/otcfm", {"family": "vae"}),
        "runs.moons.model: vae cannot learn moons",
    ),
    "a family of points on images": (
        put("runs/moons/dataset", "mnist"),
        "runs.moons.model: otcfm cannot learn mnist",
    ),
    "a sweep over an unknown key": (
        put("runs/limit/over", [{"synthetic.m": [1]}]),
        "runs.limit.over.0.synthetic.m: unknown key",
    ),
    "axes of unequal length": (
        put("runs/limit/over", [{"synthetic.n": [1, 2], "bias": [1.0]}]),
        "runs.limit.over.0: the lists of one axis",
    ),
    "a swept value out of range": (
        put("runs/limit/over", [{"bias": [2.0]}]),
        "runs.limit-bias2: loop.bias: expected at most 1",
    ),
    "a sweep over more rows than there are": (
        put("runs/limit/over", [{"synthetic.n": [500]}]),
        "loops.fresh-data.synthetic: 500 rows requested, but each generation generates 200",
    ),
    "a sweep of an unknown loop": (put("runs/limit/loop", "none"), "runs.limit.loop: no loop named 'none'"),
    "moments of another density": (
        put("runs/decay/dataset", "ring"),
        "runs.decay.dataset: draws: moments works",
    ),
    "moments and some rows of all generations": (
        put("loops/fully-synthetic/synthetic", {"n": 50, "from": "all"}),
        "loops.fully-synthetic.synthetic.from: with draws: moments",
    ),
    "moments of some of the fixed rows": (
        put("loops/fresh-data/real", {"fixed": 20}),
        "loops.fresh-data.real.fixed: with draws: moments",
    ),
    "a projection of two dimensions": (
        put("runs/reverse/dataset", "ring"),
        "runs.reverse.dataset: projection needs a density in one dimension",
    ),
    "imported weights": (put("runs/moons/weights", "Snakefile"), "runs.moons.weights: only runs on images"),
    "blocks of no seeds": (
        put("runs/decay/simulation/block_seeds", 0),
        "runs.decay.simulation.block_seeds: expected at least 1, got 0",
    ),
    "a measure that none can have": (
        put("measures/fid_inception", None),
        "measures.fid_inception: cannot be",
    ),
    "more points than there are": (
        put("measures/wasserstein1", {"n": 150}),
        "measures.wasserstein1.n: 150 needs 150 samples, but run reverse generates 100",
    ),
    "a figure of images": (put("figures/samples", None), "figures.samples: shows images"),
    "an unknown kind of figure": (
        put("figures/decay/figure", "pie"),
        "figures.decay: unknown figure 'pie'",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_config_is_one_line_that_names_the_key(case: str, config: Config) -> None:
    change, words = BROKEN[case]
    change(config)
    with pytest.raises(SpecError) as raised:
        resolved(config)
    assert str(raised.value).startswith(words)
    assert "\n" not in str(raised.value)


def test_blocks_of_a_run_on_images_are_refused() -> None:
    config = yaml.safe_load((REPOSITORY / "tests" / "smoke" / "config.yaml").read_text())
    config["runs"]["vae"]["simulation"] = {"measure_every": 2}
    with pytest.raises(SpecError, match=r"^runs\.vae\.simulation: only runs on known densities"):
        resolved(config)


def test_points_of_images_are_refused() -> None:
    config = yaml.safe_load((REPOSITORY / "tests" / "smoke" / "config.yaml").read_text())
    config["figures"]["point_clouds"] = None
    with pytest.raises(SpecError, match=r"^figures\.point_clouds: shows points, but no run has any"):
        resolved(config)


@dataclass(frozen=True)
class Keep:
    """Options of a rule."""

    share: float = option(0.5, "share that stays", above=0, maximum=1)


@pytest.fixture
def rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "keep", Rule(lambda composition, *_: composition, Keep))
    monkeypatch.setitem(declared("rules"), "keep", declared("rules")["keep"])


@pytest.mark.usefixtures("rule")
def test_a_registered_rule_is_a_key_of_a_loop_that_can_be_swept(config: Config) -> None:
    config["loops"]["mixing"]["keep"] = {"share": 1}
    config["models"]["by-rows"] = {"family": "gaussian"}
    config["runs"]["limit"] |= {"model": "by-rows", "over": [{"keep.share": [0.25, 0.5]}]}
    runs = resolved(config).runs
    assert runs["limit-share0.25"].spec.loop.rules == (RuleSpec("keep", 1, {"share": 0.25}),)
    assert runs["limit-share0.5"].label == "limit, share = 0.5"
    assert runs["decay"].spec.loop.rules == ()


@pytest.mark.usefixtures("rule")
@pytest.mark.parametrize(
    ("loop", "given", "line"),
    [
        ("mixing", {"share": 2}, "loops.mixing.keep.share: expected at most 1, got 2"),
        ("mixing", {"part": 1}, "loops.mixing.keep.part: unknown key (known: share)"),
        (
            "fully-synthetic",
            {},
            "loops.fully-synthetic.keep: with draws: moments, there are no rows to choose",
        ),
    ],
)
def test_a_rule_is_checked_like_every_key(loop: str, given: Any, line: str, config: Config) -> None:
    config["loops"][loop]["keep"] = given
    with pytest.raises(SpecError) as raised:
        resolved(config)
    assert str(raised.value) == line


def test_a_rule_does_not_take_the_place_of_a_loops_own_key(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, "bias", Rule(lambda composition, *_: composition, Keep))
    monkeypatch.setitem(declared("rules"), "bias", declared("rules")["bias"])
    with pytest.raises(SpecError, match=r"^rule: 'bias' is a key that every loop has"):
        resolved(config)


def test_rules_are_not_given_under_a_key_of_their_own(config: Config) -> None:
    config["loops"]["mixing"]["rules"] = []
    with pytest.raises(SpecError, match=r"^loops\.mixing\.rules: unknown key"):
        resolved(config)
