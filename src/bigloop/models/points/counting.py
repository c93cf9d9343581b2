"""Symbols learnt by counting them: the language model of one word, of which theory knows everything.

    model = Counting.fresh(Counting.Options(), 1, streams, density)
    model.fit(rows, Budget(epochs=1), streams)               # rows: Tensor (replicates, n, 1), symbols

A loop on it is the Wright–Fisher model of genetic drift (Fisher 1930, Wright 1931): symbols are alleles, and one that
was not drawn is lost for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from bigloop.data.densities import Density
from bigloop.models.points.stacked import Streams
from bigloop.runtime.progress import Report
from bigloop.spec.loops import Budget
from bigloop.spec.options import option


class Counting:
    """Symbols. Sampling bias λ: the temperature, symbols by p^(1/λ); λ = 0: the most frequent one alone."""

    revision: ClassVar[int] = 1
    stacked: ClassVar[bool] = True
    sees_density: ClassVar[bool] = True
    discrete: ClassVar[bool] = True
    dtype: ClassVar[torch.dtype] = torch.float64

    @dataclass(frozen=True)
    class Options:
        smoothing: float = option(0.0, "added to the count of every symbol (Laplace)", minimum=0)
        top_p: float = option(
            1.0,
            "sample from the most probable symbols alone that together have this probability (nucleus sampling, "
            "Holtzman et al. 2020); 1: from all",
            above=0,
            maximum=1,
            sampling=True,
        )

    def __init__(self, options: Any, symbols: int, replicates: int) -> None:
        self.options = options
        self.probabilities = torch.full((replicates, symbols), 1 / symbols, dtype=self.dtype)

    @classmethod
    def fresh(cls, options: Any, dimension: int, streams: Streams, density: Density) -> Self:
        """Models of the density's symbols, all equally probable, as many as there are streams."""
        return cls(options, len(density.probabilities), len(streams))  # type: ignore[attr-defined]

    def fit(
        self, rows: Tensor, budget: Budget, streams: Streams, report: Report = lambda line: None
    ) -> dict[str, np.ndarray]:
        """Take the shares of the symbols among rows (replicates, n, 1); budget and streams play no part."""
        counts = torch.zeros_like(self.probabilities)
        symbols = rows[..., 0].long()
        counts.scatter_add_(1, symbols, torch.ones_like(symbols, dtype=self.dtype))
        counts += self.options.smoothing
        self.probabilities = counts / counts.sum(1, keepdim=True)
        return {}

    def sample(self, n: int, bias: float, streams: Streams) -> Tensor:
        """n new symbols of each replicate, (replicates, n, 1), with sampling bias λ = `bias` in [0, 1]."""
        upto = sharpened(self.probabilities, bias, self.options.top_p).cumsum(1)
        drawn = streams.uniform(n, dtype=self.dtype) * upto[:, -1:]
        return torch.searchsorted(upto, drawn, right=True).to(self.dtype)[..., None]

    def state(self) -> dict[str, np.ndarray]:
        """The probabilities, (replicates, symbols)."""
        return {"probabilities": self.probabilities.numpy().copy()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` gave."""
        self.probabilities = torch.from_numpy(np.array(state["probabilities"]))


def sharpened(probabilities: Tensor, temperature: float, top_p: float = 1.0) -> Tensor:
    """p^(1/temperature) of probabilities (R, K), scaled to sum 1, of the fewest symbols that together reach `top_p`."""
    p = probabilities
    top = p.amax(1, keepdim=True)
    if temperature == 0:  # of several most frequent symbols the first
        p = torch.zeros_like(p).scatter_(1, p.argmax(1, keepdim=True), 1.0)
    elif temperature != 1:
        p = (p / top) ** (1 / temperature)
    p = p / p.sum(1, keepdim=True)
    if top_p < 1:
        ordered, places = p.sort(dim=1, descending=True, stable=True)
        kept = ordered.cumsum(1) - ordered < top_p  # those before it do not reach it yet
        p = torch.zeros_like(p).scatter_(1, places, ordered * kept)
        p = p / p.sum(1, keepdim=True)
    return p
