"""Partial reruns as docs/running.md describes them: the exact list of jobs each causes, and what they leave alone."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow

PLOTS = [
    *("plot_samples", "plot_class_frequencies", "plot_pixel_intensities", "plot_wasserstein1", "plot_fid"),
    *("plot_critic_on_test", "plot_critic_matrices", "plot_losses", "plot_collapse"),
]
DRAWN = Counter({"collect": 1, "explore": 1, **dict.fromkeys(PLOTS, 1)})


def counted(jobs) -> Counter:
    return Counter(job.rule for job in jobs)


def weights(workplace) -> dict[str, tuple[int, bytes]]:
    """Every model's file, with its time: equal before and after means that nothing was trained."""
    return {k: v for k, v in workplace.snapshot("runs").items() if k.endswith("/model.safetensors")}


def relative(workplace, path: Path) -> str:
    return str(path.relative_to(workplace.directory))


def pruned(workplace) -> list[Path]:
    """Let the workflow delete the samples that keep_samples: 2 does not keep; returns their files."""
    workplace.config["storage"] = {"keep_samples": 2}
    for table in (workplace.directory / "results" / "smoke" / "tables").glob("*.csv"):
        table.unlink()
    workplace.snakemake("tables")
    folders = (workplace.directory / "results" / "runs").glob("*/seed-*/gen-*")
    previewed = [f for f in folders if (f / "preview.safetensors").is_file()]
    return sorted(f / "samples.safetensors" for f in previewed if not (f / "samples.safetensors").is_file())


def test_resample_one_generation(workplace):
    samples = workplace.generation("vae", 2) / "samples.safetensors"
    content, target = samples.read_bytes(), relative(workplace, samples)
    assert [job.rule for job in workplace.plan(target, flags=["--force"])] == ["sample"]
    workplace.snakemake("--force", "--", target)
    assert samples.read_bytes() == content
    assert workplace.plan() == []


def test_remeasure_everything_with_another_n(workplace):
    workplace.config["measures"]["wasserstein1"]["n"] = 120
    # What it leaves alone: see the test where, besides, samples were deleted.
    assert counted(workplace.plan()) == Counter({"measure": 10, "measure_real": 1}) + DRAWN


def test_rebuild_one_figure(workplace):
    target = "results/smoke/figures/fid.png"
    assert [job.rule for job in workplace.plan(target, flags=["--force"])] == ["plot_fid"]


def test_train_one_generation_anew_alone_and_keep_what_follows(workplace):
    model = workplace.generation("vae", 2) / "model.safetensors"
    content, target = model.read_bytes(), relative(workplace, model)
    assert [job.rule for job in workplace.plan(target, flags=["--force"])] == ["train"]
    workplace.snakemake("--force", "--", target)
    assert model.read_bytes() == content
    assert workplace.plan() == []


def test_train_one_generation_anew_and_everything_after_it(workplace):
    kept = workplace.snapshot("runs")
    for t in (2, 3):
        shutil.rmtree(workplace.generation("vae", t))
    jobs = workplace.plan()
    lineage = Counter({"train": 2, "sample": 2, "measure": 2})
    assert (
        counted(jobs) == lineage + Counter({"critics": 2}) + DRAWN
    )  # two WGANs' critics judge the VAE's samples
    assert all("seed-0/gen-2" in j.output or "seed-0/gen-3" in j.output for j in jobs if j.rule in lineage)
    workplace.snakemake("tables")
    after = workplace.snapshot("runs")
    files = [k for k in kept if k.endswith(("model.safetensors", "samples.safetensors", "measures.json"))]
    assert {k: after[k][1] for k in files} == {k: kept[k][1] for k in files}


