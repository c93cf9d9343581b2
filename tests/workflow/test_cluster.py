"""The test cluster by itself: jobs run, GPUs are counted, signals arrive, and nothing is left behind."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from .cluster import NODES, Cluster, Job

pytestmark = pytest.mark.slurm

SNAKEMAKE = (
    "--executor slurm --jobs 4 --slurm-status-command squeue --slurm-init-seconds-before-status-checks 1"
)
RESOURCES = ("--default-resources", "slurm_partition=cpu", "mem_mb=600", "runtime=5")
STAMP = "date +%s%N >> {0}; sleep {1}; date +%s%N >> {0}"  # nanoseconds when a job began and ended
# Three processes that ignore SIGTERM: one of the job, one that left its group, one of another step.
DEAF = """trap '' TERM
for how in '' setsid srun; do $how sh -c 'echo $$ >> pids; exec sleep 600' & done
wait"""


def submit(cluster: Cluster, directory: Path, script: str, *options: str) -> int:
    """Queue a shell script; returns the job's number."""
    place = ("--chdir", str(directory), "--output", str(directory / "%j.out"))
    return int(cluster.run("sbatch", "--parsable", *place, *options, "--wrap", script))


def wait_for(condition: Callable[[], object], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def ended(cluster: Cluster, *ids: int) -> list[Job]:
    """The entries of these jobs in the completion log, in the order of `ids`, once all are there."""
    wait_for(lambda: set(ids) <= {job.id for job in cluster.finished()})
    found = {job.id: job for job in cluster.finished()}
    return [found[id_] for id_ in ids]


def snakemake(cluster: Cluster, directory: Path, snakefile: str) -> subprocess.Popen[str]:
    (directory / "Snakefile").write_text(snakefile)
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *SNAKEMAKE.split(), *RESOURCES],
        cwd=directory,
        env=cluster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def numbers(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def command(pid: int) -> str:
    """The command line of a process, empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to notice has no command line."""
    return bool(command(pid))


def test_a_job_that_was_submitted_stands_in_the_completion_log(cluster: Cluster, tmp_path: Path) -> None:
    good = submit(cluster, tmp_path, "echo $SLURMD_NODENAME > node", "--job-name", "good")
    bad = submit(cluster, tmp_path, "exit 3", "--comment", "a word and another")
    completed, failed = ended(cluster, good, bad)
    assert (completed.state, completed.name, completed.partition) == ("COMPLETED", "good", "cpu")
    assert completed.nodes in NODES
    assert completed.nodes == (tmp_path / "node").read_text().strip()
    assert completed.workdir == tmp_path
    assert completed.start <= completed.end
    assert "cpu=1,mem=500M" in completed.tres
    assert failed.state == "FAILED"
    remembered = {job.id: job for job in cluster.jobs()}
    assert remembered[bad].comment == "a word and another"
    assert not {good, bad} & {job.id for job in cluster.running()}


def test_one_gpu_serves_one_job_at_a_time_while_cpu_jobs_run(cluster: Cluster, tmp_path: Path) -> None:
    # To the partition of all nodes, so that it is the GPU that tells where to run.
    gpu = [
        submit(cluster, tmp_path, STAMP.format(f"gpu-{i}", 1), "--gpus=1", "--partition=cpu")
        for i in range(4)
    ]
    cpu = [submit(cluster, tmp_path, STAMP.format(f"cpu-{i}", 3)) for i in range(2)]
    jobs = ended(cluster, *gpu)
    ended(cluster, *cpu)
    spans = {path.name: tuple(numbers(path)) for path in tmp_path.glob("?pu-?")}
    for by_gpu in (
        sorted(span for name, span in spans.items() if name.startswith("gpu")),
        sorted((job.start, job.end) for job in jobs),
    ):
        assert len(by_gpu) == 4
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(by_gpu))
    assert {job.nodes for job in jobs} == set(cluster.gpu_nodes) == {NODES[-1]}
    for name in ("cpu-0", "cpu-1"):
        begin, end = spans[name]
        assert any(begin < spans[f"gpu-{i}"][1] and spans[f"gpu-{i}"][0] < end for i in range(4))
    asked = {job.id: job.gres for job in cluster.jobs()}
    assert all("gpu:1" in asked[id_] for id_ in gpu)
    assert not any(asked[id_] for id_ in cpu)


