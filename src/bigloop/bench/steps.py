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
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bigloop.bench.plain import (
    BATCH,
    Contest,
    PlainVAE,
    PlainWGANGP,
    checked,
    latent,
    timed,
)
from bigloop.bench.setting import CPU, Setting, median_seconds, seconds
from bigloop.bench.table import Column, Section, doing, number, time_text
from bigloop.data.densities import known_density
from bigloop.models import family
from bigloop.models.images.vae import VAE
from bigloop.models.images.wgan_gp import WGANGP
from bigloop.models.points.stacked import Streams
from bigloop.seeding import numpy_generator
from bigloop.spec.runs import Budget
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
    seconds: float
    plain_seconds: float | None
    ratio: float | None
    gflop: float
    gflops: float
    share: float
    loss_difference: float | None


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
ON_GPU = ON_CPU._replace(gan=1_000, ddpm=300)  # recording itself takes part of a second


def rows(setting: Setting) -> Iterator[Row]:
    """The limit, then every family that learns by gradients."""
    sizes = QUICK if setting.quick else ON_GPU if setting.device.type == "cuda" else ON_CPU
    side, limit = peak(setting.device, sizes.sides)
    yield _row(
        f"the limit: a product of {side:,}×{side:,} matrices", 2e-9 * side**3 / limit, 2e-9 * side**3, limit
    )
    yield from _vae(setting, sizes, limit)
    for critic_steps in (5, 2):
        yield from _wgan_gp(setting, sizes, limit, critic_steps)
    yield from _ddpm(setting, sizes, limit)
    if setting.device != CPU:
        side, limit = peak(CPU, sizes.sides)
        name = f"the CPU's limit: a product of {side:,}×{side:,} matrices"
        yield _row(name, 2e-9 * side**3 / limit, 2e-9 * side**3, limit)
    for name in POINTS:
        for replicates, steps in sizes.replicates.items():
            yield _points(setting, name, replicates, steps, limit)


def peak(device: torch.device, sides: tuple[int, ...] = SIDES) -> tuple[int, float]:
    """Side of the fastest square float32 matrix product, of several, and its GFLOP/s: the best of 5 calls of each."""
    found = {}
    for side in sides:
        a, b = torch.rand(2, side, side, device=device).unbind()
        seconds(lambda a=a, b=b: a @ b, device)  # type: ignore[misc]
        best = min(seconds(lambda a=a, b=b: a @ b, device) for _ in range(5))  # type: ignore[misc]
        found[side] = 2e-9 * side**3 / best
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
    return gflop(lambda: _frugal(model, batch, _noise(batch.device)))


def _frugal(model: WGANGP, real: Tensor, noise: torch.Generator) -> None:
    """The passes of a step by torch's modules: the critic's, which do not reach the generator, and the generator's."""
    make, critic = model.networks["generator"], model.networks["critic"]
    for _ in range(model.options.critic_iterations):
        with torch.no_grad():
            fake = make(latent(model, len(real), noise))
        between = 0.5 * (real + fake).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        loss = critic(torch.cat([real, fake])).sum() + gradient.square().sum()
        loss.backward(inputs=list(critic.parameters()))
    critic(make(latent(model, len(real), noise))).sum().backward(inputs=list(make.parameters()))


def _vae(setting: Setting, sizes: Sizes, limit: float) -> Iterator[Row]:
    def make() -> VAE:
        return VAE.fresh(VAE.Options(), (1, 28, 28), _noise(setting.device))

    operations = vae_gflop(make(), setting.pixels(BATCH))
    steps = round(sizes.rows / BATCH)
    for mode in _modes(setting.device):
        contest = Contest(f"VAE, an epoch of {sizes.rows:,}{mode}", make, PlainVAE, steps)
        epoch = _contested(setting, contest, sizes.rows, steps * operations, limit)
        yield epoch
        one = epoch.seconds / steps, operations, limit, (epoch.plain_seconds or 0) / steps, epoch.ratio
        yield _row(f"VAE, a step of it{mode}", *one)


def _wgan_gp(setting: Setting, sizes: Sizes, limit: float, critic_steps: int) -> Iterator[Row]:
    def make() -> WGANGP:
        options = WGANGP.Options(width=sizes.gan_width, critic_iterations=critic_steps)
        return WGANGP.fresh(options, (1, 28, 28), _noise(setting.device))

    operations = wgan_gp_gflop(make(), setting.pixels(BATCH))
    for mode in _modes(setting.device):
        name = f"WGAN-GP of width {sizes.gan_width}, {critic_steps} critic steps + 1{mode}"
        contest = Contest(name, make, PlainWGANGP, sizes.gan)
        whole = _contested(setting, contest, BATCH * 100, sizes.gan * operations, limit)
        yield whole._replace(
            seconds=whole.seconds / sizes.gan,
            plain_seconds=(whole.plain_seconds or 0) / sizes.gan,
            gflop=operations,
        )


