"""What a training leaves to look at goes from the config to the figures, and is nobody's reason to train again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bigloop.artifacts import SNAPSHOTS_FILE, read_tensors

from .conftest import Workplace

pytestmark = pytest.mark.workflow


def test_snapshots_are_taken_and_drawn_and_neither_more_nor_fewer_train_anything_again(
    tmp_path: Path,
) -> None:
    place = Workplace(tmp_path)
    pixels = np.random.default_rng(0).integers(256, size=(400, 28, 28), dtype=np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    loop = {"initial": {"n": 300}, "samples": 100, "synthetic": {"n": 100}}
    place.config = {
        "experiment": "watched",
        "datasets": {"mine": {"source": "arrays", "root": str(tmp_path / "images.npy")}},
        "models": {"gan": {"family": "dcgan", "width": 2}},
        "loops": {"once": loop | {"budget": {"initial": {"epochs": 2.5}, "retrain": {"epochs": 1}}}},
        "runs": {"gan": {"dataset": "mine", "model": "gan", "loop": "once", "generations": 1}},
        "storage": {"snapshots": 1},
        "measures": {"pixels": {"n": 40}},
        "figures": {"fixed_latents": {"latents": 2}, "gradient_norms": None},
    }
    place.snakemake()
    figures = tmp_path / "results" / "watched" / "figures"
    assert {path.stem for path in figures.glob("*.png")} == {"fixed_latents", "gradient_norms"}
    taken, _ = read_tensors(place.generation("gan", 1) / SNAPSHOTS_FILE)
    assert taken["steps"].tolist() == [
        0,
        19,
        47,
    ]  # 19 steps an epoch; 38 is less than half of one before the end
    for epochs in (0.5, 0):
        place.config["storage"]["snapshots"] = epochs
        place.config["figures"] = {"gradient_norms": None}
        assert place.plan() == []
