"""Images from elsewhere arrive as floats with real data in [0, 1], or the message names the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from bigloop.data import DataError
from bigloop.data.files import read_images

GREY, COLOUR = (1, 6, 5), (3, 6, 5)


def random_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


def save_npy(path: Path, array: np.ndarray) -> Path:
    np.save(path / "images.npy", array)
    return path / "images.npy"


def save_npz(path: Path, array: np.ndarray) -> Path:
    np.savez(path / "images.npz", anything=array)
    return path / "images.npz"


def save_npz_with_labels(path: Path, array: np.ndarray) -> Path:
    np.savez_compressed(path / "images.npz", labels=np.zeros(len(array)), images=array)
    return path / "images.npz"


def save_safetensors(path: Path, array: np.ndarray) -> Path:
    safetensors.numpy.save_file({"images": array, "labels": np.zeros(2)}, path / "images.safetensors")
    return path / "images.safetensors"


def save_pngs(path: Path, array: np.ndarray) -> Path:
    for number, image in enumerate(array):
        Image.fromarray(image).save(path / f"{number:03d}.png")
    return path


SAVE = pytest.mark.parametrize("save", [save_npy, save_npz, save_npz_with_labels, save_safetensors])


@SAVE
def test_every_format_holds_the_same_images(save: Callable, tmp_path: Path) -> None:
    array = random_images(4, *GREY).astype(np.float32)
    read = read_images(save(tmp_path, array), GREY, 0, 1)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_layouts_with_channels_first_last_or_none_are_the_same_images(shape: tuple, tmp_path: Path) -> None:
    array = random_images(4, *shape).astype(np.float32)
    layouts = [array, np.moveaxis(array, 1, -1)] + ([array[:, 0]] if shape == GREY else [])
    for layout in layouts:
        np.testing.assert_array_equal(read_images(save_npy(tmp_path, layout), shape, 0, 1), array)


@SAVE
def test_bytes_mean_0_to_255_whatever_range_is_stated(save: Callable, tmp_path: Path) -> None:
    array = (random_images(4, *GREY) * 255).astype(np.uint8)
    read = read_images(save(tmp_path, array), GREY, -1, 1)
    np.testing.assert_allclose(read, array / 255, rtol=1e-6)


def test_a_folder_of_pngs_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    array = (random_images(12, 6, 5) * 255).astype(np.uint8)
    read = read_images(save_pngs(tmp_path, array), GREY, 0, 1)
    np.testing.assert_allclose(read[:, 0], array / 255, rtol=1e-6)


def test_a_folder_of_colour_pngs_keeps_its_colours(tmp_path: Path) -> None:
    array = (random_images(3, 6, 5, 3) * 255).astype(np.uint8)
    read = read_images(save_pngs(tmp_path, array), COLOUR, 0, 1)
    np.testing.assert_allclose(read, np.moveaxis(array, -1, 1) / 255, rtol=1e-6)


def test_the_stated_range_is_mapped_to_0_and_1_and_may_be_overshot(tmp_path: Path) -> None:
    array = np.full((2, 6, 5), -1.0)
    array[0, 0, :3] = [1.0, 0.0, 1.2]
    read = read_images(save_npy(tmp_path, array), GREY, -1, 1)
    assert read[0, 0, 0, :4].tolist() == pytest.approx([1.0, 0.5, 1.1, 0.0])


@pytest.mark.parametrize(("value", "low", "high"), [(255.0, 0, 1), (255.0, -1, 1), (-1.5, 0, 1)])
def test_values_that_cannot_be_of_the_stated_range_ask_for_the_right_one(
    value: float, low: float, high: float, tmp_path: Path
) -> None:
    array = np.zeros((2, 6, 5))
    array[1, 2, 3] = value
    path = save_npy(tmp_path, array)
    with pytest.raises(DataError, match=rf"\A{re.escape(str(path))}: values from [^\n]+ --range LOW HIGH\Z"):
        read_images(path, GREY, low, high)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (1, 0)])
def test_a_range_without_width_is_refused(low: float, high: float, tmp_path: Path) -> None:
    path = save_npy(tmp_path, np.ones((2, 6, 5)))
    with pytest.raises(DataError, match=rf"\A{re.escape(str(path))}: [^\n]+\Z"):
        read_images(path, GREY, low, high)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    array = np.zeros((2, 6, 5))
    array[1, 2, 3] = value
    with pytest.raises(DataError, match=r"images\.npy: contains non-finite values"):
        read_images(save_npy(tmp_path, array), GREY, 0, 1)


def test_pickled_arrays_are_refused_unread(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / "images.npy"
    np.save(path, np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=rf"\A{re.escape(str(path))}: cannot be read \([^\n]+\)\Z"):
        read_images(path, GREY, 0, 1)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["images.npy", "images.npz", "images.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not an array\n", b"\x93NUMPY\x01", b"PK\x03\x04"])
def test_a_damaged_file_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"\A{re.escape(str(path))}: cannot be read [^\n]+\Z"):
        read_images(path, GREY, 0, 1)


def test_a_damaged_picture_is_named_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1\.png: damaged, or not a picture [^\n]+\Z"):
        read_images(tmp_path, GREY, 0, 1)


def test_pictures_of_several_sizes_are_refused(tmp_path: Path) -> None:
    for number, size in enumerate([(5, 6), (6, 5)]):
        Image.new("L", size).save(tmp_path / f"{number}.png")
    with pytest.raises(DataError, match="differ in size"):
        read_images(tmp_path, GREY, 0, 1)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 7, 5), "images of shape"),
        ((6, 5), "images of shape"),
        ((0, 6, 5), "contains no images"),
        ((), "images of"),
    ],
)
def test_images_of_another_shape_or_none_are_refused(shape: tuple, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_images(save_npy(tmp_path, np.zeros(shape)), GREY, 0, 1)


def test_what_is_not_there_or_of_no_known_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "images.mat").touch()
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.zeros(1))
    for name, message in {
        "none.npy": "no such file",
        "none.npz": "no such file",
        "none.safetensors": "no such file",
        "none": "expected .npy, .npz, .safetensors or a folder of pictures",
        "images.mat": "expected .npy, .npz, .safetensors or a folder of pictures",
        "empty": "no pictures under it",
        "two.npz": "holds a, b; expected one array, or one called images",
    }.items():
        with pytest.raises(DataError, match=rf"\A{re.escape(str(tmp_path / name))}: {message}\Z"):
            read_images(tmp_path / name, GREY, 0, 1)


@pytest.mark.parametrize("dtype", ["<U3", "complex64", "datetime64[s]"])
def test_an_array_of_something_else_than_numbers_is_refused(dtype: str, tmp_path: Path) -> None:
    path = save_npy(tmp_path, np.zeros((2, 6, 5), dtype=dtype))
    with pytest.raises(DataError, match=rf"\A{re.escape(str(path))}: [^\n]+\Z"):
        read_images(path, GREY, 0, 1)
