"""How every figure looks: one page width, one palette, one look a run.

with page(height=3.2) as fig:
    ax = fig.add_subplot()
    ...
    legend(fig, title="one seed")
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.0  # inches, the text width of an A4 page: sizes below are the sizes in print
SMALL = 8.0  # points; nothing is set smaller
REFERENCE = "0.4"  # grey of everything real
SHARES = "YlGnBu"  # dark for many; safe for the colour-blind, and in grey print

# Okabe & Ito 2008, without yellow, which does not show on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STROKES = (("-", "o"), ("-.", "s"), (":", "^"))

RC: Any = {  # the stubs know the keys as literals
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.title_fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 3.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "0.92",
    "grid.linewidth": 0.8,
    "image.interpolation": "nearest",
}


@dataclass(frozen=True)
class Look:
    """How a run is named and drawn, in every figure of an experiment."""

    label: str
    colour: str
    linestyle: str
    marker: str


@contextmanager
def page(height: float, width: float = WIDTH) -> Iterator[Figure]:
    """A new figure of width × height inches to draw on; settings outside the block stay as they were."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        fig = Figure(figsize=(width, height), dpi=200, layout="constrained")
        yield fig
        for ax in fig.axes:
            ax.tick_params(labelsize=SMALL)  # else their number follows the user's settings when saved
        fig.draw_without_rendering()  # ticks are made when drawn, so draw while the sizes above hold


def panel_grid(count: int) -> tuple[int, int]:
    """Rows and columns for `count` panels: at most three side by side, and four as two by two."""
    columns = 2 if count == 4 else min(3, count)
    return math.ceil(count / columns), columns


def looks(runs: pd.DataFrame) -> dict[str, Look]:
    """The look of each run by its place in the table: colours first, then line styles."""
    names = [str(name) for name in runs["run"]]
    given = [str(label) for label in runs["label"].fillna(runs["run"])]
    labels = [
        f"{label} ({name})" if given.count(label) > 1 else label
        for name, label in zip(names, given, strict=True)
    ]
    return {
        name: Look(label, COLOURS[i % len(COLOURS)], *STROKES[i // len(COLOURS) % len(STROKES)])
        for i, (name, label) in enumerate(zip(names, labels, strict=True))
    }


def tint(colour: str, strength: float) -> tuple[float, float, float]:
    """RGB of a colour mixed with white: strength 1 is the colour, 0 is white."""
    from matplotlib.colors import to_rgb

    red, green, blue = (1 - strength * (1 - channel) for channel in to_rgb(colour))
    return red, green, blue


def wrapped(text: str, inches: float) -> str:
    """`text` broken into lines that fit in `inches` at about 9 points; at hyphens only where a word has no room."""
    width = max(8, int(inches * 14))
    return textwrap.fill(text, width, break_on_hyphens=any(len(word) > width for word in text.split()))


def legend(fig: Figure, title: str = "") -> None:
    """One legend below all panels of `fig`, which grows by its height: each label once, references last."""
    inches, height = fig.get_size_inches()
    entries: dict[str, Any] = {}
    for ax in fig.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(wrapped(label, inches - 1), handle)
    order = sorted(entries, key=lambda label: entries[label].get_gid() == "reference")
    lines = [1 + label.count("\n") for label in order]
    widths = [0.54 + 0.062 * max(map(len, label.split("\n"))) for label in order]
    columns = max(
        c
        for c in range(1, max(1, len(order)) + 1)
        if c == 1 or sum(max(part) for part in np.array_split(widths, c)) < inches
    )
    tallest = max(sum(part) for part in np.array_split(lines, columns))
    fig.set_size_inches(inches, height + 0.15 + 0.17 * (tallest + 1))
    fig.legend([entries[k] for k in order], order, title=title, loc="outside lower center", ncols=columns)


def generation_axis(ax: Axes, first: int, last: int, most: int = 6) -> None:
    """Whole generations on the x axis, the first one always among the ticks."""
    ax.set_xlim(first - 0.5, last + 0.5)
    ax.set_xticks(generation_ticks(first, last, most))
    ax.set_xlabel("generation")


def generation_ticks(first: int, last: int, most: int = 6) -> list[int]:
    """At most `most` + 1 round generations between first and last, and the first."""
    steps = (m * 10**e for e in range(10) for m in (1, 2, 5))
    step = next(s for s in steps if (last - first + 1) / s <= most)
    if step <= 2:
        return list(range(first, last + 1, step))
    multiples = range(math.ceil((first + step / 2) / step) * step, last + 1, step)
    return [first, *multiples]


def log_if_wide(ax: Axes, values: Sequence[float], decades: float = 1.5) -> None:
    """A logarithmic y axis if the positive `values` span more than `decades`, else a linear one."""
    if min(values) > 0 and math.log10(max(values) / min(values)) > decades:
        log_values(ax, min(values) / 1.5, max(values) * 1.5)


def log_values(ax: Axes, low: float, high: float) -> None:
    """A logarithmic y axis from low > 0 to high, with ticks that can be read however far apart they are."""
    from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullFormatter

    ax.set_yscale("log")
    ax.set_ylim(low, high)
    steps = (1, 2, 5) if high / low < 40 else (1, 3) if high / low < 2250 else (1,)
    locator: Locator = MaxNLocator(4) if high / low < 6 else LogLocator(subs=steps)
    ax.yaxis.set_major_locator(locator)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
