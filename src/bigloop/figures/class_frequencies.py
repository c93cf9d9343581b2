"""Relative frequency of predicted classes per generation, one heatmap per run (Knutsen et al. 2025, fig. 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bigloop.analysis.series import (
    REAL,
    dataset_of,
    distribution,
    generations_of,
    require,
    rows_of,
    runs_with,
)
from bigloop.figures import Material, NoOptions, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.notes import rows_note
from bigloop.figures.parts.tiles import classes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

MEASURE = "class_frequency"


def draw(material: Material, options: NoOptions) -> Figure:
    """Class × generation, mean over seeds; the real frequencies are the column of their own on the left."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import PowerNorm

    require(material, MEASURE)
    looks = style.looks(material.runs)
    runs = runs_with(material, MEASURE)
    fair = min(1, max(3 / len(classes_of(material, run)) for run in runs))
    most = max(fair, *(np.nanmax(run_shares(material, run)) for run in runs))
    norm = PowerNorm(0.5, vmin=0, vmax=most)  # tells 5 % from 10 % although one class may reach 90 %
    rows, columns = style.panel_grid(len(runs))
    with style.page(0.6 + 2.1 * rows, min(style.WIDTH, 1.9 + 2.2 * columns)) as fig:
        for place, run in enumerate(runs, start=1):
            ax = fig.add_subplot(rows, columns, place)
            draw_shares(ax, material, run, norm)
            ax.set_title(style.wrapped(looks[run].label, 5.0 / columns))
            ax.set_xlabel("generation")
            names = classes_of(material, run)
            new = place % columns == 1 or columns == 1 or names != classes_of(material, runs[place - 2])
            ax.set_yticks(range(len(names)), names if new else [])
        label = f"share of predictions\n({rows_note([rows_of(material, run, MEASURE) for run in runs])})"
        fig.colorbar(ScalarMappable(norm, style.SHARES), ax=fig.axes, label=label, aspect=25 * rows)
    return fig


def run_shares(material: Material, run: str) -> np.ndarray:
    """Shares of the classes, (classes, generations from first to last); NaN for generations not measured."""
    there = generations_of(material, run, MEASURE)
    shares = np.full((len(classes_of(material, run)), there[-1] - there[0] + 1), np.nan)
    for generation in there:
        shares[:, generation - there[0]] = class_shares(material, run, generation)
    return shares


def class_shares(material: Material, run: str, generation: int | None) -> np.ndarray:
    """Shares of the classes, (classes,): of a generation, or of the real data that `run` started from."""
    source = run if generation is not None else REAL
    found = distribution(material, source, MEASURE, dataset_of(material, run), generation)
    return np.array([found.get(index, 0.0) for index in range(len(classes_of(material, run)))])


def draw_shares(ax: Axes, material: Material, run: str, norm: Normalize) -> None:
    there = generations_of(material, run, MEASURE)
    shares, real = run_shares(material, run), class_shares(material, run, None)
    first, last, bottom = there[0] - 0.5, there[-1] + 0.5, len(shares) - 0.5
    ticks = style.generation_ticks(there[0], there[-1], most=4)
    width = 1.0 + 0.08 * len(there)  # of the real column, wide enough for its name under many generations
    start = first - 1.4 * width
    if real.any():
        ax.imshow(real[:, None], cmap=style.SHARES, norm=norm, extent=(start, start + width, bottom, -0.5))
        ax.set_xticks([start + width / 2, *ticks], ["real", *map(str, ticks)])
    else:
        start = first
        ax.set_xticks(ticks)
    ax.imshow(shares, cmap=style.SHARES, norm=norm, extent=(first, last, bottom, -0.5))
    ax.set_xlim(start, last)
    ax.set_aspect("auto")
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


CAPTION = (
    "Share of the images of each generation that a classifier trained on real data assigns to each class, "
    "beside the shares among real images; the colour scale follows the square root, so that rare classes "
    "can be told apart."
)

PLOT = Plot(draw, needs=frozenset({"classes"}), caption=CAPTION)
