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

from bigloop.bench.setting import image_model, seconds, trainer
from bigloop.models.images.dcgan import DCGAN
from bigloop.models.images.ddpm import DDPM
from bigloop.models.images.vae import VAE
from bigloop.models.images.wgan_gp import WGANGP
from bigloop.spec.registry import declared

BATCH = 64
CLASSES = 10
WARM_UP = 20  # steps, at most, before a round is timed
# How many steps are compared, and to what relative difference of the losses. The VAEs' losses differ by a factor, which
# Adam's ε does not.
CHECKS = {torch.float64: (2, 1e-4), torch.float32: (3, 1e-2)}


PlainStep = Callable[..., dict[str, float]]  # of a batch, its labels where the family has any, and noise


class Contest(NamedTuple):
    """One family: how to make a model, the plain step, and how many steps a round takes.

    labelled: whether steps get the images' classes.
    """

    name: str
    make: Callable[[], Any]
    plain: Callable[[Any], PlainStep]
    steps: int
    batch: int = BATCH
    labelled: bool = False


class Trained(NamedTuple):
    """A family on images of a shape, its options, and the plain loop that learns the same."""

    name: str
    family: str
    options: dict[str, Any]
    plain: Callable[[Any], PlainStep]
    shape: tuple[int, ...] = (1, 28, 28)

    @property
    def classes(self) -> int | None:
        """How many it learns, where it learns labels."""
        return CLASSES if declared("families")[self.family].conditional else None

    def model(self, device: torch.device) -> tuple[Any, torch.Generator]:
        """An untrained one, and the generator that it was made with."""
        return image_model(self.family, self.options, device, self.classes, self.shape)

    def contest(self, device: torch.device, steps: int) -> Contest:
        """Against the plain loop, so many steps a round."""
        batch = self.model(device)[0].options.batch_size
        labelled = self.classes is not None
        return Contest(self.name, lambda: self.model(device)[0], self.plain, steps, batch, labelled)


def checked(contest: Contest, images: np.ndarray, device: torch.device) -> float:
    """The largest relative difference of the two loops' losses in float32, after both were found to learn the same.

    Raises AssertionError where they do not: a faster step that learns something else is no improvement. Float64 says
    whether they are the same method. In float32 Adam divides rounding by gradients that are nearly 0, and the loops
    drift apart, one that rounds more all the sooner.
    """
    found = {}
    for dtype, (steps, tolerance) in CHECKS.items():
        found[dtype] = worst = loss_difference(contest, images[: contest.batch * steps], device, dtype)
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
        for batch in rows.split(contest.batch):
            given = (batch, torch.zeros(len(batch), dtype=torch.int64, device=device))[: 1 + contest.labelled]
            expected = plain(*given, same_noise)
            for name, loss in ours.step(*given, noise).items():
                if name in expected:
                    worst = max(worst, abs(float(loss) - expected[name]) / max(abs(expected[name]), 1e-3))
        return worst
    finally:
        torch.set_default_dtype(before)


