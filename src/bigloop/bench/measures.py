"""How measures and sampling grow with the number of images: time and memory, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch

from bigloop.bench.setting import Setting, alone, image_model, peak_gib, seconds
from bigloop.bench.steps import CLASSES, DDPM
from bigloop.bench.table import Column, Section, doing, number, time_text
from bigloop.data import load
from bigloop.metrics import MEASURES
from bigloop.seeding import numpy_generator
from bigloop.spec.registry import declared

FEATURES = 84  # as many as the shipped classifiers have
# Measure: what it is shown here, and the n on each side.
MEASURED = {
    "wasserstein1": ("pixels", (1_000, 2_000, 5_000, 10_000)),
    "precision": (f"{FEATURES} features", (1_000, 2_000, 5_000, 10_000)),
    "recall": (f"{FEATURES} features", (1_000, 2_000, 5_000, 10_000)),
    "fid": (f"{FEATURES} features", (10_000, 60_000)),
}
SAMPLES = 60_000
DDPM_SAMPLES = {"cpu": 20, "cuda": 10_000}  # a diffusion's sampling takes hours on a CPU
SAMPLED: dict[str, dict[str, Any]] = {
    "vae": {},
    "wgan_gp": {},
    "ddpm": DDPM | {"sampler": "ddim", "sampling_steps": 50},
}


class Row(NamedTuple):
    """A measure or a sampling of n images. peak_gib: the most memory of its process, its imports included."""

    name: str
    n: Annotated[int, Column("n", number(0))]
    seconds: Annotated[float | None, Column("time", time_text)]
    peak_gib: Annotated[float, Column("most GiB", number(2))]


def rows(setting: Setting) -> Iterator[Row]:
    """A process that only loads the digits, every measure at every n, every image family's sampling."""
    yield Row("to compare: a process that loads the digits", 60_000, None, alone(loaded, setting.data))
    for name, (shown, sizes) in MEASURED.items():
        for n in (200,) if setting.quick else sizes:
            doing(f"{name}, n = {n:,}")
            yield Row(f"{name}, of {shown}", n, *alone(_measure, name, n, setting.data))
    threads, device = torch.get_num_threads(), setting.device
    for name, options in SAMPLED.items():
        n = DDPM_SAMPLES[device.type] if name == "ddpm" else SAMPLES
        n = min(n, 2 if name == "ddpm" else 1_000) if setting.quick else n
        words = f"sampling {name}" + (", 50 steps of DDIM" if name == "ddpm" else "")
        doing(words)
        yield Row(words, n, *alone(_sample, name, options, n, device, threads))


def sides(name: str, n: int, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last n images as a measure is shown them: pixels in [0, 1], or their random projections."""
    first, last = (part.astype(np.float32) / 255 for part in (images[:n], images[-n:]))
    if MEASURES[name].on == ("images",):
        return first, last
    drawn = numpy_generator(0, 0, "bench").standard_normal((images[0].size, FEATURES), dtype=np.float32)
    return first.reshape(n, -1) @ drawn, last.reshape(n, -1) @ drawn


def loaded(data: Path) -> float:
    """The most memory of a process that has loaded the digits, in GiB."""
    load(data, "train")
    return peak_gib()


def _measure(name: str, n: int, data: Path) -> tuple[float, float]:
    images, _ = load(data, "train")
    small, given = sides(name, 50, images), sides(name, n, images)
    del images
    function: Callable[..., Any] = MEASURES[name].function
    function(*small)  # imports what it needs
    return seconds(lambda: function(*given)), peak_gib()


def _sample(
    name: str, options: dict[str, Any], n: int, device: torch.device, threads: int
) -> tuple[float, float]:
    torch.set_num_threads(threads)
    conditional = declared("families")[name].conditional
    model, generator = image_model(name, options, device, CLASSES if conditional else None)
    labels = {"labels": torch.arange(n) % CLASSES} if conditional else {}
    return seconds(lambda: model.sample(n, 1.0, generator, **labels).cpu()), peak_gib()


SECTION = Section(
    "measures",
    "time and most memory (of the whole process, its imports included) of measures of n real digits against n others,\n"
    "and of sampling n images with untrained weights",
    Row,
    rows,
)
