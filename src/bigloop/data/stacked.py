"""Stacked digits (Metz et al. 2017, §3.3.1): three random grey pictures as the colour planes of one image, 1 000 modes.

    options = StackedOptions(of="mnist", n=128_000)
    STACKED.contents(options, None).take("train", rows)      # uint8 (k, 3, 28, 28)

Which pictures are drawn is known from the numbers of each class alone, so that planning can count the modes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from bigloop.data import Contents, Listing, Source, SourceOptions, source
from bigloop.seeding import numpy_generator
from bigloop.spec.loops import Handover
from bigloop.spec.options import option

PLANES = 3


@dataclass(frozen=True)
class StackedOptions(SourceOptions):
    """Options of stacked: the root is where the files of the source of its planes are."""

    of: Literal["mnist", "fashion_mnist"] = option("mnist", "source of the pictures in the planes")
    n: int | None = option(
        None,
        "images of the training split, drawn by a fixed seed; by default as many as the source of the planes has",
        minimum=1,
        maximum=10**7,
    )


class Stacked:
    """Image i has one picture in each plane; its class is the three digits of their classes, 100a + 10b + c.

    Each plane has draws of its own. Up to as many images as the source has pictures, none comes twice in a plane;
    more are drawn with replacement. Test images are made of the source's test pictures, and are as many as these.
    """

    Options = StackedOptions
    about = "Stacked digits (Metz et al. 2017): three random pictures of mnist or fashion_mnist as one image's planes."
    revision = 1
    handover: Handover = "uint8"
    planes = "of"  # the option that names the source of which each plane is a picture

    def listing(self, options: StackedOptions, root: Path | None) -> Listing:
        """What there will be: the draws are known without the pictures."""
        of = _listing(options, root)
        digits = map(str, range(len(of.classes)))
        classes = tuple(map("".join, product(digits, repeat=PLANES)))
        counts = {
            split: tuple(np.bincount(_labels(of, split, n), minlength=len(classes)).tolist())
            for split, n in _sizes(of, options).items()
        }
        return Listing((PLANES, *of.shape[1:]), counts, classes)

    def contents(self, options: StackedOptions, root: Path | None) -> Contents:
        """The source's verified pictures, stacked when they are taken."""
        of = _listing(options, root)
        sizes = _sizes(of, options)
        pictures = _of(options).contents(_of(options).Options(), root)
        ordered = {split: np.argsort(labels, kind="stable") for split, labels in pictures.labels.items()}

        def take(split: str, rows: np.ndarray) -> np.ndarray:
            drawn = ordered[split][_drawn(split, sum(of.counts[split]), sizes[split])[:, rows]]
            return np.concatenate([pictures.take(split, plane) for plane in drawn], axis=1)

        labels = {split: _labels(of, split, n) for split, n in sizes.items()}
        return Contents(labels, take, f"{pictures.origin}, {PLANES} to an image", pictures.files)


def _of(options: StackedOptions) -> Source:
    return source(options.of)


def _listing(options: StackedOptions, root: Path | None) -> Listing:
    return _of(options).listing(_of(options).Options(), root)


def _sizes(of: Listing, options: StackedOptions) -> Mapping[str, int]:
    """How many images each split has."""
    sizes = {split: sum(counts) for split, counts in of.counts.items()}
    return sizes | {"train": options.n or sizes["train"]}


@lru_cache(maxsize=4)
def _drawn(split: str, pictures: int, n: int) -> np.ndarray:
    """Of n images the picture in each plane, int64 (PLANES, n): places among the source's, ordered by class."""
    generators = [numpy_generator(0, 0, f"stacked planes of {split}", plane) for plane in range(PLANES)]
    if n > pictures:
        return np.stack([generator.integers(pictures, size=n) for generator in generators])
    return np.stack([generator.permutation(pictures)[:n] for generator in generators])


def _labels(of: Listing, split: str, n: int) -> np.ndarray:
    """The classes of n images, int64 (n,)."""
    counts = np.array(of.counts[split])
    digits = np.searchsorted(np.cumsum(counts), _drawn(split, counts.sum(), n), side="right")
    return np.ravel_multi_index(tuple(digits), (len(counts),) * PLANES)


STACKED = Stacked()
