"""Does a loss tell quality? A loss against a measure over generations, one panel per run (Khelifa & Rossa, §3.1.4).

Where a loop trains on real rows alone and continues from generation to generation, its generations are checkpoints of
one long training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bigloop.analysis.ranks import LOSS, pairs, rank_correlation
from bigloop.analysis.series import require, run_names
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.quality_diversity import TITLES, sizes_note
from bigloop.spec.options import option

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^Dv<>p"  # of seeds, in turn
AGES = "viridis_r"  # dark for late


@dataclass(frozen=True)
class Options:
    loss: str = option("loss_generator", "the loss, by its name in history.csv")
    measure: str = option("fid", "the measure that it is held against")


def draw(material: Material, options: Options) -> Figure:
    """Points are generations, the later the darker; below each panel the rank correlation over them."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    require(material, LOSS, options.measure)
    found = {run: pairs(material, run, options.loss, options.measure) for run in run_names(material)}
    found = {run: table for run, table in found.items() if len(table)}
    if not found:
        raise ValueError(f"loss {options.loss} and measure {options.measure}: no generation has both")
    looks, (rows, columns) = style.looks(material.runs), style.panel_grid(len(found))
    generations = [int(g) for table in found.values() for g in table["generation"]]
    ages = Normalize(min(generations) - 1, max(generations))
    name = TITLES.get(options.measure, options.measure.replace("_", " ").capitalize())
    with style.page(0.4 + 2.3 * rows, min(style.WIDTH, 1.6 + 2.6 * columns)) as fig:
        grid = fig.add_gridspec(rows, columns)
        for place, (run, table) in enumerate(found.items()):
            ax = fig.add_subplot(grid[place // columns, place % columns])
            draw_points(ax, table, ages)
            ax.set_title(style.wrapped(looks[run].label, (style.WIDTH - 1.5) / columns))
            ax.set_xlabel(f"{options.loss.replace('_', ' ')}\n{rank_correlation(table)}")
            ax.set_ylabel("" if place % columns else name)
        bar = fig.colorbar(ScalarMappable(ages, AGES), ax=fig.axes, label="generation", aspect=30, shrink=0.8)
        bar.set_ticks(style.generation_ticks(min(generations), max(generations)))
        bar.ax.set_ylim(min(generations) - 0.5, max(generations))
        if note := sizes_note(material, [options.measure]):
            fig.supxlabel(note, fontsize=style.SMALL)
    return fig


def draw_points(ax: Axes, table: pd.DataFrame, ages: object) -> None:
    """A marker for each seed."""
    for place, (seed, rows) in enumerate(table.groupby("seed")):
        ax.scatter(
            rows["loss"],
            rows["value"],
            c=rows["generation"],
            cmap=AGES,
            norm=ages,  # type: ignore[arg-type]
            marker=MARKERS[place % len(MARKERS)],
            s=14,
            gid=f"seed:{seed}",
        )
    ax.margins(0.08)


CAPTION = (
    "Loss at the end of each generation's training against a measure of its samples, the later the darker, one marker "
    "per seed; ρ is Spearman's rank correlation over generations, its mean over seeds and the interval of that mean."
)

PLOT = Plot(draw, Options, frozenset({"losses"}), caption=CAPTION)
