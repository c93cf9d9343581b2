"""A lineage as a film: the samples, or the points, of one generation after another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bigloop.analysis.series import dataset_of, run_names, selection
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.tiles import draw_mosaic, generations_with_images, real_images
from bigloop.figures.point_clouds import draw_points, generations_with_points, limits, runs_in_the_plane
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 4  # panels side by side
HEAD = 0.35  # inches for the number of the generation
NAME = 0.17  # inches a line of a run's name
GAP = 0.1  # inches between two panels
WIDEST = 1.8  # inches of a panel's side
NARROWEST = 2.2  # inches of a page
TRUE = "0.8"  # grey of the true density's points


@dataclass(frozen=True)
class Options:
    runs: tuple[str, ...] = option((), "runs to show, by name or by how their names begin; none: all")
    milliseconds: int = option(500, "how long a generation is shown", minimum=20, maximum=60_000)


@dataclass(frozen=True)
class ImageOptions(Options):
    side: int = option(5, "images along each side of a grid", minimum=1)


def images_at(material: Material, options: ImageOptions, generation: int, last: int) -> Figure:
    """Grids of side × side images of each run at a generation, after real images of each dataset."""
    looks, runs = style.looks(material.runs), run_names(material)
    datasets = {dataset_of(material, run): run for run in reversed(runs)}  # and a run that learns it
    names = [f"real ({name})" for name in datasets] + [looks[run].label for run in runs]
    with frame(names, generation, last) as (fig, axes):
        for ax, run in zip(axes, datasets.values(), strict=False):
            draw_mosaic(ax, real_images(material, run), options.side, options.side)
        for ax, run in zip(axes[len(datasets) :], runs, strict=True):
            at = max(g for g in generations_with_images(material, run) if g <= generation)
            draw_mosaic(ax, material.images[run, at], options.side, options.side)
            ended(ax, at, generation)
    return fig


def points_at(material: Material, options: Options, generation: int, last: int) -> Figure:
    """The points of each run in the plane at a generation, within the limits of those of its density."""
    looks, runs = style.looks(material.runs), runs_in_the_plane(material)
    with frame([looks[run].label for run in runs], generation, last) as (fig, axes):
        for ax, run in zip(axes, runs, strict=True):
            true = material.points[run, None]
            at = max(g for g in generations_with_points(material, run) if g <= generation)
            draw_points(ax, true, limits(true), TRUE, "reference")
            draw_points(ax, material.points[run, at], limits(true), looks[run].colour, f"run:{run}")
            ended(ax, at, generation)
    return fig


@contextmanager
def frame(names: Sequence[str], generation: int, last: int) -> Iterator[tuple[Figure, list[Axes]]]:
    """A page of square panels with these names above them, and the generation above all."""
    columns = min(ACROSS, len(names))
    lines = math.ceil(len(names) / columns)
    side = min(WIDEST, style.WIDTH / columns - GAP)
    titles = [style.wrapped(name, side) for name in names]
    above = NAME * max(1 + title.count("\n") for title in titles)
    with style.page(HEAD + lines * (side + above + NAME), max(NARROWEST, columns * (side + GAP))) as fig:
        grid = fig.add_gridspec(lines, columns)
        axes = [fig.add_subplot(grid[divmod(place, columns)]) for place in range(len(names))]
        for ax, title in zip(axes, titles, strict=True):
            ax.set_title(title, size=style.SMALL, loc="left")
        fig.suptitle(f"generation {generation} of {last}", x=0.02, ha="left", size=style.SMALL + 2)
        yield fig, axes


def ended(ax: Axes, at: int, generation: int) -> None:
    """Say below a panel that it shows an earlier generation, where it does."""
    if at < generation:
        ax.set_xlabel(f"generation {at}", size=style.SMALL, labelpad=2)


At = Callable[[Material, Any, int, int], "Figure"]
Generations = Callable[[Material], list[int]]


def generations_of_images(material: Material) -> list[int]:
    """All generations of which some run has images, in order; raises ValueError if a run has none."""
    return sorted({g for run in run_names(material) for g in generations_with_images(material, run)})


def generations_of_points(material: Material) -> list[int]:
    """Likewise, points in the plane."""
    return sorted({g for run in runs_in_the_plane(material) for g in generations_with_points(material, run)})


def film(at: At, generations: Generations, Options: type, needs: str, what: str) -> Plot:
    """A film of what `at` draws of each of these generations; on paper, of the last."""

    def draw(material: Material, options: Any) -> Figure:
        shown = selection(material, options.runs)
        last = generations(shown)[-1]
        return at(shown, options, last, last)

    def frames(material: Material, options: Any) -> Iterator[Figure]:
        shown = selection(material, options.runs)
        there = generations(shown)
        return (at(shown, options, generation, there[-1]) for generation in there)

    caption = f"The last generation of a film of all of them, a GIF beside this picture: {what}."
    return Plot(draw, Options, frozenset({needs}), caption, frames)


OF_IMAGES = film(
    images_at, generations_of_images, ImageOptions, "images", "the first images of each run, and real ones"
)
OF_POINTS = film(
    points_at,
    generations_of_points,
    Options,
    "points",
    "points of each run's first seed on those of the true density (grey)",
)
