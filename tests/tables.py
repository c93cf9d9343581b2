"""Rows of the tables of an experiment, for tests that need no experiment."""

from __future__ import annotations

from typing import Any


def run(name: str, **more: Any) -> dict[str, Any]:
    """A row of the runs table: the fully synthetic loop of a Gaussian on the standard normal, but for `more`."""
    return {
        "run": name,
        "family": "gaussian",
        "dataset": "gaussian",
        "density": "gaussian",
        "density.dimension": 1,
        "generations": 6,
        "loop.initial.n": 50,
        "loop.real.fixed": 0,
        "loop.real.fresh": 0,
        "loop.synthetic.n": 20,
        "loop.synthetic.from": "1",
        "loop.bias": 1.0,
        "loop.start": "scratch",
        "loop.budget.initial.epochs": 2.0,
        "loop.budget.retrain.epochs": 3.0,
        **more,
    }
