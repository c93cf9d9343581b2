"""Final training losses per generation: a row of panels a family, or a family's kind of loss, one panel per loss."""

from __future__ import annotations

from collections.abc import Mapping
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
    """Runs of one family and kind of loss share a panel, as their losses share a scale; others do not."""
    require(material, MEASURE)
    kinds = kinds_of_loss(material)
    panels = losses_by_kind(material, kinds)
    columns = max(len(losses) for losses in panels.values())
    drawn = []
    with style.page(0.2 + 1.9 * len(panels), min(style.WIDTH, 1.2 + 2.3 * columns)) as fig:
        grid = fig.add_gridspec(len(panels), columns)
        for row, (kind, losses) in enumerate(panels.items()):
            runs = [run for run in run_names(material) if kinds[run] == kind]
            for column, loss in enumerate(losses):
                ax = fig.add_subplot(grid[row, column])
                drawn += draw_curves(ax, material, MEASURE, detail=loss, runs=runs)
                title = f"{kind}: {loss.replace('_', ' ')}"
                ax.set_title(style.wrapped(title, (style.WIDTH - 1) / max(columns, 2)))
                below = [len(others) for others in list(panels.values())[row + 1 :]]
                ax.set_xlabel("" if column < max(below, default=0) else "generation")
        style.legend(fig, seeds_note(c.seeds for c in drawn))
    return fig


def losses_by_kind(material: Material, kinds: Mapping[str, str]) -> dict[str, list[str]]:
    """Kind → names of its losses, both in order of appearance."""
    panels: dict[str, list[str]] = {}
    for run in run_names(material):
        known = panels.setdefault(kinds[run], [])
        losses = rows_of(material, run, MEASURE)["detail"].astype(str).unique()
        known += [loss for loss in losses if loss not in known]
    return {kind: losses for kind, losses in panels.items() if losses}


def kinds_of_loss(material: Material) -> dict[str, str]:
    """Run → its family and, where runs of this family differ in their option `loss`, that: "dcgan, wgan_gp"."""
    rows = material.runs.set_index("run")
    options = rows["model.loss"] if "model.loss" in rows else rows["family"]
    several = options.groupby(rows["family"]).transform("nunique") > 1
    return {
        str(run): f"{family}, {options[run]}" if several[run] else str(family)
        for run, family in rows["family"].items()
    }


CAPTION = "Losses at the end of the training of each generation, one row per model family, or kind of loss of a family."

PLOT = Plot(draw, needs=frozenset({"losses"}), caption=CAPTION)
