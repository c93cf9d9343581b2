"""What more generations, wider networks and more rows cost: planning by Snakemake, steps and epochs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bigloop.bench.plain import BATCH
from bigloop.bench.setting import Config, Setting, image_model, median_seconds, read_config, snakemake
from bigloop.bench.table import Column, Section, doing, number, time_text
from bigloop.spec.runs import Budget

CONFIG = "workflow/experiments/knutsen2025.yaml"
RUN = "vae"
SEEDS = 5


class Row(NamedTuple):
    """One size of something that grows. relative: its time over that of the smallest size."""

    name: str
    size: int
    seconds: float
    relative: float


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
        return _plan(setting, long_loop(config, generations), f"long-{generations}")

    yield from _grown("snakemake -n, a loop of so many generations", sizes.generations, plan)
    if not setting.quick:
        whole = copy.deepcopy(config)
        for run in whole["runs"].values():
            run["seeds"] = SEEDS
        size = SEEDS * sum(run["generations"] for run in whole["runs"].values())
        name = f"snakemake -n, {len(whole['runs'])} runs × 20 × {SEEDS} seeds"
        yield from _grown(name, (size,), lambda size: _plan(setting, whole, "wide"))
    yield from _grown(
        "VAE, a step, by units of a hidden layer",
        sizes.hidden,
        lambda hidden: _step(setting, "vae", {"hidden": hidden}, sizes.vae_steps),
    )
    yield from _grown(
        "WGAN-GP, 5 critic steps and 1, by width",
        sizes.width,
        lambda width: _step(setting, "wgan_gp", {"width": width}, sizes.gan_steps),
    )
    yield from _grown("VAE, an epoch, by rows", sizes.rows, lambda rows: _epoch(setting, rows))


def long_loop(config: Config, generations: int) -> Config:
    """The VAE of the paper's experiment alone, with so many generations and figures that any number of them has."""
    config = copy.deepcopy(config)
    config["experiment"] = "bench"
    config["runs"] = {RUN: config["runs"][RUN] | {"generations": generations}}
    used = config["runs"][RUN]
    config["models"] = {used["model"]: config["models"][used["model"]]}
    config["loops"] = {used["loop"]: config["loops"][used["loop"]]}
    config["figures"] = {"fid": None, "losses": None}
    return config


def _grown(name: str, sizes: tuple[int, ...], taken: Callable[[int], float]) -> Iterator[Row]:
    first = 0.0
    for size in sizes:
        doing(f"{name}: {size:,}")
        found = taken(size)
        first = first or found
        yield Row(name, size, found, found / first)


def _plan(setting: Setting, config: Config, place: str) -> float:
    return snakemake(config, setting.scratch / place, "--dry-run")


def _step(setting: Setting, name: str, options: dict[str, Any], steps: int) -> float:
    model, generator = image_model(name, options, setting.device)
    images = setting.pixels(100 * BATCH)

    def train(steps: int) -> None:
        model.fit(images, Budget(images=steps * BATCH), generator, lambda line: None)

    train(min(steps, 10))
    return median_seconds(lambda: train(steps), setting.rounds, setting.device) / steps


def _epoch(setting: Setting, rows: int) -> float:
    model, generator = image_model("vae", {}, setting.device)
    images = setting.pixels(rows)
    model.fit(images, Budget(images=10 * BATCH), generator, lambda line: None)
    return median_seconds(
        lambda: model.fit(images, Budget(epochs=1), generator, lambda line: None), 1, setting.device
    )


SECTION = Section(
    "growth",
    "time as something grows, and over that of its smallest size: the plan of a workflow (nothing is run), the step\n"
    "of wider networks, the epoch of more rows",
    (
        Column("size", "size", number(0)),
        Column("seconds", "time", time_text),
        Column("relative", "relative", number(1)),
    ),
    rows,
    in_checkout=True,
)
