"""A measure of the last generations against a swept key.

With `effective`, in real rows: how many fresh rows a loop is worth (Alemohammad et al. 2024, figs. 11 and 12).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from bigloop.analysis.ends import (
    End,
    ends_of,
    in_effective_samples,
    number,
)
from bigloop.analysis.series import against, n_of, require, rows_of, selection
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.maps import cells_of, draw_cells, draw_edge
from bigloop.figures.parts.names import name_of
from bigloop.figures.parts.notes import grouped, n_note, seeds_note
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEYS = {  # column → its symbol and its words
    "loop.bias": ("λ", "sampling bias λ"),
    "loop.initial.n": ("$n_i$", "rows of generation 1, $n_i$"),
    "loop.real.fixed": ("$n_r$", "fixed real rows $n_r$"),
    "loop.real.fresh": ("$n_r$", "fresh real rows $n_r$"),
    "loop.synthetic.n": ("$n_s$", "synthetic rows $n_s$"),
    "loop.synthetic.ratio": ("$n_s/n_r$", "synthetic rows for each real one, $n_s/n_r$"),
    "loop.synthetic.from": ("$K$", "generations $K$ that synthetic rows come from"),
    "loop.against.strength": ("$\\omega$", "strength $\\omega$ of what is held against the model"),
    "density.dimension": ("$d$", "dimension $d$"),
    "sweep": ("", ""),  # the label of the config's entry says what it is
}
TICKS = 12  # at most, of the swept values
ERRORS = "mean ± standard error"


@dataclass(frozen=True)
class Options:
    measure: str = option("", "measure to show")
    x: str = option("", "swept key, a column of the runs table such as loop.synthetic.n")
    by: str = option("", "key that distinguishes the lines, such as loop.bias; none: one line")
    last: int = option(
        1, "each seed's value is its mean over so many measured generations, the last", minimum=1
    )
    log_x: bool = option(True, "logarithmic axis of the swept key")
    log_y: bool = option(True, "logarithmic axis of the measure, where it is above 0")
    runs: tuple[str, ...] = option((), "runs to show, by name or by how their names begin; none: all")
    effective: bool = option(False, "effective sample size for each fresh row, in place of the measure")
    map: bool = option(
        False, "with effective: a cell a run, over x and by, and a line around the admissible ones"
    )


def draw(material: Material, options: Options) -> Figure:
    """A point a run with its standard error over seeds, a line for each value of `by`."""
    for key in ("measure", "x"):
        if not getattr(options, key):
            raise ValueError(f"{key}: expected one to show")
    if options.map and not (options.effective and options.by):
        raise ValueError("map: expected effective: true, and a key for by")
    require(selection(material, options.runs), options.measure)
    table = material.measures  # may be long, and is looked through for each run
    material = dataclasses.replace(material, measures=table[table["measure"] == options.measure])
    shown = selection(material, options.runs)
    ends = ends_of(shown, options.measure, options.x, options.by, options.last, options.effective)
    if options.effective:
        ends = in_effective_samples(material, ends, options.measure)
    if options.map:
        return draw_map(material, ends, options)
    lines = lines_of(ends, options)
    with style.page(3.0) as fig:
        ax = fig.add_subplot()
        draw_lines(ax, lines, options)
        label_axes(ax, material, ends, options)
        if options.effective:
            draw_admissible(ax)
        style.legend(fig, note(material, ends, options))
    return fig


def draw_map(material: Material, ends: Sequence[End], options: Options) -> Figure:
    """x from left to right, `by` from bottom to top (figures 11 and 12 themselves)."""
    columns, lines, worth = cells_of(ends)
    width = min(style.WIDTH, max(3.4, 1.7 + 0.75 * len(columns)))
    with style.page(0.9 + 0.4 * len(lines), width) as fig:
        ax = fig.add_subplot()
        draw_cells(ax, worth)
        draw_edge(ax, worth)
        ax.set_xticks(range(len(columns)), [grouped(value) for value in columns])
        ax.set_yticks(range(len(lines)), [grouped(value) for value in lines])
        ax.set_xlabel(words_of(options.x))
        ax.set_ylabel(style.wrapped(words_of(options.by), 0.5 + 0.35 * len(lines)))
        what = f"$n_e / n_r$ by {measured_by(material, ends, options)}"
        seeds = seeds_note((end.seeds for end in ends), "mean")
        style.legend(fig, style.wrapped("; ".join((what, when(material, ends, options), seeds)), width))
    return fig


def lines_of(ends: Sequence[End], options: Options) -> dict[str, list[End]]:
    """The ends by the label of their line, in the order of x; raises ValueError for two runs at one place of a line."""
    symbol = symbol_of(options.by)
    values = sorted(
        dict.fromkeys(end.by for end in ends), key=lambda by: (math.isnan(number(by)), number(by))
    )
    lines: dict[str, list[End]] = {}
    for by in values:
        value = by if math.isnan(number(by)) else grouped(number(by))
        named = f"{symbol} = {value}" if symbol else str(value)
        label = named if options.by else seeds_note((e.seeds for e in ends), ERRORS)
        lines[label] = sorted((end for end in ends if end.by == by), key=lambda end: end.x)
    for line in lines.values():
        for one, other in pairwise(line):
            if one.x == other.x:
                shared = " and ".join(filter(None, (options.x, options.by)))
                raise ValueError(
                    f"sweep: runs {one.run} and {other.run} share {shared}; choose other runs, or another key for by"
                )
    return lines


def draw_lines(ax: Axes, lines: dict[str, list[End]], options: Options) -> None:
    import pandas as pd

    looks = style.looks(pd.DataFrame({"run": list(lines), "label": list(lines)}))
    for label, ends in lines.items():
        look = looks[label]
        x, mean = [end.x for end in ends], [end.mean for end in ends]
        drawn: dict[str, Any] = {"color": look.colour, "linestyle": look.linestyle, "marker": look.marker}
        ax.plot(x, mean, label=label, gid=f"line:{label}", **drawn)
        if any(end.seeds > 1 for end in ends):
            bars = np.array([(end.mean - end.low, end.high - end.mean) for end in ends]).T
            ax.errorbar(x, mean, bars, fmt="none", ecolor=look.colour, elinewidth=1.0, capsize=2)


def label_axes(ax: Axes, material: Material, ends: Sequence[End], options: Options) -> None:
    """Names and scales of both axes: ticks at the swept values, as far as they are not too close."""
    scale_x(ax, sorted({end.x for end in ends}), options.log_x)
    ax.set_xlabel(words_of(options.x))
    measured = measured_by(material, ends, options)
    ax.set_ylabel(style.wrapped(f"$n_e / n_r$ by {measured}" if options.effective else measured, 2.7))
    means, tops = [end.mean for end in ends], [end.high for end in ends if math.isfinite(end.high)]
    if options.log_y and min(means) > 0:
        bottoms = [end.low for end in ends if end.low > min(means) / 10]
        one = [1.0] if options.effective else []
        style.log_values(ax, min(means + bottoms + one) / 1.2, max(means + tops + one) * 1.2)
    elif options.effective:
        ax.set_ylim(0, max(means + tops + [1.0]) * 1.1)


def measured_by(material: Material, ends: Sequence[End], options: Options) -> str:
    """The measure in words, with the numbers of rows that it was taken of."""
    tables = [rows_of(material, end.run, options.measure) for end in ends]
    notes = ", ".join(filter(None, (n_note(map(n_of, tables)), *dict.fromkeys(map(against, tables)))))
    name = name_of(options.measure)
    return f"{name} ({notes})".replace(" = ", "\xa0=\xa0") if notes else name


def scale_x(ax: Axes, values: Sequence[float], log: bool) -> None:
    """The x axis of the swept `values`, in order; a logarithmic one shows a value of 0 left of all others."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    positive = [value for value in values if value > 0]
    if log and positive and values[0] == 0:
        ax.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
    elif log and positive and values[0] > 0:
        ax.set_xscale("log")
    low, high = ax.transData.transform([(values[0], 1.0), (values[-1], 1.0)])[:, 0]
    ticks: list[float] = []
    for value in values:
        at = ax.transData.transform((value, 1.0))[0]
        if not ticks or at - ax.transData.transform((ticks[-1], 1.0))[0] > (high - low) / TICKS:
            ticks.append(value)
    ax.set_xticks(ticks)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: grouped(value)))
    ax.xaxis.set_minor_locator(NullLocator())


