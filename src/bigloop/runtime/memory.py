"""How much memory this process may still take."""

from __future__ import annotations

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def spare_memory() -> int:
    """Bytes that can be allocated without swapping: what the machine has left, or this job's control group."""
    import psutil

    spare = psutil.virtual_memory().available
    try:
        limit, used = ((CGROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return spare
    return spare if limit == "max" else min(spare, int(limit) - int(used))


def gigabytes(number: float) -> str:
    """A size in readable units: 12.3 GB."""
    return f"{number / 1e9:.1f} GB"
