"""Whatever a config says, planning ends in an experiment or in one line, within bounds of memory and jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

MUTATIONS = 2_500


def test_every_mutation_of_a_shipped_config_is_a_plan_or_one_line() -> None:
    """fuzz.py bounds its own memory, and holds the jobs of each plan against the limit."""
    command = [sys.executable, Path(__file__).with_name("fuzz.py"), str(MUTATIONS), "0"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(printed)
    assert found["faults"] == []
    assert sum(found["ends"].values()) == MUTATIONS
    assert min(found["ends"].values()) > MUTATIONS / 50  # both ends are reached: it tests something
