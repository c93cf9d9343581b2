"""Generated and real images, and points, as text that a page can hold, within so many megabytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from bigloop.analysis.loops import density_of
from bigloop.artifacts import read_tensors
from bigloop.data import as_floats, load
from bigloop.figures import Material
from bigloop.figures.files import generation_folders
from bigloop.figures.point_clouds import limits
from bigloop.spec.jobs import ExploreSpec

QUALITY = 90  # of pictures that would be too large without loss
BASE64 = 4 / 3  # characters a byte
CELLS = 128  # of a side of a picture of a known density
OUTSIDE = 65_535  # of a coordinate that is not in the box
CURVE = 200  # points of a known density on the line

Place = tuple[str, str, str]  # run or dataset, seed and generation, empty of real images


def sheets(runs: pd.DataFrame, results: Path, spec: ExploreSpec) -> dict[str, Any]:
    """Squares of the first images of every generation and of real ones, as data URIs of WebP pictures.

    Without loss where they fit, then with, then fewer images. `side`: images of a row; `real`: by dataset;
    `generated`: by run, seed, generation. {} where there are none.
    """
    of_images = runs[runs["density"].isna()] if "density" in runs else runs
    if of_images.empty:
        return {}
    room = spec.megabytes * 1e6 / BASE64
    most = max(1, int(spec.images**0.5))
    images = dict(first_images(of_images, results, spec.seeds, most**2))
    encoded: dict[Place, bytes] = {}
    side = most
    for side, lossless in product(range(most, 0, -1), (True, False)):
        encoded = {place: picture(some, side, lossless) for place, some in images.items()}
        if sum(map(len, encoded.values())) <= room:
            break
    real: dict[str, str] = {}
    generated: dict[str, dict[str, dict[str, str]]] = {}
    for (name, seed, generation), data in encoded.items():
        uri = f"data:image/webp;base64,{base64.b64encode(data).decode()}"
        if generation:
            generated.setdefault(name, {}).setdefault(seed, {})[generation] = uri
        else:
            real[name] = uri
    return {"side": side, "real": real, "generated": generated}


def first_images(
    runs: pd.DataFrame, results: Path, seeds: int, most: int
) -> Iterator[tuple[Place, np.ndarray]]:
    """The first `most` images of each generation of each run's first `seeds` seeds, and of each dataset's test rows."""
    shown = {
        str(run.run): [int(seed) for seed in str(run.seeds).split()[:seeds]] for run in runs.itertuples()
    }
    for name, seed, generation, folder in generation_folders(runs, results):
        if seed in shown[name]:
            tensors, _ = read_tensors(folder / "preview.safetensors")
            yield (name, str(seed), str(generation)), as_floats(tensors["images"][:most])
    for dataset, data in {str(run.dataset): str(run.data) for run in runs.itertuples()}.items():
        images, _ = load(results / "data" / data, "test")
        yield (dataset, "", ""), as_floats(images[:most])


def picture(images: np.ndarray, side: int, lossless: bool) -> bytes:
    """The first side × side of float images (k, c, h, w), clipped to [0, 1], as one WebP picture; missing ones are
    black."""
    shown = np.clip(images[: side**2, :3], 0, 1)
    k, c, h, w = shown.shape
    sheet = np.zeros((side**2, c, h, w))
    sheet[:k] = shown
    whole = sheet.reshape(side, side, c, h, w).transpose(0, 3, 1, 4, 2).reshape(side * h, side * w, c)
    pixels = np.round(255 * np.broadcast_to(whole, (*whole.shape[:2], 3))).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=lossless, quality=QUALITY)
    return file.getvalue()


def clouds(material: Material, spec: ExploreSpec) -> dict[str, Any]:
    """Points of each run's first seed, in one or two dimensions, and its known density.

    By run: `box`, low and high corner; `generations`: by generation, points as `packed`; `true`: points of the density
    itself; in one dimension `density`, its heights on a grid of the box, and in two as bytes, 255 where it is highest.
    Fewer points where they would not fit.
    """
    generated = {run for run, generation in material.points if generation is not None}
    runs = [row for row in material.runs.to_dict("records") if str(row["run"]) in generated]
    runs = [row for row in runs if material.points[str(row["run"]), None].shape[1] <= 2]
    count = sum(len(points) for points in material.points.values())
    share = min(1.0, spec.megabytes * 1e6 / BASE64 / max(1, 4 * count))
    found = {}
    for row in runs:
        run = str(row["run"])
        true = material.points[run, None]
        box = limits(true)

        def shown(points: np.ndarray, box: np.ndarray = box) -> str:
            return packed(points[: max(1, int(share * len(points)))], box)

        of_run = {str(g): shown(points) for (name, g), points in material.points.items() if name == run and g}
        entry = {"box": box.tolist(), "generations": of_run, "true": shown(true)}
        found[run] = entry | {"density": heights(row, box)}
    return found


def packed(points: np.ndarray, box: np.ndarray) -> str:
    """Points (k, d) as uint16, low byte first, in base64: 0 … 65 534 from the low to the high end of the box (2, d)."""
    inside = ((points >= box[0]) & (points <= box[1])).all(1)
    places = np.round((points - box[0]) / (box[1] - box[0]) * (OUTSIDE - 1))
    kept = np.where(inside[:, None], places, OUTSIDE).astype("<u2")
    return base64.b64encode(kept.tobytes()).decode()


def heights(run: dict[Any, Any], box: np.ndarray) -> list[float] | str:
    """The known density that a run learns, on a grid of the box: numbers in one dimension, else bytes in base64."""
    density = density_of(run)
    if density.dimension == 1:
        x = np.linspace(box[0, 0], box[1, 0], CURVE)
        return [float(f"{p:.4g}") for p in np.exp(density.log_density(x[:, None]))]
    axes = [np.linspace(box[0, i], box[1, i], CELLS) for i in range(2)]
    x, y = np.meshgrid(axes[0], axes[1][::-1])  # the first row is the highest y
    p = np.exp(density.log_density(np.stack([x.ravel(), y.ravel()], 1)))
    return base64.b64encode(np.round(255 * p / p.max()).astype(np.uint8).tobytes()).decode()
