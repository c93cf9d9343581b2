"""The smoke experiment through a real Slurm with the shipped profile: its own log is the witness."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from bigloop.figures import FIGURES

from .cluster import Cluster, Job
from .conftest import REPOSITORY, Workplace

pytestmark = [pytest.mark.workflow, pytest.mark.slurm, pytest.mark.timeout(1800)]  # some fifty Slurm jobs

PROFILE = REPOSITORY / "profiles" / "slurm"
QUICK = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1")
COMPARED = ("model.safetensors", "samples.safetensors", "measures.json", "fid.png")


@pytest.fixture(scope="module")
def ran(
    cluster: Cluster, finished: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Workplace, list[Job]]:
    """A directory in which the smoke experiment has run on Slurm, and the jobs that Slurm saw."""
    place = Workplace(tmp_path_factory.mktemp("on-slurm"))
    shutil.copytree(finished / "results" / "data", place.directory / "results" / "data")
    place.snakemake("--workflow-profile", str(PROFILE), *QUICK, environment=cluster.environment)
    numbers = {job.id: job for job in cluster.jobs() if job.workdir == place.directory.resolve()}
    ended = [
        job._replace(gres=numbers[job.id].gres, comment=numbers[job.id].comment)
        for job in cluster.finished()
        if job.id in numbers
    ]
    return place, ended


def rule_of(job: Job) -> str:
    """The rule or group that a job ran, from the comment that Snakemake gave it."""
    match = re.match(r"rule_(figures|measure_g\d+|measure_real|train|sample|classify|critics)", job.comment)
    assert match, job.comment
    return match.group(1)


def test_every_job_ran_there_and_ended_well(ran: tuple[Workplace, list[Job]]) -> None:
    _, jobs = ran
    assert {job.state for job in jobs} == {"COMPLETED"}
    rules = Counter(map(rule_of, jobs))
    assert (rules["train"], rules["sample"], rules["classify"], rules["measure_real"]) == (10, 10, 1, 1)
    assert rules["critics"] == 6
    assert len({job.name for job in jobs}) == 1  # one run's UUID


def test_short_jobs_went_together(ran: tuple[Workplace, list[Job]]) -> None:
    _, jobs = ran
    grouped = Counter(rule for rule in map(rule_of, jobs) if rule == "figures" or "_g" in rule)
    assert grouped.pop("figures") == 1  # the tables and nine figures
    assert sum(grouped.values()) == 3  # ten measurements: four of generation 1, four of 2, two of 3


def test_only_trainings_and_samplings_asked_for_a_gpu_and_never_two_held_the_one_there_is(
    ran: tuple[Workplace, list[Job]],
) -> None:
    _, jobs = ran
    holders = [job for job in jobs if "gpu" in job.gres]
    assert {rule_of(job) for job in holders} == {"train", "sample", "classify"}
    assert len(holders) == 21
    times = sorted((job.start, job.end) for job in holders if job.start and job.end)
    assert len(times) == 21
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(times))


def test_what_came_out_is_what_this_machine_makes_without_slurm(
    ran: tuple[Workplace, list[Job]], finished: Path
) -> None:
    place, _ = ran
    local = [path for path in sorted((finished / "results").rglob("*")) if path.name in COMPARED]
    assert len(local) > 30
    for path in local:
        assert (place.directory / path.relative_to(finished)).read_bytes() == path.read_bytes(), path


def test_a_second_call_has_nothing_to_do(ran: tuple[Workplace, list[Job]], cluster: Cluster) -> None:
    place, _ = ran
    printed = place.snakemake("--workflow-profile", str(PROFILE), *QUICK, environment=cluster.environment)
    assert "Nothing to be done" in printed


def test_the_profile_groups_every_figure() -> None:
    profile = yaml.safe_load((PROFILE / "profile.yaml").read_text())
    assert {f"plot_{name}=figures" for name in FIGURES} <= set(profile["groups"])
