"""The layers of critics that prevent mode collapse, for images and, stacked, for points.

Features are (…, n, f): (n, f) of images, (replicates, n, f) of points. Scores are (…, n).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

from bigloop.models.adversarial.remedies import Remedies

WARM_UP = 20  # power iterations before the first step
SMALL = 1e-8  # beside a variance, so that its root has a slope


class Said(NamedTuple):
    """What a critic says of n rows."""

    scores: Tensor  # (…, n)
    features: Tensor  # (…, n, f), of its last hidden layer
    codes: Tensor | None  # logits (…, n, codes) of the code that a row was made from


def heads(options: Remedies, features: int, linear: Callable[..., nn.Module]) -> dict[str, Any]:
    """What a critic with these options has after its hidden layers, which make so many features, as Critic takes it.

    `linear(inputs, outputs, bias=True)` makes a layer.
    """
    o = options
    seen = features + o.minibatch_kernels + o.minibatch_deviation
    found: dict[str, Any] = {"head": linear(seen, 1), "beside": [], "pack": o.pack}
    if o.minibatch_kernels:
        # a bias would cancel: its gradient is nothing but rounding
        projection = linear(features, o.minibatch_kernels * o.kernel_dimensions, bias=False)
        found["beside"].append(MinibatchDiscrimination(projection, o.minibatch_kernels))
    if o.minibatch_deviation:
        found["beside"].append(MinibatchDeviation())
    if o.sources > 1:
        found["codes"] = linear(seen, o.pack * o.sources)
    return found


class Critic(nn.Sequential):
    """Hidden layers and a head: rows to scores or, where asked for the whole, to `Said`.

    `beside` are modules from features to more features, which the heads see beside them. With `codes`, a second head
    says which code each row in a pack was made from.
    """

    def __init__(
        self,
        hidden: Sequence[nn.Module],
        head: nn.Module,
        beside: Sequence[nn.Module] = (),
        codes: nn.Module | None = None,
        pack: int = 1,
    ) -> None:
        super().__init__(*hidden, head)
        self.depth, self.pack = len(hidden), pack
        self.beside = nn.ModuleList(beside)
        self.codes = codes

    def forward(self, rows: Tensor, whole: bool = False) -> Tensor | Said:
        features = self.features(rows)
        seen = (
            torch.cat([features, *(look(features) for look in self.beside)], -1) if self.beside else features
        )
        scores = self[self.depth](seen).squeeze(-1)
        if not whole:
            return scores
        if self.codes is None:
            return Said(scores, features, None)
        codes = self.codes(seen).unflatten(-1, (self.pack, -1)).flatten(-3, -2)
        return Said(scores, features, codes)

    def features(self, rows: Tensor) -> Tensor:
        """What the hidden layers make of rows, (…, n, f)."""
        for layer in islice(self, self.depth):
            rows = layer(rows)
        return rows


class Several(nn.ModuleList):
    """Several critics as one, each of which judges its own part of equally many parts of the rows.

    `axis`: the dimension of the rows.
    """

    def __init__(self, critics: Sequence[Critic], axis: int) -> None:
        super().__init__(critics)
        self.axis = axis

    def forward(self, rows: Tensor, whole: bool = False) -> Tensor | Said:
        parts = rows.chunk(len(self), self.axis)
        if not whole:
            return torch.cat([critic(part) for critic, part in zip(self, parts, strict=True)], -1)
        scores, features, codes = zip(
            *(c(part, True) for c, part in zip(self, parts, strict=True)), strict=True
        )
        return Said(
            torch.cat(scores, -1),
            torch.cat(features, -2),
            None if codes[0] is None else torch.cat(codes, -2),
        )


class MinibatchDiscrimination(nn.Module):
    """Features (…, n, f) to how near each row is to all others in `kernels` ways, (…, n, kernels) in [0, n − 1].

    o(x_i)_b = Σ_{j≠i} exp(−‖M_ib − M_jb‖₁), M_i = T f(x_i) (Salimans et al. 2016, §3.2, where j = i, too, adds 1).
    `projection`: T, linear, to (…, n, kernels · dimensions).
    """

    def __init__(self, projection: nn.Module, kernels: int) -> None:
        super().__init__()
        self.kernels = kernels
        self.projection = projection

    def forward(self, features: Tensor) -> Tensor:
        projected = self.projection(features).unflatten(-1, (self.kernels, -1))  # (…, n, kernels, dimensions)
        apart = (projected.unsqueeze(-4) - projected.unsqueeze(-3)).abs().sum(-1)  # (…, n, n, kernels)
        return (-apart).exp().sum(-2) - 1


class MinibatchDeviation(nn.Module):
    """Features (…, n, f) to the mean over features of their standard deviation in the batch, (…, n, 1).

    The same number for all rows (Karras et al. 2018, §3, of the whole batch).
    """

    def forward(self, features: Tensor) -> Tensor:
        spread = (features.var(-2, correction=0) + SMALL).sqrt().mean(-1)
        return spread[..., None, None].expand(*features.shape[:-1], 1)


class Spectral(nn.Module):
    """A parametrisation: weights divided by their largest singular value (Miyato et al. 2018, algorithm 1).

    A weight is the matrix of its first two dimensions or, `flat`, of the first and all others, as of a convolution; a
    stacked one (replicates, inputs, outputs) a matrix for each replicate. The value is estimated by power iteration,
    one `iterate` a step of the critic.
    """

    first: Tensor
    second: Tensor

    def __init__(self, weight: Tensor, flat: bool = False) -> None:
        super().__init__()
        self.flat = flat
        matrix = self._matrix(weight.detach())
        self.register_buffer("first", normalize(matrix.sum(-1), dim=-1))
        self.register_buffer("second", normalize(matrix.sum(-2), dim=-1))
        for _ in range(WARM_UP):
            self.iterate(weight)

    def forward(self, weight: Tensor) -> Tensor:
        matrix = self._matrix(weight)
        largest = torch.einsum("...i,...ij,...j->...", self.first, matrix, self.second)
        return weight / largest[(..., *[None] * (weight.dim() - largest.dim()))]

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> None:
        """One power iteration, towards the largest singular value of a weight."""
        matrix = self._matrix(weight)
        self.second.copy_(normalize(torch.einsum("...ij,...i->...j", matrix, self.first), dim=-1))
        self.first.copy_(normalize(torch.einsum("...ij,...j->...i", matrix, self.second), dim=-1))

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.flatten(1) if self.flat else weight


def normalise(critic: nn.Module, layers: tuple[type[nn.Module], ...], flat: bool) -> None:
    """Give all `layers` of a critic spectral normalisation."""
    for layer in [layer for layer in critic.modules() if isinstance(layer, layers)]:
        weight: Tensor = layer.weight  # type: ignore[assignment]
        parametrize.register_parametrization(layer, "weight", Spectral(weight, flat))


def iterate(critic: nn.Module) -> None:
    """One power iteration of every normalised layer."""
    for layer in critic.modules():
        if isinstance(layer, parametrize.ParametrizationList):
            for part in layer:
                if isinstance(part, Spectral):
                    part.iterate(layer.original)
