"""What the two networks of a GAN minimise, as functions of what the critic says of real and of generated rows.

    two = objective(options)
    two.critic(real, fake).mean(-1)
    two.generator(fake, real).mean(-1)

A discriminator's output is its logit s, D = 1 / (1 + exp(−s)); a critic's is its score f(x). Losses are of each
output, Tensor to Tensor of the same shape, and lower is better for the network that descends them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, normalize, softplus

Loss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Objective:
    """The losses of a GAN: `critic(real, fake)` and `generator(fake, real)`, of equally many outputs."""

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    paired: bool = False  # the generator's looks at real rows


def objective(options: Any) -> Objective:
    """The losses that the options `loss`, `generator_loss`, `label_smoothing` and `divergence` name."""
    saturates = options.generator_loss == "saturating"
    match options.loss:
        case "gan" | "bce":
            own = saturating if saturates else non_saturating
            return Objective(
                partial(cross_entropy, smoothing=options.label_smoothing), lambda fake, _: own(fake)
            )
        case "relativistic":
            return Objective(relativistic, relativistic, paired=True)
        case "f_gan":
            f = DIVERGENCES[options.divergence]
            return Objective(
                lambda real, fake: f.conjugate(fake) - f.activation(real),
                lambda fake, _: -f.conjugate(fake) if saturates else -f.activation(fake),
            )
        case _:
            return Objective(lambda real, fake: fake - real, lambda fake, _: -fake)


def cross_entropy(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """Of logits: −log D(x) − log(1 − D(G(z))), the discriminator's loss (Goodfellow et al. 2014, eq. 1).

    Finite for all finite logits; the gradient in a logit is D − 1 of a real and D of a generated row. With one-sided
    `smoothing` α (Salimans et al. 2016, §3.4) a real row's label is 1 − α, and its gradient D − 1 + α.
    """
    loss = softplus(-real) + softplus(fake)
    return loss + smoothing * real if smoothing else loss


def saturating(fake: Tensor) -> Tensor:
    """Of logits: log(1 − D(G(z))), the generator's loss in the game (ibid.); its gradient −D vanishes at D = 0."""
    return -softplus(fake)


def non_saturating(fake: Tensor) -> Tensor:
    """Of logits: −log D(G(z)), the generator's loss with the same fixed point (ibid., §3); its gradient is D − 1."""
    return softplus(-fake)


def relativistic(better: Tensor, worse: Tensor) -> Tensor:
    """−log σ(better − worse) of pairs of scores (Jolicoeur-Martineau 2018, RpGAN; Huang et al. 2024, R3GAN, eq. 2).

    The critic wants real rows to have the better scores, the generator its own.
    """
    return softplus(worse - better)


@dataclass(frozen=True)
class Divergence:
    """An f-divergence D_f(p‖q) = ∫ q f(p/q) as f-GANs estimate it from below: max E_p[T] − E_q[f*(T)].

    Of the critic's output v, `activation` is T = g_f(v), and `conjugate` is f*(g_f(v)) (Nowozin et al. 2016, table 6).
    Exponents end at STEEPEST, so that a critic that is sure does not end a training.
    """

    activation: Loss
    conjugate: Loss


STEEPEST = 20.0


def _exp(v: Tensor) -> Tensor:
    return v.clamp(max=STEEPEST).exp()


DIVERGENCES = {
    "forward_kl": Divergence(lambda v: v, lambda v: _exp(v - 1)),
    "reverse_kl": Divergence(lambda v: -_exp(-v), lambda v: v - 1),
    "jensen_shannon": Divergence(  # twice the divergence, as there
        lambda v: math.log(2) - softplus(-v), lambda v: softplus(v) - math.log(2)
    ),
    "chi_squared": Divergence(lambda v: v, lambda v: v.square() / 4 + v),
    "hellinger": Divergence(lambda v: 1 - _exp(-v), lambda v: _exp(v) - 1),
    "total_variation": Divergence(lambda v: v.tanh() / 2, lambda v: v.tanh() / 2),
}


def information(logits: Tensor, codes: Tensor) -> Tensor:
    """The lower bound E[log Q(c|x)] + H(c) of the mutual information of codes and rows, nats (Chen et al. 2016, eq. 5).

    logits: (…, n, codes), what Q says of n rows; codes: the same shape, one-hot, drawn uniformly. Returns (…,). The
    bound is exact where Q is the posterior.
    """
    return (codes * log_softmax(logits, -1)).sum(-1).mean(-1) + math.log(codes.shape[-1])


def contrast(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """The normalised temperature-scaled cross entropy of two views of n rows (Chen et al. 2020, SimCLR, eq. 1).

    first, second: features (…, n, f), n ≥ 2. Returns (…,). Each view must find the other one of its row among all
    2n − 1 others, by cosine.
    """
    both = normalize(torch.cat([first, second], -2), dim=-1)
    likeness = both @ both.mT / temperature
    itself = torch.eye(both.shape[-2], dtype=torch.bool, device=both.device)
    partner = likeness.roll(first.shape[-2], -1).diagonal(dim1=-2, dim2=-1)
    return (likeness.masked_fill(itself, -torch.inf).logsumexp(-1) - partner).mean(-1)
