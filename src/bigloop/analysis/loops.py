"""What the loop of a run is called and what it trains on, from its row of the runs table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bigloop.data.densities import Density, known_density
from bigloop.spec.loops import Synthetic

KEYS_OF_KIND = ("real.fixed", "real.fresh", "synthetic.n", "synthetic.ratio")


def kind_of_loop(run: Mapping[str, Any]) -> str:
    """What later generations train on, in the papers' words, from a row of the runs table; "" where it does not say."""
    fixed, fresh, n, ratio = (float(run.get(f"loop.{key}", 0) or 0) for key in KEYS_OF_KIND)
    synthetic = n > 0 or ratio > 0  # a column that another run has is NaN here
    if fresh > 0:
        return "fresh data" if synthetic else "real data only"
    if fixed > 0:
        return "synthetic augmentation" if synthetic else "real data only"
    return "fully synthetic" if synthetic else ""


def real_rows(run: Mapping[str, Any]) -> int:
    """Real rows that later generations train on, from a row of the runs table."""
    return int(run.get("loop.real.fixed", 0)) + int(run.get("loop.real.fresh", 0))


def synthetic_rows(run: Mapping[str, Any]) -> int:
    """Synthetic rows that later generations train on: in total, or of each earlier generation for from: all."""
    n, ratio = run.get("loop.synthetic.n"), run.get("loop.synthetic.ratio")
    return Synthetic(n=None if n is None else int(n), ratio=None if n is not None else ratio).rows(
        real_rows(run)
    )


def images_seen(run: Mapping[str, Any], generations: np.ndarray) -> np.ndarray:
    """Training examples that a run of the runs table has seen at the end of each of `generations`, repetitions counted.

    Raises ValueError where the runs table has no budget.
    """
    trained = np.arange(1, max(generations) + 1)
    real, synthetic = real_rows(run), synthetic_rows(run)
    if run.get("loop.synthetic.from") == "all":
        rows = real + synthetic * (trained - 1)
    else:
        rows = np.full(len(trained), real + synthetic)
    rows[0] = int(run.get("loop.initial.n", 0))
    images = np.empty(len(trained))
    for part, name in ((slice(0, 1), "initial"), (slice(1, None), "retrain")):
        epochs, given = (run.get(f"loop.budget.{name}.{unit}") for unit in ("epochs", "images"))
        if epochs is None and given is None:
            raise ValueError(f"x: run {run['run']} has no loop.budget.{name} in images or epochs")
        images[part] = float(epochs) * rows[part] if epochs is not None else given
    return np.cumsum(images)[np.asarray(generations, int) - 1]


def density_of(run: Mapping[Any, Any]) -> Density:
    """The known density of a row of the runs table."""
    import pandas as pd

    given = {
        str(key).removeprefix("density."): value.item() if isinstance(value, np.generic) else value
        for key, value in run.items()
        if str(key).startswith("density.") and not pd.isna(value)
    }
    return known_density(run["density"], given)


def of_generation_before(run: Mapping[str, Any]) -> bool:
    """Whether synthetic rows come from the generation before alone, from a row of the runs table."""
    return str(run.get("loop.synthetic.from", 1)) in ("1", "1.0")