def _contested(setting: Setting, contest: Contest, rows: int, operations: float, limit: float) -> Row:
    """A round of a contest; `operations` are those of all its steps."""
    images, labels = (part[:rows] for part in setting.digits)
    doing(contest.name)
    with _mode(contest.name):
        difference = checked(contest, images, setting.device)
        plain, ours = timed(contest, images, labels, setting.device, setting.rounds)
    ratio = statistics.median(p / o for p, o in zip(plain, ours, strict=True))
    medians = statistics.median(ours), statistics.median(plain)
    return _row(contest.name, medians[0], operations, limit, medians[1], ratio, difference)


def _ddpm(setting: Setting, sizes: Sizes, limit: float) -> Iterator[Row]:
    cls: Any = family("ddpm")
    images = setting.pixels(1_000)
    labels = torch.from_numpy(setting.digits[1][:1_000]).long()
    for mode in _modes(setting.device):
        model = cls.fresh(
            cls.Options(**DDPM | {"width": sizes.ddpm_width}), (1, 28, 28), _noise(setting.device), CLASSES
        )

        def train(steps: int, model: Any = model) -> None:
            budget = Budget(images=steps * DDPM["batch_size"])
            model.fit(images, budget, _noise(setting.device), lambda line: None, labels=labels)

        name = f"DDPM of width {sizes.ddpm_width}, a step{mode}"
        doing(name)
        with _mode(name):
            operations = gflop(lambda train=train: train(1))  # type: ignore[misc]
            call = lambda train=train: train(sizes.ddpm)  # noqa: E731
            taken = median_seconds(call, setting.rounds, setting.device)
        yield _row(name, taken / sizes.ddpm, operations, limit)


def _points(setting: Setting, name: str, replicates: int, steps: int, limit: float) -> Row:
    cls: Any = family(name)
    density, given = POINTS[name]
    options = cls.Options(**given)
    streams = Streams([numpy_generator(0, 0, "bench", r) for r in range(replicates)])
    model = cls.fresh(options, 2, streams)
    drawn = [known_density(density, {}).sample(POINT_ROWS, g) for g in streams.generators]
    points = torch.stack([torch.from_numpy(one) for one in drawn]).to(model.dtype)

    def train(steps: int) -> None:
        budget = Budget(images=steps * options.batch_size * model.batches_per_step)
        model.fit(points, budget, streams, lambda line: None)

    operations = gflop(lambda: train(1))
    train(2)
    taken = median_seconds(lambda: train(steps), setting.rounds) / steps
    return _row(f"{name}, a step of {replicates} replicate{'s' * (replicates > 1)}", taken, operations, limit)


def _row(
    name: str,
    taken: float,
    operations: float,
    limit: float,
    plain: float | None = None,
    ratio: float | None = None,
    difference: float | None = None,
) -> Row:
    speed = operations / taken
    return Row(name, taken, plain, ratio, operations, speed, speed / limit, difference)


def _noise(device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(0)


UNRECORDED = ", no CUDA graph"


def _modes(device: torch.device) -> tuple[str, ...]:
    """How a step is taken, as the end of its row's name: on a GPU recorded, and as it stands."""
    return ("", UNRECORDED) if device.type == "cuda" else ("",)


@contextmanager
def _mode(name: str) -> Iterator[None]:
    """Let steps be taken as the end of a row's name says."""
    before = os.environ.get(GRAPHS)
    if name.endswith(UNRECORDED):
        os.environ[GRAPHS] = "0"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(GRAPHS, None)
        else:
            os.environ[GRAPHS] = before


SECTION = Section(
    "steps",
    "time of a training step at full size, beside the plain PyTorch loop where there is one (ratio: how many times\n"
    "as fast; it learns the same; loss diff.: over 3 steps in float32), and beside the limit: the operations of the\n"
    "step (GFLOP = 10⁹) at the speed of the fastest matrix product of this device",
    (
        Column("seconds", "time", time_text),
        Column("plain_seconds", "plain loop", time_text),
        Column("ratio", "ratio", number(2)),
        Column("gflop", "GFLOP", number(3)),
        Column("gflops", "GFLOP/s", number(1)),
        Column("share", "of the limit", "{:.0%}".format),
        Column("loss_difference", "loss diff.", "{:.0e}".format),
    ),
    rows,
)
