"""Power spectra of generated images: how their energy is spread over frequencies, and what stands out in it.

Generators leave a fingerprint that may not be seen in one image: upsampling makes too much or too little of the high
frequencies (Durall et al. 2020), or lines and dots at fixed ones (Frank et al. 2020). Alemohammad et al. (2024, figs. 1
and 18 to 25) show such artefacts growing from generation to generation; these are numbers for them.

A frequency is in cycles a pixel along each side, −½ < u, v ≤ ½, and its radius is √(u² + v²). The power of an image at
(u, v) is the squared absolute value of its orthonormal Fourier transform, the mean over its channels: white noise of
variance σ² has σ² at all of them. Nothing is windowed: edges of images that do not repeat leave a cross on the axes, as
much in real images as in good ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from bigloop.metrics import ComparisonOptions, Measure

PART = 256  # images that are transformed at once
UPPER = 2 / 3  # of the highest frequency along a side: above it lies the upper third
BLOCK = 8  # pixels along a side of the blocks that JPEG compresses one by one


def mean_power(images: np.ndarray) -> np.ndarray:
    """Mean power (h, w) of images (n, c, h, w), with the frequency 0 first, as np.fft.fftfreq orders them."""
    if images.ndim != 4 or min(images.shape) < 1:
        raise ValueError(f"images: expected shape (n, c, h, w), got {images.shape}")
    total = np.zeros(images.shape[2:])
    for start in range(0, len(images), PART):
        transformed = fft.fft2(np.asarray(images[start : start + PART], np.float64), norm="ortho")
        total += (transformed.real**2 + transformed.imag**2).mean(axis=1).sum(axis=0)
    return total / len(images)


def radii(shape: tuple[int, int]) -> np.ndarray:
    """Radius of each frequency, in cycles a pixel, shape (h, w)."""
    down, across = (np.fft.fftfreq(side) for side in shape)
    return np.hypot(down[:, None], across)


def radial(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of `power` (h, w) over rings 1/s wide, s the shorter side: their radii 1/s, 2/s … to the corner, and means.

    Frequency 0 is in no ring. The corner, √½, is where a checkerboard is.
    """
    side = min(power.shape)
    ring = np.rint(radii(power.shape) * side).astype(int)
    counts, sums = np.bincount(ring.ravel()), np.bincount(ring.ravel(), power.ravel())
    return np.arange(1, len(counts)) / side, sums[1:] / counts[1:]


def upper_share(power: np.ndarray) -> float:
    """Share of the power, that of frequency 0 aside, whose radius is above two thirds of ½; 0 where there is none."""
    radius = radii(power.shape)
    total = power[radius > 0].sum()
    return float(power[radius > UPPER / 2].sum() / total) if total > 0 else 0.0


def spike(power: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """Largest ratio of `power` to `real` at any frequency but 0, and the radius of that frequency.

    Real power is taken to be at least a millionth of its mean, so that frequencies which no real image has do not
    divide by zero.
    """
    radius = radii(power.shape)
    floor = 1e-6 * real[radius > 0].mean()
    if not floor > 0:
        raise ValueError("real images are all flat: they have no spectrum")
    ratio = np.where(radius > 0, power / np.maximum(real, floor), -np.inf)
    place = np.unravel_index(np.argmax(ratio), ratio.shape)
    return float(ratio[place]), float(radius[place])


def block_lines(power: np.ndarray) -> float:
    """How much power lies on the lines at multiples of ⅛ cycles a pixel along a side, over that beside them.

    The geometric mean of the ratios to the two neighbouring lines, the axes aside: 1 for white noise, a little less for
    pictures whose power falls steeply (0.98 for CIFAR-10 at 32 pixels). Seams between blocks of eight pixels raise it;
    coarse JPEG, which drops the blocks' high frequencies, may lower it, too (0.94 for CIFAR-10 at quality 20). Raises
    ValueError where a side is no multiple of 8 pixels, or shorter than 32, at which lines have neighbours of their own.
    """
    logs, least = [], 1e-12 * power.mean()
    for along in (power, power.T):
        side = len(along)
        if side % BLOCK or side < 4 * BLOCK:
            raise ValueError(f"lines at multiples of 1/8 need sides of 32, 40, 48 … pixels, got {side}")
        rows = np.log(
            along[:, 1 : along.shape[1] // 2].clip(min=least)
        )  # every frequency across once, the axis aside
        for line in range(side // BLOCK, side // 2 + 1, side // BLOCK):
            logs.append((rows[line] - (rows[line - 1] + rows[(line + 1) % side]) / 2).mean())
    return float(np.exp(np.mean(logs)))


def spectrum(
    generated: np.ndarray, real: np.ndarray, of_real: np.ndarray | None = None
) -> list[tuple[str, float, str]]:
    """`upper_share`, `spectral_spike` over the real images, `spike_radius`, `power` (radial means; detail = radius),
    and for images of sides of 32, 40, 48 … pixels `block_lines`.

    Both sides have shape (n, c, h, w). of_real: mean_power(real), where it is known.
    """
    power = mean_power(generated)
    highest, radius = spike(power, mean_power(real) if of_real is None else of_real)
    blocks = all(side % BLOCK == 0 and side >= 4 * BLOCK for side in power.shape)
    return [
        ("upper_share", upper_share(power), ""),
        ("spectral_spike", highest, ""),
        ("spike_radius", radius, ""),
        *([("block_lines", block_lines(power), "")] if blocks else []),
        *(("power", float(mean), f"{r:.6g}") for r, mean in zip(*radial(power), strict=True)),
    ]


@dataclass(frozen=True)
class SpectrumOptions(ComparisonOptions):
    """Options of spectrum."""


SPECTRUM = Measure(
    spectrum,
    ("images",),
    limit=10_000,
    Options=SpectrumOptions,
    of_real=mean_power,
    compared=("spectral_spike", "spike_radius"),
    only_images=True,
)
