"""Real images. A source is one file here and one line in SOURCES; a dataset is a source and what is chosen of it.

    spec, root = configured("cifar10", {"classes": ["horse"]}, "datasets.horses")
    fetch(spec, Path("results/data") / data_folder(spec), root)
    images, labels = load(Path("results/data") / data_folder(spec), "train")   # uint8 (4500, 3, 32, 32), int64 (4500,)

Planning looks at names, sizes and headers of files and decodes no picture. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from bigloop.artifacts import read_tensors
from bigloop.spec.faults import shown
from bigloop.spec.loops import MOST_ROWS, Handover
from bigloop.spec.options import SpecError, digest, option, parse, to_dict
from bigloop.spec.registry import Registry, declared
from bigloop.spec.runs import Data, DatasetSpec

SOURCES = Registry(
    "sources",
    {
        "mnist": "bigloop.data.mnist:MNIST",
        "fashion_mnist": "bigloop.data.fashion_mnist:FASHION_MNIST",
        "cifar10": "bigloop.data.cifar10:CIFAR10",
        "stacked": "bigloop.data.stacked:STACKED",
        "images": "bigloop.data.images:IMAGES",
        "arrays": "bigloop.data.arrays:ARRAYS",
    },
)

Split = Literal["train", "test"]


class DataError(RuntimeError):
    """Real data that cannot be had or is damaged. The message says what was tried and what the user can do."""


@dataclass(frozen=True)
class SourceOptions:
    """What a config may say of every source of images."""

    root: str | None = option(
        None, "folder or file with your data; without it, a download is tried", maximum=4096
    )
    classes: tuple[str, ...] = option((), "classes to take, in this order; none: all")
    rows: int | None = option(
        None, "at most so many images of each split, drawn by seed", minimum=1, maximum=MOST_ROWS
    )
    splits: tuple[Split, ...] = option(
        ("train",),
        "splits that are joined as training data; without a test split left, 10 % are held out by seed",
    )
    size: int | None = option(
        None,
        "height and width: pictures are scaled to it, and cropped at the centre",
        minimum=4,
        maximum=1024,
    )
    grey: bool = option(False, "one channel, the luminance, in place of three")


@dataclass(frozen=True)
class Listing:
    """What a source has, as planning needs to know it, before anything is chosen or scaled.

    shape: (channels, height, width) of its images. counts: of each split, the images of each class; of a source
    without classes, one number. files: bytes of each of the user's files that the images are made of, by its name
    below the root.
    """

    shape: tuple[int, int, int]
    counts: Mapping[str, tuple[int, ...]]
    classes: tuple[str, ...] = ()
    files: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """What a source has, to be read.

    labels: of each split, int64 (n,), the class of each image, 0 where there are no classes. take: (split, rows) →
    these images, uint8 (k, c, h, w). origin: where they come from, in words. files: where each of the user's files is.
    """

    labels: Mapping[str, np.ndarray]
    take: Callable[[str, np.ndarray], np.ndarray]
    origin: str
    files: Mapping[str, Path] = field(default_factory=dict)


class Source(Protocol):
    """What the workflow asks of a source of images.

    `about` says what it is; `Options` are SourceOptions, or more than these; `revision` is raised when a change of code
    gives other images for the same options; `handover` is the precision in which loops on it pass samples on, unless
    they say otherwise. If each colour plane of its images alone is a picture of another source, `planes` is the option
    that names that source.
    """

    @property
    def about(self) -> str: ...
    @property
    def Options(self) -> type[SourceOptions]: ...
    @property
    def revision(self) -> int: ...
    @property
    def handover(self) -> Handover: ...

    def listing(self, options: Any, root: Path | None) -> Listing:
        """What there is; decodes no picture. Raises DataError for what can be seen to be wrong."""
        ...

    def contents(self, options: Any, root: Path | None) -> Contents:
        """Find and verify it. Raises DataError for what cannot be had or is damaged."""
        ...


def source(name: str) -> Source:
    """A registered source; raises SpecError for an unknown name. Imports nothing heavy."""
    return SOURCES[name]


def root_of(text: str | None, where: str) -> Path | None:
    """The place that a config's key `root` names; SpecError where no path can be that text."""
    if text and "\0" in text:
        raise SpecError(f"{where}.root: {text!r} contains the character 0, which no path can")
    return Path(text) if text else None


def configured(name: str, given: Mapping[Any, Any], where: str) -> tuple[DatasetSpec, Path | None]:
    """The dataset that a source's name and options describe, and where the user's files of it lie.

    Looks at the user's files, but into none of them. Raises SpecError, in one line that names the key below `where`.
    """
    from bigloop.data.selection import totals

    about = source(name)
    options = parse(about.Options, given, where)
    root = root_of(options.root, where)
    try:
        listing = about.listing(options, root)
    except DataError as error:
        raise SpecError(f"{where}.root: {error}") from None
    except OSError as error:
        raise SpecError(f"{where}.root: {shown(options.root)}: cannot be read ({error.strerror})") from None
    try:
        classes, rows = totals(listing, options)
    except SpecError as error:
        raise SpecError(f"{where}.{error}") from None
    channels, height, width = listing.shape
    shape = (1 if options.grey else channels, options.size or height, options.size or width)
    chosen = {key: value for key, value in to_dict(options).items() if key != "root"}
    files = digest(sorted(listing.files.items()), digits=64) if listing.files else None
    return DatasetSpec(name, about.revision, chosen, shape, rows, classes, files), root


@cache
def _bare(name: str) -> DatasetSpec:
    return configured(name, {}, f"dataset {name}")[0]


def dataset(data: Data) -> DatasetSpec:
    """Shape, rows and classes of a dataset: of a source's bare name, those of all that it has."""
    return _bare(data) if isinstance(data, str) else data


def plane_source(data: Data) -> str:
    """The source of which each colour plane of a dataset's images alone is a picture; "" where they are none."""
    about = dataset(data)
    key = declared("sources")[about.source].planes
    return str(about.options[key]) if key and not about.options["grey"] else ""


def as_floats(images: np.ndarray) -> np.ndarray:
    """Stored images as float32: uint8 0…255 becomes [0, 1], floats keep their values."""
    return images / np.float32(255) if images.dtype == np.uint8 else images.astype(np.float32)


def load(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (n, c, h, w), and labels, int64 (n,), of a split that `fetch` stored."""
    images, labels, _ = load_verified(folder, split)
    return images, labels


def load_verified(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Images and labels as `load` gives them, and the SHA-256 of the file."""
    tensors, header = read_tensors(folder / f"{split}.safetensors")
    return tensors["images"], tensors["labels"], header["sha256"]
