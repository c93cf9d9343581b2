"""What a job will need, from what it is told: memory in MB and time in minutes, as a cluster asks for them.

Generous by intention: a job that asks for too little is stopped. It then runs again with more, and a
training goes on from its saved state.
"""

from __future__ import annotations

import math
from typing import cast

from bigloop.data import dataset
from bigloop.spec import SampleSpec, Scalar, TrainSpec

BASE = 1_500  # MB of a process that has imported torch, and of the Snakemake beside it
FLOAT32, FLOAT64 = 4, 8  # bytes
COPIES = 3  # of the training rows while they are gathered
IMAGES_A_MINUTE = 15_000  # trained; the WGAN of Knutsen et al. on a GPU is faster, on two cores slower


def training_rows(spec: TrainSpec) -> int:
    """The most rows that a training job holds."""
    if spec.generation == 1 or spec.real is None or spec.synthetic is None:
        return spec.initial.n
    real = spec.real.fixed + spec.real.fresh
    several = spec.generation - 1 if spec.synthetic.from_ == "all" else 1
    return real + several * spec.synthetic.rows(real)


def training_memory(spec: TrainSpec) -> int:
    """MB for a training job."""
    about = dataset(spec.dataset)
    rows = training_rows(spec) + about.rows["train"]
    return BASE + _megabytes(rows, *about.shape, FLOAT32, COPIES)


def training_minutes(spec: TrainSpec) -> int:
    """Minutes for a training job."""
    budget = spec.budget
    images = budget.images or cast(float, budget.epochs) * training_rows(spec)
    return 30 + math.ceil(images / IMAGES_A_MINUTE)


def sampling_memory(spec: SampleSpec, name: str) -> int:
    """MB for a sampling job of the dataset `name`."""
    return BASE + _megabytes(spec.n, *dataset(name).shape, FLOAT32, COPIES)


def sampling_minutes(spec: SampleSpec) -> int:
    """Minutes for a sampling job."""
    return 20 + math.ceil(spec.n / 2_000)


def measuring_memory(measures: dict[str, dict[str, Scalar]], name: str) -> int:
    """MB for a measuring job of the dataset `name`: three matrices of distances, and the real rows."""
    n = max((cast(int, options["n"]) for options in measures.values()), default=0)
    about = dataset(name)
    return BASE + _megabytes(n, n, FLOAT64, 3) + _megabytes(about.rows["train"], *about.shape, FLOAT64)


def _megabytes(*factors: int) -> int:
    return math.ceil(math.prod(factors) / 1e6)
