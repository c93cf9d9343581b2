"""What is left of a vocabulary: how many symbols a model still uses, how evenly, and how many of the rare ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bigloop.metrics import Measure, MeasureOptions
from bigloop.spec.options import option


def symbol_statistics(
    points: np.ndarray, probabilities: np.ndarray, tail: float = 0.1
) -> list[tuple[str, float, str]]:
    """Of generated symbols (n, 1), n ≥ 2, beside the probabilities (K,) that they should have.

    `symbols_left`: different symbols, 1 … K; of n symbols of the density itself there are Σ 1 − (1 − p)^n.
    `symbol_diversity`: probability that two of the rows, drawn without replacement, are different symbols, in [0, 1];
    an unbiased estimate of 1 − Σ p² (the heterozygosity of population genetics, Gini and Simpson's index), which the
    loop shrinks by 1 − 1/n a generation.
    `symbol_entropy`: of their shares, nats, in [0, ln K].
    `tail_mass`: share of the rows that are of the tail, the rarest symbols, which together have at most the
    probability `tail`.
    `symbol_tv`: total variation between their shares and the probabilities, in [0, 1].

    Raises ValueError for fewer than two rows.
    """
    n = len(points)
    if n < 2:
        raise ValueError(f"points: expected n ≥ 2 rows, got {n}")
    counts = np.bincount(np.asarray(points)[:, 0].astype(np.int64), minlength=len(probabilities))
    shares = counts / n
    there = shares[counts > 0]
    rarest = np.argsort(probabilities, kind="stable")
    in_tail = rarest[np.cumsum(probabilities[rarest]) <= tail]
    same = (counts * (counts - 1.0)).sum() / (n * (n - 1.0))
    return [
        ("symbols_left", float(len(there)), ""),
        ("symbol_diversity", float(1 - same), ""),
        ("symbol_entropy", float(-(there * np.log(there)).sum()), ""),
        ("tail_mass", float(shares[in_tail].sum()), ""),
        ("symbol_tv", float(np.abs(shares - probabilities).sum() / 2), ""),
    ]


@dataclass(frozen=True)
class SymbolOptions(MeasureOptions):
    """Options of symbols."""

    tail: float = option(
        0.1, "probability that the rarest symbols, the tail, have together, at most", above=0, below=1
    )


SYMBOLS = Measure(symbol_statistics, ("symbols",), limit=100_000, Options=SymbolOptions)
