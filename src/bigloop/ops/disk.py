"""What is on disk, and which folders no config refers to."""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bigloop.artifacts import FEATURES_FILE, ArtifactError
from bigloop.runtime.locks import is_locked
from bigloop.spec.options import SpecError

FRESH_SECONDS = 60.0  # what changed so recently may be in use, also where a file system has no locks


KINDS = ("runs", "classifier", "data")  # of folders that experiments share
OWN_NAME = re.compile(r".+-[0-9a-f]{8}")  # of folders that end in a digest: a published dataset's does not


class Use(NamedTuple):
    """Bytes of files: of all, and of those with features of images among them, which can be computed again."""

    all: int
    features: int


def check_empty(folder: Path) -> None:
    """Raise SpecError where a folder that is to be made holds something, or is a file."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SpecError(f"{folder}: holds something already; name an empty folder, or one to be made")


def disk_use(folder: Path) -> int:
    """Bytes of all files below `folder`; a link counts as itself, whatever it leads to."""
    return use(folder).all


def use(folder: Path) -> Use:
    """What the files below `folder` take, as `disk_use` counts."""
    sizes = [(path.name, found.st_size) for path, found in _walk(folder) if not stat.S_ISDIR(found.st_mode)]
    features = sum(taken for name, taken in sizes if name.startswith(f"{FEATURES_FILE}-"))
    return Use(sum(taken for _, taken in sizes), features)


def in_use(folder: Path) -> bool:
    """Whether a job writes below `folder`: a log is locked, or something changed within the last minute."""
    fresh = time.time() - FRESH_SECONDS
    return any(
        found.st_mtime > fresh or (path.suffix == ".log" and is_locked(path)) for path, found in _walk(folder)
    )


def unreferenced(results: Path, referenced: Collection[str]) -> list[Path]:
    """Folders of KINDS, none of them in use, whose names are not among those `referenced`.

    A folder goes or stays as a whole, with all its seeds and generations. Links, and what lies behind a link, are
    left out: other places may share them. So is what bigloop did not name.
    """
    places = [place for kind in KINDS if not (place := results / kind).is_symlink()]
    return [
        folder
        for place in places
        for folder in sorted(place.glob("*"))
        if OWN_NAME.fullmatch(folder.name)
        and folder.name not in referenced
        and folder.is_dir()
        and not folder.is_symlink()
        and not in_use(folder)
    ]


def remove(folder: Path) -> bool:
    """Delete a folder that `unreferenced` gave; returns False where a job has begun to use it since.

    Links in it are deleted, what they lead to is not. Raises ArtifactError where something cannot be deleted.
    """
    if in_use(folder):
        return False
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise ArtifactError(
            f"{error.filename or folder}: cannot be deleted ({error.strerror or error})"
        ) from None
    return True


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """`folder` and all below it with what lstat says, but for what vanishes meanwhile. Follows no link below it."""
    below = (Path(parent) / name for parent, folders, files in os.walk(folder) for name in files + folders)
    for path in (folder, *below):
        with suppress(FileNotFoundError):
            yield path, path.lstat()
