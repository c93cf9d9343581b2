"""The samples of a generation that was made elsewhere, from a file of any program's to those of a run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from bigloop.artifacts import (
    PREVIEW_ROWS,
    ArtifactError,
    write_json,
    write_tensors,
)
from bigloop.data import dataset
from bigloop.data.elsewhere import RECORD, foreign_file
from bigloop.data.files import array_shape, images_in, read_array
from bigloop.generation.sample import as_bytes
from bigloop.runtime.memory import gigabytes, spare_memory
from bigloop.runtime.progress import Report, quiet
from bigloop.spec.generations import ImportSpec
from bigloop.spec.options import SpecError, digest, to_dict
from bigloop.spec.runs import GENERATED

BLACK_WHITE = (0.0, 1.0)
IN_CONFIG = "set it as range: [black, white] of the run"
COPIES = 3  # of the images while they are read, as floats


def import_samples(spec: ImportSpec, file: Path, out: Path, report: Report = quiet) -> None:
    """Write the samples in a file from elsewhere as those of a generation, with preview and record, into `out`.

    file: .npy, .npz or .safetensors, images as `data.files.read_images` takes them, and beside them, if there are any,
    `labels`, whole numbers (n,): the classes that the images were made to be of. uint8 stays uint8; all else becomes
    float16, black at 0 and white at 1, not clipped. Raises ArtifactError where it is not the file that was planned,
    and DataError where it holds no such images.
    """
    if spec.revision != GENERATED.revision:
        raise SpecError(
            f"import: revision {spec.revision} requested, but the code is at {GENERATED.revision}"
        )
    found = foreign_file(file, spec.file_bytes)
    about, rows = dataset(spec.dataset), array_shape(file)[0]
    n = rows if spec.samples is None else spec.samples
    if rows < n:
        raise ArtifactError(f"{file}: holds {rows} images, but the run's samples are {n}; lower samples")
    wanted, spare = COPIES * 4 * n * math.prod(about.shape), spare_memory()
    if wanted > spare:
        raise ArtifactError(
            f"{file}: reading {n:,} images takes {gigabytes(wanted)} of memory, {gigabytes(spare)} are free; "
            "lower the run's samples"
        )
    array = read_array(file)[:n]
    black, white = spec.black_white or BLACK_WHITE
    images = images_in(array, about.shape, black, white, file, IN_CONFIG)
    kept = {"images": as_bytes(images) if array.dtype == np.uint8 else images.astype(np.float16)}
    labels = read_array(file, "labels", optional=True)
    if len(labels):
        kept["labels"] = _checked(labels, rows, len(about.classes), file)[:n]
    header = {"spec": digest(spec), "seed": str(spec.seed), "generation": str(spec.generation)}
    checksum = write_tensors(out / "samples.safetensors", kept, header)
    first = {name: array[:PREVIEW_ROWS] for name, array in kept.items()}
    write_tensors(out / "preview.safetensors", first, header | {"samples": checksum})
    write_json(out / RECORD, {"spec": to_dict(spec), "sha256": checksum, "file": found})
    report(f"{n:,} samples of generation {spec.generation} imported from {file}")


def _checked(labels: np.ndarray, rows: int, classes: int, file: Path) -> np.ndarray:
    """Labels, int64; raises ArtifactError where they are none of these images'."""
    whole = labels.dtype.kind in "iu" and labels.shape == (rows,)
    if not whole or labels.min() < 0 or labels.max() >= classes:
        raise ArtifactError(
            f"{file}: labels of shape {labels.shape}, {labels.dtype}; expected {rows} whole numbers from 0 to "
            f"{classes - 1}"
        )
    return labels.astype(np.int64)
