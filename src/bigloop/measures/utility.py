"""Train a classifier on some images alone, and ask it about real ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bigloop.artifacts import read_json
from bigloop.data import dataset, load
from bigloop.models.classifier import accuracy, train_classifier
from bigloop.runtime.progress import quiet
from bigloop.spec.jobs import ClassifierSpec
from bigloop.spec.options import parse


def accuracy_on_test(
    images: np.ndarray, labels: np.ndarray, classifier: Path, data: Path, epochs: float, device: torch.device
) -> float:
    """Accuracy, in [0, 1], on the real test rows of a classifier trained on images (n, c, h, w) and labels (n,).

    It is like the one in the folder `classifier`, with its options and its seed, but for the `epochs`.
    """
    about = read_json(classifier / "model.json", keys=("spec",))["spec"]
    spec = parse(ClassifierSpec, about, f"{classifier / 'model.json'}: spec")
    steps = max(1, round(epochs * len(images) / spec.batch_size))
    classes = len(dataset(spec.dataset).classes)
    spec = replace(spec, epochs=1, batch_size=min(spec.batch_size, len(images)))
    net, _ = train_classifier(spec, images, labels, classes, device, quiet, steps=steps)
    return accuracy(net.judge(load(data, "test")[0]), load(data, "test")[1])
