"""What images are compared on: kinds of features by name, each a network that somebody has trained.

    kind = FEATURES["torchvision"]
    options = kind.Options(torchvision="resnet18")
    network = kind.network(options, kind.weights(options), torch.device("cpu"))
    network(images)                            # float32 (n, 512)

To add a kind, write a file like inception.py and add its line to FEATURES. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bigloop.spec.options import option
from bigloop.spec.registry import Registry

FEATURES = Registry(
    "features",
    {
        "classifier": "bigloop.models.features:CLASSIFIER",
        "inception": "bigloop.models.inception:INCEPTION",
        "torchvision": "bigloop.models.networks:TORCHVISION",
    },
)

Network = Callable[
    [np.ndarray], np.ndarray
]  # images (n, c, h, w), [0, 1] or uint8, to float32 features (n, d)


class Features(Protocol):
    """A kind of features.

    `Options` is a dataclass of options. Of these, the one that has the kind's own name says which of its networks is
    meant; and one called `weights` names a file, whose SHA-256 is part of what is measured. `revision` is raised when a
    change of code gives other features for the same options. `batch`: images that the network gets at a time.
    """

    about: str
    Options: type
    revision: int
    batch: int

    def weights(self, options: Any) -> Path | None:
        """The file of the network's weights: the one that the options name, or else a download; None where it has none.

        Raises ArtifactError where there is no such file.
        """
        ...

    def network(self, options: Any, weights: Any, device: Any) -> Network:
        """The network with weights from this file, which takes up to `batch` images at a time.

        Raises ArtifactError where the file does not hold its weights.
        """
        ...

    def untrained(self, options: Any, device: Any) -> Network:
        """A network of the same size, with any weights: to see how long it takes."""
        ...


@dataclass(frozen=True)
class ClassifierOptions:
    """Options of features of a classifier."""

    classifier: str = option(
        "", "the dataset whose classifier it is, images of the same shape; empty: the judged dataset's own"
    )


@dataclass(frozen=True)
class OfClassifier:
    """The classifier that the workflow trains on a dataset with classes: the units before its class scores.

    It has no file of weights: the workflow knows where it lies.
    """

    about: str = "Features of the classifier that is trained on a dataset's labels."
    Options: type = ClassifierOptions
    revision: int = 1
    trained_here: bool = True


CLASSIFIER = OfClassifier()
