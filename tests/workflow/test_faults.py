"""One fault of each kind on the real graph; `tests/campaign.py` makes as many as one likes, at random."""

from __future__ import annotations

import json
import signal
import sys
import time

import pytest

from bigloop.runtime.locks import is_locked

from .conftest import REPOSITORY, Workplace
from .terminal import Terminal

pytestmark = pytest.mark.workflow


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_after_a_killed_workflow_the_same_command_goes_on(long_training: Workplace, number: int) -> None:
    place = long_training
    place.plan()  # writes the config file
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(place.directory)]
    config = ["--configfile", str(place.directory / "config-of-this-test.yaml"), "--", "tables"]
    with Terminal([*command, *config], REPOSITORY) as terminal:
        runs = place.directory / "results" / "runs"
        while not (states := list(runs.glob("*/seed-0/gen-1/train.state.safetensors"))):
            assert terminal.process.poll() is None
            time.sleep(0.1)
        log = states[0].with_name("train.log")
        assert is_locked(log)
        if number == signal.SIGKILL:
            terminal.process.kill()
        else:
            terminal.press("\x03")  # Ctrl-C
    assert terminal.is_clean
    if number == signal.SIGINT:
        text = " ".join(terminal.text.split())
        assert "stopped vae seed 0 generation 1 train: stopped by SIGINT; state saved at step " in text
        assert "FAILED" not in text
    place.snakemake("tables")
    assert not is_locked(log)
    (resumed,) = json.loads(log.with_name("model.json").read_text())["resumed_at"]
    assert resumed > 0
    assert not states[0].exists()
    assert place.plan("tables") == []
