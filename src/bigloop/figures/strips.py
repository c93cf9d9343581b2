"""Strips of sample images over the generations, one block per run (Alemohammad et al. 2024, figs. 26 and 27)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bigloop.analysis.series import chosen, run_names
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.tiles import draw_mosaic, generations_with_images, name_row, real_images
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABEL = 1.15  # inches for the name of a run
PAGE = 9.5  # inches that all strips may take, one below another
WORD = 0.45  # inches that the word "gen." beside a number has room in


@dataclass(frozen=True)
class Options:
    generations: tuple[int, ...] = option((), "generations to show; none: up to ten, evenly spread")
    rows: int = option(3, "images of a generation, one below another", minimum=1)


def draw(material: Material, options: Options) -> Figure:
    """One column a generation for all runs, after a column of real images; a place without images stays white."""
    looks, runs = style.looks(material.runs), run_names(material)
    generations = common_columns(material, options.generations, most=10)
    side = min(0.6, (style.WIDTH - 1.3) / (1 + len(generations)), PAGE / (len(runs) * options.rows))
    lines = max(style.wrapped(looks[run].label, LABEL).count("\n") + 1 for run in runs)
    block = max(
        0.16 * lines, 1.07 * options.rows * (side - 0.06) + 0.12
    )  # what images take between their margins
    with style.page(0.25 + len(runs) * block, 1.3 + side * (1 + len(generations))) as fig:
        grid = fig.add_gridspec(len(runs), 1 + len(generations))
        for row, run in enumerate(runs):
            real = real_images(material, run)
            first = fig.add_subplot(grid[row, 0])
            draw_mosaic(first, real, options.rows, 1, "" if row else "real")
            name_row(first, looks[run].label, LABEL)
            for column, generation in enumerate(generations, start=1):
                ax = fig.add_subplot(grid[row, column])
                title = f"gen. {generation}" if column == 1 and side >= WORD else str(generation)
                images = material.images.get((run, generation), real[:0])
                draw_mosaic(ax, images, options.rows, 1, "" if row else title)
    return fig


def common_columns(material: Material, wanted: Sequence[int], most: int) -> list[int]:
    """The generations to show of all runs: those wanted that some run has, else up to `most`, evenly spread."""
    there = {g for run in run_names(material) for g in generations_with_images(material, run)}
    return chosen(wanted, there, most)


CAPTION = (
    "Images made by selected generations of each run, in the order in which they were sampled and clipped "
    "to [0, 1] for display, after a column of real images."
)

PLOT = Plot(draw, Options, frozenset({"images"}), caption=CAPTION)
