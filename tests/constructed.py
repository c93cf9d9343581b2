"""Lineages whose verdict is known, made of real images; and what the rule says of them, by many classifiers.

    python tests/constructed.py                         the table of docs/concepts/verdicts.md; half an hour
    python tests/constructed.py --datasets mnist --widths 8 --seeds 1 --epochs 1
    python tests/constructed.py --datasets cifar10 --root FOLDER --widths 16 32 --epochs 9    ten minutes a classifier

Some lose variety from generation to generation, others keep all of it while their images get worse, and one stays.
What makes images worse ends where a classifier of full width still reads at least 60 % of them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import ndimage

from bigloop.analysis.verdicts import COLLAPSE, DRIFT, STABLE, verdicts_table
from bigloop.data import configured, load
from bigloop.data.store import fetch
from bigloop.metrics import MEASURES
from bigloop.models.classifier import Classifier, train_classifier
from bigloop.spec.jobs import ClassifierSpec
from bigloop.spec.runs import Data
from bigloop.training.devices import default_device

GENERATIONS = 5
SEEDS = 3  # of each lineage
ROWS = 600
READABLE = 0.6
FULL_WIDTH = 32
RESNET = {"network": "resnet", "features": 128, "mirror": True}  # the classifier of natural images
QUANTITIES = ("effective_classes", "spacing", "fid", "precision", "recall", "coverage")


class Pool(NamedTuple):
    """Real images, float32 (n, c, h, w) in [0, 1], and their labels."""

    images: np.ndarray
    labels: np.ndarray

    def drawn(self, n: int, random: np.random.Generator) -> np.ndarray:
        return self.images[random.choice(len(self.images), n, replace=False)]


Maker = Callable[[Pool, float, int, np.random.Generator], np.ndarray]  # how far it has gone, 0 to 1; rows
Lineages = dict[tuple[Maker, int, int], np.ndarray]  # of a seed and a generation from 0


def fresh(pool: Pool, far: float, n: int, random: np.random.Generator) -> np.ndarray:
    return pool.drawn(n, random)


def vanishing_classes(pool: Pool, far: float, n: int, random: np.random.Generator) -> np.ndarray:
    """Nine of ten classes vanish one by one."""
    left = np.flatnonzero(pool.labels < round(10 - 9 * far))
    return pool.images[random.choice(left, n)]


def prototypes(pool: Pool, far: float, n: int, random: np.random.Generator) -> np.ndarray:
    """Of every class ever fewer images, from all to two."""
    classes = (np.flatnonzero(pool.labels == c) for c in range(10))
    return np.concatenate(
        [
            pool.images[random.choice(rows[: round(len(rows) ** (1 - far) * 2**far)], n // 10)]
            for rows in classes
        ]
    )


def one_image(pool: Pool, far: float, n: int, random: np.random.Generator) -> np.ndarray:
    """An ever larger share is one and the same image."""
    images = pool.drawn(n, random)
    images[: round(n * far)] = pool.images[0]
    return images


def towards_the_mean(pool: Pool, far: float, n: int, random: np.random.Generator) -> np.ndarray:
    """The images of every class approach their mean, to a tenth of their distance."""
    rows = random.choice(len(pool.images), n, replace=False)
    images, labels = pool.images[rows], pool.labels[rows]
    for c in range(10):
        mean = pool.images[pool.labels == c].mean(axis=0)
        images[labels == c] = mean + (images[labels == c] - mean) * (1 - 0.9 * far)
    return images


def noise(pool: Pool, far: float, n: int, random: np.random.Generator, most: float = 0.4) -> np.ndarray:
    images = pool.drawn(n, random)
    return np.clip(images + most * far * random.normal(size=images.shape), 0, 1)


def salt_and_pepper(
    pool: Pool, far: float, n: int, random: np.random.Generator, most: float = 0.15
) -> np.ndarray:
    images = pool.drawn(n, random)
    hit = random.random(images.shape) < most * far
    images[hit] = random.integers(0, 2, hit.sum())
    return images


def blur(pool: Pool, far: float, n: int, random: np.random.Generator, most: float = 1.75) -> np.ndarray:
    return ndimage.gaussian_filter(pool.drawn(n, random), (0, 0, most * far, most * far))


def dimming(pool: Pool, far: float, n: int, random: np.random.Generator, most: float = 0.75) -> np.ndarray:
    return pool.drawn(n, random) * (1 - most * far)


def misplaced_strokes(
    pool: Pool, far: float, n: int, random: np.random.Generator, most: float = 1.75
) -> np.ndarray:
    """Every pixel moves by a smooth random field of its image."""
    images = pool.drawn(n, random)
    grid = np.indices(images.shape[2:], dtype=float)
    for image in images:
        field = ndimage.gaussian_filter(random.normal(size=grid.shape), (0, 1.5, 1.5))
        moved = grid + field * (most * far / field.std())
        for plane in image:
            plane[:] = ndimage.map_coordinates(plane, moved, order=1)
    return images


def half_and_half(pool: Pool, far: float, n: int, random: np.random.Generator) -> np.ndarray:
    """Half of the images become few, the other half noisy."""
    return np.concatenate([prototypes(pool, far, n // 2, random), noise(pool, far, n - n // 2, random)])


TRUTH: dict[Maker, str] = {
    **dict.fromkeys((vanishing_classes, prototypes, one_image, towards_the_mean, half_and_half), COLLAPSE),
    **dict.fromkeys((noise, salt_and_pepper, blur, dimming, misplaced_strokes), DRIFT),
    fresh: STABLE,
}


def lineages(pool: Pool, ends: Mapping[Maker, float] | None = None) -> Lineages:
    """The images of every generation of every lineage; ends: how far lineages go, where that is less than 1."""
    return {
        (maker, seed, t): maker(
            pool,
            (ends or {}).get(maker, 1.0) * t / (GENERATIONS - 1),
            ROWS,
            np.random.default_rng((seed, t)),
        ).astype(np.float32)
        for maker, seed, t in product(TRUTH, range(SEEDS), range(GENERATIONS))
    }


def verdicts(net: Classifier, made: Lineages, real: np.ndarray) -> pd.DataFrame:
    """The table of verdicts on all lineages, whose runs have the names of their makers; real: other images (n, …)."""
    records = list(_records(net, made, real))
    runs = pd.DataFrame({"run": [maker.__name__ for maker in TRUTH], "classes": str(list(range(10)))})
    return verdicts_table(pd.DataFrame(records), runs)


def _records(net: Classifier, made: Lineages, real: np.ndarray) -> Iterator[dict[str, object]]:
    others = {"features": net.judge(real).features, "adapted": net.adapted(real)}
    for (maker, seed, t), images in made.items():
        own = {"features": net.judge(images).features, "adapted": net.adapted(images)}
        for name in QUANTITIES:
            measure = MEASURES[name]
            found = measure.function(*(side[on] for side in (own, others) for on in measure.on))
            values = [(name, found, "")] if isinstance(found, float) else found
            for measured, value, _ in values:
                place = {"run": maker.__name__, "seed": seed, "generation": t + 1}
                yield place | {"measure": measured, "value": value, "dataset": "", "detail": ""}


def readable_ends(net: Classifier, pool: Pool, rows: int = 1_000) -> dict[Maker, float]:
    """How far each lineage of drift may go, in tenths, so that a classifier still reads READABLE of its images."""
    chosen = np.random.default_rng(0).choice(len(pool.images), rows, replace=False)  # as `drawn` does

    def read(maker: Maker, far: float) -> float:
        images = maker(pool, far, rows, np.random.default_rng(0)).astype(np.float32)
        return float((net.judge(images).probabilities.argmax(axis=1) == pool.labels[chosen]).mean())

    makers = [maker for maker, truth in TRUTH.items() if truth == DRIFT]
    tenths = [far / 10 for far in range(10, 0, -1)]
    return {maker: next(far for far in tenths if read(maker, far) >= READABLE) for maker in makers}


def pools(folder: Path) -> tuple[Pool, np.ndarray]:
    """One half of the training images to make lineages of, and as many rows of the other as a generation has."""
    images, labels = load(folder, "train")
    images, half = images.astype(np.float32) / 255, len(images) // 2
    return Pool(images[half:], labels[half:]), images[:ROWS]


def classifier(
    data: Data, images: np.ndarray, labels: np.ndarray, epochs: int, width: int, seed: int
) -> Classifier:
    network = RESNET if images.shape[1] == 3 else {}
    spec = ClassifierSpec(data, width=width, epochs=epochs, learning_rate=5e-3, seed=seed, **network)
    return train_classifier(spec, images, labels, 10, default_device(), lambda line: None)[0]


def source(name: str, root: str | None) -> tuple[Data, Path | None]:
    """What a source's name stands for; of `cifar10`, its archive or a folder of its pictures."""
    if name != "cifar10":
        return name, None
    pictures = root is not None and any(Path(root).glob("train/*/"))
    options = {"root": root, **({"labels": "folders"} if pictures else {})}
    return configured("images" if pictures else name, options, "datasets.pictures")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--datasets", nargs="+", default=["mnist", "fashion_mnist"])
    parser.add_argument(
        "--root", help="where the files of cifar10 are, or a folder of pictures, in sub-folders by class"
    )
    parser.add_argument("--widths", nargs="+", type=int, default=[8, 16, 32], help="of the classifiers")
    parser.add_argument("--seeds", type=int, default=3, help="classifiers of each width")
    parser.add_argument("--epochs", type=int, default=2, help="of the classifiers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    right = total = 0
    for dataset in options.datasets:
        with tempfile.TemporaryDirectory() as scratch:
            data, root = source(dataset, options.root)
            fetch(data, Path(scratch), root)
            pool, real = pools(Path(scratch))
            trained = partial(classifier, data, *load(Path(scratch), "train"), options.epochs)
        ends = readable_ends(trained(FULL_WIDTH, options.seeds), pool)
        print(dataset, *(f"{maker.__name__} to {far}" for maker, far in ends.items()), sep="; ", flush=True)
        made = lineages(pool, ends)
        for width, seed in product(options.widths, range(options.seeds)):
            found = verdicts(trained(width, seed), made, real)["verdict"]
            wrong = [
                f"{m.__name__} {v}" for (m, truth), v in zip(TRUTH.items(), found, strict=True) if v != truth
            ]
            right, total = right + len(found) - len(wrong), total + len(found)
            print(f"{dataset}, width {width}, seed {seed}: {', '.join(wrong) or 'all right'}", flush=True)
    print(f"{right} of {total} right")


if __name__ == "__main__":
    main()
