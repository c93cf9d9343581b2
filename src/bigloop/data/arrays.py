"""Arrays of images, .npy, .npz or .safetensors, in a stated pixel range.

A file is one split; a folder with a file called train and one called test has two.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bigloop.data import Contents, DataError, Listing, SourceOptions
from bigloop.data.files import ARRAYS as SUFFIXES
from bigloop.data.files import array_shape, channels_first, in_range, read_array
from bigloop.seeding import numpy_generator
from bigloop.spec.loops import Handover
from bigloop.spec.options import SpecError, option

CHUNK = 1_000  # images that are floats at one time


@dataclass(frozen=True)
class ArrayOptions(SourceOptions):
    """Options of arrays: the root is the file, or a folder with train.npz and test.npz."""

    range: tuple[float, ...] = option((0.0, 1.0), "values of black and white; of uint8 always 0 and 255")

    def __post_init__(self) -> None:
        if len(self.range) != 2 or not self.range[0] < self.range[1]:
            raise SpecError(f"options.range: expected black and white, as [0, 1], got {list(self.range)}")


class ArrayFile:
    """Images (n, h, w), (n, c, h, w) or (n, h, w, c); an array called labels, whole numbers (n,), gives the classes."""

    Options = ArrayOptions
    about = __doc__ or ""
    revision = 1
    handover: Handover = "uint8"

    def listing(self, options: ArrayOptions, root: Path | None) -> Listing:
        """What the files' headers and labels say."""
        files = _files(root)
        labels = {split: _labels(path, array_shape(path)[0]) for split, path in files.items()}
        shapes = {split: channels_first(array_shape(path), path)[0] for split, path in files.items()}
        (split, first), *others = shapes.items()
        for other, shape in others:
            if shape != first:
                raise DataError(f"{files[other]}: images of {shape}, but of {first} in {files[split]}")
        classes = _classes(labels)
        counts = {
            split: tuple(np.bincount(found, minlength=len(classes)).tolist()) if classes else (len(found),)
            for split, found in labels.items()
        }
        return Listing(first, counts, classes, {path.name: path.stat().st_size for path in files.values()})

    def contents(self, options: ArrayOptions, root: Path | None) -> Contents:
        """The images of each split in an order drawn by seed, so that the first ones are of all classes."""
        files = _files(root)
        arrays = {split: read_array(path) for split, path in files.items()}
        order = {
            split: numpy_generator(0, 0, "order of pictures").permutation(len(array))
            for split, array in arrays.items()
        }
        labels = {split: _labels(path, len(arrays[split]))[order[split]] for split, path in files.items()}

        def take(split: str, rows: np.ndarray) -> np.ndarray:
            path, array, chosen = files[split], arrays[split], order[split][rows]
            low, high = options.range
            (c, h, w), axes = channels_first(array.shape, path)
            images = np.empty((len(rows), c, h, w), np.uint8)
            for start in range(0, len(rows), CHUNK):
                part = array[chosen[start : start + CHUNK]]
                part = part[:, None] if axes is None else part.transpose(axes)
                floats = in_range(part, low, high, path, "set it as range: [black, white]")
                images[start : start + CHUNK] = (floats.clip(0, 1) * 255).round()
            return images

        return Contents(labels, take, f"arrays in {root}", {path.name: path for path in files.values()})


def _files(root: Path | None) -> dict[str, Path]:
    if root is None:
        raise DataError("missing; set it to the file with the images")
    if root.is_file():
        return {"train": root}
    if not root.is_dir():
        raise DataError(f"{root}: no such file or folder")
    found = {}
    for split in ("train", "test"):
        paths = [root / f"{split}{suffix}" for suffix in SUFFIXES if (root / f"{split}{suffix}").is_file()]
        if len(paths) > 1:
            raise DataError(f"{root}: holds {paths[0].name} and {paths[1].name}; leave one")
        if paths:
            found[split] = paths[0]
    if "train" not in found:
        raise DataError(f"{root}: no file train{' or train'.join(SUFFIXES)} in it")
    return found


def _labels(path: Path, n: int) -> np.ndarray:
    """The labels of a file, int64 (n,), all 0 where it has none."""
    labels = read_array(path, "labels", optional=True)
    if not len(labels):
        return np.zeros(n, np.int64)
    if labels.shape != (n,) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise DataError(
            f"{path}: labels of shape {labels.shape}, {labels.dtype}; expected {n} whole numbers from 0"
        )
    return labels.astype(np.int64)


def _classes(labels: dict[str, np.ndarray]) -> tuple[str, ...]:
    most = max(int(found.max(initial=0)) for found in labels.values())
    return tuple(map(str, range(most + 1))) if most else ()


ARRAYS = ArrayFile()
