"""The network that judges generated images: class predictions, and the features that distances use.

    cnn      a small LeNet for digits and the like: two convolution blocks, then the layer of features
    resnet   for natural images: after each halving but the first a residual block; features are the highest
             activations of the last one's channels

A linear layer makes class scores of the features. Trained on the real training set with one-cycle AdamW and random
shifts, and mirroring where the options say so.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bigloop.artifacts import ArtifactError, read_json, read_tensors
from bigloop.data import dataset
from bigloop.models.images.augmentation import mirrored
from bigloop.runtime.progress import Report
from bigloop.seeding import default_generator, torch_generator
from bigloop.spec.jobs import ClassifierSpec
from bigloop.spec.options import digest, parse
from bigloop.training.checkpoint import Checkpoint
from bigloop.training.loop import History, as_floats, run

LEAST_STEPS = 3  # of a training: one cycle has a rise and a fall
CHUNK = 1_000
LEAST_CHUNK = 100  # for batch statistics of the images themselves
PIXELS = 2**20  # of the images that a network has at once outside training, but for LEAST_CHUNK
CACHED = 2**17  # pixels that a CPU judges at once, which its caches hold: 1.3 to 1.7 times as fast
ADAPTED = 2  # normalisations: both of cnn; of resnet those of the pixels and of the first convolution
SMALLEST = 4  # pixels: resnet halves the picture until its sides are no longer


class Judgement(NamedTuple):
    """What the classifier says of n images: features, float32 (n, d), and class probabilities, float32 (n, classes)."""

    features: np.ndarray
    probabilities: np.ndarray


class Classifier(nn.Module):
    """Images (n, c, h, w), nominally in [0, 1], to class scores (n, classes)."""

    def __init__(self, spec: ClassifierSpec, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.body = BODIES[spec.network](spec, shape)
        self.dropout = spec.dropout
        self.head = nn.Linear(spec.features, classes)
        self.chunk = min(CHUNK, max(LEAST_CHUNK, PIXELS // (shape[1] * shape[2])))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(F.dropout(self.body(images), self.dropout, self.training))

    @torch.no_grad()
    def judge(self, images: np.ndarray) -> Judgement:
        """Features and probabilities of images, (n, c, h, w): uint8 as stored, or floats with real data in [0, 1]."""
        self.eval()
        features, probabilities = [], []
        device = next(self.parameters()).device
        size = max(1, CACHED // math.prod(images.shape[2:])) if device.type == "cpu" else self.chunk
        for start in range(0, len(images), size):
            body = self.body(pixels(images[start : start + size]).to(device))
            features.append(body.cpu().numpy())
            probabilities.append(self.head(body).softmax(dim=1).cpu().numpy())
        return Judgement(np.concatenate(features), np.concatenate(probabilities))

    @torch.no_grad()
    def adapted(self, images: np.ndarray) -> np.ndarray:
        """Probabilities, float32 (n, classes), with batch statistics of the images themselves in the first ADAPTED
        normalisations.

        Reads dim, blurred or noisy images that `judge` takes for one or two classes (prediction-time batch
        normalisation, Nado et al. 2020). Batches have `chunk` images or more, if there are as many. Light, contrast and
        grain are in the first normalisations. Deeper ones keep the statistics of training: what they centre tells
        classes apart, and with that of a single class taken away, many would be seen.
        """
        self.eval()
        adapting = copy.deepcopy(self)
        for part in [part for part in adapting.modules() if isinstance(part, nn.BatchNorm2d)][:ADAPTED]:
            part.train()
        device, found = next(self.parameters()).device, []
        for batch in np.array_split(images, max(1, len(images) // self.chunk)):
            found.append(adapting(pixels(batch).to(device)).softmax(dim=1).cpu().numpy())
        return np.concatenate(found)


def cnn(spec: ClassifierSpec, shape: tuple[int, ...]) -> nn.Sequential:
    """Images (n, *shape) to features (n, spec.features), 0 or more."""
    channels, height, width = shape
    w = spec.width
    return nn.Sequential(
        *(nn.Conv2d(channels, w, 5, padding=2), nn.BatchNorm2d(w), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(w, 2 * w, 5, padding=2), nn.BatchNorm2d(2 * w), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(2 * w * (height // 4) * (width // 4), spec.features), nn.ReLU()),
    )


def resnet(spec: ClassifierSpec, shape: tuple[int, ...]) -> nn.Sequential:
    """Images (n, *shape) to features (n, spec.features), 0 or more.

    Pixels are standardised by the training's own statistics. The first convolution has spec.width channels, each stage
    after it twice as many, the last spec.features.
    """
    side, channels = min(shape[1:]) // 2, [spec.width]
    while side > SMALLEST or len(channels) == 1:
        side, channels = side // 2, [*channels, 2 * channels[-1]]
    layers: list[nn.Module] = [
        nn.BatchNorm2d(shape[0], affine=False),
        *convolution(shape[0], spec.width, halve=True),
    ]
    for inside, outside in zip(channels, [*channels[1:-1], spec.features], strict=False):
        layers += [*convolution(inside, outside, halve=True), Residual(outside)]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten())


class Residual(nn.Module):
    """x + f(x), f a convolution with batch normalisation and ReLU; both sides (n, channels, h, w), 0 or more."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.change = nn.Sequential(*convolution(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change(x)


