"""Throughput of several trainings at the same time on this device."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Annotated, NamedTuple

import torch

from bigloop.bench.setting import Setting, image_model, seconds, trainer
from bigloop.bench.table import Column, Section, doing, number

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
    steps: Annotated[int, Column("steps each", number(0))]
    processes: Annotated[int, Column("processes", number(0))]
    per_second: Annotated[float, Column("images/s", number(0))]
    relative: Annotated[float, Column("relative", number(2))]


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
        given = replace(setting, given=setting.data)
        done = [pool.submit(_train, name, steps, barrier, given) for _ in range(count)]
        times = [one.result() for one in done]
    begun, ended = min(start for start, _ in times), max(end for _, end in times)
    return count * steps * BATCH / (ended - begun)


def _train(name: str, steps: int, barrier: Barrier, setting: Setting) -> tuple[float, float]:
    """When this process began and ended its steps, on the clock that all processes share."""
    torch.set_num_threads(1)
    model, generator = image_model(name, {"batch_size": BATCH}, setting.device)
    train = trainer(model, setting.pixels(ROWS), generator)
    train(2)
    barrier.wait(PATIENCE)
    begun = time.monotonic()
    return begun, begun + seconds(lambda: train(steps), setting.device)


SECTION = Section(
    "together",
    "images per second that 1, 2 and 3 trainings at the same time see in all (on a CPU with one thread each), and\n"
    "relative to one alone: how many jobs should share this machine",
    Row,
    rows,
)
