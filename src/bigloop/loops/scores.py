"""What samples are selected by: scores, of which more is better.

    SCORES["quadratic"].function(points, centre=(), scale=1.0)       # float64 (n,)

A score of your own is a function and its `Score`, in a module of yours named under `plugins`, with
SCORES = {"mine": Score(mine, ("rows",))}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bigloop.spec.options import option
from bigloop.spec.registry import Registry

View = Literal[
    "rows", "labels", "probabilities", "features", "real_features", "critic", "own_density", "density"
]
OF_REAL = {"rows", "labels", "probabilities", "density"}  # what there is without a model
OF_IMAGES = {"rows", "labels", "probabilities", "features", "real_features", "critic"}
OF_POINTS = {"rows", "features", "real_features", "own_density", "density"}


@dataclass(frozen=True)
class NoOptions:
    """None."""


@dataclass(frozen=True)
class Score:
    """How a score is computed, and from what.

    `function(*views, **options)` gives float64 (n,), finite, of n samples. `revision` is raised when a change of code
    gives other values. The views `on`:

    rows            images (n, c, h, w), float32 in [0, 1] where they are in range; or points (n, d), float64
    labels          the classes that images were made to be of, int64 (n,); None of an unconditional family
    probabilities   the classifier's, float32 (n, classes)
    features        the classifier's, float32 (n, f); points themselves
    real_features   of `real` real rows of generation 1, (real, f), where the score has an option of that name
    critic          scores of the generation's own critic, (n,)
    own_density     logarithm of the density that the model knows itself to have, (n,), nats
    density         logarithm of the known density of the data, (n,), nats
    """

    function: Callable[..., np.ndarray]
    on: tuple[View, ...]
    Options: type = NoOptions
    revision: int = 1


def quadratic(points: np.ndarray, centre: tuple[float, ...] = (), scale: float = 1.0) -> np.ndarray:
    """−‖x − c‖² / (2 scale²), the logarithm of a Gaussian: the reward whose loop has a closed form."""
    apart = points.reshape(len(points), -1).astype(np.float64)
    if centre:
        apart = apart - np.asarray(centre)
    return -np.square(apart).sum(axis=1) / (2 * scale**2)


def mean(rows: np.ndarray) -> np.ndarray:
    """The mean of a sample's pixels or coordinates: a reward that is linear."""
    return rows.reshape(len(rows), -1).mean(axis=1, dtype=np.float64)


def log_density(values: np.ndarray) -> np.ndarray:
    """The logarithm of a density at the samples, nats."""
    return values.astype(np.float64)


def critic(scores: np.ndarray) -> np.ndarray:
    """What the generation's own critic says of its samples."""
    return scores.astype(np.float64)


def confidence(probabilities: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Probability that the classifier gives to the class that was asked for or, where none was, to the likeliest."""
    found = probabilities.max(axis=1) if labels is None else probabilities[np.arange(len(labels)), labels]
    return found.astype(np.float64)


def class_reward(probabilities: np.ndarray, rewards: tuple[float, ...] = (1.0,)) -> np.ndarray:
    """Σ p(class) · reward(class): what those want who want some classes more than others (Ferbach et al. 2024)."""
    given = np.zeros(probabilities.shape[1])
    given[: len(rewards)] = rewards[: len(given)]
    return probabilities.astype(np.float64) @ given


def nearest_real(features: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Minus the distance to the nearest real row, in the unit of the features."""
    from scipy.spatial import cKDTree

    tree = cKDTree(np.asarray(real, dtype=np.float64))
    return -tree.query(np.asarray(features, dtype=np.float64))[0]


@dataclass(frozen=True)
class QuadraticOptions:
    """Options of quadratic."""

    centre: tuple[float, ...] = option(
        (), "the point c, a number for each coordinate; [] for the origin", maximum=1_000
    )
    scale: float = option(1.0, "how far from it a sample loses ½", above=0)


@dataclass(frozen=True)
class RewardOptions:
    """Options of class_reward."""

    rewards: tuple[float, ...] = option(
        (1.0,),
        "of the classes in the order of the labels; those that are not given: 0",
        minimum=1,
        maximum=10_000,
    )


@dataclass(frozen=True)
class NearestOptions:
    """Options of nearest_real."""

    real: int = option(
        1_000, "real rows, those of generation 1 that come first", minimum=1, maximum=1_000_000
    )


SCORES = Registry(
    "scores",
    {
        "quadratic": Score(quadratic, ("rows",), QuadraticOptions),
        "mean": Score(mean, ("rows",)),
        "density": Score(log_density, ("density",)),
        "own_density": Score(log_density, ("own_density",)),
        "nearest_real": Score(nearest_real, ("features", "real_features"), NearestOptions),
        "critic": Score(critic, ("critic",)),
        "confidence": Score(confidence, ("probabilities", "labels")),
        "class_reward": Score(class_reward, ("probabilities",), RewardOptions),
    },
)
