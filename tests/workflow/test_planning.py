"""Planning stays quick however many jobs there are."""

from __future__ import annotations

import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.workflow

FULL = Path(__file__).parents[2] / "workflow" / "experiments" / "knutsen2025.yaml"


def processor_seconds() -> float:
    """That all finished child processes took: other work on the machine does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize(
    ("change", "trainings", "limit"),
    [
        ({"runs": {run: {"seeds": 5} for run in ("wgan-setup1", "wgan-setup2", "vae")}}, 300, 10),
        ({"only": "vae", "runs": {"vae": {"generations": 1_000}}}, 1_000, 20),
    ],
    ids=["3 runs × 20 generations × 5 seeds", "1 000 generations"],
)
def test_a_plan_of_many_jobs_is_made_in_seconds(
    change: dict[str, Any], trainings: int, limit: float, call: Callable[..., str], tmp_path: Path
) -> None:
    changed = tmp_path / "change.yaml"
    changed.write_text(yaml.safe_dump(change))
    before = processor_seconds()
    printed = call(
        "--dry-run", "--quiet", "host", "--directory", str(tmp_path), "--configfile", str(FULL), str(changed)
    )
    # Here 4.4 and 11 seconds; an empty plan takes 1.6. A scan of results or a quadratic search takes minutes.
    assert processor_seconds() - before < limit
    assert re.search(rf"^train +{trainings}$", printed, re.MULTILINE)
