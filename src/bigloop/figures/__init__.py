"""Figures: tables and images in, a matplotlib Figure out. One file a figure; nothing here knows a path.

    entry = plot("fid")
    options = parse(entry.Options, {}, "figures.fid")
    entry.draw(material, options).savefig("fid.png")

To add a figure, write a file like critic_on_test.py and add its line to FIGURES. This module and the entries
import neither pandas nor matplotlib, so that options can be checked while a workflow is being planned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bigloop.spec.registry import Registry

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FIGURES = Registry(
    "figures",
    {
        "samples": "bigloop.figures.samples:PLOT",
        "class_frequencies": "bigloop.figures.class_frequencies:PLOT",
        "pixel_intensities": "bigloop.figures.pixel_intensities:PLOT",
        "wasserstein1": "bigloop.figures.wasserstein1:PLOT",
        "fid": "bigloop.figures.fid:PLOT",
        "critic_on_test": "bigloop.figures.critic_on_test:PLOT",
        "critic_matrices": "bigloop.figures.critic_matrices:PLOT",
        "losses": "bigloop.figures.losses:PLOT",
        "collapse": "bigloop.figures.collapse:PLOT",
        "quality_diversity": "bigloop.figures.quality_diversity:PLOT",
        "parameter_distance": "bigloop.figures.parameter_distance:PLOT",
        "bias": "bigloop.figures.bias:PLOT",
        "embedding": "bigloop.figures.embedding:PLOT",
        "feature_embedding": "bigloop.figures.embedding:OF_FEATURES",
        "strips": "bigloop.figures.strips:PLOT",
        "trajectories": "bigloop.figures.trajectories:PLOT",
        "point_clouds": "bigloop.figures.point_clouds:PLOT",
        "sweep": "bigloop.figures.sweep:PLOT",
        "remedies": "bigloop.figures.remedies:PLOT",
        "spectrum": "bigloop.figures.spectrum:PLOT",
        "ecosystem": "bigloop.figures.ecosystem:PLOT",
        "map": "bigloop.figures.map:PLOT",
        "mode_seeking": "bigloop.figures.mode_seeking:PLOT",
        "animation": "bigloop.figures.animation:OF_IMAGES",
        "animation_of_points": "bigloop.figures.animation:OF_POINTS",
        "fixed_latents": "bigloop.figures.fixed_latents:PLOT",
        "gradient_norms": "bigloop.figures.gradient_norms:PLOT",
        "loss_and_quality": "bigloop.figures.loss_and_quality:PLOT",
        "critic_and_wasserstein": "bigloop.figures.critic_and_wasserstein:PLOT",
    },
)


class Snapshots(NamedTuple):
    """Samples of n latents after each of k numbers of epochs: epochs (k,); images, float (k, n, c, h, w) in [0, 1]."""

    epochs: np.ndarray
    images: np.ndarray


@dataclass(frozen=True)
class Material:
    """What a figure may draw.

    measures: tidy, one value a row: run, family, dataset, seed, generation, measure, value, n, detail. Rows
        of the run "real" are real data measured against other real data, without seed and generation.
    runs: run, family, dataset, label, … in plotting order.
    critics: critic_run, critic_generation, generator_run, generator_generation, seed, fake_share.
    images: (run, generation) → float (k, c, h, w), grey or RGB, not clipped.
    real: dataset → real images of it, likewise, in [0, 1].
    labels: (run, generation) → int (k,), the classes that the generated images were asked to be of; of conditional
        families alone. real_labels: dataset → int (k,), the classes of its real images.
    classes: dataset → names of its classes, in the order of their indices; () where it has none.
    verdicts: run, verdict, …: what became of each run, in a word; None where nobody has judged them.
    points: (run, generation) → float (k, d), points that the first seed generated; (run, None) → points of the
        known density that the run learns.
    curves: run → (x, p(x)), each (m,), of the one-dimensional density that the run learns.
    features: (run, generation) → float (k, d), of the first of these images, as the measures compare them; of real
        ones, likewise: real_features. features_named: dataset → what they are.
    snapshots: (run, generation) → samples of the same latents in the course of a training, first seed.
    steps: (run, seed, generation) → a training's table of its steps, as training.summaries makes it.
    """

    measures: pd.DataFrame
    runs: pd.DataFrame
    critics: pd.DataFrame
    images: Mapping[tuple[str, int], np.ndarray] = field(default_factory=dict)
    real: Mapping[str, np.ndarray] = field(default_factory=dict)
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    verdicts: pd.DataFrame | None = None
    points: Mapping[tuple[str, int | None], np.ndarray] = field(default_factory=dict)
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    labels: Mapping[tuple[str, int], np.ndarray] = field(default_factory=dict)
    real_labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    features: Mapping[tuple[str, int], np.ndarray] = field(default_factory=dict)
    real_features: Mapping[str, np.ndarray] = field(default_factory=dict)
    features_named: Mapping[str, str] = field(default_factory=dict)
    snapshots: Mapping[tuple[str, int], Snapshots] = field(default_factory=dict)
    steps: Mapping[tuple[str, int, int], pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class NoOptions:
    """The options of a figure that has none."""


@dataclass(frozen=True)
class Plot:
    """A figure: draw(material, options) with an instance of Options.

    `needs`: "images" or "points" (of each generation), "curves" (of known densities), "critics" (some run has
    one), "losses" (some run is trained here), "features" (of the images), "snapshots" or "steps" (of some run's
    trainings), and keys of metrics.MEASURES.

    draw raises ValueError, in one line, when the material lacks what the figure shows. `caption`, one sentence, stands
    below it in the report.
    """

    draw: Callable[[Material, Any], Figure]
    Options: type = NoOptions
    needs: frozenset[str] = frozenset()
    caption: str = ""
    frames: Callable[[Material, Any], Iterator[Figure]] | None = (
        None  # of a film; its options have `milliseconds`
    )

    @property
    def animated(self) -> bool:
        """Whether it is a film, too: a GIF beside the PDF and the PNG."""
        return self.frames is not None


def plot(name: str) -> Plot:
    """The entry of a registered figure; raises SpecError for an unknown name."""
    return FIGURES[name]
