"""Colour pictures of 32×32: training steps beside the plain loop, sampling, and the networks that judge them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Annotated, NamedTuple

import numpy as np
import torch

from bigloop.bench.plain import CLASSES, PlainDCGAN, PlainDDPM, PlainVAE, PlainWGANGP, Trained, checked, timed
from bigloop.bench.setting import Setting, median_seconds
from bigloop.bench.table import Column, Section, doing, number, time_text
from bigloop.models.classifier import Classifier
from bigloop.models.features import FEATURES
from bigloop.spec.jobs import ClassifierSpec

SHAPE = (3, 32, 32)
ROWS = 10_000
GAN = {"width": 16, "batch_size": 16, "learning_rate": 1e-4, "generator_loss": "non_saturating"}
DDPM = {"width": 24, "blocks": 1, "batch_size": 64, "sampler": "ddim", "sampling_steps": 20}
# The models of the small experiments, and a wider one; and the steps of a round.
MODELS = [
    (Trained("DCGAN of width 16", "dcgan", GAN, PlainDCGAN, SHAPE), 200),
    (
        Trained(
            "WGAN-GP of width 16, 3 critic steps",
            "dcgan",
            GAN | {"loss": "wgan_gp", "critic_iterations": 3},
            PlainWGANGP,
            SHAPE,
        ),
        50,
    ),
    (Trained("DCGAN of width 64", "dcgan", GAN | {"width": 64, "batch_size": 64}, PlainDCGAN, SHAPE), 10),
    (Trained("VAE of 512 units", "vae", {"hidden": 512, "latent": 64}, PlainVAE, SHAPE), 200),
    (Trained("DDPM of width 24", "ddpm", DDPM, PlainDDPM, SHAPE), 10),
]
SAMPLED = {"ddpm": 200}  # images, where it is not ROWS
RESNET = ClassifierSpec("cifar10", network="resnet", width=32, features=128, mirror=True)
LOOKED = 200  # images that Inception sees


class Row(NamedTuple):
    """A training step, or something done to many images. plain_seconds, ratio, loss_difference: as in `steps`."""

    name: str
    images: Annotated[int, Column("images", number(0))]
    seconds: Annotated[float, Column("time", time_text)]
    plain_seconds: Annotated[float | None, Column("plain loop", time_text)]
    ratio: Annotated[float | None, Column("ratio", number(2))]
    rate: Annotated[float, Column("images/s", number(0))]
    loss_difference: Annotated[float | None, Column("loss diff.", "{:.0e}".format)]


def rows(setting: Setting) -> Iterator[Row]:
    """Steps of every family, sampling of each, and features."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (500 if setting.quick else ROWS, *SHAPE), dtype=np.uint8)
    for one, steps in MODELS:
        yield _step(setting, one, 1 if setting.quick else steps, images)
    for one, _ in MODELS:
        if one.options.get("loss") != "wgan_gp":  # samples as the other
            yield _sampling(setting, one, 10 if setting.quick else SAMPLED.get(one.family, ROWS))
    net = Classifier(RESNET, SHAPE, CLASSES).to(setting.device)
    yield _done(setting, "features of the ResNet of width 32", images, net.judge)
    kind = FEATURES["inception"]
    network = kind.untrained(kind.Options(), setting.device)
    yield _done(setting, "features of Inception", images[: 2 if setting.quick else LOOKED], network)


def _step(setting: Setting, one: Trained, steps: int, images: np.ndarray) -> Row:
    contest, name = one.contest(setting.device, steps), f"{one.name}, a step"
    doing(name)
    difference = checked(contest, images, setting.device)
    labels = np.zeros(len(images), np.int64)
    theirs, ours = timed(contest, images, labels, setting.device, setting.rounds)
    ratio = statistics.median(t / o for t, o in zip(theirs, ours, strict=True))
    taken, slower = statistics.median(ours) / steps, statistics.median(theirs) / steps
    return Row(name, contest.batch, taken, slower, ratio, contest.batch / taken, difference)


def _sampling(setting: Setting, one: Trained, n: int) -> Row:
    doing(f"sampling {one.name}")
    model, generator = one.model(setting.device)
    labels = {"labels": torch.arange(n) % one.classes} if one.classes else {}
    words = f"{one.name}, sampling" + (f", {DDPM['sampling_steps']} steps" if one.classes else "")
    taken = median_seconds(lambda: model.sample(n, 1.0, generator, **labels).cpu(), 1, setting.device)
    return Row(words, n, taken, None, None, n / taken, None)


def _done(setting: Setting, name: str, images: np.ndarray, call: Callable[[np.ndarray], object]) -> Row:
    """What a network with any weights says of so many images."""
    doing(name)
    call(images[:2])
    taken = median_seconds(lambda: call(images), 1, setting.device)
    return Row(name, len(images), taken, None, None, len(images) / taken, None)


SECTION = Section(
    "pictures",
    "colour pictures of 32×32, the models of the small experiments: a training step beside the plain PyTorch loop\n"
    "(a torchvision dataset behind a DataLoader; ratio and loss diff. as in `steps`), sampling, and features, with\n"
    "untrained weights",
    Row,
    rows,
)
