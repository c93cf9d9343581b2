"""The files that jobs pass on: atomic, checksummed, pickle-free, and able to say where they belong.

    write_tensors(path, {"images": images}, {"generation": "3"})
    tensors, header = read_tensors(path)        # raises ArtifactError, one line, for a broken or moved file

A tensor file is a safetensors file whose header carries the SHA-256 of its content and its address, the
end of its path: a file that was truncated, altered or put in another's place is found when it is read.
Every writer works on a temporary file beside the target and moves it in place at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.numpy

if TYPE_CHECKING:  # half a second that planning a workflow need not pay
    import pandas as pd


class ArtifactError(RuntimeError):
    """A file that is missing, damaged or not what its place says. One line: path, fault, remedy."""


PREVIEW_ROWS = 100  # images in a preview.safetensors, all that figures need of a generation's samples
REBUILD = "delete it and run the same snakemake command again to rebuild it"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, moved to `path` when the block ends well and removed when it fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written ({error.strerror or error})") from None


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], header: Mapping[str, str]) -> str:
    """Write arrays and a header of words as safetensors; returns the SHA-256 of the content."""
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    checksum = _checksum(tensors)
    words = {**header, "address": _address(path), "sha256": checksum}
    # One entry, not one a word: safetensors writes several in no fixed order, and equal content must give equal bytes.
    metadata = {"bigloop": json.dumps(words, sort_keys=True)}
    with replacing(path) as temporary:
        safetensors.numpy.save_file(tensors, str(temporary), metadata=metadata)
    return checksum


def read_tensors(path: Path, *, anywhere: bool = False) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and header of a file that `write_tensors` made, verified.

    Raises ArtifactError where the file is missing, truncated or altered, or (unless `anywhere`) lies at
    another address than it was written for.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: missing; run the snakemake command that makes it")
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("bigloop", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(f"{path}: damaged ({_one_line(error)}); {REBUILD}") from None
    if header.get("sha256") != _checksum(tensors):
        raise ArtifactError(f"{path}: damaged (its checksum does not match its content); {REBUILD}")
    if not anywhere and header.get("address") != _address(path):
        raise ArtifactError(f"{path}: holds {header.get('address')}, which belongs elsewhere; {REBUILD}")
    return tensors, header


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; refuses NaN and infinities (ValueError)."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text)


def read_json(path: Path, keys: tuple[str, ...] = ()) -> Any:
    """The content of a JSON file; raises ArtifactError where it is missing, not JSON, or lacks one of `keys`."""
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; run the snakemake command that makes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: damaged ({_one_line(error)}); {REBUILD}") from None
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            raise ArtifactError(f"{path}: damaged (no {key} in it); {REBUILD}")
    return value


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, without its index; floats keep every digit."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def read_table(path: Path, **options: Any) -> pd.DataFrame:
    """Read a CSV table; raises ArtifactError where it is missing or broken. `options` go to pandas."""
    import pandas as pd

    try:
        return pd.read_csv(path, **options)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; run the snakemake command that makes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: damaged ({_one_line(error)}); {REBUILD}") from None


def link(path: Path, target: Path) -> None:
    """Make `path` a relative symbolic link to `target`, replacing another link that stands there."""
    wanted = os.path.relpath(target, path.parent)
    if path.is_symlink() and str(path.readlink()) == wanted:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.symlink_to(wanted)
    temporary.replace(path)


def _checksum(tensors: Mapping[str, np.ndarray]) -> str:
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        sha.update(np.ascontiguousarray(tensor).data)
    return sha.hexdigest()


def _address(path: Path) -> str:
    """run/seed/generation/name for a generation's file, folder/name for others: the same wherever results lie."""
    parts = path.resolve().parts
    return "/".join(parts[-4:] if path.parent.name.startswith("gen-") else parts[-2:])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