def test_continue_a_finished_run_whose_samples_were_deleted(workplace):
    missing = pruned(workplace)
    assert {path.parent.name for path in missing} == {"gen-1"}
    assert len(missing) == 4  # of both WGANs, and of both seeds of the VAE
    assert workplace.plan("tables") == []
    before = weights(workplace)
    workplace.config["runs"]["vae"]["generations"] = 4
    workplace.config["runs"]["vae"]["seeds"] = [0]
    jobs = workplace.plan()
    assert counted(jobs) == Counter({"train": 1, "sample": 1, "measure": 1, "critics": 2}) + DRAWN
    workplace.snakemake("tables")
    assert before.items() <= weights(workplace).items()
    # 2 is kept for its number, 4 as the last; 3 was the last, and went when it was no more.
    there = [(workplace.generation("vae", t) / "samples.safetensors").is_file() for t in (1, 2, 3, 4)]
    assert there == [False, True, False, True]


def test_deleted_samples_are_drawn_again_exactly_to_be_measured_and_nothing_is_trained(workplace):
    previews = {k: v[1] for k, v in workplace.snapshot("runs").items() if k.endswith("/preview.safetensors")}
    missing, before = pruned(workplace), weights(workplace)
    workplace.config["measures"]["wasserstein1"]["n"] = 120
    jobs = workplace.plan()
    assert counted(jobs) == Counter({"sample": len(missing), "measure": 10, "measure_real": 1}) + DRAWN
    workplace.snakemake("tables")
    assert weights(workplace) == before
    after = workplace.snapshot("runs")
    assert {k: after[k][1] for k in previews} == previews  # whose headers have the checksum of all samples
    assert not any(path.exists() for path in missing)
    assert workplace.plan("tables") == []


def test_a_generation_in_a_growing_pool_is_trained_from_deleted_samples(workplace):
    pruned(workplace)
    workplace.config["loops"]["pool"] = {
        **workplace.config["loops"]["fully-synthetic"],
        "synthetic": {"n": 300, "from": "all"},
    }
    workplace.config["runs"] = {
        "pool": {"dataset": "mnist", "model": "vae-tiny", "loop": "pool", "generations": 3}
    }
    for figure in ("critic_on_test", "critic_matrices"):
        del workplace.config["figures"][figure]
    workplace.snakemake("tables")
    first = workplace.generation("pool", 1) / "samples.safetensors"
    assert not first.exists()  # deleted after the last generation, not before
    (workplace.generation("pool", 3) / "model.safetensors").unlink()
    model = workplace.generation("pool", 3) / "model.safetensors"
    assert [j.rule for j in workplace.plan(relative(workplace, model))] == ["train"]
    workplace.snakemake("--", relative(workplace, model))


def test_start_a_run_from_weights_that_somebody_else_trained(workplace, tmp_path):
    foreign = tmp_path / "somebody's weights.safetensors"
    shutil.copy(workplace.generation("vae", 3) / "model.safetensors", foreign)
    workplace.config["runs"]["vae"].update(weights=str(foreign), seeds=[0], generations=2)
    jobs = workplace.plan()
    own = Counter({"import_weights": 1, "train": 1, "sample": 2, "measure": 2})
    assert counted(jobs) == own + Counter({"critics": 2}) + DRAWN
    workplace.snakemake("tables")
    assert workplace.plan("tables") == []
    imported = workplace.generation("vae", 1) / "model.json"
    assert '"rows": 0' in imported.read_text()


def test_another_budget_and_back_trains_nothing_twice(workplace):
    budget = workplace.config["loops"]["fully-synthetic"]["budget"]
    budget["retrain"] = {"images": 640}
    later = Counter({"train": 6, "sample": 10, "measure": 10, "critics": 6})  # first models are there already
    assert counted(workplace.plan()) == later + DRAWN
    budget["initial"] = {"images": 640}
    assert counted(workplace.plan()) == Counter({**later, "train": 10}) + DRAWN
    workplace.config["loops"]["fully-synthetic"]["budget"] = {
        "initial": {"images": 1280},
        "retrain": {"images": 1280},
    }
    assert workplace.plan() == []


def test_two_experiments_with_a_run_in_common_train_it_once(workplace):
    workplace.config["experiment"] = "second"
    rules = counted(workplace.plan())
    assert rules == Counter({"measure_real": 1, "critics": 6}) + DRAWN


def test_what_is_kept_on_disk_and_how_often_states_are_saved_reruns_nothing(workplace):
    workplace.config["storage"] = {"keep_samples": 3, "save_every": 1.0}
    assert workplace.plan() == []
