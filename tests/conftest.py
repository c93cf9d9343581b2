"""Real MNIST, fetched once, and the small things made of it that several tests share."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import settings
from threadpoolctl import threadpool_limits
from xdist.scheduler import LoadScopeScheduling

from bigloop.artifacts import ArtifactError, write_tensors
from bigloop.data import load
from bigloop.data.store import fetch

from .shipped import pictures_in

REPOSITORY = Path(__file__).resolve().parents[1]
CACHE = REPOSITORY / ".cache" / "tests"
SPLITS = ("train", "test")
OF_SLURM = ("tests/workflow/test_cluster.py", "tests/workflow/test_slurm.py")
WHOLE = (
    "tests/workflow/test_datasets.py",
    "tests/workflow/test_plugins.py",
)  # each runs a workflow once for its tests

# No test has a deadline: how long an example takes is the machine's business.
settings.register_profile("bigloop", deadline=None)
settings.load_profile("bigloop")


def pytest_configure() -> None:
    """What processes started by tests inherit: no GPU unless one is named, as a GPU repeats itself only to rounding;
    one thread; no words or widths of the terminal that the tests are started from; and Ctrl-C, which a shell that
    starts the tests in the background would have them ignore."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "SNAKEMAKE_PROFILE"):
        os.environ.pop(name, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no worker is left alone with it in the end."""
    ranks = ("slurm", "workflow", "long")

    def rank(item: pytest.Item) -> int:
        return next((place for place, name in enumerate(ranks) if item.get_closest_marker(name)), len(ranks))

    items.sort(key=rank)


class Schedule(LoadScopeScheduling):
    """One worker has Slurm; the other tests of the workflow go one by one to whoever is free, the rest by module.

    xdist's own groups (3.8) are lost on pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        if module in OF_SLURM:
            return "slurm"
        return nodeid if "tests/workflow/" in module and module not in WHOLE else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Schedule:
    """Hand out tests in the order above."""
    config.option.loadscopereorder = False
    return Schedule(config, log)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Of several workers of a test run, one at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """`once(name, make)` is a folder that make(folder) has filled, once for all workers; not to be changed."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, ready = root / "once" / name, root / "once" / f"{name}.ready"
        with locked(root / "once" / f"{name}.lock"):
            if not ready.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed to
                folder.mkdir()
                make(folder)
                ready.touch()
        return folder

    return made


@pytest.fixture
def beside_pictures(once: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the test in a folder that has the pictures which shipped configs count on."""
    monkeypatch.chdir(once("pictures", pictures_in))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in a fixed order, and no fight over cores with whatever else runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def mnist() -> Path:
    """Folder with MNIST's train.safetensors and test.safetensors; the first test run ever fetches it."""
    folder = CACHE / "data" / "mnist"
    with locked(CACHE / "mnist.lock"):
        try:
            for split in SPLITS:
                load(folder, split)
        except ArtifactError:  # none there, a damaged one, or one that another version stored
            fetch("mnist", folder, None)
    return folder


@pytest.fixture(scope="session")
def digits(mnist: Path) -> np.ndarray:
    """MNIST's training images, float32 (60000, 1, 28, 28) in [0, 1]."""
    return load(mnist, "train")[0] / np.float32(255)


@pytest.fixture(scope="session")
def small_mnist(mnist: Path, once: Once) -> Path:
    """A data folder with the first 4 000 training and 500 test rows of MNIST."""

    def make(folder: Path) -> None:
        for split, rows in zip(SPLITS, (4_000, 500), strict=True):
            images, labels = load(mnist, split)
            content = {"images": images[:rows], "labels": labels[:rows]}
            write_tensors(folder / f"{split}.safetensors", content, {"source": "MNIST's first rows"})

    return once("small-mnist", make)


@pytest.fixture
def config() -> dict[str, Any]:
    """A valid config, the smoke test's, to change at will."""
    return yaml.safe_load((REPOSITORY / "tests" / "smoke" / "config.yaml").read_text())
