"""An experiment's tables and previews to the files of one figure."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bigloop.analysis.loops import density_of
from bigloop.artifacts import FEATURES_FILE, SNAPSHOTS_FILE, STEPS_FILE, read_table, read_tensors, replacing
from bigloop.data import as_floats, load, load_verified
from bigloop.figures import Material, Snapshots, plot
from bigloop.figures.parts.film import write_film
from bigloop.runtime.progress import Report
from bigloop.seeding import numpy_generator
from bigloop.spec.jobs import PlotSpec
from bigloop.spec.options import SpecError, parse

RESOLUTION = 200  # dots per inch of the PNG
SHOWN = 200  # images of a generation that a figure may show
REAL_SHOWN = 1_000
CURVE_POINTS = 400


def write_figure(spec: PlotSpec, results: Path, report: Report = lambda line: None) -> None:
    """Draw `spec.figure` of an experiment as figures/{name}.pdf and .png.

    Reads tables/*.csv and, where the figure shows images, the previews of each run's first seed. Raises
    SpecError where the tables lack what the figure shows.
    """
    home = results / spec.experiment
    entry = plot(spec.figure)
    options: Any = parse(entry.Options, spec.options, f"figures.{spec.name}")
    try:
        material = read_material(home, results, entry.needs, spec, report)
        figure = entry.draw(material, options)
    except ValueError as error:
        raise SpecError(f"figures.{spec.name}: {error}") from None
    formats: dict[str, dict[str, Any]] = {
        "pdf": {"metadata": {"CreationDate": None}},  # so that the same table gives the same file
        "png": {"dpi": RESOLUTION},
    }
    for suffix, extra in formats.items():
        with replacing(home / "figures" / f"{spec.name}.{suffix}") as temporary:
            figure.savefig(temporary, format=suffix, **extra)
    if entry.frames:
        write_film(
            home / "figures" / spec.name, entry.frames(material, options), options.milliseconds, report
        )


def read_material(
    home: Path,
    results: Path,
    needs: Container[str],
    spec: PlotSpec | None = None,
    report: Report = lambda line: None,
) -> Material:
    """The tables of the experiment in `home`, and of images, points, curves and features what a figure `needs`.

    spec: says which features.
    """
    measures, runs, critics, verdicts = (
        table(home, name) for name in ("measures", "runs", "critics", "verdicts")
    )
    known = runs["density"].notna() if "density" in runs else pd.Series(False, index=runs.index)
    of_images, of_points = runs[~known], runs[known]
    images, labels = previews(of_images, results) if "images" in needs else ({}, {})
    shown = features(of_images, results, spec, report) if "features" in needs and spec else ({}, {}, {})
    real, real_labels = real_images(of_images, results) if "images" in needs else ({}, {})
    classes = {str(run["dataset"]): tuple(json.loads(run["classes"])) for run in of_images.to_dict("records")}
    return Material(
        measures,
        of_images if any(what in needs for what in ("images", "snapshots", "steps")) else runs,
        critics,
        images,
        real,
        classes,
        verdicts,
        points(of_points, results) if "points" in needs else {},
        curves(of_points) if "curves" in needs else {},
        labels,
        real_labels,
        *shown,
        dict(snapshots(of_images, results)) if "snapshots" in needs else {},
        dict(steps(of_images, results)) if "steps" in needs else {},
    )


def table(home: Path, name: str) -> pd.DataFrame:
    """One of the TABLES of the experiment in `home`."""
    return read_table(home / "tables" / f"{name}.csv", dtype={"detail": str, "seeds": str})


def generation_folders(runs: pd.DataFrame, results: Path) -> Iterator[tuple[str, int, int, Path]]:
    """Run, seed, generation and folder of every generation of runs on images."""
    for run in runs.itertuples():
        for seed in map(int, str(run.seeds).split()):
            for generation in range(1, int(run.generations) + 1):
                folder = results / "runs" / str(run.folder) / f"seed-{seed}" / f"gen-{generation}"
                yield str(run.run), seed, generation, folder


def first_seed(runs: pd.DataFrame, results: Path) -> Iterator[tuple[str, int, Path]]:
    """Run, generation and folder of every generation of each run's first seed."""
    first = {str(run.run): int(str(run.seeds).split()[0]) for run in runs.itertuples()}
    for name, seed, generation, folder in generation_folders(runs, results):
        if seed == first[name]:
            yield name, generation, folder


def snapshots(runs: pd.DataFrame, results: Path) -> Iterator[tuple[tuple[str, int], Snapshots]]:
    """(run, generation) → the snapshots of its training with the first seed, where any were taken."""
    for name, generation, folder in first_seed(runs, results):
        if (path := folder / SNAPSHOTS_FILE).is_file():
            taken, _ = read_tensors(path)
            yield (name, generation), Snapshots(taken["epochs"], as_floats(taken["images"]))


def steps(runs: pd.DataFrame, results: Path) -> Iterator[tuple[tuple[str, int, int], pd.DataFrame]]:
    """(run, seed, generation) → the table of its training's steps, where there is one."""
    for name, seed, generation, folder in generation_folders(runs, results):
        if (path := folder / STEPS_FILE).is_file():
            yield (name, seed, generation), read_table(path)


def points(runs: pd.DataFrame, results: Path) -> dict[tuple[str, int | None], np.ndarray]:
    """(run, generation) → points of its first seed, (k, d); (run, None) → as many points of its density."""
    found: dict[tuple[str, int | None], np.ndarray] = {}
    for run in runs.to_dict("records"):
        name, blocks = str(run["run"]), str(run["blocks"]).split()
        seeds = blocks[0].partition("/")[0]
        for block in blocks:
            if block.startswith(f"{seeds}/"):
                tensors, _ = read_tensors(results / "runs" / run["folder"] / block / "points.safetensors")
                own = "" if pd.isna(run.get("member")) else f"{int(run['member'])}/"
                found |= {
                    (name, int(key.removeprefix(own))): array
                    for key, array in tensors.items()
                    if key.startswith(own)
                }
        density = density_of(run)
        shown = max((len(array) for (of, _), array in found.items() if of == name), default=0)
        found[name, None] = density.sample(shown, numpy_generator(0, 0, "shown points"))
    return found


def curves(runs: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Run → (x, p(x)) of its density, for those of one dimension."""
    found = {}
    for run in runs.to_dict("records"):
        density = density_of(run)
        if density.dimension == 1:
            x = np.linspace(density.low[0], density.high[0], CURVE_POINTS)
            found[str(run["run"])] = x, np.exp(density.log_density(x[:, None]))
    return found


def real_images(runs: pd.DataFrame, results: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Dataset → the first of its test images, float32 (k, c, h, w) in [0, 1]; and their classes, (k,)."""
    images, labels = {}, {}
    for name, folder in {
        str(run.dataset): results / "data" / str(run.data) for run in runs.itertuples()
    }.items():
        shown, classes = load(folder, "test")
        images[name], labels[name] = as_floats(shown[:REAL_SHOWN]), classes[:REAL_SHOWN]
    return images, labels


def features(
    runs: pd.DataFrame, results: Path, spec: PlotSpec, report: Report
) -> tuple[dict[tuple[str, int], np.ndarray], dict[str, np.ndarray], dict[str, str]]:
    """Features, (k, d), of the images of `previews` and of `real_images`; and, by dataset, the name of these features.

    Those that a measuring job has kept are read; others are computed, and kept.
    """
    from bigloop.measures.features import Rows, of_classifier
    from bigloop.measures.images import KEPT, by_name, extractors_of
    from bigloop.training.devices import default_device

    device, classifiers = default_device(), results / "classifier"
    extractors = {
        name: of_classifier(classifiers / folder, device) for name, folder in (spec.classifiers or {}).items()
    }
    extractors |= extractors_of(spec.features, by_name(classifiers.glob("*")))
    generated, real = {}, {}
    datasets = {str(run.run): str(run.dataset) for run in runs.itertuples()}
    for run, generation, folder in first_seed(runs, results):
        tensors, header = read_tensors(folder / "preview.safetensors")
        rows = Rows.of(tensors["images"], folder / FEATURES_FILE, {"samples": header["samples"]}, report)
        generated[run, generation] = rows.seen_by(extractors[datasets[run]], SHOWN)["features"]
    for name, data in {str(run.dataset): str(run.data) for run in runs.itertuples()}.items():
        images, _, checksum = load_verified(results / "data" / data, "test")
        place = results / "data" / data / KEPT / f"{FEATURES_FILE}-test-shown"
        rows = Rows.of(images[:REAL_SHOWN], place, {"data": checksum, "subset": "shown"}, report)
        real[name] = rows.seen_by(extractors[name], REAL_SHOWN)["features"]
    return generated, real, {name: extractor.name for name, extractor in extractors.items()}


Previews = dict[tuple[str, int], np.ndarray]


def previews(runs: pd.DataFrame, results: Path) -> tuple[Previews, Previews]:
    """(run, generation) → the first images of its first seed, float32 (k, c, h, w); and the classes asked for, (k,)."""
    images: Previews = {}
    labels: Previews = {}
    for name, generation, folder in first_seed(runs, results):
        tensors, _ = read_tensors(folder / "preview.safetensors")
        images[name, generation] = as_floats(tensors["images"][:SHOWN])
        if "labels" in tensors:
            labels[name, generation] = tensors["labels"][:SHOWN]
    return images, labels
