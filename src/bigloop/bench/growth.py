"""What more generations, wider networks and more rows cost: planning by Snakemake, steps and epochs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple

from bigloop.bench.plain import BATCH
from bigloop.bench.setting import (
    Config,
    Setting,
    image_model,
    median_seconds,
    only,
    read_config,
    snakemake,
    trainer,
)
from bigloop.bench.table import Column, Section, doing, number, time_text

CONFIG = "workflow/experiments/knutsen2025.yaml"
RUN = "vae"
SEEDS = 5


class Row(NamedTuple):
    """One size of something that grows. relative: its time over that of the smallest size."""

    name: str
    size: Annotated[int, Column("size", number(0))]
    seconds: Annotated[float, Column("time", time_text)]
    relative: Annotated[float, Column("relative", number(1))]


class Sizes(NamedTuple):
    generations: tuple[int, ...] = (10, 100, 1_000)
    hidden: tuple[int, ...] = (100, 200, 400, 800)
    width: tuple[int, ...] = (16, 32, 64)
    rows: tuple[int, ...] = (10_000, 30_000, 60_000)
    vae_steps: int = 100
    gan_steps: int = 2


QUICK = Sizes((2, 5), (100, 200), (4, 8), (640, 1_280), 10, 1)


def rows(setting: Setting) -> Iterator[Row]:
    """Plans, then the VAE's step by its width, the WGAN's by its width, and the VAE's epoch by its rows."""
    sizes = QUICK if setting.quick else Sizes()
    config = read_config(CONFIG)

    def plan(generations: int) -> float:
        place = setting.scratch / f"long-{generations}"
        return snakemake(long_loop(config, generations), place, "--dry-run")

    yield from _grown("snakemake -n, a loop of so many generations", sizes.generations, plan)
    if not setting.quick:
        whole = copy.deepcopy(config)
        for run in whole["runs"].values():
            run["seeds"] = SEEDS
        size = SEEDS * sum(run["generations"] for run in whole["runs"].values())
        name = f"snakemake -n, {len(whole['runs'])} runs × 20 × {SEEDS} seeds"
        yield from _grown(name, (size,), lambda size: snakemake(whole, setting.scratch / "wide", "--dry-run"))

    def step(name: str, steps: int, option: str) -> Callable[[int], float]:
        return lambda size: (
            _trained(setting, name, {option: size}, 100 * BATCH, steps, setting.rounds) / steps
        )

    yield from _grown(
        "VAE, a step, by units of a hidden layer", sizes.hidden, step("vae", sizes.vae_steps, "hidden")
    )
    yield from _grown(
        "WGAN-GP, 5 critic steps and 1, by width", sizes.width, step("wgan_gp", sizes.gan_steps, "width")
    )

    def epoch(rows: int) -> float:
        return _trained(setting, "vae", {}, rows, round(rows / BATCH), 1)

    yield from _grown("VAE, an epoch, by rows", sizes.rows, epoch)


def long_loop(config: Config, generations: int) -> Config:
    """The VAE of the paper's experiment alone, with so many generations and figures that any number of them has."""
    return only(config, RUN, generations=generations) | {"figures": {"fid": None, "losses": None}}


def _grown(name: str, sizes: tuple[int, ...], taken: Callable[[int], float]) -> Iterator[Row]:
    first = 0.0
    for size in sizes:
        doing(f"{name}: {size:,}")
        found = taken(size)
        first = first or found
        yield Row(name, size, found, found / first)


def _trained(
    setting: Setting, name: str, options: dict[str, Any], rows: int, steps: int, rounds: int
) -> float:
    """Seconds of so many steps on so many rows."""
    model, generator = image_model(name, options, setting.device)
    train = trainer(model, setting.pixels(rows), generator)
    train(min(steps, 10))
    return median_seconds(lambda: train(steps), rounds, setting.device)


SECTION = Section(
    "growth",
    "time as something grows, and over that of its smallest size: the plan of a workflow (nothing is run), the step\n"
    "of wider networks, the epoch of more rows",
    Row,
    rows,
    in_checkout=True,
)
