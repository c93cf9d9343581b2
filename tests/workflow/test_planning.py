"""Plans of many jobs: as deep a chain as asked for, at a cost that grows as the number of jobs."""

from __future__ import annotations

import pstats
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from .conftest import Workplace

pytestmark = pytest.mark.workflow

REPOSITORY = Path(__file__).parents[2]
FULL = REPOSITORY / "workflow" / "experiments" / "knutsen2025.yaml"


def vae(generations: int) -> dict[str, Any]:
    return {"only": "vae", "runs": {"vae": {"generations": generations}}}


def planning(change: dict[str, Any], folder: Path) -> tuple[str, ...]:
    """Arguments for a plan of the full-scale experiment so changed."""
    changed = folder / "change.yaml"
    changed.write_text(yaml.safe_dump(change))
    return (
        "--dry-run",
        "--quiet",
        "host",
        "--directory",
        str(folder),
        "--configfile",
        str(FULL),
        str(changed),
    )


def test_a_chain_of_1_000_generations_is_planned(call: Callable[..., str], tmp_path: Path) -> None:
    printed = call(*planning(vae(1_000), tmp_path))
    assert re.search(r"^train +1000$", printed, re.MULTILINE)


def test_images_without_classes_are_planned_with_their_floor_and_without_a_classifier(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    np.save(tmp_path / "images.npy", np.zeros((400, 28, 28), np.uint8))
    place.config["datasets"] = {"mine": {"source": "arrays", "root": str(tmp_path / "images.npy")}}
    run = place.config["runs"]["vae"] | {"dataset": "mine", "generations": 2, "seeds": [0]}
    loop = place.config["loops"][run["loop"]] | {
        "initial": {"n": 300},
        "samples": 300,
        "synthetic": {"n": 300},
    }
    place.config["loops"][run["loop"]] = loop
    place.config |= {
        "runs": {"vae": run},
        "measures": {"pixels": {"n": 40}},
        "figures": {"pixel_intensities": None},
    }
    planned = Counter(job.rule for job in place.plan())
    assert planned["measure_real"] == 1
    assert planned["classify"] == 0
    assert planned["measure"] == 2


def calls_of_functions(generations: int, folder: Path) -> int:
    """How many calls of Python functions a plan of so many generations takes, those before the first rule included."""
    folder.mkdir()
    profile, arguments = folder / "profile", planning(vae(generations), folder)
    command = [
        sys.executable,
        "-m",
        "cProfile",
        "-o",
        str(profile),
        "-m",
        "snakemake",
        "--cores",
        "1",
        *arguments,
    ]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return pstats.Stats(str(profile)).total_calls


def test_each_further_generation_costs_a_plan_as_much_as_the_one_before(tmp_path: Path) -> None:
    found = {n: calls_of_functions(n, tmp_path / str(n)) for n in (20, 60, 100)}
    first, second = found[60] - found[20], found[100] - found[60]
    # Here 1.83 and 1.84 million. A search of all generations for each would make the second forty cost double.
    # Snakemake's own share varies a little, with the order in which it walks sets.
    assert 0 < second < 1.1 * first


def test_a_plan_that_would_take_minutes_says_so_before_it_is_made(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *planning(vae(100_000), tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) as running:
        said = next((line for line in running.stderr or () if line.startswith("warning: ")), "")
        running.kill()
    assert re.match(r"warning: .* 300,\d\d\d jobs; Snakemake plans them in 20 min", said)
