"""Grids of sample images, drawn as one picture each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bigloop.analysis.series import chosen, dataset_of, run_names
from bigloop.figures import Material
from bigloop.figures.parts import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


def mosaic(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The first rows × columns of `images`, (k, c, h, w), as one picture (H, W, 3) clipped to [0, 1].

    Images stand two white pixels apart; places that `images` does not fill stay white.
    """
    shown = np.clip(images[: rows * columns], 0, 1)
    k, _, h, w = shown.shape
    picture = np.ones((rows * (h + 2) - 2, columns * (w + 2) - 2, 3))
    for place in range(k):
        top, left = place // columns * (h + 2), place % columns * (w + 2)
        picture[top : top + h, left : left + w] = shown[place].transpose(1, 2, 0)  # grey becomes RGB
    return picture


def draw_mosaic(ax: Axes, images: np.ndarray, rows: int, columns: int, title: str = "") -> None:
    """Show a mosaic without axes, with a title above."""
    ax.imshow(mosaic(images, rows, columns))
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=style.SMALL, loc="center")


def draw_tiles(
    fig: Figure | SubFigure,
    material: Material,
    shown: Mapping[str, list[int]],
    side: int,
    titles: tuple[str, str],
    inches: float,
) -> dict[str, Axes]:
    """A row of grids of side × side images for each run, real ones first; returns the first panel of each run.

    shown: run → generations. titles: above real images, and above a generation, whose number stands for {}. inches:
    the width of the runs' names.
    """
    looks = style.looks(material.runs)
    grid = fig.add_gridspec(len(shown), 1 + max(map(len, shown.values())))
    firsts: dict[str, Axes] = {}
    above: list[int] = []
    for row, (run, generations) in enumerate(shown.items()):
        titled = generations != above  # the headings of the row above serve while they fit
        firsts[run] = fig.add_subplot(grid[row, 0])
        draw_mosaic(firsts[run], real_images(material, run), side, side, titles[0] if titled else "")
        name_row(firsts[run], looks[run].label, inches)
        for column, generation in enumerate(generations, start=1):
            title = titles[1].format(generation) if titled else ""
            ax = fig.add_subplot(grid[row, column])
            draw_mosaic(ax, material.images[run, generation], side, side, title)
        above = generations
    return firsts


def tiles_height(shown: Mapping[str, list[int]], block: float) -> float:
    """Inches that the rows `shown`, run → generations, take with square blocks of so many inches."""
    rows = list(shown.values())
    titled = sum(row != above for row, above in zip(rows, [[], *rows], strict=False))
    return len(rows) * (block - 0.02) + 0.2 * titled


def name_row(ax: Axes, label: str, inches: float) -> None:
    """Write `label` to the left of the first panel of a row, wrapped to `inches`."""
    ax.set_ylabel(style.wrapped(label, inches), rotation=0, ha="right", va="center", labelpad=6)


def real_images(material: Material, run: str) -> np.ndarray:
    """Real images of the dataset that `run` learns; raises ValueError if there are none."""
    dataset = dataset_of(material, run)
    if dataset not in material.real:
        raise ValueError(f"images of the real data are missing ({dataset})")
    return material.real[dataset]


def classes_of(material: Material, run: str) -> tuple[str, ...]:
    """Names of the classes of the dataset that `run` learns; () where it has none."""
    return material.classes.get(dataset_of(material, run), ())


def generations_shown(material: Material, wanted: Sequence[int], most: int) -> dict[str, list[int]]:
    """Run → the wanted generations that have images, else up to `most`, evenly spread."""
    return {run: chosen(wanted, generations_with_images(material, run), most) for run in run_names(material)}


def generations_with_images(material: Material, run: str) -> list[int]:
    """The generations of `run` that have images, in order; raises ValueError if there are none."""
    there = sorted(g for name, g in material.images if name == run)
    if not there:
        raise ValueError(f"images of run {run} are missing")
    return there
