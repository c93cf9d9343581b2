"""GPUs of this machine: which are visible, and a lease on one, so that concurrent jobs get different ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bigloop.runtime.locks import held, try_lock


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; without importing torch."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [name for name in allowed.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False)
    return [str(i) for i, _ in enumerate(re.findall(r"^GPU \d+:", listed.stdout, flags=re.MULTILINE))]


def lease_gpus(wanted: int = 1) -> list[str]:
    """Take the least used of the visible GPUs until this process ends, and hide the others; none without a GPU.

    wanted: how many; all where there are not more. Every GPU has numbered places, each a lock. The first free place of
    the lowest number is taken, so that a GPU is shared only when all have the same number of jobs.
    """
    gpus, leased = visible_gpus(), list[str]()
    if len(gpus) <= wanted:
        return gpus
    for gpu in _free_places(gpus):
        if gpu not in leased:
            leased.append(gpu)
        if len(leased) == wanted:
            break
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(leased)
    return leased


def hide_gpus() -> None:
    """Let no library of this process use a GPU."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def _free_places(gpus: list[str]) -> Iterator[str]:
    folder = Path(tempfile.gettempdir()) / f"bigloop-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    place = 0
    while True:
        for gpu in gpus:
            file = (folder / f"{re.sub(r'[^A-Za-z0-9-]', '-', gpu)}.{place}").open("w")
            if try_lock(file):
                held.append(file)
                yield gpu
            file.close()
        place += 1
