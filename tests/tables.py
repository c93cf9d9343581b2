"""Rows of the tables of an experiment, for tests that need no experiment."""

from __future__ import annotations

from typing import Any

# Columns of a diffusion of points, beside those of `run`.
DIFFUSION = {
    "family": "mlp_ddpm",
    "dataset": "gaussians8",
    "density": "gaussians8",
    "density.dimension": None,
    "density.scale": 5.0,
    "density.variance": 0.1,
    "model.timesteps": 300,
    "model.beta_first": 3.3e-4,
    "model.beta_last": 0.067,
    "model.scale": 2.0,
}


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
