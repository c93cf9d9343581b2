"""What runs and loops are called: by the tables, and in the papers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REAL = "real"  # the run whose rows measure real data against other real data
KEYS_OF_KIND = ("real.fixed", "real.fresh", "synthetic.n", "synthetic.ratio")


def kind_of_loop(run: Mapping[str, Any]) -> str:
    """What later generations train on, in the papers' words, from a row of the runs table; "" where it does not say."""
    fixed, fresh, n, ratio = (float(run.get(f"loop.{key}", 0) or 0) for key in KEYS_OF_KIND)
    synthetic = n > 0 or ratio > 0  # a column that another run has is NaN here
    if fresh > 0:
        return "fresh data" if synthetic else "real data only"
    if fixed > 0:
        return "synthetic augmentation" if synthetic else "real data only"
    return "fully synthetic" if synthetic else ""
