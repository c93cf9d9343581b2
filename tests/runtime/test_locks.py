"""Locks die with their holder, workers with their workflow, and concurrent jobs get different GPUs."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from bigloop.ops import slurm
from bigloop.runtime import gpus, locks

HOLD = """
import os, sys, time
from pathlib import Path
from bigloop.ops import slurm
from bigloop.runtime import gpus
from bigloop.runtime import locks
from bigloop.runtime import processes
{what}
print("ready", flush=True)
time.sleep(600)
"""


def start(what: str, **environment: str) -> subprocess.Popen:
    """A Python process that has done `what` and stays alive."""
    command = [sys.executable, "-c", HOLD.format(what=what)]
    environment = {**os.environ, **environment}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        assert process.poll() is None
    return process


def end(process: subprocess.Popen, number: int = signal.SIGKILL) -> None:
    process.send_signal(number)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_lock_is_held_until_its_process_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "train.log"
    holder = start(f"f = open({str(file)!r}, 'ab'); locks.lock(f)")
    assert locks.is_locked(file)
    end(holder)
    assert not locks.is_locked(file)


def test_a_second_worker_waits_for_the_first_and_says_that_it_had_to(tmp_path: Path) -> None:
    file = tmp_path / "train.log"
    holder = start(f"f = open({str(file)!r}, 'ab'); locks.lock(f)")
    second = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from bigloop.runtime import locks; print(locks.lock(open({str(file)!r}, 'ab')))",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(timeout=1)
    end(holder)
    assert second.communicate(timeout=600)[0] == "True\n"


def test_a_file_that_nobody_locked_or_that_is_not_there_is_free(tmp_path: Path) -> None:
    assert not locks.is_locked(tmp_path / "no.log")
    with (tmp_path / "train.log").open("ab") as file:
        assert not locks.lock(file)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_worker_is_told_to_stop_when_its_workflow_ends(number: int) -> None:
    workflow = start("None")
    worker = start(f"processes.follow({workflow.pid})")
    end(workflow, number)
    assert worker.wait(timeout=600) == -signal.SIGTERM


def test_a_worker_whose_workflow_is_gone_already_stops_at_once() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    what = (
        f"from bigloop.runtime import processes; import time; processes.follow({gone.pid}); time.sleep(600)"
    )
    assert subprocess.run([sys.executable, "-c", what], timeout=600).returncode == -signal.SIGTERM


def test_without_pidfd_a_worker_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = start("None")
    worker = start(f"import os; del os.pidfd_open; processes.follow({workflow.pid})")
    time.sleep(1.5)
    assert worker.poll() is None
    end(workflow)
    assert worker.wait(timeout=600) == -signal.SIGTERM


# --- GPUs ---


def leased(folder: Path, visible: str) -> tuple[subprocess.Popen, str]:
    """A process that has leased a GPU, and the GPU's name."""
    told = folder / "told"
    process = start(
        f"Path({str(told)!r}).write_text(gpus.lease_gpus()[0])",
        CUDA_VISIBLE_DEVICES=visible,
        TMPDIR=str(folder),
    )
    return process, told.read_text()


def test_concurrent_jobs_get_different_gpus_and_share_only_when_all_are_taken(tmp_path: Path) -> None:
    jobs = [leased(tmp_path, "0,1,GPU-8f2c") for _ in range(5)]
    assert [gpu for _, gpu in jobs] == ["0", "1", "GPU-8f2c", "0", "1"]
    end(jobs[2][0])
    jobs[2] = leased(tmp_path, "0,1,GPU-8f2c")
    assert jobs[2][1] == "GPU-8f2c"
    for process, _ in jobs:
        end(process)


def test_a_leased_gpu_hides_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert gpus.lease_gpus() == ["2"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"


@pytest.mark.parametrize(
    ("value", "allowed"), [("", []), ("-1", []), ("NoDevFiles", []), ("0", ["0"]), ("1,3", ["1", "3"])]
)
def test_what_the_environment_allows_is_visible(
    value: str, allowed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert gpus.visible_gpus() == allowed
    assert gpus.lease_gpus() == allowed or gpus.lease_gpus()[0] in allowed


def test_without_a_word_in_the_environment_the_driver_lists_the_gpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA H200 (UUID: GPU-2)'\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert gpus.visible_gpus() == ["0", "1"]
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert gpus.visible_gpus() == []


# --- workflows of one directory ---


def workflow(folder: Path, reads: list[str], writes: list[str]) -> subprocess.Popen:
    """A process that is a workflow of the directory whose workflows are noted in `folder`."""
    return start(f"with locks.starting(Path({str(folder)!r}), {reads}, {writes}): pass")


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., bool]]:
    """Enters this process among the workflows of a folder, until the test ends; returns whether it is alone."""
    monkeypatch.setattr(locks, "held", [])

    def enter(folder: Path, reads: Sequence[str], writes: Sequence[str]) -> bool:
        with locks.starting(folder, reads, writes) as alone:
            return alone

    yield enter
    for file in locks.held:
        file.close()


@pytest.mark.parametrize(
    ("reads", "writes", "does"),
    [([], ["model", "rows"], "writes"), (["model"], [], "writes"), ([], ["data"], "reads")],
    ids=["both write it", "this one reads what the other writes", "this one writes what the other reads"],
)
def test_a_workflow_that_needs_a_file_of_a_living_one_is_refused_and_told_which_and_where(
    reads: list[str], writes: list[str], does: str, tmp_path: Path, entered: Callable[..., bool]
) -> None:
    living = workflow(tmp_path, ["data"], ["model", "rows"])
    with pytest.raises(locks.Busy, match=f"process {living.pid} on .* {does} {(reads + writes)[0]}"):
        entered(tmp_path, reads, writes)
    end(living)
    assert entered(tmp_path, reads, writes)


def test_workflows_that_share_only_what_they_read_are_at_work_side_by_side(
    tmp_path: Path, entered: Callable[..., bool]
) -> None:
    living = workflow(tmp_path, ["data"], ["model"])
    assert not entered(tmp_path, ["data"], ["other model"])
    end(living)


def test_what_a_killed_workflow_noted_is_cleared_by_the_next_one(
    tmp_path: Path, entered: Callable[..., bool]
) -> None:
    assert not locks.is_working(tmp_path)
    killed = workflow(tmp_path, ["data"], ["model"])
    assert locks.is_working(tmp_path)
    end(killed)
    assert not locks.is_working(tmp_path)
    assert entered(tmp_path, ["data"], ["model"])
    assert locks.is_working(tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_a_process_may_enter_for_several_modules(tmp_path: Path, entered: Callable[..., bool]) -> None:
    assert entered(tmp_path, ["data"], ["model"])
    assert entered(tmp_path, ["data"], ["model"])


def test_nobody_enters_while_another_one_is_about_to(tmp_path: Path, entered: Callable[..., bool]) -> None:
    with locks.starting(tmp_path, [], ["one"]):
        enter = f"with locks.starting(Path({str(tmp_path)!r}), [], []): print('in', flush=True); sys.exit()"
        second = subprocess.Popen(
            [sys.executable, "-c", HOLD.format(what=enter)], stdout=subprocess.PIPE, text=True
        )
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(timeout=1)
    assert second.communicate(timeout=600)[0] == "in\n"


def test_a_directory_without_cluster_logs_never_asks_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "cluster_jobs", lambda directory: pytest.fail("asked"))
    assert slurm.cancel_leftovers(tmp_path) == []
