"""Loops of later papers on images, on the real graph: what they leave, and exactly what runs again."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from bigloop.artifacts import read_table, read_tensors
from bigloop.config.experiment import Experiment
from bigloop.data import load

from .conftest import Job, Workplace

pytestmark = pytest.mark.workflow

ALIKE = {
    "collect",
    "plot_fid",
    "plot_ecosystem",
    "floor",
    "explore",
}  # what another run or measure is drawn by


def counted(jobs: Iterable[Job]) -> Counter[str]:
    return Counter(job.rule for job in jobs if job.rule not in ALIKE)


def selected(place: Workplace, run: str, t: int) -> np.ndarray:
    return read_tensors(place.generation(run, t) / "selected.safetensors")[0]["rows"]


def trained_rows(place: Workplace, run: str, t: int) -> dict[str, np.ndarray]:
    folder = Experiment.from_config(place.config).runs[run].spec.model_folder(t)
    path = place.directory / "results" / "runs" / folder / "seed-0" / f"gen-{t}" / "rows.safetensors"
    return read_tensors(path)[0]


def test_a_run_leaves_all_tables_and_figures_and_then_has_nothing_to_do(field: Workplace) -> None:
    home = field.directory / "results" / "smoke-field"
    assert {path.stem for path in (home / "figures").glob("*.png")} == set(field.config["figures"])
    table = read_table(home / "tables" / "measures.csv")
    runs = table.groupby("measure")["run"].agg(set)
    assert {"pair-a", "pair-b"} < runs["between"]
    assert runs["selected_share"] == {"chosen"}
    assert field.plan() == []


def test_real_rows_are_those_let_through_and_synthetic_ones_those_selected(field: Workplace) -> None:
    (file,) = (field.directory / "results" / "runs").glob("*/seed-0/gen-0/selected.safetensors")
    tensors, _ = read_tensors(file)
    rows = tensors["rows"]
    assert len(rows) == len(load(field.directory / "results" / "data" / "mnist", "train")[0]) // 10
    for t in (1, 2, 3):
        used = trained_rows(field, "chosen", t)
        assert np.isin(used["real"], rows).all()
        assert len(used["real"]) == (200 if t == 1 else 100)
        if t > 1:
            assert np.array_equal(used[str(t - 1)], selected(field, "chosen", t - 1))


def test_another_score_selects_and_trains_what_follows_and_no_first_model(field: Workplace) -> None:
    field.config["loops"]["chosen"]["select"] = {"by": "mean", "best_of": 4}
    assert counted(field.plan()) == {"sample": 3, "select": 3, "train": 2, "measure": 3}


def test_another_filter_makes_that_lineage_anew_and_no_other(field: Workplace) -> None:
    field.config["loops"]["chosen"]["filter"] = {"by": "confidence", "top": 0.2}
    assert counted(field.plan()) == {"filter": 1, "train": 3, "sample": 3, "select": 3, "measure": 3}


def test_another_share_makes_all_members_anew_but_their_first_models(field: Workplace) -> None:
    field.config["ecosystems"]["pair"]["shares"][1] = [0.5, 0.5]
    assert counted(field.plan()) == {"sample": 6, "train": 4, "measure": 6}


def test_another_strength_takes_the_same_first_models(field: Workplace) -> None:
    """Both of them: the one that learnt real rows, and the auxiliary one that learnt from it."""
    (file,) = (field.directory / "results" / "runs").glob(
        "auxiliary-mnist-*/seed-0/gen-1/auxiliary.safetensors"
    )
    assert (field.generation("away", 1) / file.name).samefile(file)
    field.config["loops"]["away"]["against"]["strength"] = 1.0
    assert counted(field.plan()) == {"train_auxiliary": 1, "sample": 2, "train": 1, "measure": 2}


def test_longer_further_training_makes_both_auxiliary_models_anew(field: Workplace) -> None:
    field.config["loops"]["away"]["against"]["budget"] = {"images": 640}
    assert counted(field.plan()) == {"train_auxiliary": 2, "sample": 2, "train": 1, "measure": 2}


def test_a_deleted_selection_is_remade_the_same_and_nothing_follows(field: Workplace) -> None:
    (real,) = (field.directory / "results" / "runs").glob("*/seed-0/gen-0/selected.safetensors")
    for path in (real, field.generation("chosen", 1) / "selected.safetensors"):
        content = path.read_bytes()
        path.unlink()
        assert not counted(field.plan()).keys() & {"train", "sample"}
        target = str(path.relative_to(field.directory))
        field.snakemake("--", target)
        assert path.read_bytes() == content
        assert field.plan() == []


def test_the_order_of_jobs_changes_nothing(field: Workplace) -> None:
    members = [field.generation(f"pair-{name}", 1).parents[1] for name in "ab"]
    names = [f"seed-0/gen-{t}/{file}" for t in (1, 2, 3) for file in ("preview.safetensors", "measures.json")]
    before = {folder / name: (folder / name).read_bytes() for folder in members for name in names}
    for folder in members:
        shutil.rmtree(folder)
    a, b = (folder.relative_to(field.directory) / "seed-0" for folder in members)
    for target in (b / "gen-1", a / "gen-1", b / "gen-2", b / "gen-3", a / "gen-2", a / "gen-3"):
        field.snakemake("--cores", "1", "--", str(target / "preview.safetensors"))
    field.snakemake()
    assert all(path.read_bytes() == content for path, content in before.items())
