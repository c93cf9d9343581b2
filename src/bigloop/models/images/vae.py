"""Variational autoencoder with MLP encoder and decoder (Kingma & Welling 2014), as in Knutsen et al. 2025, fig. 4.

Encoder d → hidden → hidden → (mean, log-variance) of the latent; decoder latent → hidden → hidden → d with a
sigmoid; LeakyReLU between. Loss: binary cross-entropy summed over pixels plus KL(q(z|x) ‖ N(0, I)), eq. 7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bigloop.models.images.neural import NeuralFamily
from bigloop.spec.options import option


class VAE(NeuralFamily):
    """Rows in [0, 1]. Sampling bias λ scales the latent's standard deviation by √λ."""

    revision = 1

    @dataclass(frozen=True)
    class Options:
        hidden: int = option(400, "units of each hidden layer", minimum=1)
        latent: int = option(200, "dimensions of the latent space", minimum=1)
        slope: float = option(0.2, "negative slope of LeakyReLU", minimum=0)
        batch_size: int = option(64, "images per step", minimum=1)
        learning_rate: float = option(1e-3, "Adam's learning rate", above=0)

    def build(self) -> dict[str, nn.Module]:
        o, d = self.options, math.prod(self.shape)
        return {
            "encoder": mlp([d, o.hidden, o.hidden, 2 * o.latent], o.slope),
            "decoder": mlp([o.latent, o.hidden, o.hidden, d], o.slope),
        }

    def prepare(self) -> None:
        parameters = [p for net in self.networks.values() for p in net.parameters()]
        self.optimizers = {"both": torch.optim.Adam(parameters, lr=self.options.learning_rate, fused=True)}

    def step(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        x = batch.flatten(1)
        mean, log_variance = self.networks["encoder"](x).chunk(2, dim=1)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        logits = self.networks["decoder"](mean + torch.exp(0.5 * log_variance) * noise)
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        kl = kl_to_standard_normal(mean, log_variance).mean()
        loss = reconstruction + kl
        self.optimizers["both"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers["both"].step()
        return {
            "loss": loss.detach(),
            "loss_reconstruction": reconstruction.detach(),
            "loss_kl": kl.detach(),
        }

    def latent(self, n: int, bias: float, generator: torch.Generator) -> Tensor:
        noise = torch.randn(n, self.options.latent, generator=generator, device=generator.device)
        return math.sqrt(bias) * noise

    def decode(self, latent: Tensor) -> Tensor:
        return torch.sigmoid(self.networks["decoder"](latent)).unflatten(1, self.shape)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag exp(log_variance)) ‖ N(0, I)) in nats, shape (n,), for (n, d) each (ibid., eq. 7)."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1)


def mlp(widths: list[int], slope: float) -> nn.Sequential:
    """Linear layers of these widths with LeakyReLU between them and none at the end."""
    layers: list[nn.Module] = []
    for inner, outer in pairwise(widths):
        layers += [nn.Linear(inner, outer), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers[:-1])
