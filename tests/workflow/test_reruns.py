"""What runs again, and what does not: each case on the real graph, as the exact list of jobs."""

from __future__ import annotations

import base64
import json
import shutil
from collections import Counter

import pytest

pytestmark = pytest.mark.workflow

PLOTS = {
    *("plot_samples", "plot_class_frequencies", "plot_pixel_intensities", "plot_wasserstein1", "plot_fid"),
    *("plot_critic_on_test", "plot_critic_matrices", "plot_losses", "plot_collapse"),
}
DRAWN = Counter({"collect": 1, "explore": 1, **dict.fromkeys(PLOTS, 1)})


def counted(jobs) -> Counter:
    return Counter(job.rule for job in jobs)


def test_a_second_run_has_nothing_to_do(workplace):
    assert workplace.plan() == []
    assert "Nothing to be done" in workplace.snakemake()


def test_deleted_measures_are_measured_again_and_redrawn_and_nothing_else(workplace):
    measures = workplace.generation("vae", 2) / "measures.json"
    measures.unlink()
    jobs = workplace.plan()
    assert counted(jobs) == Counter({"measure": 1}) + DRAWN
    (job,) = [job for job in jobs if job.rule == "measure"]
    assert (workplace.directory / job.output) == measures
    workplace.draw_only("fid")
    workplace.snakemake()
    assert workplace.plan() == []


def test_what_a_killed_workflow_left_unfinished_does_not_hide_what_follows_it(workplace):
    shutil.rmtree(workplace.generation("vae", 2))
    jobs = workplace.plan()
    assert counted(jobs)["train"] == 2  # generation 3 follows
    marks = workplace.directory / ".snakemake" / "incomplete"
    marks.mkdir(exist_ok=True)
    for name in ("samples.safetensors", "preview.safetensors"):  # as of a job that was killed
        path = (workplace.generation("vae", 1) / name).relative_to(workplace.directory)
        (marks / base64.b64encode(str(path).encode()).decode()).touch()
    assert counted(workplace.plan()) == counted(jobs)


def test_more_generations_run_only_the_new_ones(workplace):
    workplace.config["runs"]["vae"]["generations"] += 2
    jobs = workplace.plan()
    new = Counter({"train": 4, "sample": 4, "measure": 4})  # two generations, two seeds
    critics = Counter({"critics": 2})  # the two WGANs, seed 0, judge two more generations
    assert counted(jobs) == new + critics + DRAWN
    assert all("gen-4" in j.output or "gen-5" in j.output for j in jobs if j.rule in new)


def test_a_changed_plot_setting_redraws_that_figure_alone(workplace):
    workplace.config["figures"]["samples"] = {"side": 3}
    assert counted(workplace.plan()) == Counter({"plot_samples": 1})


def test_a_changed_learning_rate_trains_that_run_in_a_new_folder_and_going_back_trains_nothing(workplace):
    before, old = workplace.folders(), workplace.config["models"]["vae-tiny"]["learning_rate"]
    untouched = workplace.snapshot("runs")
    workplace.config["models"]["vae-tiny"]["learning_rate"] = 2 * old
    jobs = workplace.plan()
    trained = Counter({"train": 6, "sample": 6, "measure": 6})
    assert counted(jobs) == trained + Counter({"critics": 2}) + DRAWN
    assert not any(folder in j.output for folder in before for j in jobs)
    whole = dict(workplace.config["runs"]["vae"])
    workplace.config["runs"]["vae"] |= {"generations": 2, "seeds": [0]}
    workplace.snakemake("tables")
    assert len(workplace.folders() - before) == 2  # the run's own, and its first generation's
    after = workplace.snapshot("runs")
    assert {name: after[name] for name in untouched} == untouched

    workplace.config["runs"]["vae"] = whole
    workplace.config["models"]["vae-tiny"]["learning_rate"] = old
    assert counted(workplace.plan()) == Counter({"critics": 2}) + DRAWN


def test_a_fresh_checkout_of_the_sources_reruns_nothing(workplace, checkout):
    assert workplace.plan(repository=checkout) == []


def test_the_order_of_config_keys_changes_nothing(workplace):
    def reversed_keys(value):
        if isinstance(value, dict):
            return {key: reversed_keys(value[key]) for key in reversed(value)}
        return value

    runs = workplace.config["runs"]  # their order is the order in figures, and stays
    workplace.config = {
        **reversed_keys(workplace.config),
        "runs": {k: reversed_keys(v) for k, v in runs.items()},
    }
    assert workplace.plan() == []


def test_a_renamed_run_trains_nothing(workplace):
    workplace.config["runs"]["vae-renamed"] = workplace.config["runs"].pop("vae")
    rules = counted(workplace.plan())
    assert not rules.keys() & {"train", "sample", "measure", "classify", "fetch"}


def test_a_deleted_samples_file_is_remade_identically_by_one_job_and_nothing_follows(workplace):
    samples = workplace.generation("wgan-1", 1) / "samples.safetensors"
    content = samples.read_bytes()
    samples.unlink()
    assert workplace.plan() == []
    target = str(samples.relative_to(workplace.directory))
    assert [job.rule for job in workplace.plan(target)] == ["sample"]
    workplace.snakemake(target)
    assert samples.read_bytes() == content
    assert workplace.plan() == []


def test_another_experiment_in_the_same_directory_leaves_the_first_untouched(workplace):
    before = workplace.snapshot("smoke", "runs", "data", "classifier")
    first = workplace.config
    workplace.config = json.loads(json.dumps(first))
    workplace.config["experiment"] = "other"
    workplace.config["runs"] = {"again": {**first["runs"]["vae"], "generations": 1, "seeds": [0]}}
    workplace.config["models"]["vae-tiny"]["hidden"] = 16
    workplace.config["measures"] = {"wasserstein1": {"n": 50}}
    workplace.config["figures"] = {"losses": None}
    rules = counted(workplace.plan())
    assert rules == Counter(
        {
            "train": 1,
            "sample": 1,
            "measure": 1,
            "measure_real": 1,
            "collect": 1,
            "plot_losses": 1,
            "explore": 1,
        }
    )
    workplace.snakemake()
    after = workplace.snapshot("smoke", "runs", "data", "classifier")
    assert {name: after[name] for name in before} == before
    workplace.config = first
    assert workplace.plan() == []


def test_all_seeds_of_a_run_share_nothing_but_the_science(workplace):
    first, second = (workplace.generation("vae", 2, seed) / "samples.safetensors" for seed in (0, 1))
    assert first.read_bytes() != second.read_bytes()


def test_a_run_has_its_first_model_beside_its_samples(workplace):
    folder = workplace.generation("vae", 1)
    assert (folder / "model.safetensors").is_symlink()
    assert json.loads((folder / "model.json").read_text())["spec"]["generation"] == 1


def test_an_invalid_config_ends_in_one_line_and_leaves_results_untouched(workplace):
    before = workplace.snapshot("smoke", "runs", "data", "classifier")
    workplace.config["runs"]["vae"]["generations"] = -1
    printed = workplace.snakemake(fails=True)
    (line,) = [line for line in printed.splitlines() if "generations" in line]
    assert "runs.vae.generations" in line
    assert "Traceback" not in printed
    assert workplace.snapshot("smoke", "runs", "data", "classifier") == before


def test_results_moved_to_another_place_still_verify(workplace, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.move(workplace.directory / "results", moved)
    (workplace.directory / "results").symlink_to(moved)
    (workplace.generation("vae", 2) / "measures.json").unlink()
    workplace.draw_only("fid")
    workplace.snakemake()
    assert workplace.plan() == []
