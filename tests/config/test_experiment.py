"""A config becomes jobs: defaults agree with the code, and folders follow the science and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bigloop.config.experiment import Experiment
from bigloop.metrics import MEASURES
from bigloop.spec.jobs import ClassifierSpec, CollectSpec, CriticsSpec, FloorSpec, MeasureSpec
from bigloop.spec.options import SpecError, parse, to_dict
from bigloop.spec.registry import Declared, declared

Config = dict[str, Any]
LOOP = "fully-synthetic"
REPOSITORY = Path(__file__).parents[2]


def resolved(config: Config) -> Experiment:
    return Experiment.from_config(config)


def folders(config: Config) -> dict[str, tuple[str, str]]:
    """Each run's folder, and the folder of its first generation."""
    runs = resolved(config).runs
    return {name: (run.spec.folder, run.spec.first.folder) for name, run in runs.items()}


# --- what a folder's name depends on ---


def backwards(value: Any) -> Any:
    return {k: backwards(v) for k, v in reversed(value.items())} if isinstance(value, dict) else value


def decimal(value: Any) -> Any:
    """Every whole number spelled as 3.0 instead of 3."""
    if isinstance(value, dict):
        return {k: decimal(v) for k, v in value.items()}
    if isinstance(value, list):
        return [decimal(v) for v in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def renamed(config: Config) -> Config:
    config = deepcopy(config)
    config["experiment"] = "other"
    config["models"] = {f"m-{name}": model for name, model in config["models"].items()}
    config["loops"] = {f"l-{name}": loop for name, loop in config["loops"].items()}
    for run in config["runs"].values():
        run |= {"model": f"m-{run['model']}", "loop": f"l-{run['loop']}", "label": "other"}
    return config


def further(config: Config) -> Config:
    config = deepcopy(config)
    for run in config["runs"].values():
        run |= {"generations": 9, "seeds": [4, 5]}
    return config


def measured_otherwise(config: Config) -> Config:
    return {
        **config,
        "measures": {"pixels": {"bins": 7}},
        "critics": {"n": 3},
        "figures": {"pixel_intensities": None},
        "classifier": {},
        "data": {"root": "elsewhere"},
    }


def with_defaults_written_out(config: Config) -> Config:
    config = deepcopy(config)
    config["models"]["vae-tiny"] |= {"slope": 0.2, "batch_size": 64}
    config["models"]["wgan-tiny-1"] |= {"critic_output": "sigmoid", "beta1": 0.9}
    config["loops"][LOOP] |= {"bias": 1.0, "start": "scratch", "real": {"fixed": 0}}
    return config


@pytest.mark.parametrize(
    "change", [backwards, decimal, renamed, further, measured_otherwise, with_defaults_written_out]
)
def test_folders_do_not_depend_on_spelling_names_and_what_is_measured(
    change: Callable[[Config], Config], config: Config
) -> None:
    assert folders(change(config)) == folders(config)


def test_a_config_spelled_with_decimals_gives_the_same_experiment(config: Config) -> None:
    assert resolved(decimal(config)) == resolved(config)


VAE_KEYS = {"hidden": 33, "latent": 5, "slope": 0.1, "batch_size": 32, "learning_rate": 1e-3}
LATER_KEYS = {
    "samples": 601,
    "real": {"fixed": 1},
    "synthetic": {"n": 599},
    "bias": 0.9,
    "budget": {"initial": {"images": 1280}, "retrain": {"images": 1281}},
}
FIRST_KEYS = {
    "initial": {"n": 601},
    "budget": {"initial": {"images": 1281}, "retrain": {"images": 1280}},
}


@pytest.mark.parametrize("key", VAE_KEYS)
def test_every_key_of_a_model_moves_its_runs_and_no_others(key: str, config: Config) -> None:
    before = folders(config)
    config["models"]["vae-tiny"][key] = VAE_KEYS[key]
    after = folders(config)
    assert {name for name in before if before[name][0] != after[name][0]} == {"vae"}
    assert before["vae"][1] != after["vae"][1]


def test_every_key_of_the_wgan_moves_its_runs(config: Config) -> None:
    other = {"critic_output": "linear", "generator_norm": "batch"}
    seen = {folders(config)["wgan-1"]}
    options = declared("families")["wgan_gp"].options
    for key, entry in options.items():
        changed = deepcopy(config)
        changed["models"]["wgan-tiny-1"][key] = other.get(key, 0.5 if entry["type"] == "float" else 7)
        seen.add(folders(changed)["wgan-1"])
    assert len(seen) == 1 + len(options)


@pytest.mark.parametrize("key", LATER_KEYS)
def test_keys_of_later_generations_move_a_run_but_not_its_first_generation(key: str, config: Config) -> None:
    before = folders(config)["vae"]
    config["loops"][LOOP][key] = LATER_KEYS[key]
    after = folders(config)["vae"]
    assert before[0] != after[0]
    assert before[1] == after[1]


@pytest.mark.parametrize("key", FIRST_KEYS)
def test_keys_of_the_first_generation_move_it_and_the_run(key: str, config: Config) -> None:
    before = folders(config)["vae"]
    config["loops"][LOOP][key] = FIRST_KEYS[key]
    after = folders(config)["vae"]
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_the_dataset_moves_a_run(config: Config) -> None:
    before = folders(config)["vae"]
    config["runs"]["vae"]["dataset"] = "fashion_mnist"
    assert not set(before) & set(folders(config)["vae"])


def able(name: str, **abilities: Any) -> Declared:
    """A family as it is declared, but for these abilities."""
    about = declared("families")[name]
    return replace(about, abilities={**about.abilities, **abilities})


def test_a_raised_revision_of_the_code_moves_a_run(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    before = folders(config)["vae"]
    newer = able("vae", revision=declared("families")["vae"].revision + 1)
    monkeypatch.setitem(declared("families"), "vae", newer)
    assert not set(before) & set(folders(config)["vae"])


@pytest.mark.parametrize("key", ["width", "features", "epochs", "batch_size", "shift", "seed"])
def test_another_classifier_is_another_measuring_job(key: str, config: Config) -> None:
    def job() -> MeasureSpec:
        experiment = resolved(config)
        return experiment.measure(experiment.runs["vae"], 0, 1)

    before = job()
    config["classifier"][key] = 3
    assert job() != before


def test_a_raised_revision_of_a_measure_moves_the_jobs_that_have_it_and_no_others(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def jobs() -> list[Any]:
        experiment = resolved(config)
        run = experiment.runs["vae"]
        return [experiment.measure(run, 0, 1), experiment.floor("mnist"), run.spec.model_folder(1)]

    config["measures"] = {"fid": {"n": 100}, "spacing": {"n": 100}}
    config["figures"] = {}
    before = jobs()
    assert before[0].measures == {"fid": {"n": 100}, "spacing": {"n": 100}}
    about = declared("measures")["fid"]
    newer = replace(about, abilities={**about.abilities, "revision": 3})
    monkeypatch.setitem(declared("measures"), "fid", newer)
    after = jobs()
    assert after[0].measures == {"fid": {"n": 100, "revision": 3}, "spacing": {"n": 100}}
    assert after[1] != before[1]
    assert after[2] == before[2]
    del config["measures"]["fid"]
    assert jobs()[0].measures == {"spacing": {"n": 100}}


# --- what the jobs are told ---


def test_measures_without_n_take_what_there_is_up_to_their_limit(config: Config) -> None:
    of_these = [
        name
        for name, measure in MEASURES.items()
        if measure.of_images and not measure.on_planes and not {"selection", "others"} & {*measure.on}
    ]
    config["measures"] = dict.fromkeys(of_these)
    experiment = resolved(config)
    found = experiment.resolved(experiment.runs["vae"])
    assert found.pop("parameter_distance") == {}
    n = {name: options["n"] for name, options in found.items()}
    limited = {"wasserstein1": 500, "wasserstein1_excess": 300, "wasserstein2": 500}
    assert n == dict.fromkeys(found, 600) | limited


def test_measures_and_figures_that_are_false_are_left_out(config: Config) -> None:
    config["measures"] |= {"pixels": False}
    config["figures"] |= {"pixel_intensities": False}
    experiment = resolved(config)
    assert "pixels" not in experiment.measures
    assert "pixel_intensities" not in experiment.figures


def test_the_floor_is_measured_at_every_n_in_use(config: Config) -> None:
    config["loops"]["small"] = {**config["loops"][LOOP], "samples": 400, "synthetic": {"n": 400}}
    config["runs"]["vae-small"] = {**config["runs"]["vae"], "loop": "small"}
    measures = resolved(config).floor("mnist").measures
    assert [options["n"] for options in measures["fid"]] == [600, 400]
    assert [options["n"] for options in measures["wasserstein1"]] == [100]


def test_critics_judge_runs_with_common_seeds_on_the_same_data(config: Config) -> None:
    config["runs"]["wgan-1"]["seeds"] = [0, 1]
    config["runs"]["clothes"] = {**config["runs"]["vae"], "dataset": "fashion_mnist"}
    pairs = resolved(config).critic_pairs()
    assert pairs == [
        ("wgan-1", "wgan-1", 0),
        ("wgan-1", "wgan-1", 1),
        ("wgan-1", "wgan-2", 0),
        ("wgan-1", "vae", 0),
        ("wgan-1", "vae", 1),
        ("wgan-2", "wgan-1", 0),
        ("wgan-2", "wgan-2", 0),
        ("wgan-2", "vae", 0),
    ]


def test_a_matrix_takes_the_first_critic_from_its_own_folder(config: Config) -> None:
    experiment = resolved(config)
    judge, judged = experiment.runs["wgan-1"].spec, experiment.runs["vae"].spec
    spec = experiment.critics("wgan-1", "vae", 0)
    assert spec.critic_folders == (judge.first.folder, judge.folder)
    assert spec.generator_folders == (judged.folder,) * 3
    assert spec.n == 200


def test_a_matrix_judges_no_more_images_than_there_are(config: Config) -> None:
    config["critics"] = {"n": 10_000}
    assert resolved(config).critics("wgan-1", "vae", 0).n == 600
    config["critics"] = None
    assert resolved(config).critics("wgan-1", "vae", 0).n == 600


def test_every_job_can_be_told_as_json(config: Config) -> None:
    experiment = resolved(config)
    run = experiment.runs["wgan-1"]
    jobs = {
        MeasureSpec: experiment.measure(run, 0, 1),
        FloorSpec: experiment.floor("mnist"),
        CriticsSpec: experiment.critics("wgan-1", "vae", 0),
        CollectSpec: experiment.collect(),
        ClassifierSpec: experiment.classifiers["mnist"],
    }
    for cls, spec in jobs.items():
        assert parse(cls, to_dict(spec), "spec") == spec


# --- extending it, and what planning costs ---


def test_planning_imports_nothing_heavy() -> None:
    code = (
        "import sys, yaml\n"
        "from bigloop.config.experiment import Experiment\n"
        "Experiment.from_config(yaml.safe_load(open('tests/smoke/config.yaml')))\n"
        "heavy = {'torch', 'torchvision', 'matplotlib', 'scipy', 'ot', 'pandas', 'jsonschema'}\n"
        "heavy |= {'bigloop.figures', 'bigloop.metrics', 'bigloop.models.images', 'bigloop.models.points'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert done.stdout.split() == []


def test_a_family_that_cannot_continue_is_found_while_planning(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config["loops"][LOOP]["start"] = "continue"
    resolved(config)
    monkeypatch.setitem(declared("families"), "vae", able("vae", continues=False))
    with pytest.raises(SpecError, match=rf"^loops\.{LOOP}\.start: continue: vae cannot continue"):
        resolved(config)


# --- some of the runs ---


@pytest.mark.parametrize("only", ["vae", ["vae"], "va"])
def test_only_the_chosen_runs_are_there_and_what_none_of_them_has_is_left_out(
    only: str | list[str], config: Config
) -> None:
    config["measures"]["critic_distance"] = {"n": 100}
    config["figures"]["critic_and_wasserstein"] = None
    whole = resolved(config)
    chosen = resolved(config | {"only": only})
    assert chosen.runs == {"vae": whole.runs["vae"]}
    assert set(whole.figures) - set(chosen.figures) == {
        *("critic_on_test", "critic_matrices", "critic_and_wasserstein")
    }
    assert set(whole.measures) - set(chosen.measures) == {"critic_distance"}
    assert chosen.figures.keys() == chosen.kinds.keys()
    assert not chosen.critic_pairs()


def test_figures_show_those_of_their_runs_that_are_chosen(config: Config) -> None:
    config["figures"] |= {
        "both": {"figure": "trajectories", "runs": ["va", "wgan"], "measures": ["class_entropy"]},
        "gans": {"figure": "trajectories", "runs": ["wgan"], "measures": ["class_entropy"]},
    }
    whole, chosen = resolved(config), resolved(config | {"only": "vae"})
    assert {"both", "gans"} <= whole.figures.keys()
    assert "gans" not in chosen.figures
    assert (whole.figures["both"].runs, chosen.figures["both"].runs) == (("va", "wgan"), ("va",))


def test_a_figure_of_runs_that_are_not_there_is_refused_before_anything_runs(config: Config) -> None:
    config["figures"]["other"] = {"figure": "trajectories", "runs": ["vea"], "measures": ["class_entropy"]}
    with pytest.raises(SpecError, match=r"^figures\.other\.runs: no run is named 'vea' \(known: .*vae"):
        resolved(config)


def test_a_figure_that_no_chosen_run_can_have_is_an_error_where_all_runs_are_asked_for(
    config: Config,
) -> None:
    config["runs"] = {"vae": config["runs"]["vae"]}
    config["measures"]["critic_distance"] = {"n": 100}
    with pytest.raises(
        SpecError, match=r"^measures\.critic_distance: needs a critic, and no run has one; leave it out$"
    ):
        resolved(config)
    del config["measures"]["critic_distance"]
    with pytest.raises(SpecError, match="leave this figure out"):
        resolved(config)


@pytest.mark.parametrize("name", ["gen-{t}.safetensors", "<results>.safetensors"])
def test_weights_whose_name_snakemake_would_fill_in_are_refused(
    name: str, config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / name).touch()
    config["runs"]["vae"]["weights"] = str(tmp_path / name)
    with pytest.raises(
        SpecError, match=f"runs.vae.weights: .*{re.escape(name)}: Snakemake would fill in"
    ) as error:
        Experiment.from_config(config)
    assert "\n" not in str(error.value)
