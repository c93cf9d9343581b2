"""Lineages whose generations come from files, of weights and of samples: the same tables and figures as any other."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bigloop.artifacts import read_json, read_table, read_tensors
from bigloop.ops.status import lines
from bigloop.ops.survey import load, survey

from .conftest import Workplace

pytestmark = pytest.mark.workflow

FIGURES = ("samples", "class_frequencies", "wasserstein1", "critic_on_test", "critic_matrices", "collapse")
RUNS = {
    "weights": {
        "dataset": "mnist",
        "model": "wgan-tiny-1",
        "weights": "theirs/gen-{t}.safetensors",
        "samples": 600,
        "generations": 2,
    },
    "samples": {
        "dataset": "mnist",
        "generated": "theirs/seed-{seed}/gen-{t}.npz",
        "range": [-1, 1],
        "generations": 2,
        "seeds": [0, 1],
    },
}


@pytest.fixture
def elsewhere(workplace: Workplace) -> Workplace:
    """A directory with the WGAN's weights and the VAE's samples, -1 to 1, in files, and a config that names them."""
    theirs = workplace.directory / "theirs"
    for seed in (0, 1):
        (theirs / f"seed-{seed}").mkdir(parents=True)
        for t in (1, 2, 3):
            images = read_tensors(workplace.generation("vae", t, seed) / "samples.safetensors")[0]["images"]
            pixels = 2 * images.astype(np.float32) - 1
            np.savez(theirs / f"seed-{seed}" / f"gen-{t}.npz", pixels[:, 0])
    for t in (1, 2):
        model = workplace.generation("wgan-1", t) / "model.safetensors"
        shutil.copy(model, theirs / f"gen-{t}.safetensors")
    config = workplace.config
    workplace.config = {
        "experiment": "elsewhere",
        "classifier": config["classifier"],
        "models": {"wgan-tiny-1": config["models"]["wgan-tiny-1"]},
        "runs": {name: dict(run) for name, run in RUNS.items()},
        "measures": config["measures"],
        "critics": config["critics"],
        "figures": dict.fromkeys(FIGURES),
    }
    return workplace


def counted(place: Workplace) -> Counter[str]:
    return Counter(job.rule for job in place.plan() if not job.rule.startswith(("plot_", "explore")))


def values(place: Workplace, experiment: str, run: str) -> pd.DataFrame:
    """What is measured of the images of a run, by seed, generation and measure, of its first two generations.

    Not of its trainings.
    """
    table = read_table(
        place.directory / "results" / experiment / "tables" / "measures.csv", dtype={"detail": str}
    )
    trained = table["measure"].str.contains("^final_loss$|^gradient_norm_")
    own = table[(table["run"] == run) & (table["generation"] <= 2) & ~trained]
    return own.set_index(["seed", "generation", "measure", "detail"])["value"].sort_index()


def test_weights_and_samples_from_elsewhere_are_measured_and_drawn_like_any_other_run(
    elsewhere: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports = {"import_weights": 2, "sample": 2, "import_samples": 4, "measure": 6}
    assert counted(elsewhere) == Counter({**imports, "measure_real": 1, "critics": 2, "collect": 1})
    elsewhere.snakemake()
    assert elsewhere.plan() == []
    # The same weights and seed give the same samples, and the same samples the same measures; float16 keeps what was
    # float16 before it was scaled and scaled back, to its last digit.
    pd.testing.assert_series_equal(
        *(values(elsewhere, *of) for of in (("elsewhere", "weights"), ("smoke", "wgan-1")))
    )
    pd.testing.assert_series_equal(
        *(values(elsewhere, *of) for of in (("elsewhere", "samples"), ("smoke", "vae"))), rtol=1e-2
    )
    home = elsewhere.directory / "results" / "elsewhere"
    assert {path.name for path in (home / "figures").glob("*.png")} == {f"{name}.png" for name in FIGURES}
    critics = read_table(home / "tables" / "critics.csv")
    assert set(critics["generator_run"]) == {"weights", "samples"}
    runs = read_table(home / "tables" / "runs.csv").set_index("run")
    assert runs.loc["samples", "family"] == "generated"
    assert runs.loc["samples", "folder"].startswith("generated-mnist-")
    record = read_json(elsewhere.generation("samples", 2, 1) / "import.json")
    assert record["file"]["name"] == "theirs/seed-1/gen-2.npz"

    monkeypatch.chdir(elsewhere.directory)  # names of files are relative to the working directory
    found = survey(load(Path("config-of-this-test.yaml")), Path("results"))
    assert [*lines(found)][-1] == "Everything is done."

    # More generations: the new ones alone.
    elsewhere.config["runs"]["samples"]["generations"] = 3
    assert counted(elsewhere) == Counter({"import_samples": 2, "measure": 2, "critics": 1, "collect": 1})
    elsewhere.config["runs"]["samples"]["generations"] = 2

    # A file of another size: its generation alone, at once.
    file = elsewhere.directory / "theirs" / "seed-1" / "gen-2.npz"
    np.savez(file, np.random.default_rng(0).integers(0, 256, (700, 28, 28), np.uint8))
    assert counted(elsewhere) == Counter({"import_samples": 1, "measure": 1, "collect": 1})
    elsewhere.snakemake("tables")
    assert elsewhere.plan("tables") == []

    # Of the same size but another content: said in one line, and nothing is run.
    changed = bytearray(file.read_bytes())
    changed[len(changed) // 2] ^= 1
    file.write_bytes(changed)
    (home / "tables" / "runs.csv").unlink()
    said = elsewhere.snakemake(fails=True)
    assert "not started: theirs/seed-1/gen-2.npz: its content has changed since it was imported" in said


def test_samples_alone_need_neither_models_nor_loops(elsewhere: Workplace) -> None:
    elsewhere.config["runs"] = {"samples": RUNS["samples"]}
    del elsewhere.config["models"]
    elsewhere.config["figures"] = {"samples": None, "collapse": None}
    elsewhere.snakemake("all")
    assert elsewhere.plan() == []


def test_imported_samples_are_not_deleted_to_save_disk(elsewhere: Workplace) -> None:
    elsewhere.config["storage"] = {"keep_samples": 0}
    elsewhere.snakemake("tables")
    there = [
        (elsewhere.generation(run, 1) / "samples.safetensors").is_file() for run in ("samples", "weights")
    ]
    assert there == [True, False]
