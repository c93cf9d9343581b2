"""Measures of what a model generated against what is real, images or points: pure functions, float64, no files.

    MEASURES["fid"].function(features_of_generated, features_of_real)       # -> 12.3

Adding a measure is one file with its function and one line in MEASURES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bigloop.metrics.classes import class_statistics
from bigloop.metrics.divergences import divergences
from bigloop.metrics.frechet import frechet_distance
from bigloop.metrics.histories import training_statistics
from bigloop.metrics.modes import intra_class_variance, mode_statistics, total_variance
from bigloop.metrics.moments import moment_statistics
from bigloop.metrics.neighbours import ball_radii, coverage, density, nearest, precision, recall
from bigloop.metrics.parameters import parameter_distance
from bigloop.metrics.pixels import pixel_statistics
from bigloop.metrics.wasserstein import own_wasserstein1, wasserstein1, wasserstein1_excess, wasserstein2
from bigloop.spec.options import option


@dataclass(frozen=True)
class MeasureOptions:
    """What a config may say of every measure."""

    n: int | None = option(
        None, "rows on each side; by default as many as there are, up to a limit", minimum=2
    )


@dataclass(frozen=True)
class InceptionOptions(MeasureOptions):
    """Options of fid_inception."""

    weights: str = option(
        "", "file with torch-fidelity's FID-Inception weights; empty: torch-fidelity fetches them"
    )


@dataclass(frozen=True)
class PixelOptions(MeasureOptions):
    """Options of pixels."""

    bins: int = option(200, "equal bins of the histogram over [-1, 1]", minimum=2)


@dataclass(frozen=True)
class NeighbourOptions(MeasureOptions):
    """Options of precision, recall, density and coverage."""

    k: int = option(5, "a row's ball reaches to its k-th nearest other row", minimum=1)


@dataclass(frozen=True)
class ModeOptions(MeasureOptions):
    """Options of modes."""

    least: float = option(
        0.1, "a covered mode has at least this part of its fair share of n as good samples", above=0
    )


@dataclass(frozen=True)
class DivergenceOptions(MeasureOptions):
    """Options of divergences."""

    bins: int = option(32, "equal cells along each dimension of the density's box", minimum=2)


@dataclass(frozen=True)
class NoOptions:
    """The options of a measure without rows."""


View = Literal[
    "images", "features", "probabilities", "inception", "parameters", "cells", "modes", "moments", "history"
]
WITHOUT_ROWS = {"parameters", "moments", "history"}
OF_IMAGES = {"images", "features", "probabilities", "inception", "parameters"}
OF_POINTS = {"images", "features", "cells", "modes", "moments", "history"}


@dataclass(frozen=True)
class Measure:
    """How a measure is computed, and from what.

    `function(*generated, *real, **options)` gets of each side its views `on`, and of the options all but `n` and
    those `consumed`. It returns a number, named by the measure's key, or a list of (name, value, detail).
    `against`: the real side is a subset of as many rows, or all of the real training set. What is costly and
    depends on the real side alone, `of_real(*real, **options)`, may be given to the function as its keyword of_real;
    without it, the function computes it. The views:

    view           of the generated side                           of the real side
    images         images or points, n × `per_side` rows           likewise
    features       the classifier's, (rows, f); points themselves  likewise
    probabilities  the classifier's, (rows, classes)               likewise
    inception      Inception features, (rows, 2048)                likewise
    parameters     the model's weights                             generation 1's, and its before its training
    cells          shares of the points in cells, (cells,)         the density's own, from `cell_masses`
    modes          points, (rows, d)                               the density's modes (m, d) and their spread
    moments        the model's mean (d,) and covariance (d, d)     those that it should have
    history        name: value, of the model's training            anything; it is not used
    """

    function: Callable[..., float | list[tuple[str, float, str]]]
    on: tuple[View, ...]
    limit: int = 0  # n where the config gives none, if there are as many rows
    per_side: int = 1
    Options: type = MeasureOptions
    against: Literal["subset", "training"] = "subset"
    of_real: Callable[..., np.ndarray | float] | None = None
    consumed: frozenset[str] = frozenset()  # options that the making of its views uses up
    only_images: bool = False  # means nothing of points

    @property
    def has_rows(self) -> bool:
        """Whether it compares n rows of each side."""
        return not WITHOUT_ROWS.intersection(self.on)

    @property
    def needs_classes(self) -> bool:
        """Whether it looks at images through a classifier."""
        return not {"features", "probabilities"}.isdisjoint(self.on)

    @property
    def of_images(self) -> bool:
        """Whether generated images can be measured so."""
        return OF_IMAGES.issuperset(self.on)

    @property
    def of_points(self) -> bool:
        """Whether points generated after a known density can be measured so."""
        return OF_POINTS.issuperset(self.on) and self.against == "subset" and not self.only_images


MEASURES = {
    "wasserstein1": Measure(wasserstein1, ("images",), limit=500),
    "wasserstein1_excess": Measure(
        wasserstein1_excess, ("images",), limit=2_000, per_side=2, of_real=own_wasserstein1
    ),
    "wasserstein2": Measure(wasserstein2, ("images",), limit=500),
    "fid": Measure(frechet_distance, ("features",), limit=10_000),
    "fid_inception": Measure(
        frechet_distance,
        ("inception",),
        limit=1_000,
        Options=InceptionOptions,
        consumed=frozenset({"weights"}),
    ),
    "precision": Measure(
        precision, ("features",), limit=10_000, Options=NeighbourOptions, of_real=ball_radii
    ),
    "recall": Measure(recall, ("features",), limit=10_000, Options=NeighbourOptions),
    "density": Measure(density, ("features",), limit=10_000, Options=NeighbourOptions, of_real=ball_radii),
    "coverage": Measure(coverage, ("features",), limit=10_000, Options=NeighbourOptions, of_real=ball_radii),
    "classes": Measure(class_statistics, ("probabilities",), limit=10_000),
    "intra_class_variance": Measure(intra_class_variance, ("features", "probabilities"), limit=10_000),
    "variance": Measure(total_variance, ("images",), limit=10_000),
    "modes": Measure(mode_statistics, ("modes",), limit=10_000, Options=ModeOptions),
    "divergences": Measure(
        divergences, ("cells",), limit=10_000, Options=DivergenceOptions, consumed=frozenset({"bins"})
    ),
    "pixels": Measure(pixel_statistics, ("images",), limit=10_000, Options=PixelOptions, only_images=True),
    "nearest_real": Measure(nearest, ("images",), limit=1_000, against="training"),
    "parameter_distance": Measure(parameter_distance, ("parameters",), Options=NoOptions),
    "moments": Measure(moment_statistics, ("moments",), Options=NoOptions),
    "training": Measure(training_statistics, ("history",), Options=NoOptions),
}
