"""How long a training step of each family takes at full size, and how far that is from what the processor can do.

The limit: the step's floating-point operations at the speed of the fastest large matrix product found here. Of the
operations, those of products and convolutions are counted, on the plain loop where there is one. Of a WGAN-GP step,
where the plain loop computes gradients that nobody uses, those are counted that an efficient algorithm needs, with
direct convolutions; one whose convolutions need fewer multiplications may come above 100 %.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bigloop.bench.plain import (
    BATCH,
    Contest,
    PlainVAE,
    PlainWGANGP,
    checked,
    timed,
)
from bigloop.bench.setting import CPU, Setting, image_model, median_seconds, seconds, trainer
from bigloop.bench.table import Column, Section, doing, number, time_text
from bigloop.data.densities import known_density
from bigloop.models import family
from bigloop.models.images.vae import VAE
from bigloop.models.images.wgan_gp import WGANGP
from bigloop.models.points.stacked import Streams
from bigloop.seeding import numpy_generator
from bigloop.training.recorded import GRAPHS

SIDES = (512, 1_024, 2_048, 4_096)  # of the square matrices of the limit
DDPM = {"width": 64, "blocks": 2, "patch": 1, "timesteps": 500, "batch_size": 128}  # of mad-mnist-ddpm.yaml
CLASSES = 10
# Family of points: the density that it learns, and its options, in the experiment that uses it.
POINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp_gan": ("ring", {"loss": "wgan_gp", "critic_iterations": 5, "learning_rate": 1e-4}),
    "glow": ("rosenbrock", {"couplings": 8, "hidden": 64, "batch_size": 256}),
    "otcfm": ("moons", {"hidden": 64, "layers": 3, "batch_size": 64}),
    "mlp_ddpm": ("gaussians8", {"batch_size": 1_000, "timesteps": 300}),
}
POINT_ROWS = 1_000


class Row(NamedTuple):
    """A step or an epoch. seconds, plain_seconds: medians of the rounds; ratio: that of the rounds' ratios.

    gflop: operations, in 10⁹; gflops: of them in a second; share: the limit's time in that measured.
    """

    name: str
    seconds: Annotated[float, Column("time", time_text)]
    plain_seconds: Annotated[float | None, Column("plain loop", time_text)]
    ratio: Annotated[float | None, Column("ratio", number(2))]
    gflop: Annotated[float, Column("GFLOP", number(3))]
    gflops: Annotated[float, Column("GFLOP/s", number(1))]
    share: Annotated[float, Column("of the limit", "{:.0%}".format)]
    loss_difference: Annotated[float | None, Column("loss diff.", "{:.0e}".format)]


class Sizes(NamedTuple):
    """Rows of the VAE's epoch; width and steps of a round, of the other networks; replicates of points, and steps."""

    rows: int
    gan_width: int
    gan: int
    ddpm_width: int
    ddpm: int
    replicates: dict[int, int]
    sides: tuple[int, ...]


QUICK = Sizes(3_200, 16, 1, 16, 1, {1: 20, 50: 2}, SIDES[:2])
ON_CPU = Sizes(60_000, 64, 6, 64, 1, {1: 200, 50: 10}, SIDES)
ON_GPU = ON_CPU._replace(gan=300, ddpm=100)  # recording itself takes part of a second


def rows(setting: Setting) -> Iterator[Row]:
    """The limit, then every family that learns by gradients."""
    device = setting.device
    sizes = QUICK if setting.quick else ON_GPU if device.type == "cuda" else ON_CPU
    yield (best := _limit("the", device, sizes))
    limit = best.gflops
    epoch = round(sizes.rows / BATCH)
    for mode in _modes(device):
        contest = Contest(f"VAE, an epoch of {sizes.rows:,}{mode}", _making("vae", device), PlainVAE, epoch)
        yield (whole := _contested(setting, contest, sizes.rows, vae_gflop, limit))
        yield _one(whole, epoch)._replace(name=f"VAE, a step of it{mode}", loss_difference=None)
    for critic_steps in (5, 2):
        make = _making("wgan_gp", device, width=sizes.gan_width, critic_iterations=critic_steps)
        for mode in _modes(device):
            name = f"WGAN-GP of width {sizes.gan_width}, {critic_steps} critic steps + 1{mode}"
            contest = Contest(name, make, PlainWGANGP, sizes.gan)
            yield _one(_contested(setting, contest, BATCH * 100, wgan_gp_gflop, limit), sizes.gan)
    yield from _ddpm(setting, sizes, limit)
    if device != CPU:
        yield _limit("the CPU's", CPU, sizes)
    for family_name in POINTS:
        for replicates, steps in sizes.replicates.items():
            yield _points(setting, family_name, replicates, steps, limit)


def peak(device: torch.device, sides: tuple[int, ...] = SIDES) -> tuple[int, float]:
    """Side of the fastest square float32 matrix product, of several, and its GFLOP/s: the best of 5 calls of each."""
    found = {}
    for side in sides:
        product = partial(torch.matmul, *torch.rand(2, side, side, device=device))
        _, *taken = (seconds(product, device) for _ in range(6))
        found[side] = 2e-9 * side**3 / min(taken)
    return max(found.items(), key=lambda item: item[1])


