"""What is timed in place of the real thing: models with any weights, and images of nothing."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bigloop.config.runs import Run
from bigloop.data import dataset, plane_source
from bigloop.generation.store import new_model
from bigloop.models import family
from bigloop.spec.options import Scalar
from bigloop.spec.runs import Data


def planes(data: Data) -> tuple[int, int]:
    """The colour planes of an image, and the classes of each."""
    return dataset(data).shape[0], len(dataset(plane_source(data) or data).classes)


def grey(n: int) -> np.ndarray:
    """Some small images."""
    return np.zeros((n, 1, 32, 32), np.uint8)


def untrained(run: Run, device: torch.device, **options: Scalar) -> Any:
    """An untrained model of a run, but for these of its options, where it has them."""
    about, model = dataset(run.spec.dataset), run.spec.model
    changed = {key: value for key, value in options.items() if key in model.options}
    model = replace(model, options=model.options | changed)
    return new_model(model, about.shape, 0, 1, device, max(1, len(about.classes)))


def least_batch(run: Run) -> int:
    """The smallest batch that the other options of a run's model allow."""
    model = run.spec.model
    fields = dataclasses.fields(family(model.family).Options)
    divisors = [f.name for f in fields if f.metadata.get("divides") == "batch_size"]
    return math.lcm(*(int(model.options.get(name, 1)) for name in divisors))


def weight_bytes(model: Any) -> int:
    """Bytes of a model's weights."""
    return sum(array.nbytes for array in model.state()[0].values())
