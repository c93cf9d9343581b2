"""Any measures over the generations of a loop, or over what its models have seen, beside what theory says of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bigloop.analysis.loops import images_seen
from bigloop.analysis.series import Curve, require, row_of, rows_of, selection
from bigloop.analysis.theory import theory, words_of_theory
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.curves import draw_curves, draw_floors, labelled
from bigloop.figures.parts.names import name_of
from bigloop.figures.parts.notes import seeds_note
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COUNTS = ("modes_covered",)
SHARES = ("precision", "recall", "coverage", "good_share")  # between 0 and 1
X = {"generation": "generation", "images": "training examples seen"}


@dataclass(frozen=True)
class Options:
    measures: tuple[str, ...] = option((), "measures to show, a panel each; at least one")
    runs: tuple[str, ...] = option((), "runs to show, by name or by how their names begin; none: all")
    x: Literal["generation", "images"] = option("generation", "images: training examples seen so far")
    x_label: str = option(
        "", "name of the x axis, where a generation is something else; by default as x says"
    )
    log: bool = option(False, "logarithmic axes for the measures that are above 0 throughout")
    theory: bool = option(
        False, "what theory expects of the loop, or of its sampler with a perfect network, where it is known"
    )
    band: Literal["sd", "se"] = option("sd", "half of a band's height: standard deviation, or standard error")
    columns: int = option(2, "panels side by side", minimum=1, maximum=4)


def draw(material: Material, options: Options) -> Figure:
    """A panel a measure, one curve per run, dotted where it is theory; all panels have one x axis."""
    shown = selection(material, options.runs)
    if not options.measures:
        raise ValueError("measures: expected at least one measure")
    require(shown, *options.measures)
    columns = min(options.columns, len(options.measures))
    lines = math.ceil(len(options.measures) / columns)
    drawn: list[Curve] = []
    with style.page(0.3 + 1.9 * lines, min(style.WIDTH, 2.4 + 2.3 * columns)) as fig:
        for place, measure in enumerate(options.measures):
            ax = fig.add_subplot(lines, columns, place + 1, sharex=fig.axes[0] if place else None)
            drawn += draw_panel(ax, shown, measure, options)
            lowest = place + columns >= len(options.measures)
            ax.tick_params(labelbottom=lowest)
            ax.set_xlabel((options.x_label or X[options.x]) if lowest else "")
        scale_x(fig.axes, drawn, options.x)
        what = "mean ± standard error" if options.band == "se" else "mean ± s.d."
        style.legend(fig, seeds_note((c.seeds for c in drawn), what))
    return fig


def draw_panel(ax: Axes, material: Material, measure: str, options: Options) -> list[Curve]:
    """Curves, theory and floors of one measure; raises ValueError for a measure of several things at once."""
    for run in material.runs["run"]:
        details = rows_of(material, run, measure)["detail"].dropna().unique()
        if len(details) > 1:
            raise ValueError(f"measure {measure} is of several things ({', '.join(map(str, details))})")

    def seen(run: str, generations: np.ndarray) -> np.ndarray:
        return images_seen(row_of(material, run), generations)

    places = seen if options.x == "images" else None
    drawn = draw_curves(ax, material, measure, places=places, standard_error=options.band == "se")
    floors = draw_floors(ax, material, measure, drawn)
    expected = draw_theory(ax, material, measure, drawn, options.x) if options.theory else []
    scale_y(ax, measure, drawn, [*floors.values(), *expected], options.log)
    name = labelled(name_of(measure), drawn).replace(" = ", "\xa0=\xa0")  # no break within it
    ax.set_ylabel(style.wrapped(name, 1.9))
    return drawn


def draw_theory(ax: Axes, material: Material, measure: str, drawn: list[Curve], x: str) -> list[float]:
    """A dotted line for each curve that theory knows; returns the values it takes."""
    looks, values = style.looks(material.runs), []
    words: dict[str, None] = {}
    for c in drawn:
        generations = np.arange(1, c.generation[-1] + 1)
        row = row_of(material, c.run)
        expected = theory(row, measure, len(generations))
        if expected is not None:
            at = generations if x == "generation" else images_seen(row, generations)
            ax.plot(at, expected, ":", color=looks[c.run].colour, linewidth=2.2, gid=f"theory:{c.run}")
            values += list(expected)
            words[words_of_theory(row)] = None
    for label in words:
        ax.plot([], [], ":", color=style.REFERENCE, linewidth=2.2, label=label, gid="reference")
    return values


def scale_x(axes: list[Axes], drawn: list[Curve], x: str) -> None:
    """Whole generations, or examples from 0 on, the same in all panels."""
    if x == "images":
        from matplotlib.ticker import EngFormatter, MaxNLocator

        axes[0].set_xlim(left=0)
        axes[0].xaxis.set_major_locator(MaxNLocator(5))
        axes[0].xaxis.set_major_formatter(EngFormatter(sep="\u2009"))
        return
    labels = [ax.get_xlabel() for ax in axes]
    for ax, label in zip(axes, labels, strict=True):
        style.generation_axis(ax, *(int(f(g for c in drawn for g in c.generation)) for f in (min, max)))
        ax.set_xlabel(label)


def scale_y(ax: Axes, measure: str, drawn: list[Curve], others: list[float], log: bool) -> None:
    """Logarithmic where asked for and all curves are above 0; else 0 to 1 for shares, and from 0 where 0 is near.

    A floor or theory far below all curves does not count: it would squeeze them into the top of the panel.
    """
    means = np.concatenate([c.mean for c in drawn])
    tops = np.concatenate([c.mean + c.sd for c in drawn])
    values, tops = means[np.isfinite(means)], tops[np.isfinite(tops)]
    if log and len(values) and values.min() > 0:
        near = [v for v in others if values.min() / 30 < v < 30 * values.max()]
        style.log_values(ax, min(*values, *near) / 1.3, max(*tops, *near) * 1.3)
    elif measure in SHARES:
        ax.set_ylim(-0.02, 1.02)
    elif measure in COUNTS or (len(values) and 0 <= values.min() <= 0.5 * values.max()):
        ax.set_ylim(bottom=0)


CAPTION = (
    "Measures of each run over the generations, mean and one standard deviation over its seeds, beside "
    "what theory expects of the loop, or of its sampler with a perfect network, where it is known (dotted, in the "
    "colour of the run), and what real data score against other real data (dashed)."
)

PLOT = Plot(draw, Options, caption=CAPTION)
