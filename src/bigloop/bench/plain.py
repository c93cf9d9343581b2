"""Our training steps against the plain loop, side by side in one process, on the same networks.

The plain loop is what one writes first, and what the authors of Knutsen et al. 2025 wrote: a torchvision
dataset behind a DataLoader with ToTensor, one `backward` for a critic loss whose penalty comes from
`autograd.grad(create_graph=True)`, the generator not detached, and `loss.item()` after each step.
Before anything is timed, both are run from the same weights, batches and noise, and must give the same losses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bigloop.bench.setting import seconds, trainer
from bigloop.models.images.vae import VAE
from bigloop.models.images.wgan_gp import WGANGP

BATCH = 64
WARM_UP = 20  # steps, at most, before a round is timed
# How many steps are compared, and to what relative difference of the losses. The VAEs' losses differ by a factor, which
# Adam's ε does not.
CHECKS = {torch.float64: (2, 1e-4), torch.float32: (3, 1e-2)}


class Contest(NamedTuple):
    """One family: how to make a model, the plain step, and how many steps a round takes."""

    name: str
    make: Callable[[], Any]
    plain: Callable[[Any], Callable[[Tensor, torch.Generator], dict[str, float]]]
    steps: int


def checked(contest: Contest, images: np.ndarray, device: torch.device) -> float:
    """The largest relative difference of the two loops' losses in float32, after both were found to learn the same.

    Raises AssertionError where they do not: a faster step that learns something else is no improvement. Float64 says
    whether they are the same method. In float32 Adam divides rounding by gradients that are nearly 0, and the loops
    drift apart, one that rounds more all the sooner.
    """
    found = {}
    for dtype, (steps, tolerance) in CHECKS.items():
        found[dtype] = worst = loss_difference(contest, images[: BATCH * steps], device, dtype)
        assert worst < tolerance, (
            f"{contest.name}: losses differ by {worst:.1e} in {dtype}; the two loops do not learn the same"
        )
    return found[torch.float32]


def loss_difference(contest: Contest, images: np.ndarray, device: torch.device, dtype: torch.dtype) -> float:
    """Largest relative difference of the two loops' losses on the batches of `images`, from one state and one noise."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        rows = torch.from_numpy(images).to(device, dtype) / 255
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
        return worst
    finally:
        torch.set_default_dtype(before)


def timed(
    contest: Contest, images: np.ndarray, labels: np.ndarray, device: torch.device, rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of a round's steps, plain and ours in turn, for each round."""
    rows = torch.from_numpy(images).to(device).float() / 255
    plain, batches = contest.plain(contest.make()), plain_batches(images, labels)
    generator = torch.Generator(device).manual_seed(0)
    our_round = trainer(contest.make(), rows, generator)

    def plain_round(steps: int) -> None:
        for batch in islice(batches, steps):
            plain(batch.to(device), generator)

    found: tuple[list[float], list[float]] = ([], [])
    for one in (plain_round, our_round):
        one(min(contest.steps, WARM_UP))
    for _ in range(rounds):
        for done, one in zip(found, (plain_round, our_round), strict=True):
            done.append(seconds(lambda one=one: one(contest.steps), device))  # type: ignore[misc]
    return found


class PlainWGANGP:
    """The plain WGAN-GP step on a model's networks."""

    def __init__(self, model: WGANGP) -> None:
        self.model = model
        self.critic, rate = model.networks["critic"], model.options.learning_rate
        self.generator_optimizer = torch.optim.Adam(model.networks["generator"].parameters(), lr=rate)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=rate)

    def __call__(self, real: Tensor, noise: torch.Generator) -> dict[str, float]:
        for _ in range(self.model.options.critic_iterations):
            fake = self._fake(len(real), noise)
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
        fake = self._fake(len(real), noise)
        loss = -self.critic(fake).mean()
        self.generator_optimizer.zero_grad()
        loss.backward()
        self.generator_optimizer.step()
        return {"loss_critic": critic_loss, "loss_generator": loss.item()}

    def _fake(self, n: int, noise: torch.Generator) -> Tensor:
        return self.model.decode(self.model.latent(n, 1.0, noise))


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


def plain_batches(images: np.ndarray, labels: np.ndarray) -> Iterator[Tensor]:
    """The plain loop's batches, pass after pass: Tensor (BATCH, 1, 28, 28), the last of a pass what is left."""
    loader = plain_loader(images, labels)
    while True:
        for batch, _ in loader:
            yield batch


def plain_loader(images: np.ndarray, labels: np.ndarray) -> torch.utils.data.DataLoader:
    """torchvision's dataset with its own item access, over arrays that are in memory already, in batches."""
    import torchvision  # here, not above: a process that measures something else need not load it

    stored = torchvision.datasets.MNIST.__new__(torchvision.datasets.MNIST)
    stored.data, stored.targets = torch.from_numpy(images[:, 0]), torch.from_numpy(labels)
    stored.transform, stored.target_transform = torchvision.transforms.ToTensor(), None
    return torch.utils.data.DataLoader(stored, batch_size=BATCH, shuffle=True)
