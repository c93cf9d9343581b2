"""A job's log, its state, and its share of the machine.

with begin(Path("…/train.log"), "train", attempt=1) as job:
    …                   # the only worker of this job; job.failed: why an earlier attempt failed permanently
    job.report("training on 60,000 images")
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from bigloop.runtime import gpus, locks
from bigloop.runtime.progress import JobState, Reporter, read_state
from bigloop.runtime.words import place

log = logging.getLogger("bigloop")

VIEWED = "BIGLOOP_VIEWED"  # environment variable: someone else shows on the terminal how the jobs are doing


@dataclass(frozen=True)
class Job:
    """How a job begins. waited: whether another worker of the same job had to end first; failed: the state that an
    earlier attempt left, if it failed in a way that another attempt cannot mend."""

    report: Reporter
    waited: bool = False
    failed: JobState | None = None


@contextmanager
def begin(path: Path | None, verb: str, attempt: int) -> Iterator[Job]:
    """Log to the terminal and to the job's file, whose lock makes this the only worker of the job."""
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    log.handlers = [terminal]
    terminal.setLevel(logging.INFO)
    log.setLevel(logging.DEBUG)
    logging.raiseExceptions = False  # a log on a full disk must not bury the error that says so
    if path is None:
        yield Job(Reporter(None, verb, attempt))
        return
    terminal.setFormatter(logging.Formatter(f"{place(path)}: %(message)s"))
    if os.environ.get(VIEWED):
        terminal.addFilter(lambda record: record.levelno == logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        waited = locks.lock(file)
        before = read_state(path) if attempt > 1 else None
        if attempt <= 1:
            path.write_text("")
        written = logging.FileHandler(path, mode="a")
        written.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(written)
        try:
            if before and before.state == "failed" and before.permanent:
                yield Job(Reporter(None, verb, attempt), waited, before)
            else:
                yield Job(Reporter(path, verb, attempt), waited)
        finally:
            written.close()
            log.removeHandler(written)


def take_share(threads: int, wanted: int | None) -> None:
    """Limit the libraries to the job's share of the machine: torch at its import, and NumPy, which is there already.

    threads: of the CPU, 0 for torch's own choice. wanted: GPUs, 0, 1, or None for torch's choice.
    """
    if threads:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(threads)
        threadpool_limits(threads)
    if wanted == 0:
        gpus.hide_gpus()
    elif wanted == 1 and gpus.lease_gpu() is None:
        log.warning("warning: a GPU was asked for, but none is visible here; using the CPU")
