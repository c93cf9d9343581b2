"""What each remedy for mode collapse costs: a step of twenty GANs of points with it, beside one of the plain GANs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import torch

from bigloop.bench.setting import CPU, Setting, seconds, trainer
from bigloop.bench.table import Column, Section, doing, number, time_text
from bigloop.data.densities import known_density
from bigloop.models.points.mlp_gan import MLPGAN
from bigloop.models.points.stacked import Streams
from bigloop.seeding import numpy_generator

REPLICATES, ROWS, STEPS = 20, 1_000, 50
# The models of mode-collapse.yaml, in its order.
PLAIN: dict[str, Any] = {
    "loss": "gan",
    "critic_iterations": 1,
    "learning_rate": 1e-3,
    "critic_learning_rate": 2e-4,
    "beta2": 0.99,
    "scale": 6.0,
}
REMEDIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "minibatch": {"minibatch_kernels": 8, "kernel_dimensions": 2},
    "deviation": {"minibatch_deviation": True},
    "unrolled": {"unroll": 5},
    "spectral": {"spectral_norm": True},
    "smoothing": {"label_smoothing": 0.1},
    "ttur": {"critic_learning_rate": 4e-3},
    "infogan": {"codes": 8},
    "generators": {"generators": 4},
    "critics": {"critics": 3},
    "packed": {"pack": 2},
    "packed-4": {"pack": 4},
    "noise": {"instance_noise": 0.1},
    "diffusion": {"diffusion_steps": 50},
    "contrastive": {"contrast": 0.2},
    "r1": {"r1": 0.1},
    "relativistic": {"loss": "relativistic"},
    "r3gan": {"loss": "relativistic", "r1": 0.1, "r2": 0.1},
    "clipped": {"loss": "wgan_clip"},
    "penalty": {"loss": "wgan_gp"},
    "forward": {"loss": "f_gan", "divergence": "forward_kl"},
    "reverse": {"loss": "f_gan", "divergence": "reverse_kl"},
    "pearson": {"loss": "f_gan", "divergence": "chi_squared"},
    "hellinger": {"loss": "f_gan", "divergence": "hellinger"},
    "variation": {"loss": "f_gan", "divergence": "total_variation"},
}


class Row(NamedTuple):
    """A step of both networks of all replicates; ratio: to the plain GANs' step, the median of the rounds'."""

    name: str
    seconds: Annotated[float, Column("time", time_text)]
    ratio: Annotated[float, Column("of the plain", number(2))]


def rows(setting: Setting) -> Iterator[Row]:
    """The plain GANs, and each remedy."""
    steps = 2 if setting.quick else STEPS
    plain = _training({})
    for name, options in REMEDIES.items():
        doing(name)
        train = _training(options)
        train(1)
        pairs = [
            (seconds(lambda: plain(steps), CPU), seconds(lambda: train(steps), CPU))  # noqa: B023  # called here
            for _ in range(setting.rounds)
        ]
        ratio = statistics.median(ours / theirs for theirs, ours in pairs)
        yield Row(name, statistics.median(ours for _, ours in pairs) / steps, ratio)


def _training(options: dict[str, Any]) -> Any:
    streams = Streams([numpy_generator(0, 0, "bench", r) for r in range(REPLICATES)])
    model = MLPGAN.fresh(MLPGAN.Options(**{**PLAIN, **options}), 2, streams)
    drawn = [known_density("ring", {}).sample(ROWS, g) for g in streams.generators]
    points = torch.stack([torch.from_numpy(one) for one in drawn]).to(model.dtype)
    return trainer(model, points, streams, model.batches_per_step)


SECTION = Section(
    "remedies",
    f"remedies for mode collapse, as in mode-collapse.yaml: a step of {REPLICATES} GANs of points, on one CPU thread;\n"
    "each round takes the plain GANs' steps, too",
    Row,
    rows,
)
