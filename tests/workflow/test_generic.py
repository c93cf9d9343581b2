"""The shipped profile for schedulers other than Slurm, on stand-ins for the programs of three of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import REPOSITORY, Workplace
from .scheduler import install

pytestmark = pytest.mark.workflow

PROFILE = REPOSITORY / "profiles" / "cluster-generic"
COMMENTED = {"sge": "", "pbs": "# PBS Pro", "lsf": "# LSF, which"}  # where the profile has their commands
SUBMITTED = {
    "sge": r"qsub -terse -cwd -V .* -pe smp \d -l h_vmem=\d+M -l h_rt=0:\d+:0 /",
    "pbs": r"qsub -V .* -l select=1:ncpus=\d:mem=\d+mb -l walltime=0:\d+:0 /",
    "lsf": r"bsub -J bigloop .* -n \d -M \d+MB -W \d+ /",
}


def commands(scheduler: str) -> list[str]:
    """The profile's arguments for a scheduler, uncommented where it is not the first."""
    text = (PROFILE / "profile.yaml").read_text()
    if not COMMENTED[scheduler]:
        return []
    lines = text.partition(f"\n{COMMENTED[scheduler]}")[2].partition("\n\n")[0].splitlines()[1:]
    given = yaml.safe_load("\n".join(line.removeprefix("# ") for line in lines))
    return [word for key, value in given.items() for word in (f"--{key}", value)]


def arguments(scheduler: str) -> list[str]:
    """The shipped profile, with nothing changed but how long is waited."""
    quick = ["--seconds-between-status-checks", "1", "--latency-wait", "20"]
    return ["--workflow-profile", str(PROFILE), *commands(scheduler), *quick]


def text_of(path: Path) -> str:
    return path.read_text().strip() if path.is_file() else ""


def environment(folder: Path, scheduler: str) -> dict[str, str]:
    return {**os.environ, "PATH": f"{install(folder, scheduler)}:{os.environ['PATH']}"}


@pytest.mark.parametrize("scheduler", COMMENTED)
def test_every_job_is_submitted_asked_after_and_repeated_where_it_was_lost(
    scheduler: str, known: Workplace, tmp_path: Path
) -> None:
    cluster = tmp_path / "cluster"
    programs = environment(cluster, scheduler)
    (cluster / "lose").touch()
    known.snakemake(*arguments(scheduler), environment=programs, forked=False)
    calls = (cluster / "calls").read_text().splitlines()
    submitted = [line for line in calls if line.startswith(("qsub", "bsub"))]
    assert all(re.match(SUBMITTED[scheduler], line) for line in submitted), submitted
    statuses = sorted(path.read_text().strip() for path in cluster.glob("*.exit"))
    # simulate, the floor and one job for the tables with both figures; and the one that was lost
    assert statuses == ["0", "0", "0", "137"]
    assert len(submitted) == 4
    assert (known.directory / "results" / "smoke-known" / "figures" / "same.png").is_file()
    assert known.plan() == []


def await_the_last_job(cluster: Path, workflow: subprocess.Popen) -> None:
    """Until one job alone is left, and was asked after since: while Snakemake learns that a job has ended, its plugin
    holds no list of those that are running, and an interrupt in that moment cancels none of them."""
    asked = None
    while asked is None or (cluster / "calls").read_text().count("\nqstat ") < asked + 2:
        assert workflow.poll() is None
        if len([*cluster.glob("*.job")]) - len([*cluster.glob("*.exit")]) != 1:
            asked = None
        elif asked is None:
            asked = (cluster / "calls").read_text().count("\nqstat ")
        time.sleep(0.1)


def test_an_interrupted_workflow_cancels_its_jobs(known: Workplace, tmp_path: Path) -> None:
    cluster = tmp_path / "cluster"
    known.config["runs"]["decay"] |= {
        "generations": 1_000_000,
        "simulation": {"block_generations": 1_000_000},
    }
    known.plan()  # writes the config file
    place: list[Any] = [
        "--configfile",
        known.directory / "config-of-this-test.yaml",
        "--directory",
        known.directory,
    ]
    workflow = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *arguments("sge"), *place, "--", "tables"],
        cwd=REPOSITORY,
        env=environment(cluster, "sge"),
        start_new_session=True,
    )
    try:
        while (
            not (logs := list(known.directory.glob("results/runs/*/*/*/simulate.log")))
            or not logs[0].read_text()
        ):
            assert workflow.poll() is None
            time.sleep(0.1)
        await_the_last_job(cluster, workflow)
        workflow.send_signal(signal.SIGINT)
        assert workflow.wait() != 0
        assert "\nqdel " in (cluster / "calls").read_text()
        assert "143" in {path.read_text().strip() for path in cluster.glob("*.exit")}
    finally:
        for job in cluster.glob("*.job"):  # one that was submitted again while the workflow ended, too
            while not (number := text_of(job.with_suffix(".pid"))) and not text_of(job.with_suffix(".exit")):
                time.sleep(0.1)
            if number:
                with suppress(ProcessLookupError):
                    os.killpg(int(number), signal.SIGKILL)
