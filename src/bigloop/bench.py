"""Our training steps against the plain loop, side by side in one process, on the full-size networks.

The plain loop is what one writes first, and what the authors of Knutsen et al. 2025 wrote: a torchvision
dataset behind a DataLoader with ToTensor, one `backward` for a critic loss whose penalty comes from
`autograd.grad(create_graph=True)`, the generator not detached, and `loss.item()` after each step.
Before anything is timed, both are run from the same weights, batches and noise, and must give the same losses.
"""

from __future__ import annotations

import argparse
import logging
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from bigloop.artifacts import write_json
from bigloop.data import dataset, load
from bigloop.generation import default_device, describe, versions
from bigloop.models.vae import VAE
from bigloop.models.wgan_gp import WGANGP
from bigloop.training import run

BATCH = 64
CHECKED_STEPS = 5
TOLERANCE = 1e-3  # relative, on losses after a few float32 Adam steps

log = logging.getLogger("bigloop")


class Contest(NamedTuple):
    """One family: how to make a model, the plain step, and how many steps a timed round takes."""

    name: str
    make: Callable[[], Any]
    plain: Callable[[Any], Callable[[Tensor, torch.Generator], dict[str, float]]]
    steps: int
    epoch_steps: int


def main(options: argparse.Namespace) -> None:
    """Run all contests, print the table and write it as JSON where asked."""
    images, labels = _mnist(options.data)
    device = default_device()
    full = round(len(images) / BATCH)
    contests = [
        Contest("WGAN-GP step (5 critic steps + 1)", lambda: _fresh(WGANGP, device), PlainWGANGP, 3, 1),
        Contest("VAE epoch", lambda: _fresh(VAE, device), PlainVAE, 200, full),
    ]
    log.info("%s, %d threads, torch %s", describe(device), torch.get_num_threads(), torch.__version__)
    log.info("%-36s %12s %12s %8s   %s", "", "plain", "bigloop", "ratio", "largest difference of losses")
    results = []
    for contest in contests:
        difference = loss_difference(contest, images, device)
        plain, ours = timed(contest, images, labels, device, options.rounds)
        ratio = statistics.median(p / o for p, o in zip(plain, ours, strict=True))
        results.append(
            {
                "name": contest.name,
                "plain_seconds": statistics.median(plain),
                "seconds": statistics.median(ours),
                "ratio": ratio,
                "loss_difference": difference,
            }
        )
        row = (statistics.median(plain), statistics.median(ours), ratio, difference)
        log.info("%-36s %10.3f s %10.3f s %8.2f   %.1e", contest.name, *row)
    if options.out:
        hardware = {
            "device": describe(device),
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
        }
        write_json(options.out, {"results": results, **hardware, "versions": versions()})


def loss_difference(contest: Contest, images: np.ndarray, device: torch.device) -> float:
    """Largest relative difference of the two loops' losses over the first steps, from one state and one noise.

    Raises AssertionError above TOLERANCE: a faster step that learns something else is no improvement.
    """
    rows = torch.from_numpy(images[: BATCH * CHECKED_STEPS]).float().to(device) / 255
    ours, theirs = contest.make(), contest.make()
    ours.prepare()
    plain = contest.plain(theirs)
    noise, same_noise = (torch.Generator(device).manual_seed(1) for _ in range(2))
    worst = 0.0
    for batch in rows.split(BATCH):
        expected = plain(batch, same_noise)
        for name, loss in ours.step(batch, noise).items():
            if name in expected:
                worst = max(worst, abs(float(loss) - expected[name]) / max(abs(expected[name]), 1e-3))
    assert worst < TOLERANCE, (
        f"{contest.name}: losses differ by {worst:.1e}; the two loops do not learn the same"
    )
    return worst


