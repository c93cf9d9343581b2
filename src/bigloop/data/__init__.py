"""Reference distributions. A dataset is one file here and one line in SOURCES.

dataset("mnist").fetch(Path("results/data/mnist"), root=None)
images, labels = load(Path("results/data/mnist"), "train")      # uint8 (60000, 1, 28, 28), int64 (60000,)
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from bigloop.artifacts import read_tensors
from bigloop.spec.registry import Registry

SOURCES = Registry(
    "sources",
    {
        "mnist": "bigloop.data.mnist:MNIST",
        "fashion_mnist": "bigloop.data.fashion_mnist:FASHION_MNIST",
    },
)


class DataError(RuntimeError):
    """Real data that cannot be had or is damaged. The message says what was tried and what the user can do."""


class ImageDataset(Protocol):
    """What the workflow asks of a dataset of labelled images with pixels in [0, 1]."""

    shape: tuple[int, int, int]  # channels, height, width
    rows: dict[str, int]  # of the splits "train" and "test"
    classes: tuple[str, ...]

    def fetch(self, folder: Path, root: Path | None) -> str:
        """Write folder/train.safetensors and test.safetensors, verified; returns where they came from."""
        ...


def dataset(name: str) -> ImageDataset:
    """A registered dataset; raises SpecError for an unknown name. Imports nothing heavy."""
    return SOURCES[name]


def load(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (n, c, h, w), and labels, int64 (n,), of a split that `fetch` stored."""
    images, labels, _ = load_verified(folder, split)
    return images, labels


def load_verified(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Images and labels as `load` gives them, and the SHA-256 of the file."""
    tensors, header = read_tensors(folder / f"{split}.safetensors")
    return tensors["images"], tensors["labels"], header["sha256"]
