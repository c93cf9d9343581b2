"""A real Slurm on this machine, for tests: controller, virtual nodes, counted GPUs, munge; loopback only.

    with Cluster(home) as cluster:
        cluster.run("sbatch", "--gpus=1", "--wrap", "hostname")
        subprocess.run(["snakemake", "--executor", "slurm", ...], env=cluster.environment)
        cluster.finished()      # what Slurm's own completion log says

Needs Slurm's daemons and clients and munge installed, and no rights: whoever calls is Slurm's user. No account
database, hence no `sacct`: Snakemake wants `--slurm-status-command squeue`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
NODES = ("node1", "node2")
PATIENCE_SECONDS = 300
LIVE_STATES = ("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING")


def missing() -> str | None:
    """What keeps a Slurm from being started here, in words; None if nothing does."""
    absent = [name for name in DAEMONS + CLIENTS if not _program(name)]
    if not absent:
        return None
    return f"not installed: {', '.join(absent)} (Debian: slurmctld, slurmd, slurm-client, munge)"


class Job(NamedTuple):
    """A job as Slurm tells it; what the source does not know is empty or None.

    Times are in whole seconds. The processes of a job that was cancelled may live on for KillWait after `end`.
    """

    id: int
    name: str
    state: str
    partition: str
    nodes: str
    start: datetime | None
    end: datetime | None
    tres: str  # what it held beside GPUs, such as "cpu=1,mem=600M,node=1,billing=1"
    gres: str  # the GPUs it asked for, such as "gres:gpu:1"; the completion log does not tell
    comment: str  # from Snakemake, its rule and wildcards; the completion log does not tell
    workdir: Path


class Cluster:
    """Two nodes of 8 CPUs and 32 GB, claimed, not real; `gpus` GPUs in all, one a node, from the last node on.

    Partitions: `cpu`, the default, has every node, `gpu` those with a GPU. Everything lies in `home` but the
    sockets, whose paths must be short.
    """

    environment: dict[str, str]  # for processes that are to reach this cluster; `__exit__` kills those left

    def __init__(self, home: Path, gpus: int = 1) -> None:
        if not 1 <= gpus <= len(NODES):
            raise ValueError(f"gpus: {gpus}, expected 1 to {len(NODES)}")
        self.home = home.resolve()
        self.gpu_nodes = NODES[-gpus:]
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        ours = ("SLURM_", "SBATCH_", "SRUN_")  # another cluster's, where the tests run in a job themselves
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            "SLURM_CONF": str(self.home / "slurm.conf"),
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
        }

    def __enter__(self) -> Cluster:
        self.sockets = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        try:
            self._write_files()
            self._start("munged", *self._munge_options(), ready=(self.sockets / "munge").is_socket)
            self._start("slurmctld", "-D", "-c", ready=self._answers)
            for node in NODES:
                self._start("slurmd", "-D", "-N", node, ready=partial(self._is_idle, node))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the daemons and the processes of all jobs; RuntimeError where one outlives that."""
        for daemon in self.daemons.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while found := self.processes():  # again and again, for what was just being forked
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise RuntimeError(f"processes that SIGKILL does not end: {found}")
            time.sleep(0.05)
        shutil.rmtree(self.sockets)

    def run(self, *command: str, check: bool = True) -> str:
        """What a client command (squeue, scancel, scontrol …) prints; with `check`, RuntimeError if it fails."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
        if check and done.returncode:
            raise RuntimeError(f"{shlex.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def finished(self) -> list[Job]:
        """The completion log, in the order in which jobs ended; a run that was requeued stands there as PENDING."""
        log = self.home / "log" / "jobcomp"
        return [_job(line) for line in log.read_text().splitlines()] if log.exists() else []

    def jobs(self) -> list[Job]:
        """All jobs there have been, by the controller's memory."""
        lines = self.run("scontrol", "show", "jobs", "--oneliner").splitlines()
        return [_job(line) for line in lines if line.startswith("JobId=")]

    def running(self) -> list[Job]:
        """The jobs that wait, run or are about to be gone."""
        return [job for job in self.jobs() if job.state in LIVE_STATES]

    def processes(self) -> list[int]:
        """What stems from this cluster: daemons, steps, jobs, and all that was started with `environment`."""
        return [pid for pid in _pids() if pid != os.getpid() and self._owns(pid)]

    def _owns(self, pid: int) -> bool:
        proc = Path(f"/proc/{pid}")
        with contextlib.suppress(OSError):  # it is gone, or another user's
            # Slurm tells its jobs SLURM_CONF. Snakemake takes it from them, but leaves them PATH.
            words = re.split(r"[\0=:]", os.fsdecode((proc / "environ").read_bytes()))
            if not {f"{self.home}/slurm.conf", f"{self.home}/bin"}.isdisjoint(words):
                return True
            # A step's daemon writes its title over its environment, but stays where its parent was started.
            if (proc / "cmdline").read_bytes().startswith(b"slurmstepd:"):
                return (proc / "cwd").readlink() == self.home
        return False

    def _start(self, program: str, *options: str, ready: Callable[[], bool]) -> None:
        """Start a daemon that survives the terminal's signals; returns when it serves."""
        name = "-".join((program, *(option for option in options if option in NODES)))
        log = self.home / "log" / name
        with log.open("wb") as file:
            daemon = subprocess.Popen(
                [str(_program(program)), *options],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.daemons[name] = daemon
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ready():
            if daemon.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
                raise RuntimeError(
                    f"{name} did not come up (exit status {daemon.poll()}); its log ends:\n{tail}"
                )
            time.sleep(0.1)

    def _answers(self) -> bool:
        return "is UP" in self.run("scontrol", "ping", check=False)

    def _is_idle(self, node: str) -> bool:
        state = self.run("sinfo", "--noheader", "--nodes", node, "--format", "%t", check=False)
        return state.startswith("idle")

    def _munge_options(self) -> list[str]:
        """For a munged of our own, which neither reads nor writes what belongs to the system's."""
        key = self.home / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        files = {
            "key-file": key,
            "socket": self.sockets / "munge",
            "pid-file": self.home / "munged.pid",
            "seed-file": self.home / "munged.seed",
        }
        # Forced, because a test's home is closed to other users, which munged takes for a mistake.
        return ["--foreground", "--force", *(f"--{name}={path}" for name, path in files.items())]

    def _write_files(self) -> None:
        for folder in ("bin", "log", "state"):
            (self.home / folder).mkdir(parents=True)
        for name in CLIENTS:
            wrapper = self.home / "bin" / name
            program = shlex.join(("exec", str(_program(name))))
            configuration = shlex.quote(str(self.home / "slurm.conf"))
            wrapper.write_text(f'#!/bin/sh\nexport SLURM_CONF={configuration}\n{program} "$@"\n')
            wrapper.chmod(0o755)
        (self.home / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # none is used, yet one is named
        gpus = ",".join(self.gpu_nodes)
        (self.home / "gres.conf").write_text(f"AutoDetect=off\nNodeName={gpus} Name=gpu File=/dev/null\n")
        (self.home / "slurm.conf").write_text(self._configuration())

    def _configuration(self) -> str:
        host = socket.gethostname().partition(".")[0]
        user = pwd.getpwuid(os.getuid()).pw_name
        control, *ports = _free_ports(1 + len(NODES))
        nodes = [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=32000"
            + (" Gres=gpu:1" if node in self.gpu_nodes else "")
            for node, port in zip(NODES, ports, strict=True)
        ]
        return f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={self.sockets}/munge,cred_expire=10
StateSaveLocation={self.home}/state
SlurmdSpoolDir={self.sockets}/%n
SlurmctldPidFile={self.home}/slurmctld.pid
SlurmdPidFile={self.home}/slurmd.%n.pid

# Neither cgroups nor root are needed for processes known by their groups.
ProctrackType=proctrack/pgid

# Nodes may claim more than the machine has. Jobs that could never run are refused at once.
SlurmdParameters=config_overrides
ReturnToService=2
EnforcePartLimits=ALL
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
GresTypes=gpu
{os.linesep.join(nodes)}
PartitionName=cpu Nodes={",".join(NODES)} Default=YES MaxTime=60
PartitionName=gpu Nodes={",".join(self.gpu_nodes)} MaxTime=60

# Soon rather than efficiently; cred_expire, too, is how long a requeued job has to wait.
SchedulerParameters=sched_interval=1,bf_interval=1
KillWait=5

# Without a database, the controller's memory tells Snakemake how jobs ended, and this log tells us.
MinJobAge=86400
JobCompType=jobcomp/filetxt
JobCompLoc={self.home}/log/jobcomp
"""


def _program(name: str) -> str | None:
    """The path of a program; daemons are seldom on an ordinary user's PATH."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin:/sbin")


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback that the kernel holds to be free; all held at once, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _job(line: str) -> Job:
    """A job from a line of the completion log or of `scontrol`: the words differ a little."""
    found = re.findall(r"(\S+?)=(.*?)(?= +\S+?=|\s*$)", line)
    fields = {key.lower(): "" if value == "(null)" else value for key, value in found}
    return Job(
        id=int(fields["jobid"]),
        name=fields.get("jobname") or fields["name"],
        state=fields["jobstate"],
        partition=fields["partition"],
        nodes=fields["nodelist"],
        start=_time(fields["starttime"]),
        end=_time(fields["endtime"]),
        tres=fields.get("tres") or fields.get("alloctres", ""),
        gres=fields.get("tresperjob") or fields.get("trespernode", ""),
        comment=fields.get("comment", ""),
        workdir=Path(fields["workdir"]),
    )


def _time(text: str) -> datetime | None:
    """Slurm's local time, without a zone; None for Unknown."""
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(text)
    return None
