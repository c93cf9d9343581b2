"""A job of several processes, a GPU each: the one that the workflow starts has torchrun start them, and waits.

That one holds the job's lock, and passes signals on. The first of the others, rank 0, writes what the job writes, its
log and its progress included. On several nodes of Slurm one torchrun runs on each of them.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from bigloop.runtime import processes
from bigloop.runtime.progress import read_state
from bigloop.runtime.signals import FinalError, Interrupted, stop_signals

MEMBER = "BIGLOOP_TEAM"  # environment variable: of a process of a team, its arguments as JSON: torchrun mixes them up
PROCESSES = "BIGLOOP_PROCESSES"  # environment variable: how many to start, whatever the number of GPUs
PORT = 29_400  # and as many above it as a number of Slurm's job says, where nodes meet


class TeamError(RuntimeError):
    """A process of a team ended without saying why; another attempt may help."""


def rank() -> int | None:
    """Which process of a team this is, from 0; None where it is no such process."""
    return int(os.environ["RANK"]) if MEMBER in os.environ else None


def arguments_given() -> list[str] | None:
    """The arguments of a process of a team; None where it is no such process."""
    return json.loads(os.environ[MEMBER]) if MEMBER in os.environ else None


def size_of(gpus: int, here: int) -> int:
    """How many processes a job is to have that asks for so many GPUs, of which so many are here.

    One, where it is a process of a team itself.
    """
    if MEMBER in os.environ:
        return 1
    return int(os.environ.get(PROCESSES, 0)) or max(1, gpus if nodes() > 1 else here)


def nodes() -> int:
    """On how many nodes Slurm has this job."""
    return int(os.environ.get("SLURM_NNODES", "1")) if shutil.which("srun") else 1


def run(size: int, arguments: list[str], log: Path | None) -> None:
    """Have `python -m bigloop` with these arguments run by so many processes, to their end.

    SIGTERM and SIGINT are passed on. Raises Interrupted where the processes stopped, their state saved, and FinalError
    or TeamError where they failed.
    """
    environment = os.environ | {MEMBER: json.dumps(arguments), processes.WORKFLOW: str(os.getpid())}
    if nodes() > 1:  # elsewhere, this process's number is another's; srun ends its processes itself
        del environment[processes.WORKFLOW]
    with stop_signals() as stopped:
        team = subprocess.Popen(command(size), env=environment, start_new_session=True)
        told = False
        while (status := _ended(team)) is None:
            if stopped and not told:
                team.terminate()
                told = True
    state = read_state(log) if log else None
    if state and state.state == "stopped":
        raise Interrupted(state.message)
    if state and state.state == "failed":
        raise (FinalError if state.permanent else TeamError)(state.message)
    if status:
        raise TeamError(f"a process of {size} failed with status {status}; what it said is in the log")


def command(size: int) -> list[str]:
    """What starts so many processes: torchrun here, or under srun one on each of the job's nodes."""
    there = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(max(1, size // nodes()))]
    ours = ["-m", "bigloop"]
    if nodes() == 1:
        return [*there, "--standalone", *ours]
    number = os.environ.get("SLURM_JOB_ID", "0")
    meeting = f"{socket.gethostname()}:{PORT + int(number) % 10_000}"
    srun = ["srun", "--overlap", f"--nodes={nodes()}", f"--ntasks={nodes()}", "--ntasks-per-node=1"]
    elastic = [
        "--nnodes",
        str(nodes()),
        "--rdzv-id",
        number,
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        meeting,
    ]
    return [*srun, *there, *elastic, *ours]


def _ended(team: subprocess.Popen[bytes]) -> int | None:
    try:
        return team.wait(0.2)
    except subprocess.TimeoutExpired:
        return None
