"""CIFAR-10 (Krizhevsky 2009): 50 000 + 10 000 colour pictures, 32×32, from the published binary archive.

The archive's files hold 3 073 bytes a picture: its label, and the planes of red, green and blue. The other archive, of
pickles, is never read.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bigloop.data import Contents, DataError, Listing, SourceOptions
from bigloop.data.download import found, impatient, verified
from bigloop.spec.loops import Handover

ARCHIVE = "cifar-10-binary.tar.gz"
FOLDER = "cifar-10-batches-bin"
FILES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
SHAPE = (3, 32, 32)
BYTES = 1 + 3 * 32 * 32


@dataclass(frozen=True)
class CifarArchive:
    """A source in CIFAR-10's binary layout; md5 is that of the archive, counts are as in a Listing."""

    md5: str
    classes: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    about: str = ""
    revision: int = 1
    handover: Handover = "uint8"
    Options: type[SourceOptions] = SourceOptions

    def listing(self, options: SourceOptions, root: Path | None) -> Listing:
        """What was published."""
        return Listing(SHAPE, self.counts, self.classes)

    def contents(self, options: SourceOptions, root: Path | None) -> Contents:
        """Find and verify the archive: under the root, or the root itself, or torchvision's download."""
        remedy = (
            f"Put {ARCHIVE} in a folder and name it as root of the dataset, or as data.root, in the config."
        )
        raw, origin = found("CIFAR-10", self._read, root, {"torchvision": self._torchvision}, remedy)
        labels = {split: rows[:, 0].astype(np.int64) for split, rows in raw.items()}

        def take(split: str, rows: np.ndarray) -> np.ndarray:
            return raw[split][rows, 1:].reshape(-1, *SHAPE)

        return Contents(labels, take, origin)

    def _read(self, root: Path) -> dict[str, np.ndarray]:
        """Of each split its rows, uint8 (n, BYTES)."""
        path = _archive(root)
        content = verified(path, path.read_bytes(), self.md5)
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            return {
                split: np.concatenate([_rows(archive, name) for name in names])
                for split, names in FILES.items()
            }

    def _torchvision(self, scratch: Path) -> Path:
        from torchvision.datasets import CIFAR10
        from torchvision.datasets.utils import download_url

        url = f"{CIFAR10.url.rpartition('/')[0]}/{ARCHIVE}"
        with impatient():
            download_url(url, str(scratch), ARCHIVE, self.md5)
        return scratch


def _archive(root: Path) -> Path:
    if root.is_file():
        return root
    archives = sorted(path for path in root.rglob(ARCHIVE) if path.is_file())
    if archives:
        return archives[0]
    others = sorted(root.rglob("cifar-10*"))
    there = f"; {others[0].name} is not read, only the binary archive is" if others else ""
    raise DataError(f"{root}: no file {ARCHIVE} under it{there}")


def _rows(archive: tarfile.TarFile, name: str) -> np.ndarray:
    member = archive.extractfile(f"{FOLDER}/{name}")
    assert member  # the MD5 was checked
    return np.frombuffer(member.read(), np.uint8).reshape(-1, BYTES)


CIFAR10 = CifarArchive(
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    counts={"train": (5_000,) * 10, "test": (1_000,) * 10},
    about=__doc__ or "",
)
