"""Sample images of selected generations beside real images, one row per run (Knutsen et al. 2025, fig. 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.tiles import draw_tiles, generations_shown, tiles_height
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Options:
    generations: tuple[int, ...] = option((), "generations to show; none: up to four, evenly spread")
    side: int = option(5, "images along each side of a grid", minimum=1)


def draw(material: Material, options: Options) -> Figure:
    """Grids of side × side images, clipped to [0, 1] for display."""
    shown = generations_shown(material, options.generations, most=4)
    columns = 1 + max(len(generations) for generations in shown.values())
    width = min(1.5, (style.WIDTH - 1.2) / columns)
    with style.page(tiles_height(shown, width), 1.2 + columns * width) as fig:
        draw_tiles(fig, material, shown, options.side, ("real data", "generation {}"), 1.15)
    return fig


CAPTION = (
    "Images made by selected generations of each model, in the order in which they were sampled and "
    "clipped to [0, 1] for display, beside images of the real data."
)

PLOT = Plot(draw, Options, frozenset({"images"}), caption=CAPTION)
