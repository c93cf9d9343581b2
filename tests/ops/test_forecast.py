"""What an experiment will take: the arithmetic on given paces, and the timing that finds them."""

from __future__ import annotations

import math
import re
import time
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bigloop.config.experiment import Experiment
from bigloop.generation.store import new_model
from bigloop.metrics import MEASURES, Measure
from bigloop.ops import probes as calibrate
from bigloop.ops.forecast import Forecast, Pace, RunForecast, chain, disk, forecast, job_seconds
from bigloop.ops.resources import training_steps
from bigloop.spec.jobs import TrainSpec
from bigloop.spec.options import parse
from bigloop.spec.runs import LoopSpec, Synthetic

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
    assert counted["real data"] == 70_000 * (28 * 28 + 8)


class Clock:
    """A clock that stands still but for what the timed calls add."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "process_time", lambda: self.now)
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)


@pytest.mark.parametrize(("around", "step"), [(0.7, 0.01), (0.0, 2.0), (5.0, 1e-3)])
def test_timing_tells_steps_from_what_is_around_them(monkeypatch, around: float, step: float) -> None:
    clock = Clock(monkeypatch)

    def fit(steps: int) -> None:
        clock.now += around + steps * step

    found = calibrate.Timing(device=torch.device("cpu"))._per_step(fit)
    assert found == pytest.approx((around, step))


def test_a_family_that_knows_no_steps_is_all_around_them(monkeypatch) -> None:
    clock = Clock(monkeypatch)

    def fit(steps: int) -> None:
        clock.now += 0.25

    assert calibrate.Timing(device=torch.device("cpu"))._per_step(fit) == pytest.approx((0.25, 0.0))


@pytest.mark.parametrize(("n", "noted"), [(400, 0), (2_000, 0), (40_000, 1)])
def test_a_measure_that_takes_long_is_timed_at_a_smaller_n_and_scaled(
    monkeypatch, experiment, n, noted
) -> None:
    clock, largest = Clock(monkeypatch), 0

    def slow(generated: np.ndarray, real: np.ndarray) -> float:
        nonlocal largest
        largest = max(largest, len(generated))
        assert generated.shape[1:] == (1, 28, 28)
        clock.now += len(generated) ** 2.5 * 1e-8
        return 0.0

    monkeypatch.setitem(MEASURES, "wasserstein1", Measure(slow, ("images",), limit=500))
    timing = calibrate.Timing(device=torch.device("cpu"))
    seconds = timing.measure("wasserstein1", {"n": n}, experiment.classifiers["mnist"])
    assert seconds == pytest.approx(n**2.5 * 1e-8, rel=1e-6)
    assert len(timing.notes) == noted
    assert largest**2.5 * 1e-8 <= calibrate.PATIENCE


def test_timing_a_tiny_experiment_gives_a_whole_forecast(config, capsys) -> None:
    config["runs"] = {"wgan": config["runs"]["wgan-1"] | {"seeds": [0, 1]}}
    experiment = Experiment.from_config(config)
    run = experiment.runs["wgan"]
    timing = calibrate.Timing()
    pace = timing.pace(experiment, run)
    assert all(0 < value < 60 for value in (pace.start, pace.step, pace.row, pace.measure))
    tensors, _ = new_model(run.spec.model, (1, 28, 28), 0, 1, torch.device("cpu")).state()
    assert pace.weights == sum(array.nbytes for array in tensors.values())
    found = timing.forecast(experiment)
    assert found.runs["wgan"].train > 4 * pace.start
    assert found.other > found.runs["wgan"].measure
    assert math.isfinite(found.work)
    calibrate.show(experiment, found, timing, cores=3)
    printed = capsys.readouterr().out
    assert re.search(r"^wgan +2 × 2 seeds +\d+ s", printed, flags=re.MULTILINE)
    assert "With --cores 3" in printed
    assert max(map(len, printed.splitlines())) <= 120


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