def test_snakemake_runs_its_jobs_on_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    pytest.importorskip("snakemake_executor_plugin_slurm")
    run = snakemake(
        cluster,
        tmp_path,
        """
rule all:
    input: "gpu", "cpu"
rule on_gpu:
    output: "gpu"
    resources: gpu=1, slurm_partition="gpu"
    shell: "echo $SLURMD_NODENAME [${{CUDA_VISIBLE_DEVICES-unset}}] > {output}"
rule on_cpu:
    output: "cpu"
    shell: "echo $SLURMD_NODENAME [${{CUDA_VISIBLE_DEVICES-unset}}] > {output}"
""",
    )
    printed, _ = run.communicate(timeout=600)
    assert run.returncode == 0, printed
    node, visible = (tmp_path / "gpu").read_text().split()
    assert (node, visible) == (cluster.gpu_nodes[0], "[0]")
    node, visible = (tmp_path / "cpu").read_text().split()
    assert node in NODES
    assert visible in ("[unset]", "[]")  # Slurm hands on what the caller had
    jobs = {job.comment: job for job in cluster.jobs() if job.workdir == tmp_path}
    assert {comment: job.state for comment, job in jobs.items()} == {
        "rule_on_gpu": "COMPLETED",
        "rule_on_cpu": "COMPLETED",
    }
    assert jobs["rule_on_gpu"].partition == "gpu"
    assert "gpu:1" in jobs["rule_on_gpu"].gres


def test_scancel_gives_the_process_of_a_snakemake_job_time_to_save_its_state(
    cluster: Cluster, tmp_path: Path
) -> None:
    pytest.importorskip("snakemake_executor_plugin_slurm")
    (tmp_path / "saving.py").write_text(
        """
import pathlib, signal, sys, time

def save(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm sends several
    time.sleep(2)
    pathlib.Path("saved").touch()
    sys.exit(1)

signal.signal(signal.SIGTERM, save)
pathlib.Path("began").touch()
time.sleep(600)
"""
    )
    # Without exec, bash would stay for the redirection's sake, die of the signal at once, and with it the job.
    run = snakemake(
        cluster,
        tmp_path,
        f"""
rule long:
    output: "never"
    log: "log"
    shell: "exec {sys.executable} saving.py 2> {{log}}"
""",
    )
    try:
        wait_for((tmp_path / "began").exists)
        (job,) = (job for job in cluster.running() if job.workdir == tmp_path)
        assert (job.state, job.comment) == ("RUNNING", "rule_long")
        cluster.run("scancel", str(job.id))
        (entry,) = ended(cluster, job.id)
        assert entry.state == "CANCELLED"
        wait_for(lambda: job.id not in {job.id for job in cluster.running()})
        assert (tmp_path / "saved").exists()
    finally:
        run.kill()  # it would notice in half a minute
        run.communicate()


def test_nothing_is_left_of_a_cluster_whatever_ended_it(cluster: Cluster, tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), Cluster(tmp_path / "home", gpus=2) as other:
        submit(other, tmp_path, DEAF, "--gpus=1")
        submit(other, tmp_path, "true", "--hold")
        wait_for(lambda: len(numbers(tmp_path / "pids")) == 3)
        processes = other.processes()
        assert set(numbers(tmp_path / "pids")) < set(processes)
        assert any(command(pid).startswith("slurmstepd") for pid in processes)
        raise KeyboardInterrupt
    assert not any(map(is_alive, processes))
    assert not other.processes()
    assert not other.sockets.exists()
    states = cluster.run("sinfo", "--noheader", "--format", "%t %D", "--partition=cpu")
    assert states.split() == ["idle", "2"]  # the cluster beside it is none the worse


def test_a_daemon_that_does_not_come_up_shows_its_log_and_leaves_nothing(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cluster, "_configuration", lambda self: "Nonsense=1\n")
    broken = Cluster(tmp_path)
    with pytest.raises(RuntimeError, match=r"(?s)slurmctld did not come up.*Nonsense"), broken:
        pass
    assert not broken.processes()
    assert not broken.sockets.exists()
