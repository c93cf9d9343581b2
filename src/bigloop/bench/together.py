"""How much several lineages get done that train at the same time on this device."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import NamedTuple

import torch

from bigloop.bench.setting import CPU, Setting, image_model
from bigloop.bench.table import Column, Section, doing, number
from bigloop.data import load
from bigloop.spec.runs import Budget

ROWS = 10_000
BATCH = 64
PATIENCE = 300.0  # seconds that one process waits for the others
# Family: its name here, and the steps that are timed, on a CPU and on a GPU.
FAMILIES = {"vae": ("VAE", 400, 20_000), "wgan_gp": ("WGAN-GP, 5 critic steps", 4, 1_000)}


class Row(NamedTuple):
    """So many processes of one family, with the steps of each.

    per_second: images trained on, by all together; relative: to one process.
    """

    name: str
    steps: int
    processes: int
    per_second: float
    relative: float


def rows(setting: Setting) -> Iterator[Row]:
    """One, two and three processes of each family; quick: one and two of the first."""
    on_gpu = setting.device.type == "cuda"
    for name, (words, cpu_steps, gpu_steps) in list(FAMILIES.items())[: 1 if setting.quick else None]:
        steps = 1 if setting.quick else gpu_steps if on_gpu else cpu_steps
        one = 0.0
        for count in (1, 2) if setting.quick else (1, 2, 3):
            doing(f"{words}, {count} at a time")
            found = throughput(name, count, steps, setting)
            one = one or found
            yield Row(words, steps, count, found, found / one)


def throughput(name: str, count: int, steps: int, setting: Setting) -> float:
    """Images a second that so many processes train on together, from the first one's start to the last one's end."""
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(count, spawn) as pool:
        barrier = manager.Barrier(count)
        given = name, steps, barrier, setting.data, setting.device.type
        done = [pool.submit(_train, *given) for _ in range(count)]
        times = [one.result() for one in done]
    begun, ended = min(start for start, _ in times), max(end for _, end in times)
    return count * steps * BATCH / (ended - begun)


def _train(name: str, steps: int, barrier: Barrier, data: Path, kind: str) -> tuple[float, float]:
    """When this process began and ended its steps, on the clock that all processes share."""
    torch.set_num_threads(1)
    device = CPU if kind == "cpu" else torch.device(kind)
    model, generator = image_model(name, {"batch_size": BATCH}, device)
    rows = torch.from_numpy(load(data, "train")[0][:ROWS]).to(device).float() / 255

    def train(steps: int) -> None:
        model.fit(rows, Budget(images=steps * BATCH), generator, lambda line: None)
        if device.type == "cuda":
            torch.cuda.synchronize()

    train(2)
    barrier.wait(PATIENCE)
    begun = time.monotonic()
    train(steps)
    return begun, time.monotonic()


SECTION = Section(
    "together",
    "images per second that 1, 2 and 3 trainings at the same time see in all (on a CPU with one thread each), and\n"
    "relative to one alone: how many jobs should share this machine",
    (
        Column("steps", "steps each", number(0)),
        Column("processes", "processes", number(0)),
        Column("per_second", "images/s", number(0)),
        Column("relative", "relative", number(2)),
    ),
    rows,
)
