"""A budget of rows drawn from all that there are: the loop of those who accumulate data, and cannot train on all of it.

loops:
  accumulate-subsample:
    real: {fixed: 1000}
    synthetic: {n: 1000, from: all}
    pool: {n: 1000}                   # Kazdan et al. 2025; without this line, accumulate (Gerstgrasser et al. 2024)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bigloop.loops import Composition, Rule
from bigloop.spec.loops import MOST_ROWS
from bigloop.spec.options import option


@dataclass(frozen=True)
class Options:
    """Options of pool."""

    n: int = option(
        description="rows that a generation trains on, of all there are", minimum=1, maximum=MOST_ROWS
    )
    real: float | None = option(
        None,
        "share of them that is drawn from the real rows; if not given, all rows, real or synthetic, are drawn "
        "alike",
        minimum=0,
        maximum=1,
    )


def draw(
    composition: Composition, options: Any, seed: int, generation: int, generator: np.random.Generator
) -> Composition:
    """`n` rows of the composition, drawn without replacement; of a side that has fewer than its share, all."""
    there = len(composition)
    real, n = len(composition.real), min(options.n, there)
    if options.real is None:
        chosen = generator.permutation(there)[:n]
    else:
        wanted = min(real, round(options.real * n))
        sides = generator.permutation(real)[:wanted], real + generator.permutation(there - real)[: n - wanted]
        chosen = np.concatenate(sides)
    chosen, start, synthetic = np.sort(chosen), real, {}
    for source, rows in composition.synthetic.items():
        own = chosen[(start <= chosen) & (chosen < start + len(rows))]
        synthetic[source] = rows[own - start]
        start += len(rows)
    return Composition(
        composition.real[chosen[chosen < real]], {g: rows for g, rows in synthetic.items() if len(rows)}
    )


POOL = Rule(draw, Options)
