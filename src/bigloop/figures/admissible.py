"""How many fresh rows a loop is worth over two swept keys, as a map (Alemohammad et al. 2024, figs. 11 and 12)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bigloop.analysis.ends import End, ends_of, in_effective_samples, number
from bigloop.analysis.series import n_of, require, rows_of, selection
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.notes import grouped, n_note, seeds_note
from bigloop.figures.sweep import words_of
from bigloop.figures.trajectories import NAMES
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "RdBu"  # blue where a loop is worth more than its fresh rows; safe for the colour-blind
LEAST, MOST = 1 / 4, 4  # of n_e / n_r, at the ends of the colours
DARK = 2.2  # times more or less than 1: text on such colours is white


@dataclass(frozen=True)
class Options:
    measure: str = option("", "measure by which single fits and loops are compared")
    x: str = option("", "swept key from left to right, such as loop.real.fresh")
    y: str = option("", "swept key from bottom to top, such as loop.synthetic.n")
    last: int = option(
        1, "each seed's value is its mean over so many measured generations, the last", minimum=1
    )
    runs: tuple[str, ...] = option((), "runs to show, by name or by how their names begin; none: all")


def draw(material: Material, options: Options) -> Figure:
    """A cell a run, with its n_e / n_r; a line around those that are admissible, n_e ≥ n_r."""
    for key in ("measure", "x", "y"):
        if not getattr(options, key):
            raise ValueError(f"{key}: expected one to show")
    require(selection(material, options.runs), options.measure)
    table = material.measures  # may be long, and is looked through for each run
    material = dataclasses.replace(material, measures=table[table["measure"] == options.measure])
    shown = selection(material, options.runs)
    ends = ends_of(shown, options.measure, options.x, options.y, options.last, with_fresh_data=True)
    ends = in_effective_samples(material, ends, options.measure)
    columns, lines, worth = cells_of(ends)
    width = min(style.WIDTH, 1.7 + 0.75 * len(columns))
    with style.page(0.9 + 0.4 * len(lines), max(3.4, width)) as fig:
        ax = fig.add_subplot()
        draw_cells(ax, worth)
        draw_edge(ax, worth)
        ax.set_xticks(range(len(columns)), [grouped(value) for value in columns])
        ax.set_yticks(range(len(lines)), [grouped(value) for value in lines])
        ax.set_xlabel(words_of(options.x))
        ax.set_ylabel(style.wrapped(words_of(options.y), 0.5 + 0.35 * len(lines)))
        ax.grid(False)
        style.legend(fig, note(material, ends, options, fig.get_size_inches()[0]))
    return fig


def cells_of(ends: Sequence[End]) -> tuple[list[float], list[float], np.ndarray]:
    """Values of x and of y, rising, and n_e / n_r at each pair, (lines, columns), NaN where no run is.

    Raises ValueError for two runs in one cell.
    """
    columns = sorted({end.x for end in ends})
    lines = sorted({number(end.by) for end in ends})
    worth = np.full((len(lines), len(columns)), math.nan)
    names: dict[tuple[int, int], str] = {}
    for end in ends:
        place = lines.index(number(end.by)), columns.index(end.x)
        if place in names:
            raise ValueError(f"runs {names[place]} and {end.run} share x and y; choose other runs")
        names[place], worth[place] = end.run, end.mean
    return columns, lines, worth


def draw_cells(ax: Axes, worth: np.ndarray) -> None:
    from matplotlib.colors import LogNorm

    ax.imshow(worth, cmap=COLOURS, norm=LogNorm(LEAST, MOST), origin="lower", aspect="auto")
    for (line, column), value in np.ndenumerate(worth):
        if math.isfinite(value):
            dark = not 1 / DARK < value < DARK
            colour = "white" if dark else "black"
            text = f"{value:.2f}" if value < 9.95 else f"{value:.0f}"
            ax.text(column, line, text, ha="center", va="center", size=style.SMALL, color=colour)


def draw_edge(ax: Axes, worth: np.ndarray) -> None:
    """A line wherever an admissible cell borders on one that is not, or on none."""
    inside = np.pad(worth >= 1, 1)
    x: list[float] = []
    y: list[float] = []
    for line, column in np.argwhere(inside[:, 1:] != inside[:, :-1]):
        x += [column - 0.5, column - 0.5, math.nan]
        y += [line - 1.5, line - 0.5, math.nan]
    for line, column in np.argwhere(inside[1:] != inside[:-1]):
        x += [column - 1.5, column - 0.5, math.nan]
        y += [line - 0.5, line - 0.5, math.nan]
    ax.plot(
        x, y, color="black", linewidth=2.0, label="admissible, $n_e ≥ n_r$", gid="admissible", clip_on=False
    )


def note(material: Material, ends: Sequence[End], options: Options, inches: float) -> str:
    """Title of the legend: what the cells show, of what, at the end of which generations."""
    sizes = n_note(n_of(rows_of(material, end.run, options.measure)) for end in ends)
    name = NAMES.get(options.measure, options.measure)
    last = {int(rows_of(material, end.run, options.measure)["generation"].max()) for end in ends}
    when = f"generation {last.pop()}" if len(last) == 1 else "last generation of each run"
    if options.last > 1:
        when = f"last {options.last} measured generations"
    measured = f"$n_e / n_r$ by {name}{f' ({sizes})' if sizes else ''}"
    return style.wrapped("; ".join((measured, when, seeds_note((e.seeds for e in ends), "mean"))), inches)


CAPTION = (
    "Effective sample size of each loop with fresh data, as the number of real rows on which a single fit comes "
    "as near, for each fresh real row that a generation sees; the line surrounds the loops that are worth their "
    "synthetic rows (admissible)."
)

PLOT = Plot(draw, Options, caption=CAPTION)
