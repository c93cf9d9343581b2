"""`make setup` with a Python that installs nothing: a line a phase, and the installer's words in a file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# Stands for Python and for the .venv's Python, which it makes of itself. What it says of an installation is long.
PYTHON = """#!/bin/sh
case "$*" in
  "-c "*) exit 0 ;;
  *venv*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  *--require-hashes*) seq -f 'Collecting package %g' 500; [ ! -e broken ] || { echo 'no such wheel'; exit 1; } ;;
  *"-e .") echo 'Successfully installed bigloop' ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "config.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "requirements.txt").write_text("a==1 \\\n    --hash=x\nb==2 \\\n    --hash=y\n")
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def setup(checkout: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "setup", f"PYTHON={checkout / 'python'}"]
    own = {
        k: v for k, v in os.environ.items() if not k.startswith("MAKE")
    }  # the tests, too, are called by make
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=600, env=own)


def test_set_up_says_a_line_a_phase_and_the_rest_is_in_the_file_that_it_names(checkout: Path) -> None:
    done = setup(checkout)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert re.fullmatch(r"Creating \.venv … \d+ s", lines[0])
    found = re.fullmatch(r"Installing 2 packages \(6 GB; some minutes; see (\S+)\) … \d+ s", lines[1])
    assert found
    assert re.fullmatch(r"Installing bigloop … \d+ s", lines[2])
    assert (checkout / found.group(1)).read_text().count("Collecting") == 500
    assert setup(checkout).stdout == "make: Nothing to be done for 'setup'.\n"


def test_a_set_up_that_fails_shows_the_end_of_the_file_and_is_made_again(checkout: Path) -> None:
    (checkout / "broken").touch()
    failed = setup(checkout)
    assert failed.returncode != 0
    assert "failed. The end of .cache/setup.log:" in failed.stdout
    assert failed.stdout.endswith("no such wheel\n")
    assert len(failed.stdout.splitlines()) == 2 + 20
    (checkout / "broken").unlink()
    assert setup(checkout).returncode == 0
