"""Ecosystems as networks: who trains on whose samples, and how far apart the models are, over the generations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import TYPE_CHECKING

import numpy as np

from bigloop.analysis.ecosystems import BETWEEN, Together, ecosystems
from bigloop.analysis.series import require, selection
from bigloop.analysis.trends import number
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.notes import seeds_note
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

COLOURS = "cividis_r"  # dark for far; safe for the colour-blind, and in grey print
RADIUS = 0.19  # of a member, on a circle of radius 1
LINE, ARROW = 4.0, 2.5  # widths in points: of a distance, and of a share of 1


@dataclass(frozen=True)
class Options:
    runs: tuple[str, ...] = option((), "members to show, by name or by how their names begin; none: all")
    generations: int = option(
        4, "networks side by side, from the first generation to the last", minimum=1, maximum=6
    )


def draw(material: Material, options: Options) -> Figure:
    """A row an ecosystem, a network a generation."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator

    shown = selection(material, options.runs)
    require(shown, BETWEEN)
    several = ecosystems(shown.measures, shown.runs)
    if not several:
        raise ValueError(f"{BETWEEN}: no run shown is a member of an ecosystem")
    every = np.concatenate([d[np.isfinite(d) & (d > 0)] for one in several for d in one.distances.values()])
    least, most = (float(every.min()), float(every.max())) if len(every) else (1.0, 1.0)
    norm = LogNorm(least, most if most > least else 2 * least)
    columns = max(len(_chosen(one, options.generations)) for one in several)
    heights = [0.8 if len(one.members) == 2 else 1.6 for one in several]
    with style.page(0.9 + sum(heights)) as fig:
        grid = fig.add_gridspec(len(several), columns, height_ratios=heights)
        for line, one in enumerate(several):
            for column, generation in enumerate(_chosen(one, options.generations)):
                ax = fig.add_subplot(grid[line, column])
                draw_network(ax, one, generation, norm)
                ax.set_title(f"generation {generation}", loc="center")
                if column == 0:
                    words = style.wrapped(_words(one, material), 1.3)
                    ax.set_ylabel(words, rotation=0, ha="right", va="center")
        bar = fig.colorbar(
            ScalarMappable(norm, COLOURS),
            ax=fig.axes,
            ticks=LogLocator(subs=(1, 2, 5)),
            format="%g",
            location="bottom",
            shrink=0.5,
            aspect=40,
        )
        bar.ax.minorticks_off()
        bar.set_label("distance between members")
        bar.ax.grid(False)
        style.legend(fig, seeds_note((one.seeds for one in several), "means"))
    return fig


def draw_network(ax: Axes, one: Together, generation: int, norm: Normalize) -> None:
    """Members on a circle, lines of the colour of their distance, arrows as wide as the share that goes along them."""
    import matplotlib as mpl
    from matplotlib.patches import Circle, FancyArrowPatch

    angles = np.pi / 2 - 2 * np.pi * np.arange(len(one.members)) / len(one.members)
    places = np.column_stack([np.cos(angles), np.sin(angles)])
    if len(one.members) == 2:
        places = np.array([[-0.8, 0.0], [0.8, 0.0]])
    apart = one.distances[generation]
    for i, j in combinations(range(len(one.members)), 2):
        value = np.nanmean([apart[i, j], apart[j, i]])
        if math.isfinite(value):
            colour = mpl.colormaps[COLOURS](norm(max(value, norm.vmin or value)))
            ax.plot(*places[[i, j]].T, color=colour, linewidth=LINE, solid_capstyle="butt", zorder=1)
    for i, j in permutations(range(len(one.members)), 2):
        if share := one.shares[i, j]:  # of j's samples, to i
            arrow = FancyArrowPatch(
                (places[j][0], places[j][1]),
                (places[i][0], places[i][1]),
                connectionstyle="arc3,rad=0.28",
                arrowstyle="-|>",
                mutation_scale=8,
                linewidth=max(0.4, ARROW * share),
                color="0.35",
                shrinkA=9,
                shrinkB=9,
                zorder=2,
            )
            ax.add_patch(arrow)
    names = _short(one.members)
    inside = all(len(name) <= 2 for name in names)
    for (x, y), name in zip(places, names, strict=True):
        ax.add_patch(Circle((x, y), RADIUS, facecolor="white", edgecolor="black", zorder=3))
        at = y if inside else y - RADIUS - 0.04
        ax.text(x, at, name, ha="center", va="center" if inside else "top", size=style.SMALL, zorder=4)
    tall = 0.55 if len(one.members) == 2 else 1.25
    ax.set(xlim=(-1.3, 1.3), ylim=(-tall, tall), xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)
    ax.grid(False)


def _chosen(one: Together, most: int) -> list[int]:
    """Generations spread evenly over those that were measured, the first and the last among them."""
    known = sorted(one.distances)
    places = np.unique(np.linspace(0, len(known) - 1, min(most, len(known))).round().astype(int))
    return [known[place] for place in places]


def _short(members: tuple[str, ...]) -> list[str]:
    """The members' own names, without that of their run."""
    common = min(member.rpartition("-")[0] for member in members)
    return [member.removeprefix(f"{common}-") if common else member for member in members]


def _words(one: Together, material: Material) -> str:
    """The ecosystem's label, how far its members are apart, and from when on they agree."""
    rows = material.runs.set_index("run")
    label = str(rows.loc[one.members[0], "sweep"]) if "sweep" in rows else one.members[0].rpartition("-")[0]
    first, last = (np.nanmean(one.distances[g]) for g in (min(one.distances), max(one.distances)))
    agree = "" if one.consensus is None else f", agree from generation {one.consensus} on"
    return f"{label}: {number(first)} → {number(last)}{agree}"


CAPTION = (
    "Models that train on each other's samples: an arrow is as wide as the share of the receiver's synthetic rows that "
    "comes along it, a line between two members has the colour of the Fréchet distance between their samples (mean "
    "over seeds), and members agree where no two are farther apart than twice what two sets of real rows are."
)

PLOT = Plot(draw, Options, frozenset({BETWEEN}), CAPTION)
