"""Images from elsewhere: .npy, .npz, .safetensors or a folder of pictures, in a stated pixel range; never pickles."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from bigloop.data import DataError
from bigloop.data.images import read, walked

ARRAYS = (".npy", ".npz", ".safetensors")
ON_COMMAND_LINE = "set it with --range LOW HIGH"


def read_images(path: Path, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    """Images, float32 (n, *shape), with the stated range low … high mapped to 0 … 1.

    Arrays may be (n, h, w), (n, c, h, w) or (n, h, w, c); uint8 arrays and pictures always mean 0 … 255. An .npz
    or .safetensors file holds one array, or one called "images". Values may overshoot the range (a GAN's
    do), but raises DataError where they overshoot by more than its width, for then the range is wrong.
    Pickled arrays are refused.
    """
    array = _pictures(path, shape[0]) if path.is_dir() else read_array(path)
    return images_in(array, shape, low, high, path, ON_COMMAND_LINE)


def images_in(
    array: np.ndarray, shape: tuple[int, ...], low: float, high: float, path: Path, remedy: str
) -> np.ndarray:
    """The images in an array, float32 (n, *shape), see `read_images`; path and remedy: what an error names."""
    images = _of_shape(array, shape, path)
    if not len(images):
        raise DataError(f"{path}: contains no images")
    return in_range(images, low, high, path, remedy)


def in_range(images: np.ndarray, low: float, high: float, path: Path, remedy: str) -> np.ndarray:
    """Pixels as float32, low … high, of uint8 always 0 … 255, mapped to 0 … 1.

    Raises DataError, which ends with the remedy, where they do not fit.
    """
    if images.dtype == np.uint8:
        low, high = 0.0, 255.0
    if images.dtype.kind not in "fiub":
        raise DataError(f"{path}: holds {images.dtype} values, expected numbers")
    if not low < high:
        raise DataError(f"{path}: the given range {low:g} … {high:g} is empty; {remedy}")
    images = images.astype(np.float32)
    if not np.isfinite(images).all():
        raise DataError(f"{path}: contains non-finite values")
    width = high - low
    if images.min() < low - width or images.max() > high + width:
        raise DataError(
            f"{path}: values from {images.min():.3g} to {images.max():.3g} are outside the given range "
            f"{low:g} … {high:g}; {remedy}"
        )
    return (images - low) / width


def read_array(path: Path, name: str = "images", *, optional: bool = False) -> np.ndarray:
    """The array of this name in a file, or the only one; of none at all an empty one where it is `optional`."""
    with _readable(path):
        if path.suffix == ".npy":
            return np.zeros(0) if optional else np.load(path, mmap_mode="r", allow_pickle=False)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                key = _key(list(arrays), name, path, optional)
                return np.zeros(0) if key is None else arrays[key]
        with safetensors.safe_open(str(path), framework="numpy") as file:
            key = _key(list(file.keys()), name, path, optional)
            return np.zeros(0) if key is None else file.get_tensor(key)


def array_shape(path: Path) -> tuple[int, ...]:
    """The shape of the images in a file, from its header."""
    with _readable(path):
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False).shape
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                names = [name.removesuffix(".npy") for name in archive.namelist()]
                with archive.open(f"{_key(names, 'images', path)}.npy") as member:
                    version = np.lib.format.read_magic(member)
                    header = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    return header(member)[0]
        with safetensors.safe_open(str(path), framework="numpy") as file:
            return tuple(file.get_slice(_key(list(file.keys()), "images", path)).get_shape())


def channels_first(shape: tuple[int, ...], path: Path) -> tuple[tuple[int, int, int], tuple[int, ...] | None]:
    """Channels, height and width of images of `shape`, and how their axes are to be moved; None: an axis is missing."""
    if len(shape) == 3:
        return (1, *shape[1:]), None
    if len(shape) == 4 and shape[1] in (1, 3):
        return shape[1:], (0, 1, 2, 3)
    if len(shape) == 4 and shape[3] in (1, 3):
        return (shape[3], shape[1], shape[2]), (0, 3, 1, 2)
    raise DataError(
        f"{path}: an array of shape {shape}, expected (n, h, w), (n, c, h, w) or (n, h, w, c), c 1 or 3"
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    if path.suffix not in ARRAYS:
        raise DataError(f"{path}: expected {', '.join(ARRAYS)} or a folder of pictures")
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        safetensors.SafetensorError,
    ) as error:
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None


def _key(names: list[str], wanted: str, path: Path, optional: bool = False) -> str | None:
    if wanted in names:
        return wanted
    if optional:
        return None
    if len(names) == 1:
        return names[0]
    raise DataError(
        f"{path}: holds {', '.join(names) or 'nothing'}; expected one array, or one called {wanted}"
    )


def _pictures(folder: Path, channels: int) -> np.ndarray:
    names = [name for name, _ in walked(folder, "")]
    if not names:
        raise DataError(f"{folder}: no pictures under it")
    pictures = read([folder / name for name in names], None, grey=False)
    grey = channels == 1 and (pictures == pictures[:, :1]).all()
    return pictures[:, :1] if grey else pictures


def _of_shape(array: np.ndarray, shape: tuple[int, ...], path: Path) -> np.ndarray:
    channels, height, width = shape
    if array.shape[1:] == shape:
        return array
    if channels == 1 and array.shape[1:] == (height, width):
        return array[:, None]
    if array.shape[1:] == (height, width, channels):
        return array.transpose(0, 3, 1, 2)
    raise DataError(
        f"{path}: images of shape {array.shape[1:]}, expected {tuple(shape)} or {(height, width)}"
    )
