"""Artifacts, the files that jobs exchange: atomic, checksummed, pickle-free, and bound to their place.

    write_tensors(path, {"images": images}, {"generation": "3"})
    tensors, header = read_tensors(path)        # raises ArtifactError, one line, for a broken or moved file

Every file carries a seal, the SHA-256 of its content and its address, which is the end of its path: one that was
truncated, altered or put in another's place is found when it is read. A tensor file (safetensors) has its
seal in its header; a JSON or CSV file has it beside it, in NAME.sha256.
Every writer works on a temporary file beside the target and moves it in place at the end.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
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


MODEL_FILES = ("model.safetensors", "model.json", "history.csv", "rows.safetensors")  # of one generation
AUXILIARY_FILE = "auxiliary.safetensors"  # weights of the model that a generation is sampled away from
OPTIMIZER_FILE = "optimizer.safetensors"  # beside them, where a loop continues
FEATURES_FILE = "features"  # beginning of the names of side files with features of a generation's samples
STEPS_FILE = "steps.csv"  # beside them, of families that record their steps
SNAPSHOTS_FILE = "snapshots.safetensors"  # beside them, where storage.snapshots asks for some
SNAPSHOT_ROWS = 16  # images of a snapshot
UNFINISHED = "unfinished.safetensors"  # the state of a simulation that was stopped
TABLES = ("measures", "runs", "critics", "verdicts", "claims", "runtime")  # of one experiment
PROVENANCE_FILE = "provenance.json"  # beside them
PREVIEW_ROWS = (
    1_000  # images in a preview.safetensors: what figures and critics need of a generation's samples
)
REBUILD = "delete it and run the same snakemake command again to rebuild it"


@contextmanager
def replacing(path: Path, *, sealed: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`, moved to `path` when the block ends well and removed when it fails.

    With `sealed`, the seal NAME.sha256 is written beside it. Raises ArtifactError where the disk is full or
    the place cannot be written; what stood at `path` then stays.
    """
    temporaries: dict[Path, Path] = {}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporaries[path] = _temporary(path)
        yield temporaries[path]
        if sealed:
            temporaries[_seal_of(path)] = _temporary(_seal_of(path))
            temporaries[_seal_of(path)].write_text(_seal(path, temporaries[path].read_bytes()))
        for temporary in temporaries.values():
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
        for target, temporary in reversed(
            temporaries.items()
        ):  # the seal first: a file that is there is complete
            temporary.replace(target)
    except (OSError, safetensors.SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArtifactError(f"{path}: cannot be written ({reason}); the previous file is kept") from None
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], header: Mapping[str, str]) -> str:
    """Write arrays and a header of words as safetensors; returns their SHA-256."""
    tensors = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    checksum = checksum_at(path, tensors, header)
    words = {**header, "address": _address(path), "sha256": checksum}
    # One entry, not one a word: safetensors writes several in no fixed order, and equal content must give equal bytes.
    metadata = {"bigloop": json.dumps(words, sort_keys=True)}
    with replacing(path) as temporary:
        safetensors.numpy.save_file(tensors, str(temporary), metadata=metadata)
    return checksum


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and header of a file that `write_tensors` made, verified.

    Raises ArtifactError where the file is missing, truncated or altered, or lies at another address than it
    was written for.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: missing; run the snakemake command that creates it")
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("bigloop", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(f"{path}: damaged ({_one_line(error)}); {REBUILD}") from None
    words = {k: v for k, v in header.items() if k not in ("address", "sha256")}
    if header.get("sha256") != _checksum(tensors, {**words, "address": header.get("address", "")}):
        raise ArtifactError(f"{path}: damaged (its checksum does not match its content); {REBUILD}")
    if header["address"] != _address(path):
        raise ArtifactError(f"{path}: holds {header['address']}, not the file that belongs here; {REBUILD}")
    return tensors, header


def checksum_at(path: Path, tensors: Mapping[str, np.ndarray], header: Mapping[str, str]) -> str:
    """The SHA-256 that these arrays and words have, or would have, as a file at `path`."""
    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    return _checksum(contiguous, {**header, "address": _address(path)})


def file_checksum(path: Path) -> str:
    """The SHA-256 of a file's bytes, whatever wrote it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write JSON and its seal atomically; refuses NaN and infinities (ValueError)."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    with replacing(path, sealed=True) as temporary:
        temporary.write_text(text)


def read_json(path: Path, keys: tuple[str, ...] = ()) -> Any:
    """The content of a JSON file; raises ArtifactError where it is missing, damaged, or lacks one of `keys`."""
    try:
        value = json.loads(_sealed_content(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: damaged ({_one_line(error)}); {REBUILD}") from None
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            raise ArtifactError(f"{path}: damaged (no {key} in it); {REBUILD}")
    return value


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV with its seal, without its index; floats keep every digit."""
    with replacing(path, sealed=True) as temporary:
        table.to_csv(temporary, index=False)


def read_table(path: Path, **options: Any) -> pd.DataFrame:
    """Read a CSV table; raises ArtifactError where it is missing or damaged. `options` go to pandas."""
    import pandas as pd

    try:
        content = io.BytesIO(_sealed_content(path))
        return pd.read_csv(content, low_memory=False, **options)  # a column's type is that of all its rows
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: damaged ({_one_line(error)}); {REBUILD}") from None


def folder_of(given: Iterable[Path]) -> Path | None:
    """The folder that is given on a command line, by itself or by files in it; None where nothing is."""
    return next((p.parent if p.suffix in (".safetensors", ".json") else p for p in given), None)


def link(path: Path, target: Path) -> None:
    """Make `path` a relative symbolic link to `target`, replacing another link that stands there."""
    wanted = os.path.relpath(target, path.parent)
    if path.is_symlink() and str(path.readlink()) == wanted:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.symlink_to(wanted)
    temporary.replace(path)


def _checksum(tensors: Mapping[str, np.ndarray], words: Mapping[str, str]) -> str:
    sha = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        sha.update(tensor.data)
    return sha.hexdigest()


def _seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _seal(path: Path, content: bytes) -> str:
    """A line as sha256sum writes it."""
    return f"{hashlib.sha256(content).hexdigest()}  {_address(path)}\n"


def _sealed_content(path: Path) -> bytes:
    """The bytes of a file that was written with its seal; raises ArtifactError where the two differ."""
    path, shown = path.resolve(), path  # a linked file has its seal where it lies
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ArtifactError(f"{shown}: missing; run the snakemake command that creates it") from None
    except OSError as error:
        raise ArtifactError(f"{shown}: cannot be read ({error.strerror}); {REBUILD}") from None
    try:
        checksum, _, address = _seal_of(path).read_text().strip().partition("  ")
    except FileNotFoundError:
        raise ArtifactError(f"{shown}: its checksum {_seal_of(path).name} is missing; {REBUILD}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{shown}: its checksum cannot be read ({_one_line(error)}); {REBUILD}") from None
    if checksum != hashlib.sha256(content).hexdigest():
        raise ArtifactError(f"{shown}: damaged (its checksum does not match its content); {REBUILD}")
    if address != _address(path):
        raise ArtifactError(f"{shown}: holds {address}, not the file that belongs here; {REBUILD}")
    return content


def _temporary(path: Path) -> Path:
    for left in path.parent.glob(f".{glob.escape(path.name)}-*"):  # by a writer that was killed
        left.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=path.suffix)
    os.close(handle)
    return Path(name)


def _address(path: Path) -> str:
    """The last three parts of a path, four for a generation's file: the same wherever results lie.

    run/seed/generation/name; experiment/tables/name; classifier/folder/name.
    """
    parts = path.resolve().parts
    return "/".join(parts[-4:] if path.parent.name.startswith("gen-") else parts[-3:])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
