"""Measures of what a model generated against what is real, images or points: pure functions, float64, no files.

    MEASURES["fid"].function(features_of_generated, features_of_real)       # -> 12.3

Adding a measure is one file with its function and its `Measure`, and one line in MEASURES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from bigloop.spec.loops import MOST_ROWS
from bigloop.spec.options import Scalar, option
from bigloop.spec.registry import Registry


@dataclass(frozen=True)
class MeasureOptions:
    """What a config may say of every measure."""

    n: int | None = option(
        None,
        "rows on each side; by default as many as there are, up to a limit",
        minimum=2,
        maximum=MOST_ROWS,
    )


Reference = Literal["training", "test"]


@dataclass(frozen=True)
class ComparisonOptions(MeasureOptions):
    """What a config may say of every measure that holds generated images against real ones."""

    reference: Reference = option(
        "training",
        "real images that generated ones are held against: training rows, or test rows, which no model has seen",
        neutral="training",
    )


@dataclass(frozen=True)
class FeaturesOptions(MeasureOptions):
    """What a config may say of every measure that compares images on features."""

    features: str | dict[str, Scalar] | None = option(
        None,
        "what images are compared on: classifier, inception, {classifier: DATASET}, {torchvision: NETWORK}, …; by "
        "default what the dataset's own key `features` says",
        kind="features",
    )


@dataclass(frozen=True)
class FeatureComparisonOptions(ComparisonOptions, FeaturesOptions):
    """What a config may say of every measure that holds features of generated images against those of real ones."""


@dataclass(frozen=True)
class NoOptions:
    """The options of a measure without rows."""


View = Literal[
    "images",
    "features",
    "probabilities",
    "adapted",
    "inception",
    "planes",
    "scores",
    "parameters",
    "cells",
    "modes",
    "mode_weights",
    "symbols",
    "log_densities",
    "moments",
    "history",
    "selection",
    "others",
    "accuracy",
]
WITHOUT_ROWS = {"parameters", "moments", "history", "selection"}
OF_BOTH = {"images", "features", "selection", "others"}
OF_IMAGES = OF_BOTH | {"probabilities", "adapted", "inception", "planes", "scores", "parameters", "accuracy"}
OF_POINTS = OF_BOTH | {"cells", "modes", "mode_weights", "symbols", "log_densities", "moments", "history"}


@dataclass(frozen=True)
class Measure:
    """How a measure is computed, and from what.

    `function(*generated, *real, **options)` gets of each side its views `on`, and its `arguments` of the options. It
    returns a number, named by the measure's key, or a list of (name, value, detail), of which `compared` depend on the
    real side. `against`: the real side is a subset of as many rows, of the training set or, where the options are
    ComparisonOptions and say so, of the test set; or all of the real training set. What is costly and
    depends on the real side alone, `of_real(*real, **options)`, may be given to the function as its keyword of_real;
    without it, the function computes it. `revision` is raised when a change of code gives other values. The views:

    view           of the generated side                           of the real side
    images         images or points, n × `per_side` rows           likewise
    features       float32 (rows, f), of the kind that the option  likewise
                   `features` or the dataset says; points themselves
    probabilities  the classifier's, (rows, classes)               likewise
    adapted        likewise, adapted to the images                 likewise
    inception      Inception features, (rows, 64 … 2048)           likewise
    planes         class probabilities of each colour plane alone, likewise
                   by the classifier of the planes' source,
                   (rows, planes, classes)
    scores         of the generation's own critic, (rows,)         likewise
    parameters     the model's weights                             generation 1's, and its before its training
    cells          shares of the points in cells, (cells,)         the density's own, from `cell_masses`
    modes          points, (rows, d)                               the density's modes (m, d) and their spread
    mode_weights   points, (rows, d)                               the density's modes (m, d) and their weights (m,)
    symbols        symbols, (rows, 1)                              the probabilities of all symbols, (symbols,)
    log_densities  the model's own, at generated and real points  the density's, at the same points
    moments        the model's mean (d,) and covariance (d, d)     those that it should have
    history        name: value, of the model's training            anything; it is not used
    selection      the scores of all samples, and which were       anything; it is not used
                   selected
    others         by member of the ecosystem, the others' view    likewise
                   `features`
    accuracy       on real test rows, of a classifier trained on   likewise
                   the images and their labels alone, a number
    """

    function: Callable[..., float | list[tuple[str, float, str]]]
    on: tuple[View, ...]
    limit: int = 0  # n where the config gives none, if there are as many rows
    per_side: int = 1
    Options: type = MeasureOptions
    against: Literal["subset", "training"] = "subset"
    of_real: Callable[..., np.ndarray | float] | None = None
    consumed: frozenset[str] = frozenset()  # options that the making of its views uses up
    compared: tuple[str, ...] = ()  # of several values, those that depend on the real side
    only_images: bool = False  # means nothing of points
    power: float = 1.0  # of n, as which its time grows, where both sides have n rows
    matrices: int = 0  # of n × n float64 that it holds at once
    revision: int = 1

    def __post_init__(self) -> None:
        comparing = issubclass(self.Options, ComparisonOptions)
        if not comparing and "reference" in {field.name for field in fields(self.Options)}:
            raise ValueError(f"{self.Options.__name__}: has an option reference, and is no ComparisonOptions")

    def arguments(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that its function gets: all but which and how many rows, its revision, and those `consumed`."""
        spent = (
            self.consumed
            | {"n", "reference", "revision"}
            | ({"features"} if self.on_features or self.on_planes else set())
        )
        return {key: value for key, value in options.items() if key not in spent}

    def compared_values(self, name: str) -> tuple[str, ...]:
        """Its values, where its key is `name`, that depend on which real images it is held against by its options."""
        if not issubclass(self.Options, ComparisonOptions):
            return ()
        return self.compared or (name,)

    @property
    def has_rows(self) -> bool:
        """Whether it compares n rows of each side."""
        return not WITHOUT_ROWS.intersection(self.on)

    @property
    def needs_classes(self) -> bool:
        """Whether it needs the classes that a classifier of the dataset itself predicts."""
        return not {"probabilities", "adapted", "accuracy"}.isdisjoint(self.on)

    @property
    def needs_critic(self) -> bool:
        """Whether it needs the critic of the generation that it measures."""
        return "scores" in self.on

    @property
    def on_features(self) -> bool:
        """Whether it compares images on features."""
        return "features" in self.on

    @property
    def on_planes(self) -> bool:
        """Whether it looks at each colour plane as a picture of its own."""
        return "planes" in self.on

    @property
    def features(self) -> str:
        """What it compares images on, unless its options say otherwise; "" where it compares something else."""
        if self.needs_classes or self.on_features:
            return "classifier"
        return "inception-2048" if "inception" in self.on else "pixels" if "images" in self.on else ""

    @property
    def of_images(self) -> bool:
        """Whether generated images can be measured so."""
        return OF_IMAGES.issuperset(self.on)

    @property
    def of_points(self) -> bool:
        """Whether points generated after a known density can be measured so."""
        return OF_POINTS.issuperset(self.on) and self.against == "subset" and not self.only_images


