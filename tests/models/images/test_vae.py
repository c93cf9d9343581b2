"""The VAE: the paper's networks, the divergence by torch.distributions, and its step against the plain one."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal, kl_divergence

from bigloop.bench import PlainVAE
from bigloop.models.images.vae import VAE, kl_to_standard_normal

SHAPE = (1, 28, 28)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(**options: Any) -> VAE:
    return VAE.fresh(VAE.Options(**options), SHAPE, seeded())


def test_layers_have_the_papers_widths() -> None:
    networks = model().networks
    widths = {
        name: [(layer.in_features, layer.out_features) for layer in net if isinstance(layer, nn.Linear)]
        for name, net in networks.items()
    }
    assert widths == {
        "encoder": [(784, 400), (400, 400), (400, 400)],  # twice 200: mean and log-variance
        "decoder": [(200, 400), (400, 400), (400, 784)],
    }
    for net in networks.values():
        assert [type(layer).__name__ for layer in net] == [
            "Linear",
            "LeakyReLU",
            "Linear",
            "LeakyReLU",
            "Linear",
        ]


def test_shapes_go_from_images_to_latents_and_back() -> None:
    vae = model(latent=7)
    assert vae.networks["encoder"](torch.zeros(3, 784)).shape == (3, 14)
    assert vae.decode(torch.zeros(3, 7)).shape == (3, *SHAPE)


@pytest.mark.parametrize(("hidden", "latent"), [(400, 200), (11, 3)])
def test_weights_are_as_many_as_the_widths_say(hidden: int, latent: int) -> None:
    def linear(*widths: int) -> int:
        return sum((inner + 1) * outer for inner, outer in pairwise(widths))

    count = sum(
        p.numel() for net in model(hidden=hidden, latent=latent).networks.values() for p in net.parameters()
    )
    assert count == linear(784, hidden, hidden, 2 * latent) + linear(latent, hidden, hidden, 784)


def test_the_divergence_is_torch_distributions_own() -> None:
    mean, log_variance = torch.randn(2, 50, 8, generator=seeded(), dtype=torch.float64)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected, rtol=1e-12, atol=1e-12)


def test_the_divergence_of_the_prior_from_itself_is_0() -> None:
    assert torch.equal(kl_to_standard_normal(torch.zeros(4, 3), torch.zeros(4, 3)), torch.zeros(4))


def test_the_loss_is_cross_entropy_summed_over_pixels_plus_divergence_and_a_mean_over_images() -> None:
    vae = model(hidden=16, latent=4)
    batch = torch.rand(6, *SHAPE, generator=seeded(1))
    mean, log_variance = vae.networks["encoder"](batch.flatten(1)).chunk(2, dim=1)
    z = mean + (log_variance / 2).exp() * torch.randn(6, 4, generator=seeded(2))
    entropy = F.binary_cross_entropy(vae.decode(z), batch, reduction="none").sum(dim=(1, 2, 3))
    divergence = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(dim=1)
    vae.prepare()
    losses = {name: loss.item() for name, loss in vae.step(batch, seeded(2)).items()}
    assert losses == pytest.approx(
        {
            "loss": (entropy + divergence).mean().item(),
            "loss_reconstruction": entropy.mean().item(),
            "loss_kl": divergence.mean().item(),
        },
        rel=1e-5,  # float32 sums over 784 pixels
    )


@pytest.fixture
def float64() -> Iterator[None]:
    """So that rounding noise stays far below Adam's ε."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("batch_size", "hidden"), [(8, 16), (1, 16), (64, 3)])
def test_steps_give_the_plain_loops_weights_and_losses(batch_size: int, hidden: int, float64: None) -> None:
    ours = model(hidden=hidden, latent=4, batch_size=batch_size)
    theirs = copy.deepcopy(ours)
    start = copy.deepcopy(ours.networks)
    ours.prepare()
    plain = PlainVAE(theirs)
    # Theirs is the loss of a batch, ours of an image: Adam takes the same steps if its ε grows likewise.
    plain.optimizer.param_groups[0]["eps"] *= batch_size
    noise, same_noise = seeded(1), seeded(1)
    for number in range(6):
        batch = torch.rand(batch_size, *SHAPE, generator=seeded(number))
        assert ours.step(batch, noise)["loss"].item() == pytest.approx(
            plain(batch, same_noise)["loss"], rel=1e-9
        )
    rivals = {"encoder": plain.encoder, "decoder": plain.decoder}
    for name, net in ours.networks.items():
        for key, value in net.state_dict().items():
            torch.testing.assert_close(value, rivals[name].state_dict()[key], rtol=0, atol=1e-9)
            assert (value - start[name].state_dict()[key]).abs().max() > ours.options.learning_rate


@pytest.mark.parametrize("bias", [0.0, 0.25, 1.0])
def test_the_sampling_bias_is_the_latents_variance(bias: float) -> None:
    latent = model(latent=10).latent(20_000, bias, seeded()).double()
    n = latent.numel()
    # standard errors of a mean and of a standard deviation of n normal numbers, four of each
    assert abs(latent.mean().item()) <= 4 * math.sqrt(bias / n)
    assert abs(latent.std().item() - math.sqrt(bias)) <= 4 * math.sqrt(bias / (2 * n))


def test_without_variance_every_sample_is_the_decoders_image_of_the_origin() -> None:
    vae = model(hidden=8, latent=3)
    rows = vae.sample(4, 0.0, seeded())
    assert torch.equal(rows, vae.decode(torch.zeros(4, 3)).half())


def test_samples_are_in_the_range_of_the_data() -> None:
    rows = model(hidden=8, latent=3).sample(50, 1.0, seeded())
    assert 0 <= rows.min() <= rows.max() <= 1
