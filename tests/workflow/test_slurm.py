"""The smoke experiment through a real Slurm with the shipped profile: its own log is the witness."""

from __future__ import annotations

import ast
import re
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string
from snakemake_executor_plugin_slurm.validation import validate_slurm_extra

from .cluster import Cluster, Job
from .conftest import REPOSITORY, Workplace

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]

PROFILE = REPOSITORY / "profiles" / "slurm"
QUICK = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1")
COMPARED = ("model.safetensors", "samples.safetensors", "measures.json", "fid.png")


@pytest.fixture(scope="module")
def ran(
    cluster: Cluster, finished: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Workplace, list[Job]]:
    """A directory in which part of the smoke experiment has run on Slurm, and the jobs that Slurm saw."""
    place = Workplace(tmp_path_factory.mktemp("on-slurm"))
    runs = place.config["runs"]
    place.config["runs"] = {"wgan-1": runs["wgan-1"], "vae": runs["vae"] | {"generations": 1, "seeds": [0]}}
    place.config["figures"] = {name: place.config["figures"][name] for name in ("fid", "losses")}
    shutil.copytree(finished / "results" / "data", place.directory / "results" / "data")
    place.snakemake("--workflow-profile", str(PROFILE), *QUICK, environment=cluster.environment, forked=False)
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
    assert (rules["train"], rules["sample"], rules["classify"], rules["measure_real"]) == (3, 3, 1, 1)
    assert rules["critics"] == 2
    assert len({job.name for job in jobs}) == 1  # one run's UUID


def test_short_jobs_went_together(ran: tuple[Workplace, list[Job]]) -> None:
    _, jobs = ran
    grouped = Counter(rule for rule in map(rule_of, jobs) if rule == "figures" or "_g" in rule)
    assert grouped.pop("figures") == 1  # the tables and two figures
    assert sum(grouped.values()) == 2  # three measurements: two of generation 1, one of 2


def test_only_trainings_and_samplings_asked_for_a_gpu_and_never_two_held_the_one_there_is(
    ran: tuple[Workplace, list[Job]],
) -> None:
    _, jobs = ran
    holders = [job for job in jobs if "gpu" in job.gres]
    assert {rule_of(job) for job in holders} == {"train", "sample", "classify"}
    assert len(holders) == 7
    times = sorted((job.start, job.end) for job in holders if job.start and job.end)
    assert len(times) == 7
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(times))


def test_what_came_out_is_what_this_machine_makes_without_slurm(
    ran: tuple[Workplace, list[Job]], workplace: Workplace
) -> None:
    place, _ = ran
    workplace.config = place.config
    workplace.snakemake()
    found = [path for path in sorted((place.directory / "results").rglob("*")) if path.name in COMPARED]
    assert {path.name for path in found} == {*COMPARED}
    assert len(found) > 10
    for path in found:
        local = workplace.directory / path.relative_to(place.directory)
        assert path.read_bytes() == local.read_bytes(), path


def test_a_second_call_has_nothing_to_do(ran: tuple[Workplace, list[Job]], cluster: Cluster) -> None:
    place, _ = ran
    printed = place.snakemake(
        "--workflow-profile", str(PROFILE), *QUICK, environment=cluster.environment, forked=False
    )
    assert "Nothing to be done" in printed


class Given(dict):
    """Resources as the plugin reads them: by key and by attribute."""

    __getattr__ = dict.__getitem__


def test_no_line_of_the_profile_is_refused_by_the_plugin_those_in_comments_included() -> None:
    text = (PROFILE / "profile.yaml").read_text()
    given = yaml.safe_load(re.sub(r"^( *)# (- [\w:]+=.*|[a-z-]+: \S.*)$", r"\1\2", text, flags=re.MULTILINE))
    assert {"slurm-partition-config", "slurm-status-command"} <= given.keys()
    named = [line.partition("=")[::2] for line in given["default-resources"]]
    named += [line.partition(":")[2].partition("=")[::2] for line in given["set-resources"]]
    resources = {name: ast.literal_eval(value.partition(" #")[0]) for name, value in named}
    assert {"slurm_partition", "slurm_account", "constraint", "slurm_extra", "gpu_model"} <= resources.keys()
    job = SimpleNamespace(resources=Given(resources), threads=1)
    validate_slurm_extra(job)
    asked = set_gres_string(job)
    assert asked == " --gpus=a100:1"
    params = {
        "run_uuid": "u",
        "slurm_logfile": "f",
        "comment_str": "c",
        "account": "",
        "partition": "",
        "workdir": "",
    }
    submitted = get_submit_command(job, params)
    assert "-C FEATURE" in submitted
    assert "--mail-type=FAIL" in submitted
    (gres,) = re.findall(r"write (gres=\S+) instead of gpu=1", text)
    job.resources = Given(gres=ast.literal_eval(gres.partition("=")[2]), gpu=0)
    assert set_gres_string(job) == " --gres=gpu:1"