def convolution(inside: int, outside: int, halve: bool = False) -> list[nn.Module]:
    """A convolution of 3 × 3, and with `halve` the highest of 2 × 2, then batch normalisation and ReLU."""
    pool = [nn.MaxPool2d(2)] if halve else []
    convolve = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
    return [convolve, *pool, nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]


BODIES: dict[str, Callable[[ClassifierSpec, tuple[int, ...]], nn.Sequential]] = {"cnn": cnn, "resnet": resnet}


def pixels(images: np.ndarray) -> Tensor:
    """Stored images as float32: uint8 0…255 becomes [0, 1], floats keep their values."""
    tensor = torch.from_numpy(images)
    return tensor.float() / 255 if images.dtype == np.uint8 else tensor.float()


def train_classifier(
    spec: ClassifierSpec,
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    device: torch.device,
    report: Report,
    checkpoint: Checkpoint | None = None,
    steps: int | None = None,
) -> tuple[Classifier, History]:
    """A trained classifier and its history. images: uint8 (n, c, h, w), or floats with real data in [0, 1]; labels:
    int64 (n,). steps: of its optimiser; None for the epochs of the spec."""
    with default_generator(torch_generator(spec.seed, 0, "classifier weights")):
        net = Classifier(spec, images.shape[1:], classes).to(device)
    data, target = torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)
    steps = max(LEAST_STEPS, steps or round(spec.epochs * len(data) / spec.batch_size))
    optimizer = torch.optim.AdamW(net.parameters(), lr=spec.learning_rate, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, spec.learning_rate, total_steps=steps, pct_start=0.25 if steps > 4 else 0.5
    )

    def step(index: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        batch = shifted(as_floats(data[index]), spec.shift, generator)
        if spec.mirror:
            batch = mirrored(batch, generator)
        loss = F.cross_entropy(net(batch), target[index], label_smoothing=spec.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        return {"loss": loss.detach()}

    net.train()
    generator = torch_generator(spec.seed, 0, "classifier training", device=device)
    with default_generator(torch_generator(spec.seed, 0, "classifier dropout")):
        rows = torch.arange(len(data))
        history = run(
            step,
            rows,
            batch_size=spec.batch_size,
            steps=steps,
            generator=generator,
            report=report,
            learner={"net": net, "optimizer": optimizer, "schedule": schedule},
            checkpoint=checkpoint,
            record=False,  # the schedule is stepped on the host
        )
    return net.eval(), history


def shifted(images: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """Each image moved by its own whole number of pixels in [-limit, limit] both ways, zeros moving in."""
    if not limit:
        return images
    n, _, height, width = images.shape
    padded = F.pad(images, [limit] * 4)
    offset = torch.randint(2 * limit + 1, (2, n, 1), generator=generator, device=images.device)
    rows = offset[0] + torch.arange(height, device=images.device)
    columns = offset[1] + torch.arange(width, device=images.device)
    batch = torch.arange(n, device=images.device)[:, None, None]
    return padded[batch, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def accuracy(judgement: Judgement, labels: np.ndarray) -> float:
    """Share of images whose most probable class is their label."""
    return float((judgement.probabilities.argmax(axis=1) == labels).mean())


def load_classifier(folder: Path, device: torch.device) -> Classifier:
    """The classifier saved in `folder`; raises ArtifactError where it is broken."""
    spec = parse(
        ClassifierSpec,
        read_json(folder / "model.json", keys=("spec",))["spec"],
        f"{folder / 'model.json'}: spec",
    )
    tensors, header = read_tensors(folder / "model.safetensors")
    if header.get("spec") != digest(spec):
        raise ArtifactError(f"{folder}: model.json and model.safetensors do not match; delete both")
    about = dataset(spec.dataset)
    net = Classifier(spec, about.shape, len(about.classes))
    net.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
    return net.to(device).eval()
