"""An experiment's tables and previews to the files of one figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bigloop.artifacts import read_table, read_tensors, replacing
from bigloop.data import dataset, load
from bigloop.figures import Material, plot
from bigloop.spec import PlotSpec, SpecError, parse

RESOLUTION = 200  # dots per inch of the PNG
SHOWN = 200  # images of a generation that a figure may show
REAL_SHOWN = 1_000


def render(spec: PlotSpec, results: Path) -> None:
    """Draw `spec.figure` of an experiment as figures/{figure}.pdf and .png.

    Reads tables/*.csv and, where the figure shows images, the previews of each run's first seed. Raises
    SpecError where the tables lack what the figure shows.
    """
    home = results / spec.experiment
    entry = plot(spec.figure)
    options: Any = parse(entry.Options, spec.options, f"figures.{spec.figure}")
    try:
        figure = entry.draw(material(home, results, images="images" in entry.needs), options)
    except ValueError as error:
        raise SpecError(f"figures.{spec.figure}: {error}") from None
    formats: dict[str, dict[str, Any]] = {
        "pdf": {"metadata": {"CreationDate": None}},  # so that the same table gives the same file
        "png": {"dpi": RESOLUTION},
    }
    for suffix, extra in formats.items():
        with replacing(home / "figures" / f"{spec.figure}.{suffix}") as temporary:
            figure.savefig(temporary, format=suffix, **extra)


def material(home: Path, results: Path, *, images: bool) -> Material:
    """The tables of the experiment in `home`, and with `images` the first images of each run and of the test set."""
    words = {"detail": str, "seeds": str}
    measures, runs, critics, verdicts = (
        read_table(home / "tables" / f"{name}.csv", dtype=words)
        for name in ("measures", "runs", "critics", "verdicts")
    )
    about = dataset(runs["dataset"].iloc[0])
    shown = previews(runs, results) if images else {}
    return Material(measures, runs, critics, shown, about.classes, verdicts)


def previews(runs: pd.DataFrame, results: Path) -> dict[tuple[str, int | None], np.ndarray]:
    """(run, generation) → the first images of its first seed, float32 (k, c, h, w); ("real", None) → test images."""
    test, _ = load(results / "data" / runs["dataset"].iloc[0], "test")
    images: dict[tuple[str, int | None], np.ndarray] = {("real", None): test[:REAL_SHOWN] / np.float32(255)}
    for run in runs.itertuples():
        seed = str(run.seeds).split()[0]
        for generation in range(1, int(run.generations) + 1):
            folder = results / "runs" / str(run.folder) / f"seed-{seed}" / f"gen-{generation}"
            tensors, _ = read_tensors(folder / "preview.safetensors")
            images[str(run.run), generation] = tensors["images"][:SHOWN].astype(np.float32)
    return images
