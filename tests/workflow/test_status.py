"""What `status` says of real results: the same as Snakemake, and what it removes nothing needs."""

from __future__ import annotations

import os
import subprocess
from collections import Counter

import pytest
import torch
import yaml

from bigloop.generation.store import new_model
from bigloop.ops.forecast import disk
from bigloop.ops.survey import load, survey

from . import forks

pytestmark = pytest.mark.workflow

CPU = torch.device("cpu")


@pytest.fixture
def status(workplace, checkout, monkeypatch):
    """`python -m bigloop status` of the workplace; returns what it printed."""
    monkeypatch.chdir(checkout)

    def call(*arguments):
        config = workplace.directory / "config.yaml"
        config.write_text(yaml.safe_dump(workplace.config, sort_keys=False))
        place = ("--configfile", str(config), "--results", str(workplace.directory / "results"))
        command = [forks.python(), "-m", "bigloop", "status", *place, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout

    return call


def let_an_hour_pass(workplace):
    """All files keep their order in time."""
    for path in (workplace.directory / "results").rglob("*"):
        then = path.lstat().st_mtime - 3600
        os.utime(path, (then, then), follow_symlinks=False)


def test_status_and_snakemake_agree_on_what_is_missing(workplace, status):
    let_an_hour_pass(workplace)
    before = workplace.snapshot(".")
    assert "10 of 10 generations done, 0 jobs running" in status()
    assert "Everything is done." in status()
    assert workplace.snapshot(".") == before
    (workplace.generation("vae", 2) / "measures.json").unlink()
    workplace.config["runs"]["vae"]["generations"] += 2
    printed = status()
    assert "missing: 2 (measure), 4–5" in printed
    assert "missing: 4–5" in printed  # the other seed
    assert "tables      out of date" in printed
    assert "figures     10 out of date" in printed
    rules = Counter(job.rule for job in workplace.plan())
    assert (rules["train"], rules["sample"], rules["measure"]) == (4, 4, 4 + 1)


def test_what_an_edited_config_frees_is_removed_and_the_rest_stays_complete(workplace, status):
    wgan = workplace.generation("wgan-1", 1).parents[1]
    del workplace.config["runs"]["wgan-1"], workplace.config["runs"]["wgan-2"]
    for name in ("critic_on_test", "critic_matrices", "collapse"):
        del workplace.config["figures"][name]
    let_an_hour_pass(workplace)
    assert status().count("results/runs/wgan_gp-mnist-") == 4  # two runs, each with its first generation
    assert status("--remove-unreferenced", "--yes").count(": deleted") == 4
    assert not wgan.exists()
    assert len(workplace.folders()) == 2
    rules = {job.rule for job in workplace.plan()}
    assert not rules & {"train", "sample", "measure", "classify"}
    assert "5 of 6" not in status()
    assert "6 of 6 generations done" in status()


def test_the_estimate_of_the_disk_is_what_it_takes(workplace, checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    config = workplace.directory / "config.yaml"
    config.write_text(yaml.safe_dump(workplace.config))
    experiment = load(config)
    weights = {
        name: sum(
            array.nbytes for array in new_model(run.spec.model, (1, 28, 28), 0, 1, CPU).state()[0].values()
        )
        for name, run in experiment.runs.items()
    }
    estimated = sum(disk(experiment, weights).values())
    taken = survey(experiment, workplace.directory / "results").disk
    assert estimated == pytest.approx(taken, rel=0.05)  # figures, tables and logs are not counted


def test_features_that_are_kept_beside_samples_are_counted(workplace, status):
    results = workplace.directory / "results"
    experiment = load(workplace.directory / "config-of-this-test.yaml")
    kept = [path.stat().st_size for path in results.rglob("features-*.safetensors")]
    assert survey(experiment, results).features == sum(kept)
    assert len(kept) == sum(run.generations * len(run.seeds) for run in experiment.runs.values())
    (line,) = [line for line in status().splitlines() if line.startswith("features")]
    assert line.endswith("deleted with the samples")
