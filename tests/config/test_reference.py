"""`reference: test` of a measure: on how many rows, where it is refused, and that without it nothing changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from bigloop.config.experiment import Experiment
from bigloop.metrics import Measure
from bigloop.spec.options import SpecError, option, to_json
from bigloop.spec.registry import declared

Config = dict[str, Any]
TEST = {"reference": "test"}
COMPARING = {name for name, about in declared("measures").items() if "reference" in about.options}
SIMULATED: Config = {
    "experiment": "points",
    "models": {"gaussian": {"family": "gaussian"}},
    "loops": {
        "full": {
            "initial": {"n": 50},
            "samples": 50,
            "synthetic": {"n": 50},
            "budget": {"initial": {"epochs": 1}, "retrain": {"epochs": 1}},
        }
    },
    "runs": {"points": {"dataset": "gaussian", "model": "gaussian", "loop": "full", "generations": 2}},
    "measures": {"wasserstein1": {"n": 20}},
    "figures": {},
}


def told(config: Config, run: str = "vae") -> tuple[str, str]:
    """What the jobs are told that measure a generation of a run, and the floor."""
    experiment = Experiment.from_config(config)
    return to_json(experiment.measure(experiment.runs[run], 0, 1)), to_json(experiment.floor("mnist"))


def test_measures_that_compare_have_it_and_no_others() -> None:
    assert {
        *("wasserstein1", "wasserstein1_excess", "wasserstein2", "fid", "fid_inception"),
        *("precision", "recall", "density", "coverage", "classes", "critic_distance", "bins", "spectrum"),
    } == COMPARING


def test_the_training_rows_are_what_they_are_held_against_unless_it_says_otherwise(config: Config) -> None:
    before = told(config)
    assert "reference" not in "".join(before)
    config["measures"]["wasserstein1"]["reference"] = "training"
    assert told(config) == before


def test_both_jobs_are_told_and_no_run_moves(config: Config) -> None:
    folders = {name: run.spec.folder for name, run in Experiment.from_config(config).runs.items()}
    config["measures"]["fid"] = TEST | {"n": 500}
    experiment = Experiment.from_config(config)
    assert experiment.resolved(experiment.runs["vae"])["fid"] == {"n": 500, "reference": "test"}
    assert experiment.floor("mnist").measures["fid"] == ({"n": 500, "reference": "test"},)
    assert {name: run.spec.folder for name, run in experiment.runs.items()} == folders


@pytest.mark.parametrize(("measure", "n"), [("fid", 5_000), ("wasserstein1", 500)])
def test_without_n_half_of_the_test_rows_are_taken_up_to_the_limit(
    config: Config, measure: str, n: int
) -> None:
    config["loops"]["fully-synthetic"] |= {"samples": 20_000}
    config["measures"][measure] = dict(TEST)
    experiment = Experiment.from_config(config)
    assert experiment.resolved(experiment.runs["vae"])[measure]["n"] == n


@pytest.mark.parametrize(
    ("measure", "options", "words"),
    [
        ("fid", {"n": 5_001}, r"\.n: 5001 needs two disjoint sets of 5001 real test rows, mnist has 10000"),
        (
            "wasserstein1_excess",
            {"n": 2_501},
            r"\.n: 2501 needs two disjoint sets of 5002 real test rows, mnist has 10000",
        ),
        ("fid", {"reference": "tests"}, r"\.reference: expected one of training, test, got 'tests'"),
    ],
)
def test_more_test_rows_than_there_are_is_one_line(
    config: Config, measure: str, options: Config, words: str
) -> None:
    config["loops"]["fully-synthetic"] |= {"samples": 20_000}
    config["measures"][measure] = TEST | options
    with pytest.raises(SpecError, match=rf"\Ameasures\.{measure}{words}\Z"):
        Experiment.from_config(config)


@pytest.mark.parametrize(
    ("rows", "measure", "needed"), [(3, "fid", 4), (7, "wasserstein1_excess", 8), (1, "fid", 4)]
)
def test_hardly_any_test_rows_are_one_line(config: Config, rows: int, measure: str, needed: int) -> None:
    config["datasets"] = {"few": {"source": "mnist", "rows": rows}}
    config["runs"] = {"vae": config["runs"]["vae"] | {"dataset": "few"}}
    config["loops"]["fully-synthetic"]["initial"] = {"n": rows}
    config["figures"], config["measures"] = {}, {measure: dict(TEST)}
    words = rf"measures\.{measure}\.reference: test needs at least {needed} real test rows, few has {rows}"
    with pytest.raises(SpecError, match=rf"\A{words}\Z"):
        Experiment.from_config(config)


def test_points_are_held_against_fresh_ones_in_any_case() -> None:
    Experiment.from_config(SIMULATED)
    given = SIMULATED | {"measures": {"wasserstein1": {"n": 20} | TEST}}
    with pytest.raises(
        SpecError, match=r"\Ameasures\.wasserstein1\.reference: only datasets have test rows[^\n]+\Z"
    ):
        Experiment.from_config(given)


@pytest.mark.parametrize("only", [None, "points"])
def test_points_beside_images_are_simulated_as_without_it(config: Config, only: str | None) -> None:
    for section in ("models", "loops", "runs"):
        config[section] |= SIMULATED[section]
    config["measures"], config["figures"] = {"wasserstein1": {"n": 20}}, {}
    if only:
        config["only"] = only

    def simulated() -> tuple[str, str]:
        experiment = Experiment.from_config(config)
        run = experiment.runs["points"]
        return to_json(experiment.simulate(run, run.blocks()[0])), to_json(
            experiment.density_floor("gaussian")
        )

    before = simulated()
    config["measures"]["wasserstein1"] |= TEST
    assert simulated() == before


def test_a_measure_with_another_option_of_that_name_is_refused() -> None:
    @dataclass(frozen=True)
    class Options:
        reference: str = option("mine", "something else")

    with pytest.raises(ValueError, match="Options: has an option reference, and is no ComparisonOptions"):
        Measure(lambda x, y: 0.0, ("images",), Options=Options)
