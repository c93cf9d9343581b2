"""What stays on disk, and what may go: samples that their weights make again, and folders that no config names.

prune(lineage, range(1, t), needed=loop.synthetic.sources(t + 1), keep_every=5)
for folder in unreferenced(results, referenced={"vae-mnist-1f0c9a42"}):
    remove(folder)
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections.abc import Collection, Container, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from bigloop.artifacts import ArtifactError
from bigloop.machine import is_locked

SAVE_SECONDS = 120.0  # between two saves of a training's state, unless a config says otherwise
FRESH_SECONDS = 60.0  # what changed so recently may be in use, also where a file system has no locks
OWN_NAME = re.compile(r".+-[0-9a-f]{8}")  # of the folders of runs and classifiers, which end in a digest


def prune(lineage: Path, generations: Iterable[int], needed: Container[int], keep_every: int) -> None:
    """Delete the samples of these generations in `lineage`, the folder of a run's seed. Previews stay.

    Kept are those that are `needed`, those that are not measured yet, and those of every `keep_every`-th
    generation; 0 keeps no generation for its number.
    """
    for generation in generations:
        folder = lineage / f"gen-{generation}"
        kept = keep_every and generation % keep_every == 0
        if not kept and generation not in needed and (folder / "measures.json").is_file():
            (folder / "samples.safetensors").unlink(missing_ok=True)


def disk_use(folder: Path) -> int:
    """Bytes of all files below `folder`; a link counts as itself, whatever it leads to."""
    return sum(found.st_size for _, found in _walk(folder) if not stat.S_ISDIR(found.st_mode))


def in_use(folder: Path) -> bool:
    """Whether a job writes below `folder`: a log is locked, or something changed within the last minute."""
    fresh = time.time() - FRESH_SECONDS
    return any(
        found.st_mtime > fresh or (path.suffix == ".log" and is_locked(path)) for path, found in _walk(folder)
    )


def unreferenced(results: Path, referenced: Collection[str]) -> list[Path]:
    """Folders of runs and classifiers, none of them in use, whose names are not among those `referenced`.

    A folder goes or stays as a whole, with all its seeds and generations. Links, and what lies behind a link, are
    left out: other places may share them. So is what bigloop did not name.
    """
    places = [place for kind in ("runs", "classifier") if not (place := results / kind).is_symlink()]
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


def size(number: float) -> str:
    """A number of bytes as people read it: 640 B, 3.8 MB, 1.2 GB; 1 kB is 1,000 bytes."""
    units = iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while round(number, 1) >= 1_000 and unit != "TB":
        number, unit = number / 1_000, next(units)
    return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """`folder` and all below it with what lstat says, but for what vanishes meanwhile. Follows no link below it."""
    below = (Path(parent) / name for parent, folders, files in os.walk(folder) for name in files + folders)
    for path in (folder, *below):
        with suppress(FileNotFoundError):
            yield path, path.lstat()
