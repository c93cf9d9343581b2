"""GLOW for points: a normalising flow of invertible linear maps and affine couplings (Kingma & Dhariwal 2018).

A family that knows its own density: x is mapped to z ~ N(0, I) by a chain of invertible steps, trained by maximum
likelihood and run backwards to sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from bigloop.models.points.stacked import StackedFamily, Streams, mlp
from bigloop.spec.options import SpecError, option

LOG_SCALE = 2.0  # bound of a coupling's log-scale
SMALLEST_SPREAD = 1e-6  # of a batch that activation normalisation starts from


class Glow(StackedFamily):
    """Points of R^d, d ≥ 2. Sampling bias λ: the latent is drawn from N(0, λI)."""

    revision = 1
    has_log_density = True

    @dataclass(frozen=True)
    class Options:
        couplings: int = option(8, "steps of normalisation, linear map and affine coupling", minimum=1)
        hidden: int = option(64, "units of both hidden layers of each coupling's network", minimum=1)
        batch_size: int = option(256, "points per step", minimum=1)
        learning_rate: float = option(1e-3, "Adam's learning rate", above=0)
        largest_gradient: float = option(
            100.0, "a replicate's gradient is scaled down to this L2 norm", above=0
        )

    def __init__(self, options: Any, dimension: int, streams: Streams) -> None:
        if dimension < 2:
            raise SpecError(f"glow: needs points in 2 or more dimensions, got {dimension}")
        super().__init__(options, dimension, streams)
        self.flow = cast(Flow, self.networks["flow"])

    def build(self, streams: Streams) -> dict[str, nn.Module]:
        return {"flow": Flow(self.dimension, self.options.couplings, self.options.hidden, streams)}

    def step(self, stream: Iterator[Tensor], streams: Streams) -> dict[str, Tensor]:
        batch = next(stream)
        self.flow.initialise(batch)
        loss = -self.flow.log_density(batch).mean(1)
        optimizer = self.optimizers["flow"]
        optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        limit_gradients(self.flow, self.options.largest_gradient)
        optimizer.step()
        return {"loss": loss.detach()}

    @torch.no_grad()
    def log_density(self, points: Tensor) -> Tensor:
        """Natural logarithm of each replicate's density at its points (replicates, n, d): (replicates, n)."""
        return self.flow.log_density(points)

    def draw(self, n: int, bias: float, streams: Streams) -> Tensor:
        return self.flow.inverse(streams.normal(n, self.dimension) * bias**0.5)


