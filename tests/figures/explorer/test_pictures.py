"""Images and points as a page holds them: the same ones, within the room there is."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from bigloop.figures.explorer.pictures import OUTSIDE, packed, picture


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


def test_points_keep_their_places_and_those_outside_say_so() -> None:
    box = np.array([[-1.0, 0.0], [1.0, 4.0]])
    points = np.array([[-1.0, 0.0], [1.0, 4.0], [0.25, 3.0], [1.1, 2.0], [0.0, -0.1]])
    numbers = np.frombuffer(base64.b64decode(packed(points, box)), "<u2").reshape(-1, 2)
    assert (numbers[3:] == OUTSIDE).all()
    back = box[0] + numbers[:3] / (OUTSIDE - 1) * (box[1] - box[0])
    np.testing.assert_allclose(back, points[:3], atol=4 / OUTSIDE)
