"""The table of what jobs took holds what Snakemake's benchmark files say, and nothing of jobs that have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bigloop.analysis.runtime import COLUMNS, runtime_table
from bigloop.config.experiment import Experiment
from bigloop.spec.jobs import CollectSpec

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"


@pytest.fixture
def spec(config: dict[str, Any]) -> CollectSpec:
    return Experiment.from_config(config).collect()


def leave(path: Path, *values: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEAD}\n" + "\t".join(values) + "\n")


def test_each_job_has_its_row_and_a_short_one_no_memory(spec: CollectSpec, tmp_path: Path) -> None:
    (vae,) = [run for run in spec.runs if run.run == "vae"]
    first = tmp_path / "runs" / vae.spec.model_folder(1) / "seed-1" / "gen-1"
    later = tmp_path / "runs" / vae.spec.folder / "seed-1" / "gen-2"
    leave(first / "train.benchmark.tsv", "12.5", "0:00:12", "709.84", *"12345", "87.3", "11.25")
    leave(later / "measure.benchmark.tsv", "0.2", "0:00:00", "NA", *["NA"] * 6, "NA")
    table = runtime_table(spec, tmp_path)
    assert list(table.columns) == list(COLUMNS)
    assert table["experiment"].unique().tolist() == [spec.experiment]
    rows = table[table["run"] == "vae"].set_index("job")
    assert rows.loc["train", ["seeds", "generations", "folder"]].tolist() == [
        "1",
        "1",
        vae.spec.model_folder(1),
    ]
    assert rows.loc["train", ["seconds", "cpu_seconds", "memory_mb"]].tolist() == [12.5, 11.25, 709.84]
    assert rows.loc["measure", "generations"] == "2"
    assert rows.loc["measure", "seconds"] == 0.2
    assert np.isnan(rows.loc["measure", "memory_mb"])


def test_an_auxiliary_training_is_a_job_where_it_lies(config: dict[str, Any], tmp_path: Path) -> None:
    loop = config["loops"][config["runs"]["vae"]["loop"]]
    loop["against"] = {"way": "weights", "strength": 0.5, "samples": 100, "budget": {"images": 320}}
    spec = Experiment.from_config(config).collect()
    (vae,) = [run for run in spec.runs if run.run == "vae"]
    for t in (1, 2):
        folder = vae.spec.auxiliary_folder(t)
        assert folder
        path = tmp_path / "runs" / folder / "seed-0" / f"gen-{t}" / "auxiliary.benchmark.tsv"
        leave(path, "12.5", "0:00:12", "709.84", *"12345", "87.3", "11.25")
    rows = runtime_table(spec, tmp_path)
    rows = rows[rows["run"] == "vae"]
    assert rows["job"].tolist() == ["auxiliary", "auxiliary"]
    assert rows["folder"].tolist() == [vae.spec.auxiliary_folder(1), vae.spec.folder]


def test_without_benchmarks_it_is_empty_with_its_columns(spec: CollectSpec, tmp_path: Path) -> None:
    table = runtime_table(spec, tmp_path)
    assert table.empty
    assert list(table.columns) == list(COLUMNS)
    assert pd.api.types.is_float_dtype(table["seconds"])
