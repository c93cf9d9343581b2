"""Locks that die with their holder.

    lock(file)                 # one worker at a time writes what this log file stands for
    register_workflow(folder)  # a workflow clears what a killed one left behind

Locks are flock(2): the kernel frees them when their process ends, however it ends, so none is ever stale.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

log = logging.getLogger("bigloop")


NO_LOCKS = (
    errno.ENOSYS,
    errno.ENOLCK,
    errno.EOPNOTSUPP,
)  # some cluster file systems are mounted without locks


PATIENCE_SECONDS = 5.0


held: list[IO] = []  # open files whose locks this process keeps until it ends


def lock(file: IO) -> bool:
    """Lock an open file until it is closed, or the process ends; returns whether it had to wait for another one."""
    if try_lock(file):
        return False
    log.info("waiting for another worker that writes the same files")
    fcntl.flock(file, fcntl.LOCK_EX)
    return True


def is_locked(path: Path) -> bool:
    """Whether a process, here or on another node of a shared disk, holds the lock on this file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def register_workflow(folder: Path) -> IO:
    """Enter this process, until it ends, among the workflows of the directory whose .snakemake folder is `folder`.

    Returns what `is_alone` asks for. Where no other workflow is alive, Snakemake's locks there were left by one
    that was killed, and are removed.
    """
    folder.mkdir(exist_ok=True)
    file = (folder / "bigloop.lock").open("w")
    held.append(file)
    locks = folder / "locks"
    given_up = time.monotonic() + PATIENCE_SECONDS
    while any(locks.glob("*")):
        if is_alone(file):
            shutil.rmtree(locks)
        elif time.monotonic() < given_up:  # a dry run beside this one is soon over
            time.sleep(0.2)
        else:
            break  # a workflow is at work; Snakemake's own locks say whether this one may be, too
    is_alone(file)
    return file


def is_alone(registered: IO) -> bool:
    """Whether no other workflow of the directory is alive. False, too, on disks without locks."""
    try:
        fcntl.flock(registered, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = True
    except OSError as error:
        if not isinstance(error, BlockingIOError) and error.errno not in NO_LOCKS:
            raise
        alone = False
    with suppress(OSError):
        fcntl.flock(registered, fcntl.LOCK_SH)
    return alone


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
