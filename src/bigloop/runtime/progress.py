"""What a job says of itself: lines for people in its log, and its state for machines in a JSON file beside it.

    report = Reporter(Path("…/gen-3/train.log"), "train", attempt=1)    # …/gen-3/train.progress.json
    report("training on 60,000 images")
    report(Progress("step", 1_200, 9_380, seconds=14.0, left=92.0))
    report.end("done", work=106.0)

    read_state(Path("…/gen-3/train.log"))    # what the file says, for `status` and for retries

Imports no torch.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bigloop.runtime.words import duration

log = logging.getLogger("bigloop")

REPORT_SECONDS = 1.0  # between two reports of progress, and two versions of the file
LINE_SECONDS = 10.0  # between two lines of progress in the log
WRITE_SHARE = 0.01  # writing takes at most this share of the time, however slow the disk is
STATES = ("running", "done", "failed", "stopped")


@dataclass(frozen=True)
class Progress:
    """How far a job is: `done` of `total` units, counted from `start`. Times in seconds.

    seconds: spent so far, earlier calls included. left: None while unknown. saved: how many units the saved state
    holds. resumed_at: how many an earlier call had done. epoch, epochs: passes over the training rows. rate: images
    a second.
    """

    unit: str
    done: int
    total: int
    seconds: float = 0.0
    left: float | None = None
    start: int = 0
    saved: int = 0
    resumed_at: int | None = None
    epoch: float | None = None
    epochs: float | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    rate: float | None = None

    @property
    def finished(self) -> bool:
        return self.done >= self.total

    @property
    def share(self) -> float:
        """The part that is done, in [0, 1]."""
        return self.share_of(self.done)

    def share_of(self, units: int) -> float:
        """The part that is done after so many units, in [0, 1]."""
        return min(1.0, max(0.0, (units - self.start) / max(1, self.total - self.start)))

    @property
    def where(self) -> str:
        """As epoch 3.2/15.0, or step 1,200 of 9,380."""
        if self.epoch is not None and self.epochs is not None:
            return f"epoch {self.epoch:.1f}/{self.epochs:.1f}"
        return f"{self.unit} {self.done:,} of {self.total:,}"

    @property
    def said_losses(self) -> str:
        """As loss 101.2, or critic 1.2, generator -0.3."""
        return ", ".join(f"{name} {loss:.4g}" for name, loss in self.losses.items())

    def __str__(self) -> str:
        """A line for people: `epoch 3.2/15.0  loss 101.2  12,000 images/s  42 s left`."""
        rate = "" if self.rate is None else f"{self.rate:,.0f}" if self.rate >= 10 else f"{self.rate:.2g}"
        left = f"{duration(self.left)} left" if self.left is not None else ""
        time = f"done in {duration(self.seconds)}" if self.finished else left
        return "  ".join(filter(None, (self.where, self.said_losses, rate and f"{rate} images/s", time)))


Report = Callable[[str | Progress], None]


def quiet(said: str | Progress) -> None:
    """A report that nobody hears."""


@dataclass(frozen=True)
class JobState:
    """What a job's file says. state: one of STATES, as of `time` (seconds since 1970).

    permanent: of a failed job, whether another attempt cannot help. message: the last line said, or why it failed.
    start_up, work: seconds of the last call, before and after its work began.
    """

    job: str
    state: str = "running"
    permanent: bool = False
    message: str = ""
    progress: Progress | None = None
    start_up: float | None = None
    work: float | None = None
    attempt: int = 1
    pid: int = 0
    host: str = ""
    time: float = 0.0

    @property
    def seconds(self) -> float | None:
        """What a finished job took; of a training that was stopped, all its calls together."""
        called = None if self.work is None else self.work + (self.start_up or 0.0)
        return max(called or 0.0, self.trained) or called

    @property
    def trained(self) -> float:
        """Seconds that all the units took, earlier calls included; 0 where that is not known."""
        return self.progress.seconds if self.progress and self.progress.finished else 0.0


def state_file(log_file: Path) -> Path:
    """The JSON file beside a job's log."""
    return log_file.with_suffix(".progress.json")


def read_state(log_file: Path) -> JobState | None:
    """What the job of this log says of itself; None where there is no such file, or it cannot be understood."""
    with suppress(OSError, ValueError, TypeError, AttributeError, LookupError):
        told = json.loads(state_file(log_file).read_bytes())
        progress = told.pop("progress")
        state = JobState(**told, progress=Progress(**progress) if progress else None)
        str(progress and state.progress), f"{state.time + (state.seconds or 0):f}"  # numbers are numbers
        return state if state.state in STATES else None
    return None


class Reporter:
    """The one worker of a job reports here. Without a log, lines go to the terminal alone.

    A disk that is full or slow costs the file, never the job.
    """

    def __init__(self, log_file: Path | None, job: str, attempt: int) -> None:
        self.path = state_file(log_file) if log_file else None
        self.state = JobState(job, attempt=attempt, pid=os.getpid(), host=socket.gethostname())
        self.written, self.cost, self.spoken = 0.0, 0.0, time.monotonic()
        if self.path:
            with suppress(OSError):
                self.path.unlink(
                    missing_ok=True
                )  # what an earlier call said holds no longer, disk full or not
        self._write()

    def __call__(self, said: str | Progress) -> None:
        """Log a line; or note progress, of which a line is logged now and then, and at the end."""
        now = time.monotonic()
        if isinstance(said, str):
            log.info(said)
            self._set(message=said)
        else:
            if said.finished or now - self.spoken > LINE_SECONDS:
                self.spoken = now
                log.info(str(said))
            self.state = replace(self.state, progress=said)
            if said.finished or now - self.written > max(REPORT_SECONDS / 2, self.cost / WRITE_SHARE):
                self._write()

    def adopt(self) -> None:
        """Go on from what others, who did the work of this job, have written."""
        told = self.path and read_state(self.path.with_suffix("").with_suffix(".log"))
        self.state = told or self.state

    def begin(self, start_up: float) -> None:
        """The work begins, so many seconds after the process did."""
        self._set(start_up=round(start_up, 2))

    def end(
        self, state: str, message: str = "", *, permanent: bool = False, work: float | None = None
    ) -> None:
        """The outcome: done, failed or stopped."""
        self._set(state=state, message=message, permanent=permanent, work=work and round(work, 2))

    def _set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        self._write()

    def _write(self) -> None:
        if self.path is None:
            return
        begun = time.monotonic()
        self.state = replace(self.state, time=round(time.time(), 2))
        temporary = self.path.with_name(
            f".{self.path.name}"
        )  # one worker, one name: a kill leaves at most one
        with suppress(OSError):
            temporary.write_text(json.dumps(asdict(self.state)) + "\n")
            temporary.replace(self.path)
        self.written = time.monotonic()
        self.cost = self.written - begun
