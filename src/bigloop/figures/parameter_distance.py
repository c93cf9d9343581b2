"""How far the weights move from those of generation 1 (Bertrand et al. 2024, fig. 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigloop.analysis.series import Curve, require, row_of, runs_with
from bigloop.figures import Material, NoOptions, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.curves import draw_curves, draw_reference
from bigloop.figures.parts.notes import seeds_note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURE = "parameter_distance"
INITIAL = "generation 1 from its random initialisation"


def draw(material: Material, options: NoOptions) -> Figure:
    """A panel a family, as weights of different families do not compare; its own first step is the grey line."""
    require(material, MEASURE)
    families: dict[str, list[str]] = {}
    for run in runs_with(material, MEASURE):
        families.setdefault(row_of(material, run)["family"], []).append(run)
    rows, columns = style.panel_grid(len(families))
    drawn = []
    with style.page(0.4 + 2.2 * rows, min(style.WIDTH, 2.4 + 2.3 * columns)) as fig:
        for place, (family, runs) in enumerate(families.items(), start=1):
            ax = fig.add_subplot(rows, columns, place)
            drawn += draw_family(ax, material, runs)
            ax.set_title(family)
            ax.set_ylabel("‖θ$_t$ − θ$_1$‖ / p" if place % columns == 1 or columns == 1 else "")
        style.legend(fig, seeds_note(c.seeds for c in drawn))
    return fig


def draw_family(ax: Axes, material: Material, runs: list[str]) -> list[Curve]:
    """Curves of runs of one family, and the mean length of their first step, where it was measured."""
    drawn = draw_curves(ax, material, MEASURE, runs=runs)
    table = material.measures
    steps = table.loc[(table["measure"] == f"{MEASURE}_initial") & table["run"].isin(runs), "value"]
    if len(steps):
        draw_reference(ax, float(steps.mean()), INITIAL)
    ax.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    ax.set_ylim(bottom=0)
    return drawn


CAPTION = (
    "Euclidean distance between the weights of each generation and those of generation 1, divided by the "
    "number of weights, one panel per model family; the dashed grey line is how far the weights of generation "
    "1 lie from the random ones that its training began with."
)

PLOT = Plot(draw, needs=frozenset({MEASURE}), caption=CAPTION)
