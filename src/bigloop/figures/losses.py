"""Final training losses per generation: a row of panels a family, one panel per loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigloop.analysis.series import require, rows_of, run_names
from bigloop.figures import Material, NoOptions, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.curves import draw_curves
from bigloop.figures.parts.notes import seeds_note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURE = "final_loss"


def draw(material: Material, options: NoOptions) -> Figure:
    """Runs of one family share a panel, as their losses share a scale; those of two families do not."""
    require(material, MEASURE)
    panels = losses_by_family(material)
    columns = max(len(losses) for losses in panels.values())
    drawn = []
    with style.page(0.2 + 1.9 * len(panels), min(style.WIDTH, 1.2 + 2.3 * columns)) as fig:
        grid = fig.add_gridspec(len(panels), columns)
        for row, (family, losses) in enumerate(panels.items()):
            runs = [run for run in run_names(material) if family_of(material, run) == family]
            for column, loss in enumerate(losses):
                ax = fig.add_subplot(grid[row, column])
                drawn += draw_curves(ax, material, MEASURE, detail=loss, runs=runs)
                ax.set_title(f"{family}: {loss.replace('_', ' ')}")
                ax.set_xlabel("generation" if row == len(panels) - 1 else "")
        style.legend(fig, seeds_note(c.seeds for c in drawn))
    return fig


def losses_by_family(material: Material) -> dict[str, list[str]]:
    """Family → names of its losses, both in order of appearance."""
    panels: dict[str, list[str]] = {}
    for run in run_names(material):
        known = panels.setdefault(family_of(material, run), [])
        losses = rows_of(material, run, MEASURE)["detail"].astype(str).unique()
        known += [loss for loss in losses if loss not in known]
    return {family: losses for family, losses in panels.items() if losses}


def family_of(material: Material, run: str) -> str:
    return str(material.runs.loc[material.runs["run"] == run, "family"].iloc[0])


CAPTION = "Losses at the end of the training of each generation, one row per model family."

PLOT = Plot(draw, needs=frozenset({"losses"}), caption=CAPTION)
