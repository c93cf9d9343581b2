"""A folder of pictures, PNG, JPEG or WebP, of any size; sub-folders train and test are its splits, if there are any."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bigloop.data import Contents, DataError, Listing, SourceOptions
from bigloop.data.pictures import SUFFIXES, picture_size, read_picture
from bigloop.seeding import numpy_generator
from bigloop.spec.loops import Handover
from bigloop.spec.options import option

SPLITS = ("train", "test")


@dataclass(frozen=True)
class ImageOptions(SourceOptions):
    """Options of images: the root is the folder."""

    labels: Literal["none", "folders"] = option("none", "folders: the sub-folders are the classes")


class ImageFolder:
    """Three channels, or one with `grey`. Without `size`, all pictures must have one size."""

    Options = ImageOptions
    about = __doc__ or ""
    revision = 1
    handover: Handover = "uint8"

    def listing(self, options: ImageOptions, root: Path | None) -> Listing:
        """What is there by names and sizes; without `size` the first picture's header gives the shape."""
        root = _folder(root)
        splits = found(root)
        names = [name for several in splits.values() for name in several]
        classes = class_names(splits, root) if options.labels == "folders" else ()
        in_classes = {
            split: Counter(_class(name, split) for name in several) for split, several in splits.items()
        }
        counts = {
            split: tuple(several[c] for c in classes) if classes else (several.total(),)
            for split, several in in_classes.items()
        }
        size = (options.size, options.size) if options.size else picture_size(root / names[0])
        files = {name: bytes_ for several in splits.values() for name, bytes_ in several.items()}
        return Listing((1 if options.grey else 3, *size), counts, classes, files)

    def contents(self, options: ImageOptions, root: Path | None) -> Contents:
        """The pictures of each split in an order drawn by seed, so that the first ones are of all classes."""
        root = _folder(root)
        splits = found(root)
        classes = class_names(splits, root) if options.labels == "folders" else ()
        ordered = {split: _shuffled(sorted(names)) for split, names in splits.items()}
        label = {name: number for number, name in enumerate(classes)}
        labels = {
            split: np.array([label.get(_class(name, split), 0) for name in names], np.int64)
            for split, names in ordered.items()
        }

        def take(split: str, rows: np.ndarray) -> np.ndarray:
            return read([root / ordered[split][row] for row in rows], options.size, options.grey)

        files = {name: root / name for several in splits.values() for name in several}
        return Contents(labels, take, f"{len(files):,} pictures under {root}", files)


def read(paths: list[Path], size: int | None, grey: bool) -> np.ndarray:
    """Picture files as uint8 (n, c, h, w); raises DataError where one is damaged or two differ in size."""
    first = read_picture(paths[0], size, grey)
    images = np.empty((len(paths), *first.shape), np.uint8)
    for place, path in enumerate(paths):
        picture = first if place == 0 else read_picture(path, size, grey)
        if picture.shape != first.shape:
            sizes = (f"{p} is {a.shape[1]}×{a.shape[2]}" for p, a in ((path, picture), (paths[0], first)))
            raise DataError(
                f"{', '.join(sizes)}: the pictures differ in size; set the dataset's size to scale them"
            )
        images[place] = picture
    return images


def found(root: Path) -> dict[str, dict[str, int]]:
    """Of each split, the names of the pictures below the root and their bytes; "train" alone for a plain folder."""
    folders = [split for split in SPLITS if (root / split).is_dir()]
    splits = (
        {split: dict(walked(root / split, f"{split}/")) for split in folders}
        if "train" in folders
        else {"train": dict(walked(root, ""))}
    )
    for split, names in splits.items():
        if not names:
            where = root / split if "train" in folders else root
            raise DataError(f"{where}: no pictures under it ({', '.join(SUFFIXES)})")
    return splits


def class_names(splits: dict[str, dict[str, int]], root: Path) -> tuple[str, ...]:
    """The sub-folders that hold the pictures, sorted; raises DataError where a picture is in none."""
    names = set()
    for split, pictures in splits.items():
        for name in pictures:
            folder = _class(name, split)
            if not folder:
                raise DataError(
                    f"{root / name}: is not in a sub-folder, which labels: folders needs as its class"
                )
            names.add(folder)
    return tuple(sorted(names))


def _class(name: str, split: str) -> str:
    inner = name.removeprefix(f"{split}/")
    return inner.partition("/")[0] if "/" in inner else ""


def walked(folder: Path, before: str) -> list[tuple[str, int]]:
    """Names and bytes of the pictures under a folder, in order; `before` is put in front of the names."""
    pictures = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    pictures += walked(Path(entry.path), f"{before}{entry.name}/")
                elif entry.name.lower().endswith(SUFFIXES):
                    pictures.append((before + entry.name, entry.stat().st_size))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
    return pictures


def _shuffled(names: list[str]) -> list[str]:
    return [names[i] for i in numpy_generator(0, 0, "order of pictures").permutation(len(names))]


def _folder(root: Path | None) -> Path:
    if root is None:
        raise DataError("missing; set it to the folder with the pictures")
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    return root


IMAGES = ImageFolder()
