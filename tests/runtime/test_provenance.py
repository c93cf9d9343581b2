"""What made a file: the software to the byte, whether it was changed, and nobody's name."""

from __future__ import annotations

import getpass
import json
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from bigloop import __version__
from bigloop.runtime import provenance
from bigloop.runtime.provenance import checkout, code_digest, in_words


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package in a repository of its own."""
    folder = tmp_path / "repository" / "src" / "thing"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("one = 1\n")
    (folder / "notes.txt").write_text("no code\n")
    git(tmp_path, "init", "--quiet", "repository")
    git(tmp_path / "repository", "add", ".")
    git(tmp_path / "repository", "commit", "--quiet", "--message", "first")
    return folder


def test_a_checkout_has_its_commit_and_is_dirty_once_a_file_is_changed(package: Path) -> None:
    head = git(package, "rev-parse", "HEAD")
    assert checkout(package) == {"commit": head, "dirty": False}
    (package / "new.py").write_text("")  # not tracked: results of a user's, or notes
    assert checkout(package) == {"commit": head, "dirty": False}
    (package / "__init__.py").write_text("one = 2\n")
    assert checkout(package) == {"commit": head, "dirty": True}


def test_a_package_installed_within_somebodys_repository_is_not_of_it(package: Path) -> None:
    installed = package.parents[1] / ".venv" / "thing"
    shutil.copytree(package, installed)
    assert checkout(installed) == {}


def test_without_git_there_is_no_commit(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert checkout(package) == {}


def test_the_digest_is_of_the_code_wherever_it_lies(package: Path, tmp_path: Path) -> None:
    before = code_digest(package)
    copy = tmp_path / "elsewhere"
    shutil.copytree(package, copy)
    (copy / "notes.txt").unlink()
    assert code_digest(copy) == before
    (copy / "__init__.py").rename(copy / "other.py")
    assert code_digest(copy) != before
    (package / "__init__.py").write_text("one = 2\n")
    assert code_digest(package) != before


def test_it_names_software_packages_and_machine_but_nobody() -> None:
    found = {
        "software": provenance.software(),
        "machine": provenance.machine(),
        "packages": provenance.packages(),
    }
    assert found["software"]["version"] == __version__
    assert found["packages"]["numpy"] == version("numpy")
    assert found["machine"]["cores"] >= 1
    text = json.dumps(found)
    assert str(Path.home()) not in text
    assert platform.node() not in text or len(platform.node()) < 4
    assert getpass.getuser() not in {*found["machine"].values(), *found["software"].values()}


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"version": "1.2"}, "bigloop 1.2"),
        ({"version": "1.2", "package": "ab" * 32}, "bigloop 1.2, code ababababab"),
        (
            {"version": "1.2", "package": "x", "commit": "cd" * 20, "dirty": False},
            "bigloop 1.2, commit cdcdcdcdcd",
        ),
        (
            {"version": "1.2", "package": "x", "commit": "cd" * 20, "dirty": True},
            "bigloop 1.2, commit cdcdcdcdcd with changes",
        ),
    ],
)
def test_it_reads_as_a_few_words(known: dict[str, object], words: str) -> None:
    assert in_words(known) == words
