"""Two generations of a small VAE, which most tests of this folder look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .lineage import lineage, run_spec


@pytest.fixture(scope="session")
def two_generations(small_mnist: Path, once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The folder of a VAE's run of two generations, seed 0; not to be changed."""
    return once("two-generations", lambda root: lineage(root, run_spec(), 0, 2, small_mnist))
