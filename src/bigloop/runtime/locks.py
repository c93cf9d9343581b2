"""Locks that die with their holder.

    lock(file)                                              # one worker at a time writes what this log file stands for
    with starting(folder, reads, writes) as alone: ...      # no two workflows of a directory write the same file

Locks are flock(2): the kernel frees them when their process ends, however it ends, so none is ever stale.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import platform
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

log = logging.getLogger("bigloop")


NO_LOCKS = (
    errno.ENOSYS,
    errno.ENOLCK,
    errno.EOPNOTSUPP,
)  # some cluster file systems are mounted without locks


held: list[IO] = []  # open files whose locks this process keeps until it ends


class Busy(RuntimeError):
    """Another workflow is at work on the same files. The message says which one, on what, and what to do."""


def lock(file: IO) -> bool:
    """Lock an open file until it is closed, or the process ends; returns whether it had to wait for another one."""
    if try_lock(file):
        return False
    log.info("waiting for another process that has locked %s", file.name)
    fcntl.flock(file, fcntl.LOCK_EX)
    return True


def try_lock(file: IO) -> bool:
    """Lock at once; False where another process has the lock. Without locks on this disk: True."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


def is_locked(path: Path, *, unknown: bool = False) -> bool:
    """Whether a process, here or on another node of a shared disk, holds the lock on this file.

    unknown: the answer on a disk without locks.
    """
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        return unknown and error.errno in NO_LOCKS
    return False


@contextmanager
def starting(folder: Path, reads: Iterable[str], writes: Iterable[str]) -> Iterator[bool]:
    """Enter this process, until it ends, among the workflows of a directory; no other one enters within the block.

    folder: where each of them has a file, which it keeps locked. reads, writes: the files that the jobs of this
    one read and write. Yields whether no other workflow is alive. Raises Busy where a living one writes what this
    one reads or writes, or reads what this one writes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "door").open("w") as door:
        lock(door)
        reading, writing, own = set(reads), set(writes), {file.name for file in held}
        others = [path for path in folder.glob("*.json") if str(path) not in own]
        alive = [path for path in others if is_locked(path)]
        for path in alive:
            other = json.loads(path.read_text())
            _refuse(other, "writes", (reading | writing) & {*other["writes"]})
            _refuse(other, "reads", writing & {*other["reads"]})
        for path in set(others) - set(alive):
            path.unlink(missing_ok=True)
        file = (folder / f"{uuid.uuid4()}.json").open("w")
        held.append(file)
        lock(file)
        files = {"reads": sorted(reading), "writes": sorted(writing)}
        json.dump({"process": os.getpid(), "host": platform.node(), **files}, file)
        file.flush()
        os.fsync(file.fileno())
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # once more, which changes nothing
        except OSError:
            log.warning("warning: this disk has no locks; run only one workflow at a time in this directory")
        yield not alive


def is_working(folder: Path) -> bool:
    """Whether a workflow that entered in `folder` (see `starting`) is alive; True, too, on a disk without locks."""
    return any(is_locked(path, unknown=True) for path in folder.glob("*.json"))


def _refuse(other: dict, does: str, shared: set[str]) -> None:
    if shared:
        more = f" and {len(shared) - 1:,} more files" if len(shared) > 1 else ""
        raise Busy(
            f"another workflow in this directory (process {other['process']} on {other['host']}) {does} {min(shared)}"
            f"{more} that this one needs; run the same command again when it has ended"
        )
