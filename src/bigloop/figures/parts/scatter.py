"""One value of each generation against another, a panel a run, with the rank correlation below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bigloop.analysis.ranks import rank_correlation
from bigloop.figures.parts import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bigloop.figures import Material

MARKERS = "os^Dv<>p"  # of seeds, in turn
AGES = "viridis_r"  # dark for late
POINTS = "the later the darker, one marker per seed; ρ is Spearman's rank correlation over generations, its mean over "
POINTS += "seeds and the interval of that mean"


def draw_pairs(material: Material, found: Mapping[str, pd.DataFrame], x: str, y: str) -> Figure:
    """Points are generations. found: by run, `ranks.pairs` of it, not empty. x, y: the names of both axes."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    looks, (rows, columns) = style.looks(material.runs), style.panel_grid(len(found))
    generations = [int(g) for table in found.values() for g in table["generation"]]
    ages = Normalize(min(generations) - 1, max(generations))
    with style.page(0.4 + 2.3 * rows, min(style.WIDTH, 1.6 + 2.6 * columns)) as fig:
        grid = fig.add_gridspec(rows, columns)
        for place, (run, table) in enumerate(found.items()):
            ax = fig.add_subplot(grid[place // columns, place % columns])
            draw_points(ax, table, ages)
            ax.set_title(style.wrapped(looks[run].label, (style.WIDTH - 1.5) / columns))
            ax.set_xlabel(f"{x}\n{rank_correlation(table)}")
            ax.set_ylabel("" if place % columns else y)
        bar = fig.colorbar(ScalarMappable(ages, AGES), ax=fig.axes, label="generation", aspect=30, shrink=0.8)
        bar.set_ticks(style.generation_ticks(min(generations), max(generations)))
        bar.ax.set_ylim(min(generations) - 0.5, max(generations))
    return fig


def draw_points(ax: Axes, table: pd.DataFrame, ages: object) -> None:
    """A marker for each seed."""
    for place, (seed, rows) in enumerate(table.groupby("seed")):
        ax.scatter(
            rows["x"],
            rows["y"],
            c=rows["generation"],
            cmap=AGES,
            norm=ages,  # type: ignore[arg-type]
            marker=MARKERS[place % len(MARKERS)],
            s=14,
            gid=f"seed:{seed}",
        )
    ax.margins(0.08)
