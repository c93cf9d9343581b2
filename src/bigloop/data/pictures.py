"""Pictures to arrays of one size: scaled so that they just cover it, and cropped at the centre."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bigloop.data import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
ORIENTATION, TURNED = 0x0112, 5  # an EXIF tag; from this value on, height and width change places


def read_picture(path: Path, size: int | None, grey: bool) -> np.ndarray:
    """A picture file as uint8 (c, h, w), one channel or three; raises DataError naming it where it is damaged."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            if file.mode.startswith(("I", "F")):
                raise DataError(f"{path}: more than 8 bits a channel; convert it to 8 bits")
            return _array(ImageOps.exif_transpose(file), size, grey)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path}: damaged, or not a picture ({' '.join(str(error).split())}); replace or remove it"
        ) from None


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture file, from its header."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            turned = file.getexif().get(ORIENTATION, 0) >= TURNED
            width, height = file.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path}: damaged, or not a picture ({' '.join(str(error).split())}); replace or remove it"
        ) from None
    return (width, height) if turned else (height, width)


def fitted(images: np.ndarray, size: int | None, grey: bool) -> np.ndarray:
    """Images, uint8 (n, c, h, w), scaled to size × size and made grey where that is asked for."""
    from PIL import Image

    n, channels, height, width = images.shape
    if (size or height, size or width) == (height, width) and (channels == 1 or not grey):
        return images
    scaled = np.empty((n, 1 if grey else channels, size or height, size or width), np.uint8)
    for place, image in enumerate(images):
        picture = Image.fromarray(
            image[0] if channels == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
        )
        scaled[place] = _array(picture, size, grey or channels == 1)
    return scaled


def _array(picture: Image, size: int | None, grey: bool) -> np.ndarray:
    from PIL import Image, ImageOps

    picture = picture.convert("L" if grey else "RGB")
    if size and picture.size != (size, size):
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    array = np.asarray(picture)
    return array[None] if grey else array.transpose(2, 0, 1)
