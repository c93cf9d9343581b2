"""What an experiment will take: the arithmetic on given paces, and how it is said."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from bigloop.config.experiment import Experiment
from bigloop.ops.forecast import Forecast, Pace, RunForecast, chain, disk, forecast, job_seconds, show
from bigloop.ops.resources import (
    LONG,
    PLANNING,
    measuring_memory,
    planned_jobs,
    planning_warning,
    training_steps,
)
from bigloop.spec.generations import TrainSpec
from bigloop.spec.loops import Budget, Budgets, LoopSpec, Synthetic
from bigloop.spec.options import parse
from bigloop.training.snapshots import Snapshots

PACE = Pace(start=2.0, around=1.0, step=0.5, row=0.01, measure=7.0, weights=1_000)


@pytest.fixture
def experiment(config: dict[str, Any]) -> Experiment:
    return Experiment.from_config(config)


def loop(synthetic: Synthetic) -> LoopSpec:
    budget = {"initial": {"images": 64}, "retrain": {"images": 64}}
    words = {"initial": {"n": 10}, "samples": 10, "real": {}, "synthetic": {}, "budget": budget}
    return replace(parse(LoopSpec, words, "loop"), synthetic=synthetic)


@pytest.mark.parametrize(
    ("synthetic", "seconds"),
    [
        (
            Synthetic(n=10),
            3 * (10 + 2) + 5,
        ),  # one after the other; the measuring of the earlier goes on beside
        (Synthetic(n=10, from_="all"), 3 * (10 + 2) + 5),
        (Synthetic(n=0), (10 + 2) + 5),  # no generation needs another
    ],
)
def test_the_chain_is_as_long_as_the_loop_makes_it(synthetic: Synthetic, seconds: float) -> None:
    assert chain(loop(synthetic), dict.fromkeys((1, 2, 3), (10.0, 2.0, 5.0))) == seconds


def test_a_chain_ends_with_the_last_measurement_whichever_it_is() -> None:
    assert chain(loop(Synthetic(n=10)), {1: (10.0, 2.0, 100.0), 2: (10.0, 2.0, 5.0)}) == 112


def test_steps_follow_the_budget_and_the_rows_of_a_growing_pool(config) -> None:
    config["loops"]["fully-synthetic"] |= {
        "synthetic": {"n": 640, "from": "all"},
        "samples": 640,
        "budget": {"initial": {"images": 1280}, "retrain": {"epochs": 2}},
    }
    spec = Experiment.from_config(config).runs["vae"].spec
    assert [training_steps(TrainSpec.of(spec, 0, t)) for t in (1, 2, 3)] == [20, 20, 40]  # of 64 images each


def test_a_forecast_adds_up_what_each_job_takes(experiment: Experiment) -> None:
    paces = dict.fromkeys(experiment.runs, PACE)
    found = forecast(experiment, paces, {}, classify=50.0, extra=30.0)
    train, sample, measure = 2 + 1 + 0.5 * 20, 2 + 0.01 * 600, 2 + 7.0
    assert job_seconds(experiment.runs["vae"], PACE) == dict.fromkeys((1, 2, 3), (train, sample, measure))
    six = RunForecast(6 * train, 6 * sample, 6 * measure, chain=3 * (train + sample) + measure)
    assert found.runs["vae"] == six  # three generations, two seeds
    assert found.trained == pytest.approx(10 * (train + sample) + 50)
    assert found.other == pytest.approx(10 * measure + 30)


def test_what_runs_share_is_counted_once(config) -> None:
    alone = forecast(Experiment.from_config(config), dict.fromkeys(config["runs"], PACE), {}, 0, 0)
    config["loops"]["other"] = deepcopy(config["loops"]["fully-synthetic"]) | {"samples": 700}
    config["runs"]["second"] = config["runs"]["vae"] | {"loop": "other"}
    both = forecast(Experiment.from_config(config), dict.fromkeys(config["runs"], PACE), {}, 0, 0)
    second = both.runs["second"]
    first_generations = 2 * (2 + 1 + 0.5 * 20)  # of two seeds; their weights do not depend on the loop
    assert both.trained == pytest.approx(alone.trained + second.train + second.sample - first_generations)
    assert both.disk["weights"] - alone.disk["weights"] == 4 * PACE.weights


def test_imported_weights_are_not_trained(experiment: Experiment) -> None:
    run = experiment.runs["vae"]
    imported = replace(run, spec=replace(run.spec, weights="0" * 64))
    first, second, _ = (train for train, _, _ in job_seconds(imported, PACE).values())
    assert (first, second) == (PACE.start, PACE.start + 1 + 0.5 * 20)


@pytest.mark.parametrize(
    ("cores", "gpus", "seconds"),
    [
        (1, 0, 1_000.0),
        (4, 0, 250.0),
        (100, 0, 60.0),  # the chain
        (4, 2, 400.0),  # the GPUs
        (1, 100, 200.0),  # the one core
    ],
)
def test_the_time_is_that_of_the_work_shared_out_or_of_the_longest_chain(cores, gpus, seconds) -> None:
    runs = {"a": RunForecast(0, 0, 0, chain=60), "b": RunForecast(0, 0, 0, chain=10)}
    assert Forecast(runs, trained=800, other=200, disk={}).wall(cores, gpus) == seconds


@pytest.mark.parametrize(("keep", "kept"), [(1, 3), (2, 2), (0, 1), (3, 1)])
def test_disk_is_counted_in_bytes_with_the_samples_that_are_kept(config, keep, kept) -> None:
    config["storage"] = {"keep_samples": keep}
    config["runs"] = {"vae": config["runs"]["vae"]}  # three generations, two seeds
    config["loops"]["fully-synthetic"] |= {"samples": 1_500}
    config["figures"] = {"losses": None}
    counted = disk(Experiment.from_config(config), {"vae": 1_000})
    row = 28 * 28 * 2  # float16
    assert counted["samples"] == 2 * kept * 1_500 * row
    assert counted["previews"] == 6 * 1_000 * row
    assert counted["weights"] == 6 * 1_000
    assert counted["features"] == 0
    assert disk(Experiment.from_config(config), {"vae": 1_000}, {"vae": 70})["features"] == 2 * kept * 70
    assert counted["real data"] == 70_000 * (28 * 28 + 8)


@pytest.mark.parametrize(
    ("every", "first", "later"), [(0, 0, 0), (0.5, 5, 8), (1, 3, 4), (1.5, 2, 3), (5, 2, 2), (0.001, 21, 31)]
)
def test_snapshots_are_counted_as_they_are_taken_and_a_shared_first_training_once(
    config, every, first, later
) -> None:
    config["storage"] = {"snapshots": every}
    loop = config["loops"]["fully-synthetic"]  # 600 rows: of a batch of 64, 9 steps an epoch
    loop["budget"] = {"initial": {"images": 20 * 64}, "retrain": {"images": 30 * 64}}
    config["loops"]["other"] = loop | {"bias": 0.5}
    config["runs"] = {"vae": config["runs"]["vae"] | {"seeds": [0, 1]}}  # three generations
    config["runs"]["second"] = config["runs"]["vae"] | {"loop": "other"}
    config["figures"] = {"losses": None}
    counted = disk(Experiment.from_config(config), {"vae": 1_000, "second": 1_000})
    assert counted["snapshots"] == 2 * (first + 2 * 2 * later) * 16 * 28 * 28
    for steps, expected in ((20, first), (30, later)):
        taken = Snapshots(every, 0) if every else None
        moments = [done for done in range(steps + 1) if taken and taken.due(done, steps, 9)]
        assert len(moments) == expected


def test_a_loop_that_continues_keeps_its_optimisers_and_waits_for_the_training_before(config) -> None:
    config["runs"] = {"vae": config["runs"]["vae"] | {"seeds": [0]}}  # three generations
    config["figures"] = {"losses": None}
    loop = config["loops"]["fully-synthetic"]
    loop |= {"real": {"fixed": 600}, "synthetic": {"n": 0}, "start": "continue"}
    experiment = Experiment.from_config(config)
    assert disk(experiment, {"vae": 1_000})["optimiser states"] == 3 * 2_000
    seconds = dict.fromkeys((1, 2, 3), (10.0, 2.0, 1.0))
    assert chain(experiment.runs["vae"].spec.loop, seconds) == 3 * 10 + 2 + 1
    loop["start"] = "scratch"  # then nothing waits for anything
    assert chain(Experiment.from_config(config).runs["vae"].spec.loop, seconds) == 10 + 2 + 1


def test_a_family_that_knows_no_batches_makes_passes(config) -> None:
    run = Experiment.from_config(config).runs["vae"]
    options = {key: value for key, value in run.spec.model.options.items() if key != "batch_size"}
    model = replace(run.spec.model, options=options)
    loop = replace(
        run.spec.loop, budget=Budgets(Budget(epochs=7), Budget(images=10 * run.spec.loop.synthetic.n))
    )
    spec = replace(run.spec, model=model, loop=loop)
    assert [training_steps(TrainSpec.of(spec, 0, t)) for t in (1, 2)] == [7, 10]


def test_runs_that_differ_in_their_names_alone_are_worked_on_once(config) -> None:
    alone = Experiment.from_config(config)
    config["runs"]["again"] = config["runs"]["vae"] | {"generations": 4, "label": "again"}
    both = Experiment.from_config(config)
    first, second = (forecast(e, dict.fromkeys(e.runs, PACE), {}, 0, 0) for e in (alone, both))
    added = (
        2 * (2 + 1 + 0.5 * 20),
        2 * (2 + 0.01 * 600),
    )  # the fourth generation's training and sampling, of two seeds
    assert second.trained - first.trained == pytest.approx(sum(added))
    assert second.other - first.other == pytest.approx(2 * 9.0)
    assert second.disk["weights"] - first.disk["weights"] == 2 * PACE.weights


def test_a_forecast_is_shown_from_best_to_worst(experiment: Experiment, capsys) -> None:
    slow = Pace(start=4.0, around=2.0, step=300.0, row=0.02, measure=7.0, weights=1_000)
    best, worst = (forecast(experiment, dict.fromkeys(experiment.runs, p), {}, 50, 30) for p in (PACE, slow))
    show(experiment, best, worst, cores=3, gpus=0, threads=1)
    printed = capsys.readouterr().out
    assert re.search(r"^vae +3 × 2 seeds +78 s to 10 h +48 s to 1.6 min +54 to 66 s", printed, re.MULTILINE)
    assert "With --cores 3     " in printed
    assert max(map(len, printed.splitlines())) <= 120
    show(experiment, best, worst, cores=3, gpus=2, threads=1)
    assert "of GPU and" in capsys.readouterr().out


def test_a_plan_that_takes_minutes_says_so_in_one_line_with_its_size(config) -> None:
    assert planning_warning(Experiment.from_config(config)) == ""
    config["runs"]["vae"] |= {"generations": 100_000, "seeds": [0]}
    experiment = Experiment.from_config(config)
    jobs = planned_jobs(experiment)
    assert jobs > 300_000
    said = planning_warning(experiment)
    assert f"{jobs:,} jobs" in said
    assert "20 min" in said
    assert "\n" not in said
    assert jobs * PLANNING > LONG


def test_a_forecast_of_very_many_generations_adds_them_up_without_a_list_of_all_their_jobs(config) -> None:
    config["runs"] = {"vae": config["runs"]["vae"] | {"generations": 50_000, "seeds": [0, 1]}}
    config["loops"]["fully-synthetic"]["synthetic"] = {
        "n": 600,
        "from": 40_000,
    }  # generations that each one looks at
    config["figures"] = {"losses": None}
    experiment = Experiment.from_config(config)
    found = forecast(experiment, {"vae": PACE}, {}, 0, 0)
    train, sample, measure = 2 + 1 + 0.5 * 20, 2 + 0.01 * 600, 2 + 7.0
    assert found.runs["vae"].chain == pytest.approx(50_000 * (train + sample) + measure)
    assert found.work == pytest.approx(2 * 50_000 * (train + sample + measure))
    assert found.disk["weights"] == 100_000 * PACE.weights


def test_memory_for_a_measuring_job_is_that_of_the_matrices_its_measures_declare() -> None:
    few = measuring_memory({"fid": {"n": 10_000}, "precision": {"n": 10_000}}, "mnist")
    many = measuring_memory(
        {"fid": {"n": 10_000}, "wasserstein1": {"n": 10_000}, "wasserstein2": {"n": 10}}, "mnist"
    )
    assert many - few == 5 * 8 * 10_000**2 / 1e6  # five matrices of float64, in MB


def test_the_columns_of_a_forecast_stay_apart_however_long_their_words(
    experiment: Experiment, capsys
) -> None:
    slow = Pace(start=4.0, around=2.0, step=3e9, row=2e7, measure=7e7, weights=1_000)
    best, worst = (forecast(experiment, dict.fromkeys(experiment.runs, p), {}, 50, 30) for p in (PACE, slow))
    show(experiment, best, worst, cores=2, gpus=0, threads=1)
    printed = capsys.readouterr().out.splitlines()
    head, *rows = [
        re.split(r"\s{2,}", line) for line in printed if re.match("run |" + " |".join(experiment.runs), line)
    ]
    assert len(rows) == len(experiment.runs)
    assert {len(row) for row in rows} == {len(head)} == {6}
