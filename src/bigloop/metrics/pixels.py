"""Pixel intensities of generated images (Knutsen et al. 2025, fig. 7)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bigloop.metrics import Measure, MeasureOptions
from bigloop.spec.options import option

LOW, HIGH = -1.0, 1.0  # a tanh's range; real data fill [0, 1]


def pixel_statistics(
    generated: np.ndarray, real: np.ndarray, bins: int = 200
) -> list[tuple[str, float, str]]:
    """`negative_share` (share of pixels below 0) and `pixel_intensity` (probability density per bin).

    generated: shape (n, …), any floats; values outside [-1, 1] are counted in the outermost bins. `bins`
    equal bins over [-1, 1]; detail = the bin's centre. `real` is not used: the floor is its own histogram.
    """
    values = np.asarray(generated, dtype=np.float64).ravel()
    counts, edges = np.histogram(values.clip(LOW, HIGH), bins=bins, range=(LOW, HIGH))
    density = counts / (len(values) * (HIGH - LOW) / bins)
    centres = (edges[:-1] + edges[1:]) / 2
    return [
        ("negative_share", float((values < 0).mean()), ""),
        *(("pixel_intensity", float(d), f"{c:.6g}") for c, d in zip(centres, density, strict=True)),
    ]


def principal_variances(generated: np.ndarray, real: np.ndarray) -> list[tuple[str, float, str]]:
    """`pixel_variances`: variances of the images along their own principal directions, unbiased, largest first.

    generated: shape (n, …). One value for each group of directions, their mean; detail = their ranks from 1, "1", "2",
    "3-4", "5-8" and so on. They add up to the total variance. `real` is not used: the floor has its own.
    """
    x = np.asarray(generated, dtype=np.float64).reshape(len(generated), -1)
    x = x - x.mean(axis=0)
    product = x @ x.T if len(x) < x.shape[1] else x.T @ x  # they have the same eigenvalues but for zeros
    found = np.zeros(x.shape[1])
    values = np.linalg.eigvalsh(product)[::-1][: x.shape[1]].clip(min=0) / (len(x) - 1)
    found[: len(values)] = values
    ends = [*(2**k for k in range(len(found).bit_length()) if 2**k < len(found)), len(found)]
    return [
        (
            "pixel_variances",
            float(found[start:end].mean()),
            f"{start + 1}" if end == start + 1 else f"{start + 1}-{end}",
        )
        for start, end in pairwise([0, *ends])
    ]


@dataclass(frozen=True)
class PixelOptions(MeasureOptions):
    """Options of pixels."""

    bins: int = option(200, "equal bins of the histogram over [-1, 1]", minimum=2)


PIXELS = Measure(pixel_statistics, ("images",), limit=10_000, Options=PixelOptions, only_images=True)
VARIANCES = Measure(principal_variances, ("images",), limit=5_000, only_images=True)
