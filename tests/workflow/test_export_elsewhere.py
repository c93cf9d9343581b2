"""A finished experiment in the forms of other tools, read with these tools' own readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import bigloop
from bigloop.__main__ import main
from bigloop.ops.archive.elsewhere import to_huggingface, to_tensorboard
from bigloop.ops.study import Study
from bigloop.spec.options import SpecError

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def study(finished: Path) -> Study:
    return bigloop.open(finished / "results" / "smoke")


def test_tensorboard_reads_every_measure_by_generation(study: Study, tmp_path: Path) -> None:
    to_tensorboard(study, tmp_path / "logs")
    found = EventAccumulator(str(tmp_path / "logs" / "vae" / "seed-1"), size_guidance={"images": 0})
    found.Reload()
    rows = study.measures.query("run == 'vae' and seed == 1")
    named = {
        row.measure if pd.isna(row.detail) else f"{row.measure}/{row.detail}" for row in rows.itertuples()
    }
    assert set(found.Tags()["scalars"]) == named
    fid = rows[rows["measure"] == "fid"].sort_values("generation")
    events = found.Scalars("fid")
    assert [event.step for event in events] == fid["generation"].tolist()
    np.testing.assert_allclose([event.value for event in events], fid["value"], rtol=1e-6)
    assert [event.step for event in found.Images("samples")] == [1, 2, 3]


def test_a_datasets_folder_holds_pictures_with_their_origin(study: Study, tmp_path: Path) -> None:
    to_huggingface(study, tmp_path / "set", images=5, weights=True)
    table = pd.read_csv(tmp_path / "set" / "samples" / "metadata.csv")
    assert len(table) == 5 * 10  # two WGANs of two generations, and two seeds of three of the VAE
    row = table.query("run == 'vae' and seed == 1 and generation == 2 and `index` == 3").iloc[0]
    pixels = np.asarray(Image.open(tmp_path / "set" / "samples" / row["file_name"]))
    expected = np.round(255 * study.samples("vae", 2, seed=1)[3, 0].clip(0, 1))
    np.testing.assert_array_equal(pixels, expected)
    card = (tmp_path / "set" / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert {config["config_name"] for config in head["configs"]} == {
        "samples",
        "measures",
        "runs",
        "verdicts",
    }
    for config in head["configs"]:
        assert (tmp_path / "set" / config.get("data_files", config.get("data_dir"))).exists()
    assert len(list((tmp_path / "set" / "weights").rglob("model.safetensors"))) == 10


def test_the_verb_writes_them_and_no_archive(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["export", str(study.home), "--tensorboard", "logs", "--huggingface", "set", "--images", "1"]
    assert main(words) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs", "set"]
    with pytest.raises(SpecError, match="logs: holds something already"):
        to_tensorboard(study, tmp_path / "logs")
