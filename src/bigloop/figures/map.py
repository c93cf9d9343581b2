"""A map of loops: what is left of a measure, by the share of real rows and by what is done with synthetic ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bigloop.analysis.maps import cells, grid, values
from bigloop.analysis.series import require, selection
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.names import name_of
from bigloop.figures.parts.notes import seeds_note
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "RdBu"  # red where it is lost, blue where it grows; safe for the colour-blind
LEAST, MOST = 1 / 4, 4  # of what is left, at the ends of the colours
DARK = 2.2  # times more or less than 1: text on such colours is white
MARKS = {"collapse": "×", "drift": "~", "not clear": "?"}


@dataclass(frozen=True)
class Options:
    measure: str = option("variance", "measure of which it is shown what is left")
    runs: tuple[str, ...] = option((), "runs to show, by name or by how their names begin; none: all")


def draw(material: Material, options: Options) -> Figure:
    """A line for each entry of the config's runs, a column for each share of real rows."""
    from matplotlib.colors import LogNorm

    shown = selection(material, options.runs)
    require(shown, options.measure)
    several = cells(shown, options.measure)
    if not several:
        raise ValueError(f"{options.measure}: no run with several generations has it")
    policies, shares, placed = grid(several)
    left = values(len(policies), len(shares), placed)
    with style.page(1.2 + 0.24 * max(4, len(policies))) as fig:
        ax = fig.add_subplot()
        image = ax.imshow(np.clip(left, LEAST, MOST), cmap=COLOURS, norm=LogNorm(LEAST, MOST), aspect="auto")
        marks = _marks(material)
        for (line, column), cell in placed.items():
            _write(ax, column, line, cell.left, marks.get(cell.run, ""))
        whole = [policy.replace(" = ", "\u00a0=\u00a0") for policy in policies]  # no line ends within λ = 0.9
        ax.set_yticks(range(len(policies)), [style.wrapped(policy, 2.6) for policy in whole])
        ax.set_xticks(range(len(shares)), [f"{100 * share:.3g}" for share in shares])
        ax.set_xlabel("real rows among those that a generation trains on, %")
        ax.grid(False)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        bar = fig.colorbar(image, ax=ax, ticks=[0.25, 0.5, 1, 2, 4], format="%g", aspect=30)
        bar.set_label(style.wrapped(f"{name_of(options.measure)}, last ÷ first generation", 2.6))
        bar.ax.minorticks_off()
        style.legend(fig, _note(several, marks))
    return fig


def _write(ax: Axes, column: int, line: int, value: float, mark: str) -> None:
    if not math.isfinite(value):
        return
    colour = "black" if 1 / DARK < value < DARK else "white"
    text = f"{value:.2f}" if value < 9.95 else f"{value:.0f}"
    ax.text(column, line, text + mark, ha="center", va="center", size=style.SMALL, color=colour)


def _marks(material: Material) -> dict[str, str]:
    """By run, the mark of its verdict; none of a stable one."""
    if material.verdicts is None:
        return {}
    table = material.verdicts
    return {
        str(run): MARKS.get(str(word), "") for run, word in zip(table["run"], table["verdict"], strict=True)
    }


def _note(several: list, marks: dict[str, str]) -> str:
    used = {marks.get(cell.run, "") for cell in several}
    words = [f"{mark} {word}" for word, mark in MARKS.items() if mark in used]
    return ", ".join([seeds_note((cell.seeds for cell in several), "means"), *words])


CAPTION = (
    "Each cell is a loop: a measure of the last generation divided by that of the first, by the share of real rows "
    "that generations train on and by what is done with synthetic ones; marked are loops that collapse (×), drift (~), "
    "or of which it is not clear (?)."
)

PLOT = Plot(draw, Options, frozenset(), CAPTION)
