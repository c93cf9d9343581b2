"""A job's log and its share of the machine.

with job_log(Path("…/train.log"), attempt=1) as begun:
    …                   # the only worker of this job; begun.failed: why an earlier attempt failed for good
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

log = logging.getLogger("bigloop")

FINAL = "error: "  # begins the last line of a job that no retry can help


@dataclass(frozen=True)
class Begun:
    """How a job begins. waited: whether another worker of the same job had to end first; failed: the error that ended
    an earlier attempt, if it is one that another attempt cannot mend."""

    waited: bool = False
    failed: str | None = None


@contextmanager
def job_log(path: Path | None, attempt: int) -> Iterator[Begun]:
    """Log to the terminal and to the job's file, whose lock makes this the only worker of the job."""
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    log.handlers = [terminal]
    terminal.setLevel(logging.INFO)
    log.setLevel(logging.DEBUG)
    logging.raiseExceptions = False  # a log on a full disk must not bury the error that says so
    if path is None:
        yield Begun()
        return
    terminal.setFormatter(logging.Formatter(f"{_place(path)}: %(message)s"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        waited = locks.lock(file)
        last = ""
        if attempt > 1:
            last = (path.read_text(errors="replace").splitlines() or [""])[-1]
        else:
            path.write_text("")
        written = logging.FileHandler(path, mode="a")
        written.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(written)
        try:
            yield Begun(waited, last.partition(FINAL)[2] or None)
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


def _place(log_file: Path) -> str:
    """Where a job stands, in words, from its log file: "vae-mnist-1f0c9a42 seed 0 generation 3 train"."""
    parts = [part for part in log_file.with_suffix("").parts if part not in ("results", "runs", "logs")]
    return (
        " ".join(parts)
        .replace("seed-", "seed ")
        .replace("gen-", "generation ")
        .replace("seeds-", "seeds ")
        .replace("gens-", "generations ")
    )
