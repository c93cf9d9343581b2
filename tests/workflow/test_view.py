"""What a person sees of a running workflow: on a terminal, and where there is none."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from .conftest import REPOSITORY, Workplace
from .terminal import Terminal

pytestmark = pytest.mark.workflow

NAME = "vae seed 0 generation 2 measure"


@pytest.fixture
def measuring(workplace: Workplace) -> tuple[Workplace, str]:
    """A finished experiment that lacks one file, and that file: one job is to do."""
    path = workplace.generation("vae", 2) / "measures.json"
    path.unlink()
    return workplace, str(path.relative_to(workplace.directory.resolve()))


def damage_samples(workplace: Workplace) -> None:
    samples = workplace.generation("vae", 2) / "samples.safetensors"
    samples.write_bytes(samples.read_bytes()[:-100])


def on_terminal(workplace: Workplace, target: str) -> Terminal:
    """Snakemake, run to its end on a terminal."""
    workplace.plan(target)  # writes the config file
    place = ("--directory", str(workplace.directory))
    config = ("--configfile", str(workplace.directory / "config-of-this-test.yaml"))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *place, *config, "--", target]
    with Terminal(command, REPOSITORY) as terminal:
        pass
    return terminal


def test_on_a_terminal_a_job_is_seen_at_work_under_its_runs_name(measuring: tuple[Workplace, str]) -> None:
    workplace, target = measuring
    terminal = on_terminal(workplace, target)
    assert terminal.process.returncode == 0
    assert (workplace.directory / target).is_file()
    assert "\x1b[" in terminal.written.decode()
    assert "0 of 1 jobs done, 1 running" in terminal.text
    assert NAME in terminal.text
    assert "vae-mnist" not in terminal.text  # the digest says nothing to a person
    assert re.search(r"smoke: 1 of 1 jobs done after [\w ]+\n\Z", terminal.text)
    assert terminal.is_clean


def test_on_a_terminal_a_failed_job_says_why_above_the_view(measuring: tuple[Workplace, str]) -> None:
    workplace, target = measuring
    damage_samples(workplace)
    terminal = on_terminal(workplace, target)
    assert terminal.process.returncode == 1
    text = " ".join(terminal.text.split())
    assert text.count(f"FAILED {NAME}: results/runs/") == 1
    assert "samples.safetensors: damaged" in text
    assert "CalledProcessError" not in text
    assert "0 of 1 jobs done, 1 failed after" in text
    assert terminal.is_clean


def test_without_a_terminal_there_is_a_line_for_each_job_that_starts_ends_or_fails(
    measuring: tuple[Workplace, str],
) -> None:
    workplace, target = measuring
    whole = (workplace.generation("vae", 2) / "samples.safetensors").read_bytes()
    damage_samples(workplace)
    _, begun, started, failed, log, end = workplace.snakemake("--", target, fails=True).splitlines()
    assert begun == "smoke: 1 measure"
    assert started == f"started   {NAME}"
    assert re.match(rf"FAILED    {NAME}: results/runs/\S+/samples.safetensors: damaged ", failed)
    assert log.strip() == f"log: {Path(target).parent / 'measure.log'}"
    assert re.fullmatch(
        r"smoke: 0 of 1 jobs done, 1 failed after [\w ]+; rerun the same command to continue", end
    )
    (workplace.generation("vae", 2) / "samples.safetensors").write_bytes(whole)
    *_, finished, end = workplace.snakemake("--", target).splitlines()
    assert re.fullmatch(rf"finished  {NAME}, [\w ]+ \(1 of 1\)", finished)
    assert re.fullmatch(r"smoke: 1 of 1 jobs done after [\w ]+", end)
