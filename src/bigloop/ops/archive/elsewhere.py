"""A finished experiment in the forms of other tools: TensorBoard's log folder, a dataset folder of Hugging Face.

to_tensorboard(Study(home), Path("logs"))       # tensorboard --logdir logs
to_huggingface(Study(home), Path("dataset"))    # files alone; nothing is uploaded
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from bigloop.analysis.origins import made_by
from bigloop.artifacts import PROVENANCE_FILE, TABLES, read_tensors
from bigloop.data import as_floats
from bigloop.figures.files import generation_folders
from bigloop.ops.archive.files import PREVIEW
from bigloop.ops.disk import check_empty
from bigloop.ops.study import Study
from bigloop.runtime.progress import Report
from bigloop.spec.options import SpecError

SHOWN = 64  # images of a generation in TensorBoard
KEPT = 100  # images of a generation in a dataset folder, unless told otherwise


class Generation(NamedTuple):
    """A generation of a run on images, and where its samples and weights lie."""

    run: str
    seed: int
    generation: int
    samples: Path
    model: Path


def to_tensorboard(study: Study, out: Path, report: Report = lambda line: None) -> None:
    """Write every measure as a scalar and the first samples as images, by run and seed; steps are generations.

    Raises SpecError where `out` holds something, or tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise SpecError(
            "export --tensorboard: needs the package tensorboard (pip install tensorboard)"
        ) from None
    check_empty(out)
    rows = study.measures[study.measures["generation"].notna()].astype({"seed": int, "generation": int})
    pictures: dict[tuple[str, int], list[Generation]] = {}
    for found in generations(study):
        pictures.setdefault((found.run, found.seed), []).append(found)
    count = 0
    for (run, seed), values in rows.groupby(["run", "seed"], sort=False):
        with SummaryWriter(str(out / str(run) / f"seed-{seed}")) as writer:
            for row in values.itertuples():
                detail = "" if pd.isna(row.detail) else f"/{row.detail}"
                writer.add_scalar(f"{row.measure}{detail}", float(row.value), int(row.generation), walltime=0)
                count += 1
            for found in pictures.get((run, seed), ()):
                images = first_images(found, SHOWN)
                writer.add_images("samples", images, found.generation, walltime=0)
    report(f"{count:,} values in {out}; look at them with tensorboard --logdir {out}")


def to_huggingface(
    study: Study, out: Path, images: int = KEPT, weights: bool = False, report: Report = lambda line: None
) -> None:
    """Write tables, and the first samples of every generation as pictures with their origin, as a dataset's folder.

    images: of each generation, 1 000 at most. weights: those of every generation, too. Raises SpecError where `out`
    holds something.
    """
    check_empty(out)
    name = str(study.config["experiment"])
    (out / "tables").mkdir(parents=True)
    for table in (*(f"{table}.csv" for table in TABLES), PROVENANCE_FILE):
        shutil.copyfile(study.home / "tables" / table, out / "tables" / table)
    shutil.copyfile(study.home / "config.yaml", out / "config.yaml")
    rows: list[dict[str, Any]] = []
    for found in generations(study):
        rows += _pictures(found, out / "samples", images)
        if weights:
            target = out / "weights" / found.run / f"seed-{found.seed}" / f"gen-{found.generation}"
            target.mkdir(parents=True)
            for file in ("model.safetensors", "model.json"):
                if (found.model / file).is_file():
                    shutil.copyfile(found.model / file, target / file)
    if rows:
        pd.DataFrame(rows).to_csv(out / "samples" / "metadata.csv", index=False)
    (out / "README.md").write_text(card(name, bool(rows), made_by(study.provenance)), encoding="utf-8")
    report(f"{len(rows):,} pictures and {len(TABLES)} tables in {out}")


def generations(study: Study) -> Iterator[Generation]:
    """Every generation of the runs on images whose first samples are there."""
    runs, results = study.runs, study.home.parent
    of_images = runs[runs["density"].isna()] if "density" in runs else runs
    first = {str(run.run): results / "runs" / str(run.first_folder) for run in of_images.itertuples()}
    for run, seed, t, place in generation_folders(of_images, results):
        if (place / PREVIEW).is_file():
            model = first[run] / place.parent.name / place.name if t == 1 else place
            yield Generation(run, seed, t, place, model)


def first_images(found: Generation, n: int) -> np.ndarray:
    """The first n samples of a generation, at most those of its preview: float (n, c, h, w), clipped to [0, 1]."""
    tensors, _ = read_tensors(found.samples / PREVIEW)
    return as_floats(tensors["images"][:n]).clip(0, 1)


def card(name: str, has_samples: bool, made: list[str]) -> str:
    """The dataset's card: what the viewer loads, and what a reader has to know."""
    tables = ("measures", "runs", "verdicts")
    configs: list[dict[str, Any]] = [
        {"config_name": table, "data_files": f"tables/{table}.csv"} for table in tables
    ]
    if has_samples:
        configs.insert(0, {"config_name": "samples", "data_dir": "samples", "default": True})
    head = {"pretty_name": name, "tags": ["model-collapse", "synthetic"], "configs": configs}
    lines = "\n".join(f"- {line}" for line in made)
    return f"""---
{json.dumps(head, indent=1)}
---

# {name}

Samples and measures of generative models that were trained, generation after generation, on their own output.
**Generated data**: do not train on it as if it were real.

`samples/metadata.csv` says of each picture which run, seed and generation it is of; `tables/runs.csv` what each run is;
`config.yaml` how to make it again.

{lines}
"""


def _pictures(found: Generation, out: Path, images: int) -> Iterator[dict[str, Any]]:
    """Write the first samples of a generation as PNG; gives what is said of each."""
    pixels = np.round(255 * first_images(found, images)).astype(np.uint8)
    folder = f"{found.run}/seed-{found.seed}/gen-{found.generation}"
    (out / folder).mkdir(parents=True)
    for index, picture in enumerate(pixels):
        file = f"{folder}/{index:05d}.png"
        grey = picture.shape[0] == 1
        Image.fromarray(picture[0] if grey else np.moveaxis(picture, 0, -1)).save(out / file)
        yield {
            "file_name": file,
            "run": found.run,
            "seed": found.seed,
            "generation": found.generation,
            "index": index,
        }