def draw_admissible(ax: Axes) -> None:
    """A line at n_e = n_r, and grey above it, where a loop is worth more than its fresh rows alone."""
    bottom, top = ax.get_ylim()
    ax.axhspan(1.0, top, color="0.94", linewidth=0, zorder=0, label="admissible", gid="reference")
    ax.axhline(
        1.0, color=style.REFERENCE, linestyle="--", linewidth=1.2, label="$n_e = n_r$", gid="reference"
    )
    ax.set_ylim(bottom, top)


def note(material: Material, ends: Sequence[End], options: Options) -> str:
    """Title of the legend: what the lines are, which generations, and what an error bar is."""
    if not options.by:
        return when(material, ends, options)
    seeds = seeds_note((end.seeds for end in ends), ERRORS)
    parts = words_of(options.by), when(material, ends, options), seeds
    return style.wrapped("; ".join(filter(None, parts)), style.WIDTH)


def when(material: Material, ends: Sequence[End], options: Options) -> str:
    """Which generations the values are of."""
    last = {int(rows_of(material, end.run, options.measure)["generation"].max()) for end in ends}
    if options.last > 1:
        return f"last {options.last} measured generations"
    return f"generation {last.pop()}" if len(last) == 1 else "last generation of each run"


def words_of(key: str) -> str:
    return KEYS[key][1] if key in KEYS else key.rpartition(".")[2].replace("_", " ")


def symbol_of(key: str) -> str:
    return KEYS[key][0] if key in KEYS else words_of(key)


CAPTION = (
    "A measure of the last generations of each run against a key that the runs differ in, mean and one "
    "standard error over seeds, or, as effective sample size, the number of real rows on which a single "
    "fit comes as near, for each fresh real row that a generation of the loop sees, where the loop is "
    "worth its synthetic rows (admissible) above the dashed line, or on a map within the black one."
)

PLOT = Plot(draw, Options, caption=CAPTION)
