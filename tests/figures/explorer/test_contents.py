"""What an explorer page knows: the tables' numbers, and nothing else."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from bigloop.figures import Material
from bigloop.figures.explorer.contents import contents

from ..conftest import material as make
from .conftest import CLAIMS


@pytest.fixture(scope="module")
def material() -> Material:
    found = make(generations={"vae": 4, "setup1": 6, "setup2": 6}, seeds=(0, 7))
    verdicts = pd.DataFrame([{"run": "vae", "verdict": "collapse", "reason": "classes 9 → 2"}])
    runs = found.runs.assign(seeds="0 7", **{"model.width": pd.array([None, 8, 8], dtype="Int64")})
    return dataclasses.replace(found, runs=runs, verdicts=verdicts)


@pytest.fixture(scope="module")
def known(material: Material) -> dict:
    return contents("test", material, CLAIMS, ["bigloop 1.2"])


def test_every_measure_of_one_number_has_the_values_of_the_table(material: Material, known: dict) -> None:
    table = material.measures
    by_name = {entry["name"]: entry for entry in known["measures"]}
    several = {"class_frequency", "pixel_intensity", "power", "final_loss"}  # of several things at once
    assert set(by_name) == set(table["measure"]) - several
    assert [entry["name"] for entry in known["measures"]][:3] == ["fid", "recall", "precision"]
    rows = table[(table["run"] == "setup1") & (table["measure"] == "recall") & (table["seed"] == 7)]
    found = by_name["recall"]["runs"]["setup1"]
    assert found["generations"] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(found["seeds"]["7"], rows["value"], rtol=1e-5)
    assert found["note"] == "n = 2,000"
    assert by_name["critic_distance"]["runs"].keys() == {"setup1", "setup2"}


def test_the_floor_is_that_of_as_many_rows(known: dict) -> None:
    (entry,) = [entry for entry in known["measures"] if entry["name"] == "wasserstein1"]
    assert entry["floors"] == dict.fromkeys(("vae", "setup1", "setup2"), 6.9)  # of 500, not of 1,000


def test_runs_come_with_seeds_spec_and_verdict(known: dict) -> None:
    first, second, _ = known["runs"]
    assert (first["generations"], second["generations"], first["seeds"]) == (4, 6, [0, 7])
    assert (first["verdict"], first["reason"]) == ("collapse", "classes 9 → 2")
    assert second["verdict"] == ""
    assert second["spec"]["model.width"] == "8"
    assert "model.width" not in first["spec"]


def test_shares_of_classes_add_up_and_critics_are_means_over_seeds(material: Material, known: dict) -> None:
    shares = known["classes"]["shares"]["vae"]
    assert {seed: set(of) for seed, of in shares.items()} == {s: {"1", "2", "3", "4"} for s in ("0", "7")}
    assert sum(shares["7"]["4"]) == pytest.approx(1, abs=1e-4)
    assert len(known["classes"]["real"]["mnist"]) == 10
    rows = material.critics
    chosen = (rows["critic_run"] == "setup1") & (rows["generator_run"] == "vae")
    one = rows[chosen & (rows["critic_generation"] == 2) & (rows["generator_generation"] == 3)]
    assert known["critics"]["setup1"]["vae"][1][2] == pytest.approx(one["fake_share"].mean(), rel=1e-5)


@pytest.mark.parametrize(("n", "alike"), [(500, True), (1_000, False)])  # the paper measures 500
def test_values_that_a_paper_publishes_are_told_where_they_are_measured_alike(
    material: Material, n: int, alike: bool
) -> None:
    runs = material.runs.assign(published=["knutsen2025/vae", None, None])
    table = material.measures
    table = table[(table["measure"] == "wasserstein1") & (table["run"] != "real")]
    table = table.assign(n=n, features="pixels", reference="training")
    found = contents(
        "test", dataclasses.replace(material, runs=runs, measures=table), CLAIMS, ["bigloop 1.2"]
    )
    (entry,) = found["measures"]
    first = [[1, 6.0687], [2, 5.96192], [3, 5.88408]]
    assert entry["published"].keys() == ({"vae"} if alike else set())
    if alike:
        assert entry["published"]["vae"][:3] == first
        assert [generation for generation, _ in entry["published"]["vae"]] == [1, 2, 3, 4]


def test_it_is_plain_json_without_numbers_that_are_none(known: dict) -> None:
    text = json.dumps(known, allow_nan=False)
    assert "NaN" not in text
    assert json.loads(text) == known
