"""`fetch`: a dataset's images, chosen, scaled, verified, and stored once as uint8 with their seals."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np

from bigloop.artifacts import file_checksum, read_json, write_json, write_tensors
from bigloop.data import Contents, DataError, SourceOptions, dataset, source
from bigloop.data.pictures import fitted
from bigloop.data.selection import select
from bigloop.runtime.memory import gigabytes, spare_memory
from bigloop.spec.options import SpecError, digest, parse
from bigloop.spec.runs import Data, DatasetSpec

FILES = "files.json"  # beside the data: what the user's files held when they were first read
COPIES = 3  # of the images while they are chosen, checked and written


def data_of(argument: str) -> Data:
    """The dataset that the verb `fetch` is told: a source by its name, or a spec as JSON."""
    if not argument.startswith("{"):
        return argument
    try:
        return parse(DatasetSpec, json.loads(argument), "dataset")
    except json.JSONDecodeError as error:
        raise SpecError(f"--dataset: not JSON ({error})") from None


def fetch(data: Data, folder: Path, root: Path | None) -> str:
    """Write folder/train.safetensors and test.safetensors, verified; returns where the images came from.

    root: where the user's files lie; without it, the source's own places are tried. Raises DataError, in one line, for
    what cannot be had, is damaged, is not what was planned, or does not fit into memory.
    """
    about = dataset(data)
    of = source(about.source)
    if of.revision != about.revision:
        raise SpecError(
            f"{about.source}: revision {about.revision} requested, but the code is at {of.revision}"
        )
    options = parse(of.Options, about.options, about.source)
    _check_memory(about)
    contents = of.contents(options, root)
    header = {"source": contents.origin}
    if not isinstance(data, str):
        header["spec"] = digest(about)
    if contents.files:
        header["contents"] = _identify(contents, folder, root)
    listed = _source_classes(about, of.listing(options, root).classes)
    stored = {
        split: _gathered(contents, parts, listed, options)
        for split, parts in select(contents.labels, listed, options).items()
    }
    for split, (images, _) in stored.items():
        planned = (about.rows[split], *about.shape)
        if images.shape != planned:
            raise DataError(
                f"{root or about.source}: {split} images of shape {images.shape}, but {planned} were planned; "
                "the files have changed meanwhile: run the same command again"
            )
    for split, (images, labels) in stored.items():
        write_tensors(folder / f"{split}.safetensors", {"images": images, "labels": labels}, header)
    return contents.origin


def check_files(data: Data, folder: Path, root: Path | None) -> None:
    """Raise SpecError where a user's file holds something else than when `fetch` stored it in `folder`.

    Names and sizes are part of what the folder is called. The content of a file is read again only where the file's
    time has changed.
    """
    if root is None or isinstance(data, str) or data.files is None or not (folder / FILES).is_file():
        return
    below = root if root.is_dir() else root.parent
    for name, known in read_json(folder / FILES).items():
        path = below / name
        if path.stat().st_mtime_ns != known["time"] and file_checksum(path) != known["sha256"]:
            raise SpecError(_changed(path, folder))


def _changed(path: Path, folder: Path) -> str:
    return (
        f"{path}: its content has changed since it was stored in {folder}, under the same name and size; "
        f"restore the file, or delete {folder} and what was made from it"
    )


def _identify(contents: Contents, folder: Path, root: Path | None) -> str:
    """The SHA-256 over the content of all of the user's files, which are those that were stored before, if any were."""
    found = {
        name: {"sha256": file_checksum(path), "time": path.stat().st_mtime_ns}
        for name, path in contents.files.items()
    }
    before = read_json(folder / FILES) if (folder / FILES).is_file() else found
    for name, path in contents.files.items():
        if name in before and before[name]["sha256"] != found[name]["sha256"]:
            raise DataError(_changed(path, folder))
    write_json(folder / FILES, found)
    hashes = sorted((name, known["sha256"]) for name, known in found.items())
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


def _source_classes(about: DatasetSpec, known: tuple[str, ...]) -> list[int] | None:
    """The source's labels of the dataset's classes, in their order; None for all of them, or for none."""
    return [known.index(name) for name in about.classes] if about.options.get("classes") else None


def _gathered(
    contents: Contents, parts: list[tuple[str, np.ndarray]], classes: list[int] | None, options: SourceOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (n, c, h, w), scaled, and labels, int64 (n,), counted among the chosen classes."""
    images = [fitted(contents.take(split, rows), options.size, options.grey) for split, rows in parts]
    labels = np.concatenate([contents.labels[split][rows] for split, rows in parts]).astype(np.int64)
    if classes is not None:
        places = np.zeros(max(classes) + 1, np.int64)
        places[classes] = np.arange(len(classes))
        labels = places[labels]
    return images[0] if len(images) == 1 else np.concatenate(images), labels


def _check_memory(about: DatasetSpec) -> None:
    wanted, spare = COPIES * sum(about.rows.values()) * math.prod(about.shape), spare_memory()
    if wanted > spare:
        raise DataError(
            f"{about.source}: {sum(about.rows.values()):,} images of {about.shape} take {gigabytes(wanted)} of memory "
            f"while they are stored, {gigabytes(spare)} are free; lower rows or size"
        )
