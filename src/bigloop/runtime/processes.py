"""A job ends when the workflow that started it does."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from pathlib import Path

WORKFLOW = "BIGLOOP_WORKFLOW"  # environment variable: the process number of the workflow that started a job


_imported = time.monotonic()


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
