"""No change of the code renames finished science: folders, params and inputs of the costly jobs are as they were.

Snakemake runs a job again whose params or list of inputs differ from those it finished with, and looks for results
under the folder's name. `planned.json` was written with the code before rooms and options were rebuilt. quickstart.yaml
is config.yaml as it was then.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..shipped import SHIPPED

pytestmark = pytest.mark.long

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
GOLDEN: dict[str, dict[str, str]] = json.loads((HERE / "planned.json").read_text())


@pytest.fixture(scope="module")
def planned() -> dict[str, dict[str, str]]:
    command = [sys.executable, HERE / "planned.py", *GOLDEN]
    printed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    return json.loads(printed)


@pytest.mark.parametrize("config", GOLDEN)
def test_a_shipped_config_plans_the_same_costly_jobs_in_the_same_folders(
    config: str, planned: dict[str, dict[str, str]]
) -> None:
    assert planned[config] == GOLDEN[config]


def test_every_shipped_config_is_pinned() -> None:
    assert {str(path.relative_to(CHECKOUT)) for path in SHIPPED} <= GOLDEN.keys()
