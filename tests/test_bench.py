"""The benchmark compares like with like: it refuses to time two loops that do not learn the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bigloop.bench import BATCH, Contest, PlainVAE, PlainWGANGP, loss_difference, plain_loader, timed
from bigloop.data import load
from bigloop.models.vae import VAE
from bigloop.models.wgan_gp import WGANGP

CPU = torch.device("cpu")


def fresh(cls: type, **options: Any) -> Any:
    return cls.fresh(cls.Options(**options), (1, 28, 28), torch.Generator().manual_seed(0))


def small_wgan() -> WGANGP:
    return fresh(WGANGP, width=8, critic_iterations=2)


CONTESTS = {
    "wgan_gp": Contest("WGAN-GP", small_wgan, PlainWGANGP, 2, 1),
    "vae": Contest("VAE", lambda: fresh(VAE), PlainVAE, 2, 4),
}


@pytest.fixture(scope="module")
def images(mnist: Path) -> np.ndarray:
    return load(mnist, "train")[0][:1_000]


@pytest.mark.parametrize("name", CONTESTS)
def test_both_loops_have_the_same_losses_on_real_digits(name: str, images: np.ndarray) -> None:
    assert loss_difference(CONTESTS[name], images, CPU) < 1e-3


def test_a_loop_that_learns_something_else_is_not_timed(images: np.ndarray) -> None:
    def wrong(model: WGANGP) -> PlainWGANGP:
        plain = PlainWGANGP(model)
        plain.critic_optimizer.param_groups[0]["lr"] *= 2
        return plain

    with pytest.raises(
        AssertionError, match=r"^WGAN-GP: losses differ by [\d.e+-]+; the two loops do not learn"
    ):
        loss_difference(CONTESTS["wgan_gp"]._replace(plain=wrong), images, CPU)


def test_every_round_after_the_first_is_timed_in_the_contests_unit(images: np.ndarray) -> None:
    plain, ours = timed(CONTESTS["vae"], images, np.zeros(len(images), np.int64), CPU, rounds=2)
    assert len(plain) == len(ours) == 2
    assert min(*plain, *ours) > 0


def test_the_plain_loader_gives_the_same_pixels_as_rows_in_memory(images: np.ndarray) -> None:
    labels = np.arange(len(images))
    batch, index = next(iter(plain_loader(images, labels)))
    assert batch.shape == (BATCH, 1, 28, 28)
    torch.testing.assert_close(
        batch, torch.from_numpy(images[index.numpy()]).float() / 255, rtol=0, atol=1e-7
    )
