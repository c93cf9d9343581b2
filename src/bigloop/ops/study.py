"""A finished experiment in Python: its tables, samples and figures.

import bigloop

study = bigloop.open("results/quickstart")
study.measures                                 # tidy, one value a row
study.samples("vae", generation=10)            # float32 (n, 1, 28, 28)
study.curve("vae", "fid").mean                 # over seeds, (generations,)
study.figure("trajectories", measures=["fid"]).savefig("fid.png")
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from bigloop.analysis.series import Curve, curve
from bigloop.artifacts import PROVENANCE_FILE, ArtifactError, read_json, read_tensors
from bigloop.config.experiment import Experiment
from bigloop.data import as_floats, load
from bigloop.figures import FIGURES, plot
from bigloop.figures.files import read_material, table
from bigloop.spec.faults import named
from bigloop.spec.jobs import PlotSpec
from bigloop.spec.options import SpecError, parse

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def open_study(folder: str | Path) -> Study:
    """The experiment in a folder such as results/quickstart, whose tables are written.

    Raises ArtifactError, in one line, where there is none.
    """
    home = Path(folder)
    if not (home / "tables" / "measures.csv").is_file():
        raise ArtifactError(f"{home}: no tables/measures.csv; name the folder of an experiment that has run")
    return Study(home)


@dataclasses.dataclass(frozen=True)
class Study:
    """A finished experiment. All it says is read from its files; nothing is computed but means."""

    home: Path

    @cached_property
    def measures(self) -> pd.DataFrame:
        """One value a row: run, family, dataset, loop, bias, seed, generation, measure, value, n, k, features, detail.

        Rows of the run "real" measure real data against other real data, and have no seed and no generation.
        """
        return self._table("measures")

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a run, in plotting order: label, dataset, seeds, generations, and its specification by key."""
        return self._table("runs")

    @cached_property
    def critics(self) -> pd.DataFrame:
        """Shares of each generation's samples, in [0, 1], that the critic of each generation calls generated."""
        return self._table("critics")

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """One row a run: the verdict, its reason, and the numbers behind it."""
        return self._table("verdicts")

    @cached_property
    def claims(self) -> pd.DataFrame:
        """One row a claim of a paper: what it says, the verdict, and why."""
        return self._table("claims")

    @cached_property
    def runtime(self) -> pd.DataFrame:
        """One row a job: seconds, CPU seconds, megabytes."""
        return self._table("runtime")

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What made the tables: software, machine, packages, and the same of every model in them."""
        return read_json(self.home / "tables" / PROVENANCE_FILE)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The config as it was run."""
        return yaml.safe_load((self.home / "config.yaml").read_text(encoding="utf-8"))

    def curve(self, run: str, measure: str) -> Curve:
        """A measure of a run over its generations: `generation`, `mean` and `sd` over seeds, each (generations,).

        Raises ValueError where the run has no such measure, or several of this name on other numbers of rows.
        """
        self._row(run)
        found = curve(self, run, measure)
        if found is None:
            known = self.measures.loc[self.measures["run"] == run, "measure"].unique()
            raise ValueError(f"run {run} has no measure {measure} (it has: {', '.join(known)})")
        return found

    def samples(self, run: str, generation: int, seed: int | None = None) -> np.ndarray:
        """What a generation of a run on images generated: float32 (n, c, h, w), real images being in [0, 1].

        seed: the run's first if None. All samples where they are kept, else the first 1 000 (the preview). Raises
        ArtifactError where there are none.
        """
        folder = self._folder(run, seed) / f"gen-{generation}"
        whole = folder / "samples.safetensors"
        tensors, _ = read_tensors(whole if whole.is_file() else folder / "preview.safetensors")
        return as_floats(tensors["images"])

    def real(self, dataset: str) -> np.ndarray:
        """The test images of a dataset: float32 (n, c, h, w) in [0, 1]."""
        rows = self.runs[self.runs["dataset"] == dataset]
        if rows.empty or "data" not in rows or rows["data"].isna().all():
            raise ValueError(f"no run learns images of {dataset}")
        images, _ = load(self._results / "data" / str(rows["data"].iloc[0]), "test")
        return as_floats(images)

    def points(self, run: str, generation: int) -> np.ndarray:
        """Points that a generation of a run on a known density generated with the run's first seed: float (k, d)."""
        row = self._row(run)
        blocks = str(row.get("blocks", "")).split()
        for block in blocks:
            tensors, _ = read_tensors(
                self._results / "runs" / str(row["folder"]) / block / "points.safetensors"
            )
            if str(generation) in tensors:
                return tensors[str(generation)]
        kept = "it learns images" if not blocks else "of this generation none are kept"
        raise ValueError(f"run {run} has no points of generation {generation}: {kept}")

    def figure(self, name: str, **options: Any) -> Figure:
        """A figure, as matplotlib's own: one of the config's by its name, with its options, or a kind of figure.

        options: as in a config, beside or instead of those. Raises SpecError for unknown ones, and ValueError where
        the tables lack what the figure shows.
        """
        experiment = Experiment.from_config(self.config)
        if name in experiment.figures:
            spec = experiment.plot(name)
            spec = dataclasses.replace(spec, options=spec.options | options)
        elif name in FIGURES:
            spec = PlotSpec(experiment.name, name, name, options)
        else:
            raise SpecError(f"no figure is named {named(name)} (known: {', '.join(experiment.figures)})")
        entry = plot(spec.figure)
        chosen: Any = parse(entry.Options, spec.options, f"figures.{name}")
        return entry.draw(read_material(self.home, self._results, entry.needs, spec), chosen)

    @property
    def _results(self) -> Path:
        return self.home.parent

    def _table(self, name: str) -> pd.DataFrame:
        return table(self.home, name)

    def _row(self, run: str) -> dict[Any, Any]:
        rows = self.runs[self.runs["run"] == run]
        if rows.empty:
            raise ValueError(f"no run is named {run} (known: {', '.join(self.runs['run'])})")
        return rows.iloc[0].dropna().to_dict()

    def _folder(self, run: str, seed: int | None) -> Path:
        row = self._row(run)
        chosen = int(str(row["seeds"]).split()[0]) if seed is None else seed
        return self._results / "runs" / str(row["folder"]) / f"seed-{chosen}"
