"""Image datasets published as four IDX files (LeCun's format), verified against their MD5s.

Sources, in this order: files the user already has, torchvision's download, and places of the machine's own
package managers, which a dataset names.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bigloop.artifacts import write_tensors
from bigloop.data import DataError

FILES = {
    "train images": "train-images-idx3-ubyte",
    "train labels": "train-labels-idx1-ubyte",
    "test images": "t10k-images-idx3-ubyte",
    "test labels": "t10k-labels-idx1-ubyte",
}
DOWNLOAD_SECONDS = 15.0  # without a sign of life from the server

log = logging.getLogger("bigloop")

Provider = Callable[[Path], Path]  # puts the files somewhere under a scratch folder, or knows where they are


@dataclass(frozen=True)
class IdxImages:
    """A dataset of four IDX files. `md5` are of the uncompressed files, by the names in FILES."""

    torchvision_name: str
    md5: dict[str, str]
    classes: tuple[str, ...]
    packages: dict[str, Provider] = field(default_factory=dict)
    shape: tuple[int, int, int] = (1, 28, 28)
    rows: dict[str, int] = field(default_factory=lambda: {"train": 60_000, "test": 10_000})

    def fetch(self, folder: Path, root: Path | None) -> str:
        """Find, verify and store the data; returns its source. Raises DataError naming all that was tried.

        With `root`, only the files under it are used: a damaged file there is an error, not a reason to
        look elsewhere.
        """
        if root is not None:
            return self._store(folder, root, f"files under {root}")
        tried = []
        with tempfile.TemporaryDirectory(prefix="bigloop-") as scratch:
            for name, provide in {"torchvision": self._torchvision, **self.packages}.items():
                log.info("trying %s", name)
                try:
                    return self._store(folder, provide(Path(scratch)), name)
                except (DataError, OSError) as error:
                    tried.append(f"{name}: {' '.join(str(error).split())}")
        raise DataError(
            f"{self.torchvision_name} could not be had. Tried: {'; '.join(tried)}. Put the four IDX files "
            f"({', '.join(FILES.values())}, gzipped or not) in a folder and name it as data.root in the config."
        )

    def _store(self, folder: Path, root: Path, source: str) -> str:
        raw = {key: self._verified(root, name) for key, name in FILES.items()}
        for split in ("train", "test"):
            images = parse_idx(raw[f"{split} images"]).reshape(-1, *self.shape)
            labels = parse_idx(raw[f"{split} labels"]).astype(np.int64)
            assert len(images) == len(labels) == self.rows[split]
            write_tensors(
                folder / f"{split}.safetensors", {"images": images, "labels": labels}, {"source": source}
            )
        return source

    def _verified(self, root: Path, name: str) -> bytes:
        path = _find(root, name)
        try:
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        except (OSError, EOFError) as error:
            raise DataError(f"{path}: damaged ({error}); replace it with a sound copy") from None
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != self.md5[name]:
            raise DataError(
                f"{path}: not the published file (MD5 {found}, expected {self.md5[name]}); replace it with a sound copy"
            )
        return content

    def _torchvision(self, scratch: Path) -> Path:
        import torchvision

        cls = getattr(torchvision.datasets, self.torchvision_name)
        with _socket_timeout(DOWNLOAD_SECONDS):
            try:
                cls(scratch, download=True)
            except (RuntimeError, OSError) as error:
                raise DataError(f"no download ({error})") from None
        return scratch


def parse_idx(content: bytes) -> np.ndarray:
    """The uint8 array in an IDX file: two zero bytes, type 8, number of dimensions, each size as big-endian int32."""
    if content[:3] != b"\x00\x00\x08":
        raise DataError("not an IDX file of unsigned bytes")
    sizes = np.frombuffer(content, ">i4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(sizes)


def _find(root: Path, name: str) -> Path:
    """The file `name` under root, with the two spellings in use, gzipped or not, plain files first."""
    spellings = [name, name.replace("-idx", ".idx")]
    for candidate in [*spellings, *(f"{s}.gz" for s in spellings)]:
        found = sorted(p for p in root.rglob(candidate) if p.is_file())
        if found:
            return found[0]
    raise DataError(f"{root}: no file {name} or {name}.gz under it")


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
