"""Samples of the same latents in the course of a training, one block per run (Khelifa & Rossa, figs. 3 to 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bigloop.analysis.series import chosen, run_names
from bigloop.artifacts import SNAPSHOT_ROWS
from bigloop.figures import Material, Plot, Snapshots
from bigloop.figures.parts import style
from bigloop.figures.parts.courses import WHICH, snapshots_of
from bigloop.figures.parts.notes import grouped
from bigloop.figures.parts.tiles import draw_mosaic, name_row
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABEL = 1.15  # inches for the name of a run
PAGE = 9.3  # inches that all blocks may take, one below another
HEADING = 0.2  # inches above the images of a block
NARROWEST = 0.45  # inches of a column, for its heading


@dataclass(frozen=True)
class Options:
    generation: int = option(1, WHICH, minimum=0)
    latents: int = option(3, "latents shown, one below another", minimum=1, maximum=SNAPSHOT_ROWS)
    epochs: tuple[float, ...] = option(
        (), "epochs to show, or those taken next to them; none: up to ten of those taken, evenly spread"
    )


def draw(material: Material, options: Options) -> Figure:
    """A column for each epoch shown: the row of one latent is one image on its way."""
    looks = style.looks(material.runs)
    taken = {run: snapshots_of(material, run, options.generation) for run in run_names(material)}
    blocks = {run: shown(found, options) for run, found in taken.items() if found}
    if not blocks:
        raise ValueError(
            f"snapshots of generation {options.generation} are missing; trainings that were finished before "
            "storage.snapshots asked for some have none: delete their folders under results/runs to repeat them"
            if options.generation
            else "generation: 0 shows runs that continue from generation to generation, and none has snapshots"
        )
    columns = max(len(block.epochs) for block in blocks.values())
    lines = max(style.wrapped(looks[run].label, LABEL).count("\n") + 1 for run in blocks)
    side = min(0.62, (style.WIDTH - 1.4) / columns, (PAGE / len(blocks) - HEADING) / options.latents)
    height = HEADING + max(0.16 * lines, 1.07 * options.latents * side)
    with style.page(len(blocks) * height, 1.4 + columns * max(side, NARROWEST)) as fig:
        grid = fig.add_gridspec(len(blocks), columns)
        for row, (run, block) in enumerate(blocks.items()):
            for column, (epoch, images) in enumerate(zip(block.epochs, block.images, strict=True)):
                ax = fig.add_subplot(grid[row, column])
                heading = grouped(round(epoch, 1 if epoch >= 1 else 3))
                draw_mosaic(ax, images, options.latents, 1, heading if column else f"epoch {heading}")
                if column == 0:
                    name_row(ax, looks[run].label, LABEL)
    return fig


def shown(taken: Snapshots, options: Options) -> Snapshots:
    """The snapshots next to the wanted epochs, or up to ten; a whole number of steps is seldom a round epoch."""
    wanted = [int(np.abs(taken.epochs - epoch).argmin()) for epoch in options.epochs]
    picked = chosen(wanted, range(len(taken.epochs)), most=10)
    return Snapshots(taken.epochs[picked], taken.images[picked])


CAPTION = (
    "Images that a model makes of the same latents in the course of one training, from before its first step, "
    "clipped to [0, 1]; each row is one latent."
)

PLOT = Plot(draw, Options, frozenset({"snapshots"}), caption=CAPTION)
