"""Maps of what loops with fresh data are worth over two swept keys, with a line around the admissible ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bigloop.analysis.ends import End, number
from bigloop.figures.parts import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = "RdBu"  # blue where a loop is worth more than its fresh rows; safe for the colour-blind
LEAST, MOST = 1 / 4, 4  # of n_e / n_r, at the ends of the colours
DARK = 2.2  # times more or less than 1: text on such colours is white


def cells_of(ends: Sequence[End]) -> tuple[list[float], list[float], np.ndarray]:
    """Values of x and of `by`, rising, and the mean at each pair, (lines, columns), NaN where no run is.

    Raises ValueError for two runs in one cell.
    """
    columns = sorted({end.x for end in ends})
    lines = sorted({number(end.by) for end in ends})
    worth = np.full((len(lines), len(columns)), math.nan)
    names: dict[tuple[int, int], str] = {}
    for end in ends:
        place = lines.index(number(end.by)), columns.index(end.x)
        if place in names:
            raise ValueError(f"sweep: runs {names[place]} and {end.run} share x and by; choose other runs")
        names[place], worth[place] = end.run, end.mean
    return columns, lines, worth


def draw_cells(ax: Axes, worth: np.ndarray) -> None:
    """n_e / n_r of each cell, (lines, columns), as a colour and in figures."""
    from matplotlib.colors import LogNorm

    ax.imshow(worth, cmap=COLOURS, norm=LogNorm(LEAST, MOST), origin="lower", aspect="auto")
    for (line, column), value in np.ndenumerate(worth):
        if math.isfinite(value):
            colour = "black" if 1 / DARK < value < DARK else "white"
            text = f"{value:.2f}" if value < 9.95 else f"{value:.0f}"
            ax.text(column, line, text, ha="center", va="center", size=style.SMALL, color=colour)
    ax.grid(False)


def draw_edge(ax: Axes, worth: np.ndarray) -> None:
    """A line wherever an admissible cell, n_e ≥ n_r, borders on one that is not, or on none."""
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
