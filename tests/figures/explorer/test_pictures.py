"""Images and points as a page holds them: the same ones, within the room there is."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bigloop.figures.explorer import pictures
from bigloop.figures.explorer.pictures import OUTSIDE, packed, picture
from bigloop.spec.jobs import ExploreSpec


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_sheet_holds_the_first_images_row_by_row_to_the_last_bit() -> None:
    images = np.random.default_rng(0).random((7, 3, 5, 6)) * 1.4 - 0.2
    sheet = decoded(picture(images, 2, lossless=True))
    assert sheet.shape == (10, 12, 3)
    shown = np.round(255 * images.clip(0, 1)).astype(np.uint8)
    np.testing.assert_array_equal(sheet[5:10, 0:6], shown[2].transpose(1, 2, 0))
    np.testing.assert_array_equal(sheet[0:5, 6:12], shown[1].transpose(1, 2, 0))


def test_grey_images_are_grey_and_missing_ones_black() -> None:
    sheet = decoded(picture(np.full((3, 1, 4, 4), 0.6), 2, lossless=True))
    assert (sheet[:4] == 153).all()
    assert (sheet[4:, 4:] == 0).all()


def test_with_loss_a_sheet_is_smaller_and_nearly_the_same() -> None:
    rng = np.random.default_rng(0)
    images = rng.random((36, 3, 4, 4)).repeat(8, 2).repeat(8, 3)
    exact, lossy = picture(images, 6, True), picture(images + rng.normal(0, 0.02, images.shape), 6, False)
    assert len(lossy) < len(picture(images + rng.normal(0, 0.02, images.shape), 6, True))
    assert np.abs(decoded(exact).astype(float) - decoded(lossy)).mean() < 12


def test_sheets_that_do_not_fit_are_made_with_loss_and_then_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).random((36, 3, 16, 16))
    given = [(("faces", "", ""), noise), (("run", "0", "1"), noise)]
    monkeypatch.setattr(pictures, "first_images", lambda *_: iter(given))
    runs = pd.DataFrame({"run": ["run"]})

    def made(megabytes: float) -> tuple[int, int]:
        found = pictures.sheets(runs, tmp_path, ExploreSpec("test", 36, 1, megabytes))
        uris = [found["real"]["faces"], found["generated"]["run"]["0"]["1"]]
        assert sum(map(len, uris)) <= megabytes * 1e6 + 100
        return found["side"], len(uris[0])

    whole, lossy, fewer = made(1.0), made(0.045), made(0.01)
    assert whole[0] == lossy[0] == 6
    assert lossy[1] < whole[1]
    assert fewer[0] < 6


def test_points_keep_their_places_and_those_outside_say_so() -> None:
    box = np.array([[-1.0, 0.0], [1.0, 4.0]])
    points = np.array([[-1.0, 0.0], [1.0, 4.0], [0.25, 3.0], [1.1, 2.0], [0.0, -0.1]])
    numbers = np.frombuffer(base64.b64decode(packed(points, box)), "<u2").reshape(-1, 2)
    assert (numbers[3:] == OUTSIDE).all()
    back = box[0] + numbers[:3] / (OUTSIDE - 1) * (box[1] - box[0])
    np.testing.assert_allclose(back, points[:3], atol=4 / OUTSIDE)
