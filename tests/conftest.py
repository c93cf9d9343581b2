"""Real MNIST, fetched once, and the small things made of it that several tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from bigloop.artifacts import write_tensors
from bigloop.data import dataset, load

REPOSITORY = Path(__file__).resolve().parents[1]
SPLITS = ("train", "test")


def pytest_configure() -> None:
    """On the CPU unless a GPU is named: what the tests ask bit for bit, a GPU gives only to rounding."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in a fixed order, and no fight over cores with whatever else runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def mnist() -> Path:
    """Folder with MNIST's train.safetensors and test.safetensors; the first test run ever fetches it."""
    cache = REPOSITORY / ".cache" / "tests" / "data" / "mnist"
    for folder in (REPOSITORY / "results" / "data" / "mnist", cache):
        if all((folder / f"{split}.safetensors").is_file() for split in SPLITS):
            return folder
    dataset("mnist").fetch(cache, None)
    return cache


@pytest.fixture(scope="session")
def digits(mnist: Path) -> np.ndarray:
    """MNIST's training images, float32 (60000, 1, 28, 28) in [0, 1]."""
    return load(mnist, "train")[0] / np.float32(255)


@pytest.fixture(scope="session")
def small_mnist(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the first 4 000 training and 500 test rows of MNIST."""
    folder = tmp_path_factory.mktemp("data") / "mnist"
    for split, rows in zip(SPLITS, (4_000, 500), strict=True):
        images, labels = load(mnist, split)
        content = {"images": images[:rows], "labels": labels[:rows]}
        write_tensors(folder / f"{split}.safetensors", content, {"source": "MNIST's first rows"})
    return folder


@pytest.fixture
def config() -> dict[str, Any]:
    """A valid config, the smoke test's, to change at will."""
    return yaml.safe_load((REPOSITORY / "tests" / "smoke" / "config.yaml").read_text())
