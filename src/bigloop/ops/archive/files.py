"""Which files of an experiment an archive holds: all that its figures and its page are drawn from, and no more.

Of images and of features it holds the first ones alone, as many as a figure shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bigloop.artifacts import (
    FEATURES_FILE,
    MODEL_FILES,
    PROVENANCE_FILE,
    SNAPSHOTS_FILE,
    STEPS_FILE,
    TABLES,
    read_tensors,
    write_tensors,
)
from bigloop.config.experiment import Experiment
from bigloop.figures import plot
from bigloop.figures.files import REAL_SHOWN, SHOWN
from bigloop.spec.jobs import PlotSpec
from bigloop.spec.options import SpecError

PREVIEW = "preview.safetensors"
FORMATS = ("pdf", "png", "gif", "mp4")  # of figures

Files = dict[str, Path]  # name in the archive → file on disk


def gather(experiment: Experiment, results: Path, scratch: Path, samples: bool, weights: bool) -> Files:
    """Every file of an archive. scratch: an empty folder, for those that are made for it.

    samples, weights: those of every generation, too. Raises SpecError where the experiment is not finished.
    """
    home = results / experiment.name
    plots = [experiment.plot(name) for name in experiment.figures]
    needs = {need for spec in plots for need in plot(spec.figure).needs}
    files = [
        *finished(experiment, home),
        *of_models(experiment, results, needs, samples, weights),
        *of_points(experiment, results),
    ]
    found = {}
    for path in files:
        shown = first_rows(path, results, scratch, SHOWN) if path.name == PREVIEW else path
        found[named(path, results)] = shown
    for images in {images.folder: images for images in experiment.datasets.values()}.values():
        place = results / "data" / images.folder
        made = first_rows(place / "test.safetensors", results, scratch, REAL_SHOWN)
        found[named(made, scratch)] = made
    if "features" in needs:
        found |= of_features(plots, experiment, results, scratch)
    return found


def finished(experiment: Experiment, home: Path) -> list[Path]:
    """Config, tables, figures and pages. Raises SpecError where one of them is missing."""
    tables = [f"{name}.csv" for name in TABLES]
    sealed = [home / "tables" / name for name in (*tables, PROVENANCE_FILE)]
    needed = [home / "config.yaml", *sealed]
    needed += [home / "figures" / f"{name}.{kind}" for name in experiment.figures for kind in ("pdf", "png")]
    needed += [home / "explorer.html"] if experiment.explorer else []
    missing = [path for path in needed if not path.is_file()]
    if missing:
        raise SpecError(f"export: {missing[0]} is missing; finish the experiment first, with snakemake")
    seals = [path.with_name(f"{path.name}.sha256") for path in sealed]
    others = [home / "figures" / f"{name}.{kind}" for name in experiment.figures for kind in FORMATS[2:]]
    return [*needed, *seals, *(path for path in (*others, home / "report.html") if path.is_file())]


def of_models(
    experiment: Experiment, results: Path, needs: set[str], samples: bool, weights: bool
) -> Iterator[Path]:
    """Of each generation: what trained it, its preview where its seed is shown, and more."""
    pages = experiment.explorer.seeds if experiment.explorer else 1
    for run in experiment.trained:
        for seed, t in run.jobs():
            folder = results / "runs" / run.spec.folder / f"seed-{seed}" / f"gen-{t}"
            model = results / "runs" / run.spec.model_folder(t) / f"seed-{seed}" / f"gen-{t}"
            names = ["model.json", "model.json.sha256", "import.json", "import.json.sha256"]
            names += [STEPS_FILE, f"{STEPS_FILE}.sha256"] if "steps" in needs else []
            names += [SNAPSHOTS_FILE] if "snapshots" in needs and seed == run.seeds[0] else []
            names += [*MODEL_FILES, *(f"{name}.sha256" for name in MODEL_FILES)] if weights else []
            yield from (model / name for name in names if (model / name).is_file())
            if seed in run.seeds[:pages]:
                yield folder / PREVIEW
            if samples and (folder / "samples.safetensors").is_file():
                yield folder / "samples.safetensors"


def of_points(experiment: Experiment, results: Path) -> Iterator[Path]:
    """The points of each simulated run's first seeds, which figures and the page show."""
    for run in experiment.simulated:
        blocks = run.blocks()
        for block in blocks:
            if block.seeds == blocks[0].seeds:
                yield results / "runs" / run.spec.folder / block.folder / "points.safetensors"


def of_features(plots: list[PlotSpec], experiment: Experiment, results: Path, scratch: Path) -> Files:
    """The classifiers whose features figures show, and what was kept of these and other features of the rows shown."""
    from bigloop.measures.images import KEPT  # torch, which other figures do not need

    found: Files = {}
    for folder in {name for spec in plots for name in (spec.classifiers or {}).values()}:
        for name in ("model.safetensors", "model.json", "model.json.sha256"):
            path = results / "classifier" / folder / name
            found[named(path, results)] = path
    for run in experiment.trained:
        for t in range(1, run.generations + 1):
            place = results / "runs" / run.spec.folder / f"seed-{run.seeds[0]}" / f"gen-{t}"
            for path in place.glob(f"{FEATURES_FILE}-*.safetensors"):
                made = first_rows(path, results, scratch, SHOWN)
                found[named(made, scratch)] = made
    for data in {results / "data" / images.folder for images in experiment.datasets.values()}:
        _, cut = read_tensors(scratch / data.relative_to(results) / "test.safetensors")
        for path in (data / KEPT).glob(f"{FEATURES_FILE}-test-shown-*.safetensors"):
            made = first_rows(path, results, scratch, REAL_SHOWN, data=cut["sha256"])
            found[named(made, scratch)] = made
    return found


def first_rows(path: Path, results: Path, scratch: Path, rows: int, **words: str) -> Path:
    """A file's first rows, at its place below `scratch`; words: of its header, beside or instead of its own."""
    tensors, header = read_tensors(path)
    known = {key: value for key, value in header.items() if key not in ("address", "sha256")}
    target = scratch / path.relative_to(results)
    first = {name: array[:rows] for name, array in tensors.items()}
    write_tensors(target, first, known | words | {"first_rows": str(rows)})
    return target


def named(path: Path, results: Path) -> str:
    """A file's name in the archive, where results/ is the folder of results, whatever it is called here."""
    return f"results/{path.relative_to(results).as_posix()}"
