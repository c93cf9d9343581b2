"""Statistics of a classifier's predictions on a set of images: which classes, how evenly, how confidently."""

from __future__ import annotations

import numpy as np

from bigloop.metrics import ComparisonOptions, Measure


def class_statistics(generated: np.ndarray, real: np.ndarray) -> list[tuple[str, float, str]]:
    """Class histogram of generated images and its summaries, from class probabilities (n, classes) of both sides.

    `class_frequency` (share of images predicted as each class; detail = class), `class_entropy` (nats, of
    these frequencies), `class_tv` (total variation to the real side's frequencies, in [0, 1]) and
    `confidence` (mean probability of the predicted class).
    """
    frequencies, reference = class_frequencies(generated), class_frequencies(real)
    return [
        *(("class_frequency", float(share), str(c)) for c, share in enumerate(frequencies)),
        ("class_entropy", entropy(frequencies), ""),
        ("class_tv", float(np.abs(frequencies - reference).sum() / 2), ""),
        ("confidence", float(np.asarray(generated, np.float64).max(axis=1).mean()), ""),
    ]


def effective_classes(generated: np.ndarray, real: np.ndarray) -> float:
    """The effective number of classes of images, from probabilities (n, classes) adapted to them: 1 to all classes.

    The exponential of the entropy of the mean probabilities: an image between two classes counts half for each, where
    the most probable one alone would make a few classes swallow all images that are hard to tell. The real side is not
    used: the floor is its own value.
    """
    return float(np.exp(entropy(np.asarray(generated, np.float64).mean(axis=0))))


def class_frequencies(probabilities: np.ndarray) -> np.ndarray:
    """Share of rows whose most probable class is c, shape (classes,), from probabilities (n, classes)."""
    n, classes = probabilities.shape
    return np.bincount(probabilities.argmax(axis=1), minlength=classes) / n


def entropy(frequencies: np.ndarray) -> float:
    """Shannon entropy −Σ p ln p in nats; 0 ln 0 = 0."""
    p = frequencies[frequencies > 0]
    return float(-(p * np.log(p)).sum() + 0.0)


CLASSES = Measure(
    class_statistics,
    ("probabilities",),
    limit=10_000,
    Options=ComparisonOptions,
    compared=("class_tv",),
)
EFFECTIVE = Measure(effective_classes, ("adapted",), limit=10_000, revision=3)