MEASURES = Registry(
    "measures",
    {
        "wasserstein1": "bigloop.metrics.wasserstein:WASSERSTEIN1",
        "wasserstein1_excess": "bigloop.metrics.wasserstein:EXCESS",
        "wasserstein2": "bigloop.metrics.wasserstein:WASSERSTEIN2",
        "fid": "bigloop.metrics.frechet:FID",
        "fid_inception": "bigloop.metrics.frechet:INCEPTION",
        "precision": "bigloop.metrics.neighbours:PRECISION",
        "recall": "bigloop.metrics.neighbours:RECALL",
        "density": "bigloop.metrics.neighbours:DENSITY",
        "coverage": "bigloop.metrics.neighbours:COVERAGE",
        "spacing": "bigloop.metrics.neighbours:SPACING",
        "critic_distance": "bigloop.metrics.critics:DISTANCE",
        "classes": "bigloop.metrics.classes:CLASSES",
        "effective_classes": "bigloop.metrics.classes:EFFECTIVE",
        "intra_class_variance": "bigloop.metrics.modes:WITHIN_CLASSES",
        "stacked_modes": "bigloop.metrics.stacked:STACKED_MODES",
        "variance": "bigloop.metrics.modes:VARIANCE",
        "pixel_variances": "bigloop.metrics.pixels:VARIANCES",
        "spectrum": "bigloop.metrics.spectrum:SPECTRUM",
        "modes": "bigloop.metrics.modes:MODES",
        "mode_balance": "bigloop.metrics.modes:BALANCE",
        "bins": "bigloop.metrics.bins:BINS",
        "symbols": "bigloop.metrics.symbols:SYMBOLS",
        "vendi": "bigloop.metrics.diversity:VENDI",
        "divergences": "bigloop.metrics.divergences:DIVERGENCES",
        "likelihoods": "bigloop.metrics.likelihoods:LIKELIHOODS",
        "pixels": "bigloop.metrics.pixels:PIXELS",
        "nearest_real": "bigloop.metrics.neighbours:NEAREST",
        "parameter_distance": "bigloop.metrics.parameters:PARAMETERS",
        "moments": "bigloop.metrics.moments:MOMENTS",
        "training": "bigloop.metrics.histories:TRAINING",
        "selection": "bigloop.metrics.selection:SELECTION",
        "between": "bigloop.metrics.between:BETWEEN",
        "utility": "bigloop.metrics.utility:UTILITY",
    },
)