class Flow(nn.Module):
    """The map between points x and latents z, both (replicates, n, d).

    Each step normalises every dimension, (x + shift) · e^log_scale, then multiplies by
    P L (U + diag(s e^log_diagonal)), then a coupling scales and shifts the last ⌈d/2⌉ dimensions by what a network
    makes of the others. P and the signs s are fixed; the product starts as a random rotation (Kingma & Dhariwal
    2018, table 1 and eq. 10).
    """

    permutation: Tensor
    sign: Tensor
    initialised: Tensor

    def __init__(self, dimension: int, couplings: int, hidden: int, streams: Streams) -> None:
        super().__init__()
        self.kept = dimension // 2
        vectors = (len(streams), couplings, 1, dimension)
        self.shift = nn.Parameter(torch.zeros(vectors))
        self.log_scale = nn.Parameter(torch.zeros(vectors))
        rotation = torch.linalg.qr(streams.normal(couplings, dimension, dimension, dtype=torch.float64))[0]
        permutation, lower, upper = (part.float() for part in torch.linalg.lu(rotation))
        diagonal = upper.diagonal(dim1=-2, dim2=-1)
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(diagonal.abs().log())
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", diagonal.sign())
        self.register_buffer("initialised", torch.zeros(len(streams), dtype=torch.bool))
        widths = [self.kept, hidden, hidden, 2 * (dimension - self.kept)]
        self.nets = nn.ModuleList(mlp(widths, nn.ReLU, streams) for _ in range(couplings))
        for net in self.nets:
            for parameter in cast(nn.Sequential, net)[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z (replicates, n, d) and log |det ∂z/∂x| (replicates, n)."""
        weights, biases = self._affine()
        logdet = (self.log_scale.sum((1, 2, 3)) + self.log_diagonal.sum((1, 2)))[:, None]
        for net, weight, bias in zip(self.nets, weights.unbind(1), biases.unbind(1), strict=True):
            kept, moved = self._split(torch.baddbmm(bias, x, weight))
            log_scale, shift = self._coupling(net, kept)
            x = torch.cat([kept, torch.addcmul(shift, moved, log_scale.exp())], dim=2)
            logdet = logdet + log_scale.sum(2)
        return x, logdet

    def inverse(self, z: Tensor) -> Tensor:
        """The points x (replicates, n, d) that `forward` maps to z."""
        weights, biases = self._affine()
        back = torch.linalg.inv(weights.double()).to(z)
        for k, net in reversed(list(enumerate(self.nets))):
            kept, moved = self._split(z)
            log_scale, shift = self._coupling(net, kept)
            z = torch.cat([kept, (moved - shift) * (-log_scale).exp()], dim=2)
            z = (z - biases[:, k]) @ back[:, k]
        return z

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x) (replicates, n) of points (replicates, n, d): that of z ~ N(0, I) and the log-determinant."""
        z, logdet = self(x)
        return logdet - 0.5 * z.square().sum(2) - 0.5 * z.shape[2] * math.log(2 * math.pi)

    @torch.no_grad()
    def initialise(self, batch: Tensor) -> None:
        """In replicates never trained: have each step normalise `batch` to mean 0 and variance 1.

        batch: (replicates, n, d) (Kingma & Dhariwal 2018, §3.1).
        """
        if self.initialised.all():
            return
        new = ~self.initialised[:, None, None]
        for k, net in enumerate(self.nets):
            spread, mean = torch.std_mean(batch, dim=1, keepdim=True, correction=0)
            self.shift[:, k] = torch.where(new, -mean, self.shift[:, k])
            wanted = -spread.clamp(min=SMALLEST_SPREAD).log()
            self.log_scale[:, k] = torch.where(new, wanted, self.log_scale[:, k])
            weights, biases = self._affine()
            kept, moved = self._split(torch.baddbmm(biases[:, k], batch, weights[:, k]))
            log_scale, shift = self._coupling(net, kept)
            batch = torch.cat([kept, moved * log_scale.exp() + shift], dim=2)
        self.initialised.fill_(True)

    def _affine(self) -> tuple[Tensor, Tensor]:
        """Normalisation and linear map of all steps in one: (replicates, couplings, d, d) and (…, 1, d)."""
        lower = self.lower.tril(-1) + torch.eye(self.lower.shape[-1], dtype=self.lower.dtype)
        diagonal = self.sign * self.log_diagonal.exp()
        linear = self.permutation @ lower @ (self.upper.triu(1) + diagonal.diag_embed())
        weight = self.log_scale.exp().transpose(2, 3) * linear
        return weight, self.shift @ weight

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, :, : self.kept], x[:, :, self.kept :]

    def _coupling(self, net: nn.Module, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Log-scale, within ±LOG_SCALE, and shift of the dimensions that are not kept."""
        log_scale, shift = net(kept).chunk(2, dim=2)
        return LOG_SCALE * torch.tanh(log_scale / LOG_SCALE), shift


def limit_gradients(net: nn.Module, largest: float) -> None:
    """Scale the gradients of each replicate whose L2 norm is above `largest` down to it, each by itself."""
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    norms = torch.stack([g.square().flatten(1).sum(1) for g in gradients]).sum(0).sqrt()
    if (norms > largest).any():
        factors = (largest / norms).clamp(max=1)
        for g in gradients:
            g.mul_(factors.view(-1, *[1] * (g.dim() - 1)))
