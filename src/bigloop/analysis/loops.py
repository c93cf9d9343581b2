"""What the loop of a run is called, what it trains on and what theory expects of it, from its row of the runs table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bigloop.metrics.theory import expected_sd, fresh_recursion
from bigloop.spec.runs import Synthetic

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


def theory(run: Mapping[str, Any], measure: str, generations: int) -> np.ndarray | None:
    """What is expected of `measure` in generations 1 to `generations`, from a row of the runs table; None if unknown.

    Known of a Gaussian in a loop from scratch on the standard normal, fully synthetic or with fresh data, whose
    synthetic rows come from the generation before: the mean squared error of the mean, the total variance, and in the
    fully synthetic loop in one dimension the standard deviation.
    """
    kind = kind_of_loop(run)
    if (run["family"], run.get("density")) != ("gaussian", "gaussian"):
        return None
    if run.get("loop.start", "scratch") != "scratch" or str(run.get("loop.synthetic.from", 1)) not in (
        "1",
        "1.0",
    ):
        return None
    if kind not in ("fully synthetic", "fresh data") or run.get("loop.real.fixed", 0) > 0:
        return None
    dimension, initial = int(run.get("density.dimension", 1)), int(run["loop.initial.n"])
    bias, real, synthetic = float(run.get("loop.bias", 1.0)), real_rows(run), synthetic_rows(run)
    if measure == "sd" and kind == "fully synthetic" and dimension == 1:
        return expected_sd(np.arange(1, generations + 1), initial, synthetic, bias)
    if measure in ("mean_error", "trace"):
        mean_error, variance = fresh_recursion(generations, initial, real, synthetic, bias)
        return dimension * (mean_error if measure == "mean_error" else variance)
    return None
