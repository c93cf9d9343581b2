"""Images from elsewhere: .npy, .npz, .safetensors or a folder of PNGs, in a stated pixel range."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import safetensors.numpy

from bigloop.data import DataError


def read_images(path: Path, shape: tuple[int, int, int], low: float, high: float) -> np.ndarray:
    """Images, float32 (n, *shape), with the stated range low … high mapped to 0 … 1.

    Arrays may be (n, h, w), (n, c, h, w) or (n, h, w, c); uint8 arrays and PNGs always mean 0 … 255. An .npz
    or .safetensors file holds one array, or one called "images". Values may overshoot the range (a GAN's
    do), but raises DataError where they overshoot by more than its width, for then the range is wrong.
    Pickled arrays are refused.
    """
    array = _read(path)
    if array.dtype == np.uint8:
        low, high = 0.0, 255.0
    if array.dtype.kind not in "fiub":
        raise DataError(f"{path}: holds {array.dtype} values, expected numbers")
    if not low < high:
        raise DataError(
            f"{path}: the stated range {low:g} … {high:g} is empty; state it with --range LOW HIGH"
        )
    images = _arranged(array, shape, path).astype(np.float32)
    if not len(images):
        raise DataError(f"{path}: holds no images")
    if not np.isfinite(images).all():
        raise DataError(f"{path}: holds values that are not finite")
    width = high - low
    if images.min() < low - width or images.max() > high + width:
        raise DataError(
            f"{path}: values from {images.min():.3g} to {images.max():.3g} do not fit the stated range "
            f"{low:g} … {high:g}; state it with --range LOW HIGH"
        )
    return (images - low) / width


def _read(path: Path) -> np.ndarray:
    try:
        if path.is_dir():
            return _read_folder(path)
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return _only(dict(file), path)
        if path.suffix == ".safetensors":
            return _only(safetensors.numpy.load_file(path), path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, safetensors.SafetensorError) as error:
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    raise DataError(f"{path}: expected .npy, .npz, .safetensors or a folder of PNGs")


def _only(arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    if "images" in arrays:
        return arrays["images"]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    raise DataError(
        f"{path}: holds {', '.join(arrays) or 'nothing'}; expected one array, or one called images"
    )


def _read_folder(folder: Path) -> np.ndarray:
    from PIL import Image

    files = sorted(folder.glob("*.png"))
    if not files:
        raise DataError(f"{folder}: no .png files in it")
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    if len({p.shape for p in pictures}) > 1:
        raise DataError(f"{folder}: its pictures differ in size")
    colour = np.stack(pictures)
    grey = (colour == colour[..., :1]).all()
    return colour[..., 0] if grey else colour


def _arranged(array: np.ndarray, shape: tuple[int, int, int], path: Path) -> np.ndarray:
    channels, height, width = shape
    if array.shape[1:] == shape:
        return array
    if channels == 1 and array.shape[1:] == (height, width):
        return array[:, None]
    if array.shape[1:] == (height, width, channels):
        return array.transpose(0, 3, 1, 2)
    raise DataError(f"{path}: images of shape {array.shape[1:]}, expected {shape} or {(height, width)}")