def timed(
    contest: Contest, images: np.ndarray, labels: np.ndarray, device: torch.device, rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of a round's steps, plain and ours in turn, for each round."""
    rows, classes = torch.from_numpy(images), torch.from_numpy(labels)
    if images.shape[1] == 1:  # as the workflow does, see generation.rows
        rows = rows.float() / 255
    plain_round = plain_trainer(contest, images, labels, device)
    generator = torch.Generator(device).manual_seed(0)
    our_round = trainer(contest.make(), rows, generator, labels=classes if contest.labelled else None)
    found: tuple[list[float], list[float]] = ([], [])
    for one in (plain_round, our_round):
        one(min(contest.steps, WARM_UP))
    for _ in range(rounds):
        for done, one in zip(found, (plain_round, our_round), strict=True):
            done.append(seconds(lambda one=one: one(contest.steps), device))  # type: ignore[misc]
    return found


def plain_trainer(
    contest: Contest, images: np.ndarray, labels: np.ndarray, device: torch.device
) -> Callable[[int], None]:
    """A call that trains a new model for so many steps of the plain loop, batches from its DataLoader included."""
    plain, batches = contest.plain(contest.make()), plain_batches(images, labels, contest.batch)
    generator = torch.Generator(device).manual_seed(0)

    def train(steps: int) -> None:
        for batch, targets in islice(batches, steps):
            given = (batch.to(device), targets.to(device))[: 1 + contest.labelled]
            plain(*given, generator)

    return train


class PlainWGANGP:
    """The plain WGAN-GP step on a model's networks."""

    def __init__(self, model: WGANGP | DCGAN) -> None:
        self.model = model
        self.critic, o = model.networks["critic"], model.options
        self.generator_optimizer, self.critic_optimizer = (
            torch.optim.Adam(net.parameters(), lr=o.learning_rate, betas=(o.beta1, o.beta2))
            for net in (model.networks["generator"], self.critic)
        )

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


class PlainDCGAN:
    """The plain step of a DCGAN with cross entropy on a model's networks."""

    def __init__(self, model: DCGAN) -> None:
        o = model.options
        self.model, self.critic = model, model.networks["critic"]
        self.critic_optimizer, self.generator_optimizer = (
            torch.optim.Adam(model.networks[name].parameters(), lr=o.learning_rate, betas=(o.beta1, o.beta2))
            for name in ("critic", "generator")
        )

    def __call__(self, real: Tensor, noise: torch.Generator) -> dict[str, float]:
        ones, zeros = torch.ones(len(real), device=real.device), torch.zeros(len(real), device=real.device)
        entropy = F.binary_cross_entropy_with_logits
        loss = entropy(self.critic(real), ones) + entropy(self.critic(self._fake(len(real), noise)), zeros)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        critic_loss = loss.item()
        loss = entropy(self.critic(self._fake(len(real), noise)), ones)
        self.generator_optimizer.zero_grad()
        loss.backward()
        self.generator_optimizer.step()
        return {"loss_critic": critic_loss, "loss_generator": loss.item()}

    def _fake(self, n: int, noise: torch.Generator) -> Tensor:
        latent = torch.randn(n, self.model.options.latent, generator=noise, device=noise.device)
        return self.model.networks["generator"](latent)


class PlainDDPM:
    """The plain step of a DDPM on a model's network, with the weights' moving average."""

    def __init__(self, model: DDPM) -> None:
        self.options, self.nothing = model.options, model.unet.net.nothing
        self.net, self.average = model.unet.net, model.unet.average
        self.alpha_bar = model.alpha_bar_on_device
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=model.options.learning_rate)

    def __call__(self, batch: Tensor, labels: Tensor, noise: torch.Generator) -> dict[str, float]:
        o, x0 = self.options, 2 * batch - 1
        t = torch.randint(o.timesteps, (len(x0),), generator=noise, device=x0.device)
        epsilon = torch.randn(x0.shape, generator=noise, device=x0.device)
        dropped = torch.rand(labels.shape, generator=noise, device=x0.device) < o.label_dropout
        a = self.alpha_bar[t].view(-1, 1, 1, 1)
        xt = a.sqrt() * x0 + (1 - a).sqrt() * epsilon
        velocity = self.net(xt, t, torch.where(dropped, self.nothing, labels))
        loss = F.mse_loss((1 - a).sqrt() * xt + a.sqrt() * velocity, epsilon)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.net.parameters(), strict=True):
                mean.mul_(o.average_decay).add_(value, alpha=1 - o.average_decay)
        return {"loss": loss.item()}


def plain_batches(
    images: np.ndarray, labels: np.ndarray, size: int = BATCH
) -> Iterator[tuple[Tensor, Tensor]]:
    """The plain loop's batches, pass after pass: images (size, c, h, w), and labels; the last has what is left."""
    loader = plain_loader(images, labels, size)
    while True:
        yield from loader


def plain_loader(images: np.ndarray, labels: np.ndarray, size: int = BATCH) -> torch.utils.data.DataLoader:
    """torchvision's datasets with their own item access, over arrays that are in memory already, in batches.

    images: grey ones as its MNIST has them, others as its CIFAR10.
    """
    import torchvision  # here, not above: a process that measures something else need not load it

    grey = images.shape[1] == 1
    kind = torchvision.datasets.MNIST if grey else torchvision.datasets.CIFAR10
    stored = kind.__new__(kind)
    stored.data = torch.from_numpy(images[:, 0]) if grey else images.transpose(0, 2, 3, 1).copy()
    stored.targets = torch.from_numpy(labels) if grey else labels.tolist()
    stored.transform, stored.target_transform = torchvision.transforms.ToTensor(), None
    return torch.utils.data.DataLoader(stored, batch_size=size, shuffle=True)
