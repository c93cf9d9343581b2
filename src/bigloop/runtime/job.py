"""A job's log, its state, and its share of the machine.

with begin(Path("…/train.log"), "train", attempt=1) as job:
    status = job.run(start, work, (SpecError, ArtifactError))    # the only worker of this job
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from bigloop.runtime import gpus, locks, processes, teams
from bigloop.runtime.progress import JobState, Reporter, read_state
from bigloop.runtime.signals import Interrupted
from bigloop.runtime.words import place

log = logging.getLogger("bigloop")

VIEWED = "BIGLOOP_VIEWED"  # environment variable: someone else shows on the terminal how the jobs are doing


@dataclass(frozen=True)
class Job:
    """A job that begins. waited: whether another worker of the same job had to end first; failed: the state that an
    earlier attempt left, if it failed in a way that another attempt cannot mend."""

    report: Reporter
    path: Path | None = None  # of its log
    waited: bool = False
    failed: JobState | None = None

    def run(
        self,
        start: Callable[[], None],
        work: Callable[[], None],
        permanent: tuple[type[Exception], ...],
    ) -> int:
        """Start and do the work, and note how it ended; returns the exit status.

        permanent: errors that another attempt cannot mend. One that nobody foresaw goes to the log with its
        traceback; it is raised where there is no log.
        """
        if self.failed:
            log.error("error: not retried, because it failed permanently: %s", self.failed.message)
            return 1
        try:
            start()
            begun = time.monotonic()
            self.report.begin(processes.process_age())
            work()
            self.report.end("done", work=time.monotonic() - begun)
            return 0
        except permanent as error:
            log.error("error: %s", error)
            self.report.end("failed", str(error), permanent=True)
            return 1
        except Interrupted as error:
            log.error("%s", error)
            self.report.end("stopped", str(error))
            return 143
        except KeyboardInterrupt:
            log.error("interrupted")
            self.report.end("stopped", "interrupted")
            return 130
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            self.report.end("failed", why)
            if self.path is None:
                raise
            log.debug("traceback", exc_info=True)
            log.error("failed: %s", why)
            return 1


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
    member = teams.rank()
    with path.open("ab") as file:
        waited = False if member is not None else locks.lock(file)
        before = read_state(path) if attempt > 1 else None
        if attempt <= 1 and member is None:
            path.write_text("")
        written = logging.FileHandler(path, mode="a")
        written.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        if member:  # of a team; rank 0 speaks for all
            written.setFormatter(logging.Formatter(f"%(asctime)s process {member}: %(message)s"))
            log.setLevel(logging.ERROR)
        log.addHandler(written)
        try:
            if before and before.state == "failed" and before.permanent:
                yield Job(Reporter(None, verb, attempt), path, waited, before)
            else:
                yield Job(Reporter(None if member else path, verb, attempt), path, waited)
        finally:
            written.close()
            log.removeHandler(written)


def take_share(threads: int, wanted: int | None) -> int:
    """Limit the libraries to the job's share of the machine: torch at its import, and NumPy, which is there already.

    threads: of the CPU, 0 for torch's own choice. wanted: so many GPUs, or None for torch's choice.
    Returns how many GPUs there are for it.
    """
    if threads:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(threads)
        threadpool_limits(threads)
    if wanted == 0:
        gpus.hide_gpus()
    if not wanted or teams.rank() is not None:
        return 0
    if not (leased := gpus.lease_gpus(wanted)):
        log.warning("warning: a GPU was requested, but none is visible; using the CPU")
    return len(leased)
