"""The training set of a generation: real rows and earlier generations' samples, as its loop composes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bigloop.artifacts import (
    REBUILD,
    ArtifactError,
)
from bigloop.data import dataset, load_verified, source
from bigloop.generation.sample import Recalled, recall_samples
from bigloop.generation.select import read_selection
from bigloop.generation.store import named
from bigloop.loops import Composition, compose
from bigloop.runtime.memory import gigabytes, spare_memory
from bigloop.runtime.progress import Report
from bigloop.spec.generations import Source, TrainSpec
from bigloop.spec.registry import declared
from bigloop.training.loop import as_floats

REAL: Source = 0  # in place of a generation: real rows
CHUNK = 1_000  # images that are copied at a time


class TrainingSet(NamedTuple):
    """What a generation trains on, and where it comes from.

    images: Tensor (n, c, h, w): uint8 where all of them are that and the family takes bytes, float32 in [0, 1] where
    real rows are among others, else float16 as passed on.
    labels: Tensor (n,), int64, of a conditional family, else None. inputs: SHA-256 of each file it was taken from.
    """

    images: Tensor
    labels: Tensor | None
    composition: Composition
    inputs: dict[str, str]


def training_set(
    spec: TrainSpec, data: Path, previews: Iterable[Path], report: Report, selections: Sequence[Path] = ()
) -> TrainingSet:
    """What a generation trains on; see `train`."""
    files: dict[Source, Recalled] = {}
    about = dataset(spec.dataset)
    for preview in previews:
        found = recall_samples(preview, spec.seed, report)
        files[(found.member, found.generation) if spec.shares else found.generation] = found
    images, labels, data_checksum = load_verified(data, "train")
    if missing := set(spec.sources) - set(files):
        those = ", ".join(sorted(map(named, missing)))
        raise ArtifactError(f"generation {spec.generation} needs the samples of generations [{those}]")
    chosen = _chosen(files, data_checksum, selections)
    handed_on = {g: chosen.get(g, np.arange(len(found.rows["images"]))) for g, found in files.items()}
    for g in () if spec.shares else files.keys() - chosen.keys():
        if len(handed_on[g]) < _wanted(spec):
            raise ArtifactError(
                f"the samples of generation {g} hold {len(handed_on[g])} rows, {_wanted(spec)} are needed; {REBUILD}"
            )
    if spec.filtered and REAL not in chosen:
        raise ArtifactError(f"generation {spec.generation} needs the selection of its loop's real rows")
    available = {g: len(rows) for g, rows in handed_on.items()}
    composition = compose(spec, len(images), available, chosen.get(REAL))
    composition = replace(
        composition, synthetic={g: handed_on[g][rows] for g, rows in composition.synthetic.items()}
    )
    used = [(files[g].rows, rows) for g, rows in composition.synthetic.items()]
    parts = [(tensors["images"], rows) for tensors, rows in used]
    inputs = {named(g): found.checksum for g, found in files.items()}
    if len(composition.real):
        parts = [(images, composition.real), *parts]
        inputs["data"] = data_checksum
    can = declared("families")[spec.model.family]
    kinds = {array.dtype for array, _ in parts}
    # Of a grey source's rows floats are made here, as ever: a GPU divides otherwise in the last bit.
    grey = len(composition.real) and source(about.source).handover == "float16"
    floats = np.dtype(np.uint8) in kinds and (len(kinds) > 1 or grey or not can.takes_bytes)
    dtype = np.dtype(np.float32) if floats else np.result_type(*kinds)
    _check_memory(spec, len(composition), about.shape, dtype.itemsize)
    classes = None
    if can.conditional:
        known = [labels[composition.real], *(tensors["labels"][rows] for tensors, rows in used)]
        classes = torch.from_numpy(np.concatenate(known).astype(np.int64))
    return TrainingSet(torch.from_numpy(gathered(parts, dtype)), classes, composition, inputs)


def _wanted(spec: TrainSpec) -> int:
    """Synthetic rows that are trained on: in total, or of each earlier generation."""
    if spec.real is None or spec.synthetic is None:
        return 0
    return spec.synthetic.rows(spec.real.fixed + spec.real.fresh)


def _chosen(
    files: Mapping[Source, Recalled], real: str, selections: Sequence[Path]
) -> dict[Source, np.ndarray]:
    """The rows that selections choose, of the samples of each generation or of real ones. real: their SHA-256."""
    known = {g: found.checksum for g, found in files.items()} | {REAL: real}
    found = (read_selection(path, known) for path in selections)
    return {source: tensors["rows"] for source, tensors in found}


def gathered(parts: list[tuple[np.ndarray, np.ndarray]], dtype: np.dtype) -> np.ndarray:
    """Of each array of images (n, c, h, w) these rows, one after another, of one kind: bytes, or floats in [0, 1].

    Takes no memory beside that of the result.
    """
    images = np.empty((sum(len(rows) for _, rows in parts), *parts[0][0].shape[1:]), dtype)
    done = 0
    for array, rows in parts:
        for start in range(0, len(rows), CHUNK):
            some = array[rows[start : start + CHUNK]]
            images[done : done + len(some)] = (
                as_floats(torch.from_numpy(some)) if dtype == np.float32 else some
            )
            done += len(some)
    return images


def _check_memory(spec: TrainSpec, rows: int, shape: tuple[int, ...], itemsize: int) -> None:
    """Raise ArtifactError where the training set does not fit beside the files that it is taken from."""
    wanted, spare = itemsize * rows * math.prod(shape), spare_memory()
    if wanted > spare:
        raise ArtifactError(
            f"generation {spec.generation}: a training set of {rows:,} images of {'×'.join(map(str, shape))} takes "
            f"{gigabytes(wanted)} of memory, {gigabytes(spare)} are free; lower its rows, or the dataset's size"
        )
