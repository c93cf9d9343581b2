"""Throughput of several trainings at the same time on this device, and of a plain loop that has all of it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Annotated, NamedTuple

import numpy as np
import torch

from bigloop.bench import pictures
from bigloop.bench.plain import PlainVAE, PlainWGANGP, Trained, plain_trainer
from bigloop.bench.setting import Setting, seconds, trainer
from bigloop.bench.table import Column, Section, doing, number

ROWS = 10_000
PATIENCE = 300.0  # seconds that one process waits for the others


# And the steps that are timed, on a CPU and on a GPU.
FAMILIES = [
    (Trained("VAE", "vae", {"batch_size": 64}, PlainVAE), 400, 10_000),
    (Trained("WGAN-GP, 5 critic steps", "wgan_gp", {"batch_size": 64}, PlainWGANGP), 4, 500),
    *((one._replace(name=f"{one.name}, 32×32×3"), steps // 2, 50 * steps) for one, steps in pictures.MODELS),
]


class Row(NamedTuple):
    """So many processes of one family, with the steps of each.

    per_second: images trained on, by all together; relative: to one process; against: to the plain loop.
    """

    name: str
    steps: Annotated[int, Column("steps each", number(0))]
    processes: Annotated[int, Column("processes", number(0))]
    per_second: Annotated[float, Column("images/s", number(0))]
    relative: Annotated[float | None, Column("relative", number(2))]
    against: Annotated[float | None, Column("× plain loop", number(2))]


def rows(setting: Setting) -> Iterator[Row]:
    """The plain loop, and one, two and three processes of each family; quick: one and two of the first."""
    on_gpu = setting.device.type == "cuda"
    for one, cpu_steps, gpu_steps in FAMILIES[: 1 if setting.quick else None]:
        steps = 1 if setting.quick else gpu_steps if on_gpu else cpu_steps
        doing(f"{one.name}, the plain loop")
        plain = plain_throughput(one, steps, setting)
        yield Row(f"{one.name}: plain loop, all threads", steps, 1, plain, None, None)
        alone = 0.0
        for count in (1, 2) if setting.quick else (1, 2, 3):
            doing(f"{one.name}, {count} at a time")
            found = throughput(one, count, steps, setting)
            alone = alone or found
            yield Row(one.name, steps, count, found, found / alone, found / plain)


def images_of(one: Trained, setting: Setting) -> np.ndarray:
    """Digits, or noise where colours are learnt, uint8 (n, *shape)."""
    if one.shape[0] == 1:
        return setting.digits[0][:ROWS]
    return np.random.default_rng(0).integers(0, 256, (ROWS, *one.shape), dtype=np.uint8)


def plain_throughput(one: Trained, steps: int, setting: Setting) -> float:
    """Images a second that the plain loop trains on in this process, with as many threads as it has."""
    images, contest = images_of(one, setting), one.contest(setting.device, steps)
    train = plain_trainer(contest, images, np.zeros(len(images), np.int64), setting.device)
    train(2)
    return steps * contest.batch / seconds(lambda: train(steps), setting.device)


def throughput(one: Trained, count: int, steps: int, setting: Setting) -> float:
    """Images a second that so many processes train on together, from the first one's start to the last one's end."""
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(count, spawn) as pool:
        barrier = manager.Barrier(count)
        given = replace(setting, given=setting.data)
        done = [pool.submit(_train, one, steps, barrier, given) for _ in range(count)]
        times = [future.result() for future in done]
    begun, ended = min(start for start, _ in times), max(end for _, end in times)
    return count * steps * one.contest(setting.device, steps).batch / (ended - begun)


def _train(one: Trained, steps: int, barrier: Barrier, setting: Setting) -> tuple[float, float]:
    """When this process began and ended its steps, on the clock that all processes share."""
    torch.set_num_threads(1)
    model, generator = one.model(setting.device)
    images = torch.from_numpy(images_of(one, setting)).to(setting.device)
    labels = torch.zeros(len(images), dtype=torch.int64) if one.classes else None
    train = trainer(model, images.float() / 255 if one.shape[0] == 1 else images, generator, labels=labels)
    train(2)
    barrier.wait(PATIENCE)
    begun = time.monotonic()
    return begun, begun + seconds(lambda: train(steps), setting.device)


SECTION = Section(
    "together",
    "images per second that 1, 2 and 3 trainings at the same time see in all (on a CPU with one thread each), and\n"
    "relative to one alone: how many jobs should share this machine; and to the plain PyTorch loop, which has all\n"
    "threads to itself",
    Row,
    rows,
)