def timed(
    contest: Contest, images: np.ndarray, labels: np.ndarray, device: torch.device, rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of each round, plain and ours in turn, scaled to the contest's unit (a step or an epoch)."""
    rows = torch.from_numpy(images).float() / 255
    model, rival = contest.make(), contest.make()
    model.prepare()
    plain = contest.plain(rival)
    loader = endless(plain_loader(images, labels))
    generator = torch.Generator(device).manual_seed(0)
    scale = contest.epoch_steps / contest.steps

    def our_round() -> None:
        watched = {name: list(net.parameters()) for name, net in model.networks.items()}
        run(model.step, rows, batch_size=BATCH, steps=contest.steps, generator=generator, parameters=watched)

    def plain_round() -> None:
        for _ in range(contest.steps):
            batch, _ = next(loader)
            plain(batch.to(device), generator)

    seconds: tuple[list[float], list[float]] = ([], [])
    for round_number in range(rounds + 1):
        for done, one in zip(seconds, (plain_round, our_round), strict=True):
            started = time.perf_counter()
            one()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if round_number:  # the first warms up
                done.append((time.perf_counter() - started) * scale)
    return seconds


class PlainWGANGP:
    """The plain WGAN-GP step on a model's networks."""

    def __init__(self, model: WGANGP) -> None:
        self.model = model
        self.generator, self.critic = model.networks["generator"], model.networks["critic"]
        rate = model.options.learning_rate
        self.generator_optimizer = torch.optim.Adam(self.generator.parameters(), lr=rate)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=rate)

    def __call__(self, real: Tensor, noise: torch.Generator) -> dict[str, float]:
        for _ in range(self.model.options.critic_iterations):
            fake = self.generator(self._latent(len(real), noise))
            weight = torch.rand(len(real), 1, 1, 1, generator=noise, device=real.device)
            between = weight * real + (1 - weight) * fake
            scores = self.critic(between)
            (gradient,) = torch.autograd.grad(scores, between, torch.ones_like(scores), create_graph=True)
            penalty = ((gradient.view(len(real), -1).norm(2, dim=1) - 1) ** 2).mean()
            loss = self.critic(fake).mean() - self.critic(real).mean()
            loss = loss + self.model.options.gradient_penalty * penalty
            self.critic_optimizer.zero_grad()
            loss.backward()
            self.critic_optimizer.step()
            critic_loss = loss.item()
        fake = self.generator(self._latent(len(real), noise))
        loss = -self.critic(fake).mean()
        self.generator_optimizer.zero_grad()
        loss.backward()
        self.generator_optimizer.step()
        return {"loss_critic": critic_loss, "loss_generator": loss.item()}

    def _latent(self, n: int, noise: torch.Generator) -> Tensor:
        uniform = torch.rand(n, self.model.options.latent, generator=noise, device=noise.device)
        return (2 * uniform - 1)[:, :, None, None]


class PlainVAE:
    """The plain VAE step on a model's networks."""

    def __init__(self, model: VAE) -> None:
        self.encoder, self.decoder = model.networks["encoder"], model.networks["decoder"]
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=model.options.learning_rate)

    def __call__(self, batch: Tensor, noise: torch.Generator) -> dict[str, float]:
        x = batch.view(len(batch), -1)
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        epsilon = torch.randn(mean.shape, generator=noise, device=mean.device)
        z = mean + torch.exp(0.5 * log_variance) * epsilon
        reconstruction = F.binary_cross_entropy(torch.sigmoid(self.decoder(z)), x, reduction="sum")
        kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        loss = reconstruction + kl
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.item() / len(batch)}


class StoredMNIST(torchvision.datasets.MNIST):
    """torchvision's dataset with its own item access, over arrays that are in memory already."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.data, self.targets = torch.from_numpy(images[:, 0]), torch.from_numpy(labels)
        self.transform, self.target_transform = torchvision.transforms.ToTensor(), None


def plain_loader(images: np.ndarray, labels: np.ndarray) -> torch.utils.data.DataLoader:
    """The plain loop's batches: torchvision's dataset behind a DataLoader in the same process."""
    return torch.utils.data.DataLoader(StoredMNIST(images, labels), batch_size=BATCH, shuffle=True)


def endless(loader: torch.utils.data.DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """The loader's batches, epoch after epoch."""
    while True:
        yield from loader


def _fresh(cls: type, device: torch.device) -> Any:
    return cls.fresh(cls.Options(), (1, 28, 28), torch.Generator(device).manual_seed(0))  # type: ignore[attr-defined]


def _mnist(folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """The training split, from where the workflow stored it, or fetched for the occasion."""
    folder = folder or Path("results/data/mnist")
    if (folder / "train.safetensors").is_file():
        return load(folder, "train")
    with tempfile.TemporaryDirectory() as scratch:
        dataset("mnist").fetch(Path(scratch), None)
        return load(Path(scratch), "train")
