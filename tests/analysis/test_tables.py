"""The tables are tidy: one value a row, the same columns always, and links that give folders their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from bigloop.analysis.tables import CRITIC_COLUMNS, MEASURE_COLUMNS, collect, runs_table
from bigloop.artifacts import ArtifactError, read_table, write_json
from bigloop.config.experiment import Experiment
from bigloop.measures.records import record
from bigloop.spec.jobs import CollectSpec

from ..shipped import SHIPPED

EXACT = 0.1 + 0.2  # seventeen digits


def measures_of(run: str, seed: int, generation: int) -> list[dict[str, Any]]:
    return [
        record("fid", EXACT * generation, 80),
        record("class_frequency", 0.5, 70, "3"),
        record("final_loss", float(seed), None, "loss"),
    ]


@pytest.fixture
def spec(config: dict[str, Any]) -> CollectSpec:
    return Experiment.from_config(config).collect()


@pytest.fixture
def results(spec: CollectSpec, tmp_path: Path) -> Path:
    """A results folder with the JSON files of a finished experiment, and nothing else."""
    home = tmp_path / spec.experiment
    for dataset in spec.datasets:
        write_json(home / "floor" / f"{dataset}.json", [record("fid", 0.25, 80)])
    for run in spec.runs:
        for seed, t in jobs(run.seeds, run.generations):
            folder = tmp_path / "runs" / run.spec.folder / f"seed-{seed}" / f"gen-{t}"
            write_json(folder / "measures.json", measures_of(run.run, seed, t))
    for stem in spec.critics:
        critic, rest = stem.split("-judges-")
        generator, seed = rest.split("-seed-")
        entry = {"critic_run": critic, "generator_run": generator, "seed": int(seed)}
        entry |= {
            "critic_generation": 1,
            "generator_generation": 2,
            "fake_share": EXACT,
            "n": 5,
            "threshold": 0.5,
        }
        write_json(home / "critics" / f"{stem}.json", [entry])
    return tmp_path


def jobs(seeds: tuple[int, ...], generations: int) -> Iterator[tuple[int, int]]:
    return ((seed, t) for seed in seeds for t in range(1, generations + 1))


def table(results: Path, spec: CollectSpec, name: str) -> pd.DataFrame:
    return read_table(
        results / spec.experiment / "tables" / f"{name}.csv", dtype={"detail": str, "seeds": str}
    )


def test_the_measures_table_has_every_value_of_every_generation_once(
    spec: CollectSpec, results: Path
) -> None:
    collect(spec, results)
    measures = table(results, spec, "measures")
    assert list(measures) == MEASURE_COLUMNS
    fid = measures[measures["measure"] == "fid"]
    expected = {(run.run, s, t) for run in spec.runs for s, t in jobs(run.seeds, run.generations)}
    ours = fid[fid["run"] != "real"]
    assert set(ours[["run", "seed", "generation"]].itertuples(index=False, name=None)) == expected
    assert len(ours) == len(expected)
    assert (ours["value"] == EXACT * ours["generation"]).all()
    assert (measures["experiment"] == "smoke").all()


def test_columns_of_a_run_say_what_it_is(spec: CollectSpec, results: Path) -> None:
    collect(spec, results)
    measures = table(results, spec, "measures")
    vae = measures[measures["run"] == "vae"]
    for column, value in {
        "family": "vae",
        "dataset": "mnist",
        "loop": "fully-synthetic",
        "bias": 1.0,
    }.items():
        assert set(vae[column]) == {value}
    assert set(measures["family"].dropna()) == {"vae", "wgan_gp"}


def test_the_floor_is_the_run_called_real_without_seed_and_generation(
    spec: CollectSpec, results: Path
) -> None:
    collect(spec, results)
    measures = table(results, spec, "measures")
    (floor,) = measures[measures["run"] == "real"].to_dict("records")
    assert (floor["measure"], floor["value"], floor["n"], floor["dataset"]) == ("fid", 0.25, 80, "mnist")
    assert all(
        pd.isna(floor[column]) for column in ("seed", "generation", "family", "loop", "bias", "detail")
    )


def test_a_floor_without_records_has_no_rows(spec: CollectSpec, results: Path) -> None:
    write_json(results / spec.experiment / "floor" / "mnist.json", [])  # of measures that have none
    collect(spec, results)
    measures = table(results, spec, "measures")
    assert len(measures)
    assert "real" not in set(measures["run"])


def test_whole_numbers_stay_whole_where_others_are_missing(spec: CollectSpec, results: Path) -> None:
    collect(spec, results)
    lines = (results / "smoke" / "tables" / "measures.csv").read_text().splitlines()
    assert "smoke,vae,vae,mnist,fully-synthetic,1.0,1,3,final_loss,1.0,,,,,loss" in lines
    assert "smoke,real,,mnist,,,,,fid,0.25,80,,classifier,training," in lines


def test_the_critics_table_has_a_row_a_judgement(spec: CollectSpec, results: Path) -> None:
    collect(spec, results)
    critics = table(results, spec, "critics")
    assert list(critics) == CRITIC_COLUMNS
    assert len(critics) == len(spec.critics) == 6
    assert set(critics["fake_share"]) == {EXACT}


def test_without_critics_their_table_is_empty_with_its_columns(config: dict[str, Any], results: Path) -> None:
    config["runs"] = {"vae": config["runs"]["vae"]}
    config["figures"] = {}
    alone = Experiment.from_config(config).collect()
    collect(alone, results)
    critics = table(results, alone, "critics")
    assert list(critics) == CRITIC_COLUMNS
    assert critics.empty


def test_the_runs_table_has_the_whole_spec_of_each_run(spec: CollectSpec, results: Path) -> None:
    collect(spec, results)
    runs = table(results, spec, "runs").set_index("run")
    assert list(runs.index) == ["wgan-1", "wgan-2", "vae"]
    assert runs.loc["vae", "seeds"] == "0 1"
    assert runs.loc["vae", "model.hidden"] == 32
    assert pd.isna(runs.loc["vae", "model.width"])
    assert runs.loc["wgan-2", "model.critic_output"] == "linear"
    assert set(runs["loop.samples"]) == {600}
    assert list(runs["folder"]) == [run.spec.folder for run in spec.runs]
    assert list(runs["first_folder"]) == [run.spec.first.folder for run in spec.runs]


@pytest.mark.usefixtures("beside_pictures")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_no_cell_of_a_shipped_configs_runs_is_a_list(path: Path) -> None:
    runs = runs_table(Experiment.from_config(yaml.safe_load(path.read_text())).collect())
    lists = runs.map(lambda cell: isinstance(cell, list | tuple | dict))
    assert list(runs.columns[lists.any()]) == []


def test_options_that_are_lists_are_words_and_runs_that_have_them_are_judged(
    config: dict[str, Any], results: Path
) -> None:
    model = {"family": "edm", "multipliers": [1, 2], "attention": [8, 16], "width": 8}
    config["models"] = dict.fromkeys(config["models"], model)
    config["measures"] = {"fid": {"n": 80}}
    config.pop("critics", None)
    config["figures"] = {}
    spec = Experiment.from_config(config).collect()
    for run in spec.runs:
        for seed, t in jobs(run.seeds, run.generations):
            folder = results / "runs" / run.spec.folder / f"seed-{seed}" / f"gen-{t}"
            write_json(folder / "measures.json", measures_of(run.run, seed, t))
    collect(spec, results)
    runs = table(results, spec, "runs")
    assert set(runs["model.multipliers"]) == {"1 2"}
    assert set(runs["model.attention"]) == {"8 16"}
    assert len(table(results, spec, "verdicts")) == len(runs)


def test_names_are_links_to_folders_and_old_names_go(spec: CollectSpec, results: Path) -> None:
    names = results / "smoke" / "runs"
    names.mkdir(parents=True)
    (names / "renamed-since").symlink_to("elsewhere")
    (names / "a-users-own-file").write_text("stays")
    collect(spec, results)
    collect(spec, results)
    assert {path.name for path in names.iterdir()} == {"wgan-1", "wgan-2", "vae", "a-users-own-file"}
    for run in spec.runs:
        assert (names / run.run).resolve() == results / "runs" / run.spec.folder


@pytest.mark.parametrize("content", [{}, [1], [{}], "x"])
def test_a_file_that_holds_no_records_is_named(content: Any, spec: CollectSpec, results: Path) -> None:
    path = results / "smoke" / "floor" / "mnist.json"
    write_json(path, content)
    with pytest.raises(ArtifactError, match=rf"^{path}: expected a list of records"):
        collect(spec, results)


def test_rows_say_which_real_images_they_are_held_against_where_they_are(
    spec: CollectSpec, results: Path
) -> None:
    held = [record("fid_relative", 0.3, 80) | {"reference": "test"}, record("spacing", 0.1, 80)]
    for run in spec.runs:
        for seed, t in jobs(run.seeds, run.generations):
            folder = results / "runs" / run.spec.folder / f"seed-{seed}" / f"gen-{t}"
            write_json(folder / "measures.json", [*measures_of(run.run, seed, t), *held])
    collect(spec, results)
    measures = table(results, spec, "measures")
    found = measures[measures["run"] == "vae"].fillna({"reference": ""}).groupby("measure")["reference"]
    assert {measure: set(values) for measure, values in found} == {
        "fid": {"training"},
        "fid_relative": {"test"},
        **{name: {""} for name in ("class_frequency", "final_loss", "spacing")},
    }
