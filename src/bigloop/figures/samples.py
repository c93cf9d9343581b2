"""Sample images of selected generations beside real images, a row a run (Knutsen et al. 2025, fig. 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.series import chosen, run_names
from bigloop.figures.parts.tiles import (
    draw_mosaic,
    generations_with_images,
    name_row,
    real_images,
    tiles_height,
)
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Options:
    generations: tuple[int, ...] = option((), "generations to show; none: up to four, evenly spread")
    side: int = option(5, "images along each side of a grid", minimum=1)


def draw(material: Material, options: Options) -> Figure:
    """Grids of side × side images, clipped to [0, 1] for display."""
    looks = style.looks(material.runs)
    shown = {
        run: chosen(options.generations, generations_with_images(material, run), most=4)
        for run in run_names(material)
    }
    columns = 1 + max(len(generations) for generations in shown.values())
    width = min(1.5, (style.WIDTH - 1.2) / columns)
    with style.page(tiles_height(shown, width), 1.2 + columns * width) as fig:
        grid = fig.add_gridspec(len(shown), columns)
        above: list[int] = []
        for row, (run, generations) in enumerate(shown.items()):
            titled = generations != above  # the headings of the row above serve while they fit
            first = fig.add_subplot(grid[row, 0])
            real = real_images(material, run)
            draw_mosaic(first, real, options.side, options.side, "real data" if titled else "")
            name_row(first, looks[run].label, 1.15)
            for column, generation in enumerate(generations, start=1):
                ax = fig.add_subplot(grid[row, column])
                title = f"generation {generation}" if titled else ""
                draw_mosaic(ax, material.images[run, generation], options.side, options.side, title)
            above = generations
    return fig


CAPTION = (
    "Images made by selected generations of each model, in the order in which they were sampled and "
    "clipped to [0, 1] for display, beside images of the real data."
)

PLOT = Plot(draw, Options, frozenset({"images"}), caption=CAPTION)
