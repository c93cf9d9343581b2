"""Pictures that get worse step by step: how they do, and that their table and page are made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from . import degraded

pytestmark = pytest.mark.long


@pytest.fixture
def images() -> np.ndarray:
    """Smooth coloured pictures, uint8 (6, 3, 16, 16)."""
    coarse = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 4), dtype=np.uint8)
    return degraded.blurred(coarse.repeat(4, axis=2).repeat(4, axis=3), 1.0)


@pytest.mark.parametrize("name", degraded.CHANGES)
def test_pictures_are_ever_further_from_what_they_were(name: str, images: np.ndarray) -> None:
    change, amounts, _ = degraded.CHANGES[name]
    away = [
        np.abs(change(images, amount).astype(float) - images.astype(float)).mean() for amount in (*amounts,)
    ]
    assert change(images, amounts[0]).dtype == np.uint8
    assert 0 < away[0] < away[-1]
    assert away == sorted(away)


def test_the_page_shows_each_change_with_its_distance(images: np.ndarray, tmp_path: Path) -> None:
    rows = [
        (name, amount, 10.0 * k)
        for name, (_, amounts, _) in degraded.CHANGES.items()
        for k, amount in enumerate(amounts)
    ]
    table = pd.DataFrame([("none", 0.0, 1.0), *rows], columns=["change", "amount", "fid"])
    degraded.draw(table, images, tmp_path / "page.png")
    assert imread(tmp_path / "page.png").std() > 0.1
