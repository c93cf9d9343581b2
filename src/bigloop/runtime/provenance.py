"""What made a file: which software exactly, with which packages, on what machine.

    software()       {"version": "0.1.0", "package": "3f…", "commit": "9c…", "dirty": False}
    machine()        {"system": "Linux 6.1 x86_64", "cpu": "…", "cores": 8, "memory_gib": 31.2}
    packages()       {"numpy": "2.4.6", …}: all that is installed

No name of a person, a machine or a folder is in it: results are shared.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from bigloop import __version__

PACKAGE = Path(__file__).resolve().parents[1]
SHOWN = 10  # digits of a commit, and of a digest


@cache
def software() -> dict[str, Any]:
    """The version of bigloop, the SHA-256 of its code, and the commit that it was checked out at.

    dirty: whether tracked files differed from that commit. Without commit and dirty where it was installed from a
    package, which has no history.
    """
    return {"version": __version__, "package": code_digest(PACKAGE), **checkout(PACKAGE)}


def code_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of all Python files below a folder: the same wherever it lies."""
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        sha.update(f"{path.relative_to(folder).as_posix()}\n".encode())
        sha.update(hashlib.sha256(path.read_bytes()).digest())
    return sha.hexdigest()


def checkout(folder: Path) -> dict[str, Any]:
    """Commit and dirtiness of the repository that a folder's files belong to; nothing where they belong to none.

    An environment inside somebody's repository is not part of it: its files are not tracked there.
    """
    if not _git(folder, "ls-files", "__init__.py") or not (commit := _git(folder, "rev-parse", "HEAD")):
        return {}
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": bool(changed)}


def machine() -> dict[str, Any]:
    """The system, the processor, its cores as far as this process may use them, and the memory in GiB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return {"system": system, "cpu": processor(), "cores": cores(), "memory_gib": round(memory, 1)}


def packages() -> dict[str, str]:
    """The version of Python and of every package that is installed beside it, by name."""
    found = {str(d.metadata["Name"]).lower(): d.version for d in distributions() if d.metadata["Name"]}
    return {"python": platform.python_version(), **dict(sorted(found.items()))}


def in_words(made_by: dict[str, Any]) -> str:
    """What `software` found, for a reader: bigloop 0.1.0, commit 9ce93f5a01 with changes."""
    words = f"bigloop {made_by['version']}"
    if commit := made_by.get("commit"):
        return f"{words}, commit {commit[:SHOWN]}{' with changes' * bool(made_by.get('dirty'))}"
    package = made_by.get("package")
    return f"{words}, code {package[:SHOWN]}" if package else words


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's model, as Linux names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _git(folder: Path, *words: str) -> str:
    """What git says of a folder; nothing where it fails, or is not there."""
    command = ["git", "-C", str(folder), *words]
    # Optional locks: a job must not write into the repository, where others may be working.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=10, env=environment
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
