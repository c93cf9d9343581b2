"""Jobs that a killed workflow left on a Slurm cluster."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from bigloop.runtime.locks import log

CLUSTER_SECONDS = 120.0  # for leftover cluster jobs to save their state and go


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
    log.info("cancelling %d cluster jobs left by a killed workflow; each saves its state", len(leftovers))
    subprocess.run(["scancel", *leftovers], capture_output=True, timeout=CLUSTER_SECONDS, check=False)
    given_up = time.monotonic() + CLUSTER_SECONDS
    while cluster_jobs(directory) and time.monotonic() < given_up:
        time.sleep(1)
    return leftovers


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
