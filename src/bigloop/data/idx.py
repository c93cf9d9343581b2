"""Image datasets published as four IDX files (LeCun's format), verified against their MD5s.

Sources, in this order: files the user already has, torchvision's download, and places of the machine's own
package managers, which a dataset names.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bigloop.data import Contents, DataError, Listing, SourceOptions
from bigloop.data.download import Provider, found, impatient, verified
from bigloop.spec.loops import Handover

FILES = {
    "train images": "train-images-idx3-ubyte",
    "train labels": "train-labels-idx1-ubyte",
    "test images": "t10k-images-idx3-ubyte",
    "test labels": "t10k-labels-idx1-ubyte",
}


@dataclass(frozen=True)
class IdxImages:
    """A source of four IDX files. md5: of the uncompressed files, by the names in FILES; counts: as in a Listing."""

    torchvision_name: str
    md5: Mapping[str, str]
    classes: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    packages: Mapping[str, Provider] = field(default_factory=dict)
    about: str = ""
    shape: tuple[int, int, int] = (1, 28, 28)
    revision: int = 1
    handover: Handover = "float16"
    Options: type[SourceOptions] = SourceOptions

    def listing(self, options: SourceOptions, root: Path | None) -> Listing:
        """What was published."""
        return Listing(self.shape, self.counts, self.classes)

    def contents(self, options: SourceOptions, root: Path | None) -> Contents:
        """Find and verify the four files. Raises DataError naming all that was tried."""
        providers = {"torchvision": self._torchvision, **self.packages}
        remedy = (
            f"Put the four IDX files ({', '.join(FILES.values())}, gzipped or not) in a folder and name it as "
            "data.root in the config."
        )
        raw, origin = found(self.torchvision_name, self._read, root, providers, remedy)
        images = {split: raw[f"{split} images"].reshape(-1, *self.shape) for split in self.counts}
        labels = {split: raw[f"{split} labels"].astype(np.int64) for split in self.counts}
        return Contents(labels, lambda split, rows: images[split][rows], origin)

    def _read(self, root: Path) -> dict[str, np.ndarray]:
        return {key: parse_idx(self._verified(root, name)) for key, name in FILES.items()}

    def _verified(self, root: Path, name: str) -> bytes:
        path = _find(root, name)
        try:
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        except (OSError, EOFError) as error:
            raise DataError(f"{path}: damaged ({error}); replace it with an intact copy") from None
        return verified(path, content, self.md5[name])

    def _torchvision(self, scratch: Path) -> Path:
        import torchvision

        with impatient():
            getattr(torchvision.datasets, self.torchvision_name)(scratch, download=True)
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
