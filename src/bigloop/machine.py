"""What processes of one workflow owe each other: locks that die with their holder, GPUs that are not shared by chance.

    lock(file)                 # one worker at a time writes what this log file stands for
    follow(workflow_pid)       # a worker ends when its workflow does
    lease_gpu()                # concurrent jobs on one machine get different GPUs
    register_workflow(folder)  # a workflow clears what a killed one left behind

Locks are flock(2): the kernel frees them when their process ends, however it ends, so none is ever stale.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

log = logging.getLogger("bigloop")

WORKFLOW = "BIGLOOP_WORKFLOW"  # environment variable: the process number of the workflow that started a job
NO_LOCKS = (
    errno.ENOSYS,
    errno.ENOLCK,
    errno.EOPNOTSUPP,
)  # some cluster file systems are mounted without locks
PATIENCE_SECONDS = 5.0
CLUSTER_SECONDS = 120.0  # for leftover cluster jobs to save their state and go

_imported = time.monotonic()
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


def follow(workflow: int) -> None:
    """Send this process SIGTERM as soon as the process `workflow` has ended."""
    threading.Thread(target=_wait_and_stop, args=(workflow,), daemon=True).start()


def process_age() -> float:
    """Seconds since this process began, to a hundredth; since this module was imported where there is no /proc."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return time.monotonic() - _imported


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; without importing torch."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [name for name in allowed.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False)
    return [str(i) for i, _ in enumerate(re.findall(r"^GPU \d+:", listed.stdout, flags=re.MULTILINE))]


def lease_gpu() -> str | None:
    """Take the least used of the visible GPUs until this process ends, and hide the others; None without a GPU.

    Every GPU has numbered places, each a lock. The first free place of the lowest number is taken, so that a
    GPU is shared only when all have the same number of jobs.
    """
    gpus = visible_gpus()
    if len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = chosen = next(_free_places(gpus))
        return chosen
    return gpus[0] if gpus else None


def hide_gpus() -> None:
    """Let no library of this process use a GPU."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


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


def cancel_leftovers(directory: Path) -> list[str]:
    """Cancel the Slurm jobs that a killed workflow of this directory left running, and wait until they are gone.

    Call it only where no workflow of the directory is alive. A job is known by its working directory and by its
    name, which is the UUID of a Snakemake run (with a prefix, perhaps). Returns the numbers of the jobs.
    """
    if not ((directory / ".snakemake" / "slurm_logs").is_dir() and shutil.which("squeue")):
        return []
    leftovers = cluster_jobs(directory)
    if not leftovers:
        return []
    log.info("cancelling %d cluster jobs of a workflow that was killed; each saves its state", len(leftovers))
    subprocess.run(["scancel", *leftovers], capture_output=True, timeout=CLUSTER_SECONDS, check=False)
    given_up = time.monotonic() + CLUSTER_SECONDS
    while cluster_jobs(directory) and time.monotonic() < given_up:
        time.sleep(1)
    return leftovers


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


def _free_places(gpus: list[str]) -> Iterator[str]:
    folder = Path(tempfile.gettempdir()) / f"bigloop-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    place = 0
    while True:
        for gpu in gpus:
            file = (folder / f"{re.sub(r'[^A-Za-z0-9-]', '-', gpu)}.{place}").open("w")
            if try_lock(file):
                held.append(file)
                yield gpu
            file.close()
        place += 1


def _wait_and_stop(workflow: int) -> None:
    if hasattr(os, "pidfd_open"):
        try:
            select.select([os.pidfd_open(workflow)], [], [])
        except ProcessLookupError:
            pass
        except OSError:  # an old kernel, or a sandbox
            _poll(workflow)
    else:
        _poll(workflow)
    os.kill(os.getpid(), signal.SIGTERM)


def _poll(process: int) -> None:
    while True:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        except PermissionError:
            pass
        time.sleep(1)


def cluster_jobs(directory: Path) -> list[str]:
    listed = subprocess.run(
        ["squeue", "--me", "--noheader", "--format", "%i\t%j\t%Z"],
        capture_output=True,
        text=True,
        timeout=CLUSTER_SECONDS,
        check=False,
    )
    rows = (line.split("\t") for line in listed.stdout.splitlines())
    uuid = re.compile(r"(.*_)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    return [
        number
        for number, name, place in rows
        if uuid.fullmatch(name)
        and Path(place).resolve() == directory.resolve()
        and number != os.environ.get("SLURM_JOB_ID")
    ]
