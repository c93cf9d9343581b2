"""Which Gaussian each criterion picks to stand for a density that no Gaussian fits: all of its mass, or one mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bigloop.analysis.series import dataset_of, n_of, reference, require, rows_of, run_names, selection
from bigloop.analysis.solutions import Solution, first_generation, solutions
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.notes import n_note, seeds_note
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DIVERGENCES = {"forward_kl": "forward\nKL", "reverse_kl": "reverse\nKL", "jensen_shannon": "Jensen–\nShannon"}
APART = 0.12  # of the x axis: percentages no further apart stand one above another
LINE = 0.16  # inches of a line of text


@dataclass(frozen=True)
class Options:
    runs: tuple[str, ...] = option((), "runs to show, by name or by how their names begin; none: all")


def draw(material: Material, options: Options) -> Figure:
    """A row a density, in grey: the Gaussians of generation 1 of its runs, and their divergences beside them.

    A run whose seeds found several solutions has a line for each, and above it the share of its seeds.
    """
    material = selection(material, options.runs)
    require(material, "mean", "sd", *DIVERGENCES)
    sets = run_sets(material)
    found = [[s for run in runs for s in solutions(material, run)] for runs in sets]
    levels = [levels_of(parts, *reach(material, parts)) for parts in found]
    heights = [2.2 + LINE * max([0, *taken.values()]) for taken in levels]
    with style.page(0.2 + sum(heights)) as fig:
        grid = fig.add_gridspec(len(sets), 2, width_ratios=(2.2, 1), height_ratios=heights)
        for row, runs in enumerate(sets):
            left, right = fig.add_subplot(grid[row, 0]), fig.add_subplot(grid[row, 1])
            draw_fits(left, material, found[row], levels[row])
            draw_divergences(right, material, runs)
            if len(sets) > 1:
                left.set_title(
                    dataset_of(material, runs[0]), pad=6 + 72 * LINE * max([0, *levels[row].values()])
                )
        counts = [len(first_generation(material, run, "sd")) for runs in sets for run in runs]
        notes = [seeds_note(counts, "right: mean, pale each seed,"), "left: share of the seeds"]
        style.legend(fig, "; ".join(notes) if any(levels) else notes[0])
    return fig


def run_sets(material: Material) -> list[list[str]]:
    """The runs with a curve, a fit and divergences in generation 1, by their density; ValueError if there is none."""
    sets: list[list[str]] = []
    for run in run_names(material):
        fitted = all(not first_generation(material, run, measure).empty for measure in ("sd", *DIVERGENCES))
        if run not in material.curves or not fitted:
            continue
        alike = (s for s in sets if all(map(np.array_equal, material.curves[s[0]], material.curves[run])))
        same = next(alike, None)
        if same is None:
            sets.append([run])
        else:
            same.append(run)
    if not sets:
        raise ValueError("curves: no run has a one-dimensional density and a fit in generation 1")
    return sets


def reach(material: Material, found: list[Solution]) -> tuple[float, float]:
    """The part of the x axis that holds the density and most of each Gaussian."""
    x = material.curves[found[0].run][0]
    return min([x[0], *(s.mean - 2.5 * s.sd for s in found)]), max(
        [x[-1], *(s.mean + 2.5 * s.sd for s in found)]
    )


def levels_of(found: list[Solution], low: float, high: float) -> dict[Solution, int]:
    """Level, from 1 up, of the share of each solution that is not its run's only one, so that none covers another."""
    levels: dict[Solution, int] = {}
    for one in found:
        if one.share < 1:
            close = (s for s in levels if abs(s.mean - one.mean) < APART * (high - low))
            taken = {levels[s] for s in close}
            levels[one] = next(level for level in range(1, len(found) + 1) if level not in taken)
    return levels


def draw_fits(ax: Axes, material: Material, found: list[Solution], levels: dict[Solution, int]) -> None:
    """The density in grey, a line for each solution, and the shares above the panel."""
    looks = style.looks(material.runs)
    x, p = material.curves[found[0].run]
    ax.fill_between(x, p, color="0.85", linewidth=0, label="true density", gid="reference")
    runs = list(dict.fromkeys(one.run for one in found))
    for one in found:
        look = looks[one.run]
        wider = (
            len(runs) - 1 - runs.index(one.run)
        )  # what several runs found alike shows from under the later ones
        near = one.mean + one.sd * np.linspace(-4, 4, 161)
        density = np.exp(-0.5 * ((near - one.mean) / one.sd) ** 2) / (one.sd * np.sqrt(2 * np.pi))
        drawn: Any = {"color": look.colour, "linestyle": look.linestyle}
        drawn["linewidth"] = 1.2 + 1.2 * wider
        ax.plot(near, density, label=look.label, gid=f"run:{one.run}", **drawn)
        if one in levels:
            text = ax.annotate(
                f"{one.share:.0%}",
                (one.mean, 1),
                (0, 2 + 72 * LINE * (levels[one] - 1)),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
            )
            text.set(color=look.colour, size=style.SMALL)
    ax.set(xlim=reach(material, found), xlabel="$x$", ylabel="density")
    ax.set_ylim(bottom=0)


def draw_divergences(ax: Axes, material: Material, runs: list[str]) -> None:
    """For each divergence a point a run, its mean over seeds, pale ones for the seeds, and the floors dashed."""
    looks, shown, sizes = style.looks(material.runs), list[float](), list[int | None]()
    for at, measure in enumerate(DIVERGENCES):
        own = list[int | None]()
        for place, run in enumerate(runs):
            values, look = first_generation(material, run, measure).to_numpy(float), looks[run]
            if not len(values):
                continue
            x, mean = at + 0.7 * ((place + 0.5) / len(runs) - 0.5), float(values.mean())
            if len(values) > 1:
                ax.plot([x] * len(values), values, ".", color=style.tint(look.colour, 0.35), zorder=1.9)
            ax.plot(x, mean, look.marker, color=look.colour, markersize=4.5, gid=f"{measure}:{run}")
            own.append(n_of(rows_of(material, run, measure)))
            shown += [mean, *values]
        sizes += own
        for size in dict.fromkeys(size for size in own if size is not None):  # an exact value has no floor
            floor = reference(material, measure, dataset_of(material, runs[0]), size)
            if floor is not None:
                grey = ax.hlines(
                    floor, at - 0.42, at + 0.42, style.REFERENCE, "--", linewidth=1.2, zorder=1.5
                )
                grey.set(label="real vs real", gid="reference")
                shown.append(floor)
    positive = [value for value in shown if 0 < value < np.inf]
    if positive:
        style.log_values(ax, min(positive) / 1.5, max(positive) * 1.5)
    ax.set_xticks(range(len(DIVERGENCES)), list(DIVERGENCES.values()))
    ax.set_xlim(-0.5, len(DIVERGENCES) - 0.5)
    ax.set_ylabel(", ".join(filter(None, ("divergence (nats)", n_note(sizes)))))


CAPTION = (
    "Left, a true density (grey) and the Gaussians that generation 1 of each run stands for it with, a "
    "line for each solution that its seeds found and above it their share; right, how far those are from "
    "the density by three divergences."
)

PLOT = Plot(draw, Options, frozenset({"curves"}), caption=CAPTION)
