"""The shipped configs, and the three ways of naming one."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from bigloop.config.experiment import Experiment

from ..shipped import SHIPPED

pytestmark = pytest.mark.workflow

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.usefixtures("beside_pictures")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_config_is_complete_and_valid(path):
    Experiment.from_config(yaml.safe_load(path.read_text()))


def plan(call, tmp_path, *arguments):
    return call("--dry-run", "--quiet", "host", "reason", "--directory", str(tmp_path), *arguments)


def rules(printed):
    lines = (line.split() for line in printed.splitlines())
    return Counter({words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()})


def test_knutsen2025_plans_three_runs_of_twenty_generations(call, tmp_path):
    counts = rules(plan(call, tmp_path, "--configfile", "workflow/experiments/knutsen2025.yaml"))
    assert (counts["train"], counts["sample"], counts["measure"]) == (60, 60, 60)


def test_a_plain_call_takes_config_yaml(call, tmp_path):
    (tmp_path / "config.yaml").write_text((REPOSITORY / "config.yaml").read_text())
    printed = plan(call, tmp_path)
    assert "results/quickstart/tables/measures.csv" in printed


def test_config_on_the_command_line_changes_one_key_of_config_yaml(call, tmp_path):
    (tmp_path / "config.yaml").write_text((REPOSITORY / "config.yaml").read_text())
    plain, changed = plan(call, tmp_path), plan(call, tmp_path, "--config", "experiment=mine")
    assert "results/mine/tables/measures.csv" in changed
    assert rules(changed) == rules(plain)


def test_a_configfile_stands_alone(call, tmp_path):
    (tmp_path / "config.yaml").write_text((REPOSITORY / "config.yaml").read_text())
    printed = plan(call, tmp_path, "--configfile", "tests/smoke/config.yaml")
    assert "results/smoke/tables/measures.csv" in printed
    assert rules(printed)["train"] == 10


def test_a_configfile_and_a_key_on_the_command_line_go_together(call, tmp_path):
    printed = plan(call, tmp_path, "--configfile", "tests/smoke/config.yaml", "--config", "experiment=mine")
    assert "results/mine/tables/measures.csv" in printed
    assert rules(printed)["train"] == 10


@pytest.mark.parametrize(("gpus", "asked"), [(0, "0"), (2, "1")])
def test_jobs_that_gain_from_a_gpu_ask_for_one_where_there_is_one(
    gpus: int, asked: str, call: Callable[..., str], tmp_path: Path
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\n" + "".join(f"echo 'GPU {i}: NVIDIA H200'\n" for i in range(gpus)))
    driver.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    place = (
        "--configfile",
        str(REPOSITORY / "tests" / "smoke" / "config.yaml"),
        "--directory",
        str(tmp_path / "work"),
    )
    printed = call("--dry-run", "--quiet", "host", *place, environment=environment)
    wanted = dict(
        re.findall(r"^rule (\w+):\n(?:    .*\n)*?    resources: .*?\bgpu=(\d)", printed, flags=re.M)
    )
    assert {rule: wanted[rule] for rule in ("classify", "train", "sample")} == dict.fromkeys(
        ("classify", "train", "sample"), asked
    )
    assert {wanted[rule] for rule in ("measure", "measure_real", "critics", "collect", "plot_fid")} == {"0"}
