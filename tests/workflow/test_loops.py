"""The loops beyond the fully synthetic one, on the real graph: what they leave, and what runs again."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from bigloop.analysis.claims import all_claims
from bigloop.analysis.claims.evidence import AGREES, DISAGREES, NOT_TESTED
from bigloop.artifacts import read_json, read_table, read_tensors
from bigloop.config.experiment import Experiment
from bigloop.figures.files import SHOWN, read_material
from bigloop.measures.features import Rows

pytestmark = pytest.mark.workflow

TABLES = {"measures", "runs", "critics", "verdicts", "claims", "runtime"}


def trained(jobs) -> Counter:
    return Counter(job.rule for job in jobs if job.rule.startswith("train"))


def test_a_run_leaves_all_tables_and_figures_and_then_has_nothing_to_do(loops):
    home = loops.directory / "results" / "smoke-loops"
    assert {path.stem for path in (home / "tables").glob("*.csv")} == TABLES
    assert {path.stem for path in (home / "figures").glob("*.png")} == set(loops.config["figures"])
    assert [path.name for path in (home / "figures").glob("*.gif")] == ["film.gif"]
    assert loops.plan() == []


def test_every_run_has_a_verdict_and_every_claim_a_finding(loops):
    home = loops.directory / "results" / "smoke-loops" / "tables"
    verdicts, claims = (read_table(home / f"{name}.csv") for name in ("verdicts", "claims"))
    assert list(verdicts["run"]) == list(loops.config["runs"])
    assert set(claims["verdict"]) <= {AGREES, DISAGREES, NOT_TESTED}  # no run is said to be faithful
    assert set(claims["paper"]) == {claim.paper for _, claim in all_claims()}


def test_measures_of_neighbours_carry_their_k_and_have_a_floor(loops):
    table = read_table(loops.directory / "results" / "smoke-loops" / "tables" / "measures.csv")
    for measure, k in {"precision": 4, "recall": 4, "density": 5, "coverage": 5}.items():
        rows = table[table["measure"] == measure]
        assert set(rows["k"]) == {k}
        assert set(rows["n"]) == {200}
        assert (rows["run"] == "real").sum() == 1
    distances = table[table["measure"] == "parameter_distance"]
    assert (distances.loc[distances["generation"] == 1, "value"] == 0).all()
    assert (distances.loc[distances["generation"] > 1, "value"] > 0).all()


def test_a_figure_shows_features_that_the_measures_have_kept_and_makes_them_where_they_are_gone(
    loops, monkeypatch
):
    results = loops.directory / "results"
    spec = Experiment.from_config(loops.config).plot("feature_embedding")
    home, kept = results / "smoke-loops", loops.generation("ddpm", 2) / "features-classifier.safetensors"
    known = read_tensors(kept)[0]["features"]

    def material():
        return read_material(home, results, {"images", "features"}, spec)

    with monkeypatch.context() as patched:
        patched.setattr(Rows, "_seen", None)  # computing any would fail
        shown = material()
    np.testing.assert_array_equal(shown.features["ddpm", 2], known[:SHOWN])
    assert shown.features.keys() == shown.images.keys()
    assert len(shown.real_features["mnist"]) == len(shown.real["mnist"])
    kept.unlink()
    np.testing.assert_array_equal(material().features["ddpm", 2], known[:SHOWN])


def test_the_optimizer_is_kept_where_a_loop_continues_and_nowhere_else(loops):
    for run, last in (("mixing", 3), ("synthetic", 2), ("ddpm", 3)):
        found = (loops.generation(run, last) / "optimizer.safetensors").is_file()
        assert found == (run == "mixing")
    record = read_json(loops.generation("mixing", 3) / "model.json")
    _, before = read_tensors(loops.generation("mixing", 2) / "model.safetensors")
    assert record["inputs"]["model"] == before["sha256"]


def test_the_pool_grows_and_the_memory_reaches_back(loops):
    pool, _ = read_tensors(loops.generation("mixing", 3) / "rows.safetensors")
    assert {name: len(rows) for name, rows in pool.items()} == {"real": 600, "1": 300, "2": 300}
    memory, _ = read_tensors(loops.generation("ddpm", 3) / "rows.safetensors")
    assert memory.keys() == {"real", "1", "2"}
    assert len(memory["1"]) + len(memory["2"]) == 300


def test_labels_stand_in_the_samples_of_a_conditional_family(loops):
    tensors, _ = read_tensors(loops.generation("ddpm", 2) / "samples.safetensors")
    assert (pd.Series(tensors["labels"]).value_counts() == 60).all()


def test_one_more_generation_of_a_loop_that_continues_trains_that_one_alone(loops):
    loops.config["runs"]["mixing"]["generations"] += 1
    assert trained(loops.plan()) == Counter({"train_continuing": 1})


def test_another_bias_or_sampler_trains_no_first_generation_again(loops):
    loops.config["loops"]["fully-synthetic-biased"]["bias"] = 0.25
    loops.config["models"]["ddpm-tiny"]["sampling_steps"] = 5
    assert trained(loops.plan()) == Counter({"train": 1 + 2})  # generation 2 of biased, 2 and 3 of ddpm


def test_a_deleted_generation_of_a_loop_that_continues_is_remade_the_same(loops):
    folder = loops.generation("mixing", 2)
    weights = (folder / "model.safetensors").read_bytes()
    for path in folder.iterdir():
        path.unlink()
    target = str((folder / "model.safetensors").relative_to(loops.directory))
    assert trained(loops.plan(target)) == Counter({"train_continuing": 1})
    loops.snakemake("--", target)
    assert (folder / "model.safetensors").read_bytes() == weights
