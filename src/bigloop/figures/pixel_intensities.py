"""Distribution of pixel intensities of selected generations and real data (Knutsen et al. 2025, fig. 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bigloop.analysis.series import (
    REAL,
    chosen,
    dataset_of,
    distribution,
    generations_of,
    require,
    rows_of,
    runs_with,
)
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.notes import rows_note
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURE = "pixel_intensity"


@dataclass(frozen=True)
class Options:
    generations: tuple[int, ...] = option((), "generations to show; none: up to three, evenly spread")


def draw(material: Material, options: Options) -> Figure:
    """log(1 + density) over intensity, one panel per run; later generations are deeper, real data is grey."""
    require(material, MEASURE)
    looks = style.looks(material.runs)
    runs = runs_with(material, MEASURE)
    rows, columns = style.panel_grid(len(runs))
    with style.page(0.5 + 2.3 * rows, min(style.WIDTH, 1.6 + 2.4 * columns)) as fig:
        for place, run in enumerate(runs, start=1):
            share = fig.axes[0] if fig.axes else None
            ax = fig.add_subplot(rows, columns, place, sharex=share, sharey=share)
            generations = chosen(options.generations, generations_of(material, run, MEASURE), most=3)
            draw_densities(ax, material, run, generations, looks[run].colour)
            ax.set_title(style.wrapped(looks[run].label, 5.5 / columns))
            ax.legend(handlelength=0.8, labelspacing=0.3, borderaxespad=0.0, loc="upper right")
        fig.axes[0].set_xlim(visible_range(material, runs))
        note = rows_note([rows_of(material, run, MEASURE) for run in runs])
        fig.supxlabel(f"pixel intensity ({note})", fontsize=8.5)
        fig.supylabel("log(1 + density)", fontsize=8.5)
    return fig


def draw_densities(ax: Axes, material: Material, run: str, generations: list[int], colour: str) -> None:
    dataset = dataset_of(material, run)
    real = distribution(material, REAL, MEASURE, dataset, None)
    if real:
        ax.stairs(*log_density(real), fill=True, color="0.8", label="real data")
    for rank, generation in enumerate(generations, start=1):
        heights, edges = log_density(distribution(material, run, MEASURE, dataset, generation))
        shade = style.tint(colour, 0.25 + 0.75 * rank / len(generations))
        ax.stairs(heights, edges, color=shade, linewidth=1.0, baseline=None, label=f"generation {generation}")


def visible_range(material: Material, runs: list[str]) -> tuple[float, float]:
    """The intensities between which any run or real data has a density that can be seen."""
    table = material.measures
    dense = table[(table["measure"] == MEASURE) & table["run"].isin([*runs, REAL]) & (table["value"] > 0.02)]
    centres = dense["detail"].astype(float)
    return float(centres.min()) - 0.05, float(centres.max()) + 0.05


def log_density(densities: dict[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """log(1 + density), shape (bins,), and edges, (bins + 1,), of equal bins given as centre → density."""
    centres = np.array(sorted(densities))
    half = np.diff(centres).min() / 2
    heights = np.log1p([densities[centre] for centre in centres])
    return heights, np.append(centres - half, centres[-1] + half)


CAPTION = (
    "Distribution of pixel intensities in the images of selected generations of each model, not clipped, "
    "and in real images (grey)."
)

PLOT = Plot(draw, Options, frozenset({"pixels"}), caption=CAPTION)
