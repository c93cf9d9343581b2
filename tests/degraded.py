"""What a FID of so much looks like: that of pictures of CIFAR-10 which get worse step by step, on classifier features.

    python tests/degraded.py --classifier results/classifier/NAME --data results/data/NAME --out docs/images

Test pictures are held against training pictures: as they are, and with growing blur, noise and JPEG compression. Writes
degraded.csv and degraded.png.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy import ndimage

from bigloop.artifacts import read_tensors
from bigloop.data import load
from bigloop.figures.parts import style
from bigloop.metrics.frechet import frechet_distance
from bigloop.models.classifier import load_classifier

ROWS = 10_000
SHOWN = 6  # pictures of each strip

Change = Callable[[np.ndarray, float], np.ndarray]  # of uint8 images (n, c, h, w); how much


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    """By a Gaussian with a standard deviation of so many pixels."""
    return ndimage.gaussian_filter(images.astype(np.float32), (0, 0, sigma, sigma)).round().astype(np.uint8)


def noisy(images: np.ndarray, deviation: float) -> np.ndarray:
    """By normal noise; deviation: of the range of values."""
    drawn = np.random.default_rng(0).standard_normal(images.shape, dtype=np.float32)
    return (images + 255 * deviation * drawn).clip(0, 255).round().astype(np.uint8)


def compressed(images: np.ndarray, quality: float) -> np.ndarray:
    """As JPEG of this quality."""

    def again(image: np.ndarray) -> np.ndarray:
        with io.BytesIO() as file:
            Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=int(quality))
            return np.asarray(Image.open(file)).transpose(2, 0, 1)

    return np.stack([again(image) for image in images])


CHANGES: dict[str, tuple[Change, tuple[float, ...], str]] = {
    "blur": (blurred, (0.5, 0.75, 1.0, 1.5, 2.0), "σ in pixels"),
    "noise": (noisy, (0.01, 0.03, 0.06, 0.12, 0.25), "σ, of the range"),
    # Not 50 or 25: the steps of these are twice and four times those of 75, with which the pictures were compressed
    # before, and half of all odd values would be rounded up.
    "JPEG": (compressed, (60, 40, 20, 10, 5), "quality"),
}


def fids(classifier: Path, data: Path, rows: int = ROWS) -> pd.DataFrame:
    """Columns change, amount, fid; the first row is of pictures as they are."""
    net = load_classifier(classifier, torch.device("cpu"))
    real = read_tensors(classifier / "reference.safetensors")[0]["features"]
    real = real[np.random.default_rng(0).permutation(len(real))[:rows]]
    images = load(data, "test")[0][:rows]

    def away(changed: np.ndarray) -> float:
        return frechet_distance(net.judge(changed).features, real)

    found = [("none", 0.0, away(images))]
    for name, (change, amounts, _) in CHANGES.items():
        for amount in amounts:
            found.append((name, amount, away(change(images, amount))))
            print(f"{name} {amount:g}: FID {found[-1][2]:.2f}", flush=True)
    return pd.DataFrame(found, columns=["change", "amount", "fid"])


def draw(table: pd.DataFrame, images: np.ndarray, path: Path) -> None:
    """A row of strips for each change: the same few pictures, ever worse, each with its FID."""
    steps = 1 + max(len(amounts) for _, amounts, _ in CHANGES.values())
    none = table.loc[table["change"] == "none", "fid"].item()
    with style.page(0.3 + 1.45 * len(CHANGES), style.WIDTH) as fig:
        grid = fig.add_gridspec(len(CHANGES), steps)
        for row, (name, (change, amounts, words)) in enumerate(CHANGES.items()):
            own = table[table["change"] == name].set_index("amount")["fid"]
            for column, amount in enumerate((None, *amounts)):
                ax = fig.add_subplot(grid[row, column])
                shown = images if amount is None else change(images, amount)
                ax.imshow(
                    np.concatenate([np.concatenate(pair, axis=2) for pair in pairs(shown)], axis=1).transpose(
                        1, 2, 0
                    )
                )
                ax.set(xticks=[], yticks=[])
                ax.grid(visible=False)
                ax.spines[:].set_visible(False)
                value = none if amount is None else own[amount]
                ax.set_xlabel(f"FID {value:.{1 if value < 100 else 0}f}", fontsize=style.SMALL)
                title = "as they are" if amount is None else f"{amount:g}"
                ax.set_title(title, fontsize=style.SMALL, loc="center")
                if column == 0:
                    ax.set_ylabel(f"{name}\n{words}", fontsize=style.SMALL)
        fig.savefig(path, dpi=150)


def pairs(images: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Pictures two by two."""
    return [tuple(images[k : k + 2]) for k in range(0, len(images), 2)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("classifier", "data", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    table = fids(options.classifier, options.data)
    table.to_csv(options.out / "degraded.csv", index=False)
    draw(table, load(options.data, "test")[0][:SHOWN], options.out / "degraded.png")


if __name__ == "__main__":
    main()
