"""Measures of a set of generated images against real ones: pure functions, float64, no files.

    MEASURES["fid"].function(features_of_generated, features_of_real)       # -> 12.3

Adding a measure is one file with its function and one line in MEASURES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bigloop.metrics.classes import class_statistics
from bigloop.metrics.frechet import frechet_distance
from bigloop.metrics.modes import intra_class_variance
from bigloop.metrics.neighbours import coverage, density, nearest, precision, recall
from bigloop.metrics.parameters import parameter_distance
from bigloop.metrics.pixels import pixel_statistics
from bigloop.metrics.wasserstein import wasserstein1, wasserstein1_excess
from bigloop.spec import option


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
class NoOptions:
    """The options of a measure of weights."""


View = Literal["images", "features", "probabilities", "inception", "parameters"]


@dataclass(frozen=True)
class Measure:
    """How a measure is computed, and from what.

    `function(*generated, *real, **options)` gets of each side its views `on`, arrays of n × `per_side` rows: the
    images themselves, the classifier's features or class probabilities, or Inception features. It returns a
    number, named by the measure's key, or a list of (name, value, detail). `against`: the real side is a subset of
    as many rows, or all of the real training set. A measure on "parameters" has no rows: its function gets the
    weights of the model, of generation 1, and of generation 1 before its training.
    """

    function: Callable[..., float | list[tuple[str, float, str]]]
    on: tuple[View, ...]
    limit: int = 0  # n where the config gives none, if there are as many rows
    per_side: int = 1
    Options: type = MeasureOptions
    against: Literal["subset", "training"] = "subset"

    @property
    def has_rows(self) -> bool:
        return self.on != ("parameters",)


MEASURES = {
    "wasserstein1": Measure(wasserstein1, ("images",), limit=500),
    "wasserstein1_excess": Measure(wasserstein1_excess, ("images",), limit=2_000, per_side=2),
    "fid": Measure(frechet_distance, ("features",), limit=10_000),
    "fid_inception": Measure(frechet_distance, ("inception",), limit=1_000, Options=InceptionOptions),
    "precision": Measure(precision, ("features",), limit=10_000, Options=NeighbourOptions),
    "recall": Measure(recall, ("features",), limit=10_000, Options=NeighbourOptions),
    "density": Measure(density, ("features",), limit=10_000, Options=NeighbourOptions),
    "coverage": Measure(coverage, ("features",), limit=10_000, Options=NeighbourOptions),
    "classes": Measure(class_statistics, ("probabilities",), limit=10_000),
    "intra_class_variance": Measure(intra_class_variance, ("features", "probabilities"), limit=10_000),
    "pixels": Measure(pixel_statistics, ("images",), limit=10_000, Options=PixelOptions),
    "nearest_real": Measure(nearest, ("images",), limit=1_000, against="training"),
    "parameter_distance": Measure(parameter_distance, ("parameters",), Options=NoOptions),
}
