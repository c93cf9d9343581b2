"""Runs whose generations come from files: what their entries may say, and what planning looks at."""

from __future__ import annotations

import re
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bigloop.config.experiment import Experiment
from bigloop.ops.forecast import Pace, job_seconds
from bigloop.spec.generations import ImportSpec, TrainSpec
from bigloop.spec.options import SpecError, parse, to_dict, to_json
from bigloop.spec.runs import RunSpec

Config = dict[str, Any]
PAGE = Path(__file__).parents[2] / "docs" / "extending" / "samples.md"
WEIGHTS = {
    "dataset": "mnist",
    "model": "wgan",
    "weights": "theirs/gen-{t}.safetensors",
    "samples": 200,
    "generations": 2,
}
GENERATED = {
    "dataset": "mnist",
    "generated": "theirs/seed-{seed}/gen-{t}.npy",
    "generations": 2,
    "seeds": [0, 1],
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A config of two such runs alone, in a directory with their files."""
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        Path("theirs", f"seed-{seed}").mkdir(parents=True)
        for t in (1, 2):
            np.save(f"theirs/seed-{seed}/gen-{t}.npy", np.zeros((100 + t, 28, 28), np.uint8))
            Path(f"theirs/gen-{t}.safetensors").write_bytes(bytes(t))  # planning does not open them
    return {
        "experiment": "elsewhere",
        "models": {"wgan": {"family": "wgan_gp", "width": 2, "latent": 8}},
        "runs": {"weights": dict(WEIGHTS), "samples": dict(GENERATED)},
        "measures": {"wasserstein1": {"n": 50}, "parameter_distance": None},
        "figures": {"critic_matrices": None, "samples": None},
    }


def test_neither_models_nor_loops_are_needed_where_no_run_names_one(config: Config) -> None:
    assert Experiment.from_config(config).runs.keys() == {"weights", "samples"}
    del config["models"], config["runs"]["weights"], config["figures"]["critic_matrices"]
    del config["measures"]["parameter_distance"]
    run = Experiment.from_config(config).runs["samples"]
    assert run.spec.folder.startswith("generated-mnist-")
    assert (run.samples, run.has_critic) == (101, False)


def test_what_needs_a_model_is_left_out_of_samples_alone(config: Config) -> None:
    experiment = Experiment.from_config(config)
    measured = {name: [*experiment.resolved(run)] for name, run in experiment.runs.items()}
    assert measured == {"weights": ["wasserstein1", "parameter_distance"], "samples": ["wasserstein1"]}
    assert experiment.critic_pairs() == [("weights", "weights", 0), ("weights", "samples", 0)]


def test_more_generations_or_seeds_are_the_same_lineage_and_other_files_are_another(config: Config) -> None:
    before = {name: run.spec.folder for name, run in Experiment.from_config(config).runs.items()}
    config["runs"]["weights"] |= {"generations": 1, "seeds": 3}
    config["runs"]["samples"] |= {"seeds": [1], "range": [0, 1]}
    assert {name: run.spec.folder for name, run in Experiment.from_config(config).runs.items()} == before
    shutil.copytree("theirs", "others")
    config["runs"]["samples"]["generated"] = "others/seed-{seed}/gen-{t}.npy"
    config["runs"]["weights"]["bias"] = 0.5
    after = {name: run.spec.folder for name, run in Experiment.from_config(config).runs.items()}
    assert not {*after.values()} & {*before.values()}


def test_a_files_size_is_told_to_the_job_that_imports_it_and_to_no_other(config: Config) -> None:
    def jobs() -> dict[tuple[str, int, int], str]:
        runs = Experiment.from_config(config).runs
        kinds = {"weights": TrainSpec, "samples": ImportSpec}
        return {
            (name, seed, t): to_json(kinds[name].of(run.spec, seed, t, run.file_bytes(seed, t)))
            for name, run in runs.items()
            for seed, t in run.jobs()
        }

    before = jobs()
    np.save("theirs/seed-1/gen-2.npy", np.zeros((300, 28, 28), np.uint8))
    Path("theirs/gen-2.safetensors").write_bytes(bytes(100))
    changed = {place for place, spec in jobs().items() if before[place] != spec}
    assert changed == {("weights", 0, 2), ("samples", 1, 2)}


def test_the_specs_of_such_runs_survive_json(config: Config) -> None:
    for run in Experiment.from_config(config).runs.values():
        assert parse(RunSpec, to_dict(run.spec), "run") == run.spec


def test_an_import_is_not_expected_to_train(config: Config) -> None:
    runs, pace = Experiment.from_config(config).runs, Pace(2.0, 1.0, 0.5, 0.01, 7.0, 1_000)
    assert job_seconds(runs["weights"], pace)[2] == (2.0, 2.0 + 0.01 * 200, 9.0)
    assert job_seconds(runs["samples"], pace)[2] == (2.0, 0.0, 9.0)


def test_the_configs_of_the_documentation_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    for given in map(yaml.safe_load, blocks):
        for run in given["runs"].values():
            for seed, t in product(range(3), range(1, 21)):
                file = Path(run.get("generated", run.get("weights")).format(seed=seed, t=t))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
        assert Experiment.from_config(given).trained
    assert len(blocks) == 2


BROKEN: dict[str, tuple[str, dict[str, Any], str]] = {
    "no {t}": ("samples", {"generated": "theirs/seed-{seed}/gen-1.npy"}, "generated: .*expected {t}"),
    "no {seed}": ("samples", {"generated": "theirs/seed-0/gen-{t}.npy"}, "generated: .*expected {seed}"),
    "another brace": (
        "samples",
        {"generated": "theirs/{x}/seed-{seed}/gen-{t}.npy"},
        r"generated: .*: {x} is neither {t} nor {seed}",
    ),
    "half a brace": ("weights", {"weights": "theirs/{gen-{t}.safetensors"}, "weights: .*neither"),
    "a format": ("weights", {"weights": "theirs/gen-{t}-{t:02}.safetensors"}, "weights: .*{t:02} is neither"),
    "a missing file": ("samples", {"generations": 3}, "generated: theirs/seed-0/gen-3.npy: no such file"),
    "missing weights": ("weights", {"generations": 3}, "weights: theirs/gen-3.safetensors: no such file"),
    "no file at all": ("weights", {"weights": "{t}\0"}, "weights: .*no such file"),
    "a folder": (
        "samples",
        {"generated": "theirs/seed-{seed}/../seed-{t}.npy"},
        "generated: .*expected a file",
    ),
    "a pickle": ("samples", {"generated": "theirs/seed-{seed}/gen-{t}.pt"}, r"generated: .*expected .npy"),
    "both": (
        "weights",
        {"generated": "theirs/gen-{t}.npy", "model": None, "samples": None},
        "weights: give this or",
    ),
    "a model of samples": ("samples", {"model": "wgan"}, "model: the samples of every generation are given"),
    "a loop of samples": ("samples", {"loop": "x"}, "loop: the samples of every generation are given"),
    "a bias of samples": ("samples", {"bias": 0.5}, "bias: nothing is sampled"),
    "a loop of weights": ("weights", {"loop": "x"}, "weights: .*leave loop out"),
    "a range of weights": ("weights", {"range": [0, 1]}, "range: weights generate"),
    "a sweep": ("weights", {"over": [{"bias": [1.0]}]}, "over: sweeps over a loop"),
    "no number of samples": ("weights", {"samples": None}, "samples: missing"),
    "no model": ("weights", {"model": None}, "model: missing"),
    "an empty range": ("samples", {"range": [1, 1]}, "range: expected black and white"),
    "a range of three": ("samples", {"range": [0, 1, 2]}, "range: expected black and white"),
    "a density": ("samples", {"dataset": "gaussian"}, "generated: only runs on images"),
    "samples of a run that is trained": (
        "weights",
        {"weights": None, "loop": "x"},
        "samples: is for a run with weights with {t}",
    ),
    "a loop that is not there": (
        "weights",
        {"weights": None, "samples": None, "loop": "x"},
        "loop: names 'x', but",
    ),
    "one file without a loop": (
        "weights",
        {"weights": "theirs/gen-1.safetensors", "samples": None},
        "loop: missing; or put {t}",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_lineage_is_one_line_that_names_the_key(fault: str, config: Config) -> None:
    run, change, words = BROKEN[fault]
    Path("theirs/seed-1.npy").mkdir()
    Path("theirs/seed-2.npy").mkdir()
    config["runs"][run] |= change
    with pytest.raises(SpecError, match=rf"^runs\.{run}\.{words}"):
        Experiment.from_config(config)


def test_a_run_that_names_a_model_needs_models(config: Config) -> None:
    del config["models"]
    words = r"^runs\.weights\.model: names 'wgan', but the config has no models; add them$"
    with pytest.raises(SpecError, match=words):
        Experiment.from_config(config)


def test_losses_of_generations_that_others_trained_cannot_be_drawn(config: Config) -> None:
    config["figures"]["losses"] = None
    with pytest.raises(SpecError, match=r"^figures\.losses: no run is trained here; leave this figure out$"):
        Experiment.from_config(config)