def gflop(call: Callable[[], object]) -> float:
    """Floating-point operations of the products and convolutions in a call, in 10⁹; taps on padding count, too."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = OneModule()  # type: ignore[assignment]
    with counter:
        call()
    return counter.get_total_flops() / 1e9


class OneModule:
    """Counts nothing module by module: torch's way to do so fails where a module's own input is differentiated."""

    parents = ("Global",)

    def __enter__(self) -> None: ...

    def __exit__(self, *exception: object) -> None: ...


def vae_gflop(model: VAE, batch: Tensor) -> float:
    """Operations of a VAE step, in 10⁹, counted on the plain loop."""
    return gflop(lambda: PlainVAE(model)(batch, _noise(batch.device)))


def wgan_gp_gflop(model: WGANGP, batch: Tensor) -> float:
    """Operations of a WGAN-GP step, in 10⁹, without those that no gradient needs; convolutions are direct."""
    model.prepare()
    return gflop(lambda: model.losses_by_autograd(batch, _noise(batch.device)))


def _limit(whose: str, device: torch.device, sizes: Sizes) -> Row:
    side, limit = peak(device, sizes.sides)
    name = f"{whose} limit: a product of {side:,}×{side:,} matrices"
    return _row(name, 2e-9 * side**3 / limit, 2e-9 * side**3, limit)


def _making(name: str, device: torch.device, **options: Any) -> Callable[[], Any]:
    return lambda: image_model(name, options, device)[0]


def _contested(
    setting: Setting, contest: Contest, rows: int, count: Callable[[Any, Tensor], float], limit: float
) -> Row:
    """A round of a contest, the operations of whose steps `count` counts."""
    images, labels = (part[:rows] for part in setting.digits)
    doing(contest.name)
    operations = contest.steps * count(contest.make(), setting.pixels(BATCH))
    difference = checked(contest, images, setting.device)
    plain, ours = timed(contest, images, labels, setting.device, setting.rounds)
    ratio = statistics.median(p / o for p, o in zip(plain, ours, strict=True))
    medians = statistics.median(ours), statistics.median(plain)
    return _row(contest.name, medians[0], operations, limit, medians[1], ratio, difference)


def _one(whole: Row, steps: int) -> Row:
    """One of the steps of a round."""
    plain = None if whole.plain_seconds is None else whole.plain_seconds / steps
    return whole._replace(seconds=whole.seconds / steps, plain_seconds=plain, gflop=whole.gflop / steps)


def _ddpm(setting: Setting, sizes: Sizes, limit: float) -> Iterator[Row]:
    labels = torch.from_numpy(setting.digits[1][:1_000]).long()
    for mode in _modes(setting.device):
        model, noise = image_model("ddpm", DDPM | {"width": sizes.ddpm_width}, setting.device, CLASSES)
        train = trainer(model, setting.pixels(1_000), noise, labels=labels)
        name = f"DDPM of width {sizes.ddpm_width}, a step{mode}"
        yield _alone(setting, name, train, sizes.ddpm, limit, setting.device)


def _points(setting: Setting, name: str, replicates: int, steps: int, limit: float) -> Row:
    cls: Any = family(name)
    density, given = POINTS[name]
    streams = Streams([numpy_generator(0, 0, "bench", r) for r in range(replicates)])
    model = cls.fresh(cls.Options(**given), 2, streams)
    drawn = [known_density(density, {}).sample(POINT_ROWS, g) for g in streams.generators]
    points = torch.stack([torch.from_numpy(one) for one in drawn]).to(model.dtype)
    train = trainer(model, points, streams, model.batches_per_step)
    name = f"{name}, a step of {replicates} replicate{'s' * (replicates > 1)}"
    return _alone(setting, name, train, steps, limit, CPU)


def _alone(
    setting: Setting, name: str, train: Callable[[int], None], steps: int, limit: float, device: torch.device
) -> Row:
    """A step that is compared with no other; the first, whose operations are counted, is not timed."""
    doing(name)
    operations = gflop(lambda: train(1))
    taken = median_seconds(lambda: train(steps), setting.rounds, device) / steps
    return _row(name, taken, operations, limit)


def _row(name: str, taken: float, operations: float, limit: float, *compared: float) -> Row:
    plain, ratio, difference = compared or (None, None, None)
    speed = operations / taken
    return Row(name, taken, plain, ratio, operations, speed, speed / limit, difference)


def _noise(device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(0)


def _modes(device: torch.device) -> Iterator[str]:
    """How steps are taken, as the end of their rows' names: as ever and, on a GPU, after that unrecorded."""
    yield ""
    if device.type == "cuda":
        before = os.environ.get(GRAPHS)
        os.environ[GRAPHS] = "0"
        try:
            yield ", no CUDA graph"
        finally:
            del os.environ[GRAPHS]
            os.environ |= {} if before is None else {GRAPHS: before}


SECTION = Section(
    "steps",
    "time of a training step at full size, beside the plain PyTorch loop where there is one (ratio: how many times\n"
    "as fast; it learns the same; loss diff.: over 3 steps in float32), and beside the limit: the operations of the\n"
    "step (GFLOP = 10⁹) at the speed of the fastest matrix product of this device",
    Row,
    rows,
)
