"""A finished experiment opened in Python: what it gives is what lies in its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import bigloop
from bigloop.artifacts import ArtifactError, read_table, read_tensors
from bigloop.data import as_floats, load
from bigloop.ops.study import Study
from bigloop.spec.options import SpecError

from .conftest import Workplace

pytestmark = pytest.mark.workflow


@pytest.fixture
def study(finished: Path) -> Study:
    return bigloop.open(finished / "results" / "smoke")


def test_tables_are_those_of_the_files(study: Study) -> None:
    for name in ("measures", "runs", "critics", "verdicts", "claims", "runtime"):
        table = read_table(study.home / "tables" / f"{name}.csv", dtype={"detail": str, "seeds": str})
        assert getattr(study, name).equals(table), name
    jobs = study.runtime
    assert set(jobs["job"]) == {"train", "sample", "measure"}
    assert (jobs["seconds"] > 0).all()
    assert (jobs[jobs["run"] == "vae"].groupby("job").size() == 6).all()


def test_a_curve_is_the_mean_over_seeds(study: Study) -> None:
    rows = study.measures.query("run == 'vae' and measure == 'fid'")
    found = study.curve("vae", "fid")
    np.testing.assert_allclose(found.mean, rows.groupby("generation")["value"].mean())
    assert found.seeds == 2


def test_samples_are_whole_where_they_are_kept_and_else_the_preview(workplace: Workplace) -> None:
    study, folder = (
        bigloop.open(workplace.directory / "results" / "smoke"),
        workplace.generation("vae", 2, seed=1),
    )
    whole = as_floats(read_tensors(folder / "samples.safetensors")[0]["images"])
    np.testing.assert_array_equal(study.samples("vae", 2, seed=1), whole)
    (folder / "samples.safetensors").unlink()
    np.testing.assert_array_equal(study.samples("vae", 2, seed=1), whole[:1_000])
    real, _ = load(workplace.directory / "results" / "data" / "mnist", "test")
    np.testing.assert_array_equal(study.real("mnist"), real / np.float32(255))


def test_a_figure_is_the_configs_or_any_kind_with_options(study: Study) -> None:
    for name, options in (("fid", {}), ("trajectories", {"measures": ["spacing"], "runs": ["vae"]})):
        figure = study.figure(name, **options)
        assert isinstance(figure, Figure)
        assert figure.axes
    with pytest.raises(SpecError, match=r"^figures\.fid\.colour: unknown key"):
        study.figure("fid", colour="red")


def test_what_is_not_there_is_said_in_one_line(study: Study, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^no run is named ddpm \(known: wgan-1, wgan-2, vae\)$"):
        study.samples("ddpm", 1)
    with pytest.raises(ValueError, match=r"^run vae has no measure nothing \(it has: "):
        study.curve("vae", "nothing")
    with pytest.raises(ValueError, match=r"^run vae has no points of generation 1: it learns images$"):
        study.points("vae", 1)
    with pytest.raises(ArtifactError, match=r"gen-9/preview\.safetensors: missing"):
        study.samples("vae", 9)
    with pytest.raises(SpecError, match="no figure is named"):
        study.figure("nothing")
    with pytest.raises(ArtifactError, match=r"no tables/measures\.csv; name the folder of an experiment"):
        bigloop.open(tmp_path)
