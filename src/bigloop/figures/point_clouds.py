"""Points of a known density and of the generations that learnt it from one another, one row per run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bigloop.analysis.series import chosen, run_names, selection
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.tiles import name_row
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL = 1.1  # inches for the name of a run
PAGE = 9.5  # inches that all rows may take, one below another
EDGE = 0.005  # of the true points beyond each side count as outliers
CELLS = 150  # along each side of a density
MARGIN = 0.2  # around the others, in parts of their extent


@dataclass(frozen=True)
class Options:
    generations: tuple[int, ...] = option((), "generations to show; none: up to four, evenly spread")
    runs: tuple[str, ...] = option((), "runs to show, by name or by how their names begin; none: all")
    density: bool = option(
        False, "smoothed densities of the points, as in Bertrand et al. 2024, figs. 3 and 4"
    )


def draw(material: Material, options: Options) -> Figure:
    """A row a run in the plane, the true points first; runs of other dimensions are left out.

    The panels of a row share their axes, which the true points alone determine; below a panel stands the share of its
    points that lie outside, where it is 1 % or more.
    """
    material = selection(material, options.runs)
    shown = {
        run: chosen(options.generations, generations_with_points(material, run), most=4)
        for run in runs_in_the_plane(material)
    }
    put = draw_density if options.density else draw_points
    looks, columns = style.looks(material.runs), 1 + max(len(generations) for generations in shown.values())
    side = min(1.25, (style.WIDTH - LABEL - 0.3) / columns, PAGE / len(shown))
    lines = max(style.wrapped(looks[run].label, LABEL).count("\n") + 1 for run in shown)
    block = max(0.16 * lines, side) + 0.05
    rows = list(shown.values())
    titled = sum(generations != above for generations, above in zip(rows, [[], *rows], strict=False))
    height, width = 0.05 + 0.2 * titled + len(shown) * block, LABEL + 0.3 + side * columns
    with style.page(height, min(style.WIDTH, width)) as fig:
        grid = fig.add_gridspec(len(shown), columns)
        above: list[int] = []
        for row, (run, generations) in enumerate(shown.items()):
            true = material.points[run, None]
            box = limits(true)
            first = fig.add_subplot(grid[row, 0])
            put(first, true, box, style.REFERENCE, "reference")
            name_row(first, looks[run].label, LABEL)
            first.set_title(style.wrapped("true density", side), size=style.SMALL, loc="center")
            for column, generation in enumerate(generations, start=1):
                ax = fig.add_subplot(grid[row, column])
                put(ax, material.points[run, generation], box, looks[run].colour, f"run:{run}")
                ax.set_title(
                    f"{'generation' if side > 1 else 'gen.'} {generation}", size=style.SMALL, loc="center"
                )
            if generations == above:
                for ax in fig.axes[-1 - len(generations) :]:
                    ax.set_title("", loc="center")
            above = generations
    return fig


def runs_in_the_plane(material: Material) -> list[str]:
    """The runs with points in R²; raises ValueError if there is none, or if one lacks those of its true density."""
    generated = {run for run, generation in material.points if generation is not None}
    there = [run for run in run_names(material) if run in generated]
    for run in there:
        if (run, None) not in material.points:
            raise ValueError(f"points of the true density of run {run} are missing")
    plane = [run for run in there if material.points[run, None].shape[1] == 2]
    if not plane:
        raise ValueError("two-dimensional points are missing: no run has any")
    return plane


def generations_with_points(material: Material, run: str) -> list[int]:
    """The generations of `run` that have points, in order."""
    return sorted(g for name, g in material.points if name == run and g is not None)


def limits(true: np.ndarray) -> np.ndarray:
    """Low and high corner, shape (2, 2), of a square that holds the points (k, 2) but outliers, with a margin."""
    low, high = np.quantile(true, (EDGE, 1 - EDGE), axis=0)
    half = (0.5 + MARGIN) * float((high - low).max())
    return np.stack([(low + high) / 2 - half, (low + high) / 2 + half])


def draw_points(ax: Axes, points: np.ndarray, box: np.ndarray, colour: str, gid: str) -> None:
    """Dots in a square without ticks, and what share of them lies outside it."""
    ax.scatter(
        points[:, 0], points[:, 1], s=2.0, color=colour, alpha=0.5, linewidths=0, rasterized=True, gid=gid
    )
    frame(ax, points, box)


def draw_density(ax: Axes, points: np.ndarray, box: np.ndarray, colour: str, gid: str) -> None:
    """The density of the points, smoothed by a Gaussian of 1/50 of the square's side, dark where it is highest."""
    from matplotlib.colors import LinearSegmentedColormap
    from scipy.ndimage import gaussian_filter

    (left, bottom), (right, top) = box
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], CELLS, ((left, right), (bottom, top)))
    smooth = gaussian_filter(counts, CELLS / 50, mode="constant")
    shades = LinearSegmentedColormap.from_list(colour, [(0.0, "white"), (0.7, colour), (1.0, "black")])
    shown: Any = {"origin": "lower", "extent": (left, right, bottom, top), "interpolation": "bilinear"}
    ax.imshow(smooth.T, cmap=shades, gid=gid, **shown)
    ax.grid(False)
    frame(ax, points, box)


def frame(ax: Axes, points: np.ndarray, box: np.ndarray) -> None:
    """A square without ticks, and what share of the points lies outside it."""
    (left, bottom), (right, top) = box
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color="0.8")
    outside = 1 - np.mean(((points >= box[0]) & (points <= box[1])).all(1))
    if outside >= 0.01:
        ax.set_xlabel(f"{outside:.0%} outside", size=style.SMALL, labelpad=2)


CAPTION = (
    "Points of the true density of each run (grey) and points that selected generations of its first seed "
    "made (in colour), or their smoothed densities, within limits that the true points set for the whole row; "
    "below a panel stands the share of its points that lie outside, where it is 1 % or more."
)

PLOT = Plot(draw, Options, frozenset({"points"}), caption=CAPTION)
