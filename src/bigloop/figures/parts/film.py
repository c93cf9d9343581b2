"""Figures one after another as a film."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from bigloop.artifacts import replacing
from bigloop.runtime.progress import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESOLUTION = 120  # dots per inch
COLOURS = 128  # of a GIF's frame


def write_film(stem: Path, figures: Iterable[Figure], milliseconds: int, report: Report) -> None:
    """Write figures of one size as stem.gif, each shown for so long, and as stem.mp4 where ffmpeg is installed.

    The last one is shown three times as long. An MP4 of before that cannot be written anew is deleted.
    """
    frames = [pixels(figure) for figure in figures]
    pictures = [Image.fromarray(frame).quantize(COLOURS, dither=Image.Dither.NONE) for frame in frames]
    shown = [milliseconds] * (len(frames) - 1) + [3 * milliseconds]
    with replacing(stem.with_name(f"{stem.name}.gif")) as temporary:
        pictures[0].save(
            temporary,
            "GIF",
            save_all=True,
            append_images=pictures[1:],
            duration=shown,
            loop=0,
            optimize=False,
        )
    film = stem.with_name(f"{stem.name}.mp4")
    if program := shutil.which("ffmpeg"):
        with replacing(film) as temporary:
            encode(program, [*frames, *frames[-1:] * 2], milliseconds, temporary)
    else:
        film.unlink(missing_ok=True)
        report("no MP4: ffmpeg is not installed")


def pixels(figure: Figure) -> np.ndarray:
    """A figure as uint8 (h, w, 3), with an even number of rows and of columns, as films want it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(RESOLUTION)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[..., :3]
    height, width = (size - size % 2 for size in drawn.shape[:2])
    return np.ascontiguousarray(drawn[:height, :width])


def encode(program: str, frames: list[np.ndarray], milliseconds: int, path: Path) -> None:
    """Frames as an MP4 (H.264) that browsers and slides play."""
    height, width, _ = frames[0].shape
    given = [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        f"{width}x{height}",
        "-r",
        f"1000/{milliseconds}",
        "-i",
        "-",
    ]
    made = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-r", "30", "-bitexact", "-threads", "1", "-f", "mp4"]
    command = [program, "-y", "-loglevel", "error", *given, *made, str(path)]
    subprocess.run(command, input=b"".join(frame.tobytes() for frame in frames), check=True)
