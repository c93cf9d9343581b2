"""Power spectra of generated images against real ones: by radius, as ratios, and in two dimensions (figure 1 of
Alemohammad et al. 2024 shows the artefacts themselves)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
from bigloop.figures.parts.tiles import real_images
from bigloop.metrics.spectrum import mean_power
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURE = "power"
CURVES = 1.75, 1.55  # inches, of the spectra and of their ratios
MAP = 0.85  # inches
DEEPEST = 3.0  # powers of two, the most that the colours of a map tell apart


@dataclass(frozen=True)
class Options:
    generations: tuple[int, ...] = option((), "generations to show; none: up to four, evenly spread")
    maps: bool = option(True, "show the ratio to real images at each frequency, too")


def draw(material: Material, options: Options) -> Figure:
    """A row a run: mean power over radius, its ratio to real images, and maps of that ratio, with 0 in the middle."""
    require(material, MEASURE)
    looks, runs = style.looks(material.runs), runs_with(material, MEASURE)
    shown = {run: chosen(options.generations, generations_of(material, run, MEASURE), most=4) for run in runs}
    columns = max(map(len, shown.values()))
    maps = {
        key: ratio_map(material, *key) for run in runs for key in imaged(material, run, shown[run], options)
    }
    deep = min(DEEPEST, max((float(abs(ratio).max()) for ratio in maps.values()), default=DEEPEST))
    last = max(max(several) for several in shown.values())
    widths = [*CURVES, *([MAP] * columns if maps else [])]
    with style.page(
        0.7 + 1.75 * len(runs) + (0.45 if maps else 0), min(style.WIDTH, sum(widths) + 0.6)
    ) as fig:
        grid = fig.add_gridspec(len(runs), len(widths), width_ratios=widths)
        pictures: list[Any] = []
        axes: list[Axes] = []
        for row, run in enumerate(runs):
            left, right = (
                fig.add_subplot(
                    grid[row, place], sharex=axes[0] if axes else None, sharey=axes[place] if row else None
                )
                for place in (0, 1)
            )
            axes += [left, right]
            draw_curves(left, right, material, run, {g: shade(g / last) for g in shown[run]})
            left.set_title(style.wrapped(looks[run].label, CURVES[0]))
            for place, generation in enumerate(shown[run]):
                if (run, generation) in maps:
                    ax = fig.add_subplot(grid[row, len(CURVES) + place])
                    pictures.append(draw_map(ax, maps[run, generation], deep, f"gen. {generation}"))
        for ax in axes[-2:]:
            ax.set_xlabel("cycles a pixel")
        drawn = np.concatenate([line.get_ydata() for ax in axes[1::2] for line in ax.lines]).astype(float)
        style.log_values(axes[1], min(0.9, 0.9 * drawn.min()), max(1.1, 1.1 * drawn.max()))
        if pictures:
            bar = fig.colorbar(
                pictures[0], ax=fig.axes, location="bottom", aspect=50, shrink=0.5, extend="both"
            )
            bar.set_label("log₂ of the power of generated over that of real images")
        style.legend(fig, rows_note([rows_of(material, run, MEASURE) for run in runs]))
    return fig


def imaged(material: Material, run: str, generations: list[int], options: Options) -> list[tuple[str, int]]:
    """Those of the generations whose images a map can be made of."""
    return [(run, g) for g in generations if options.maps and (run, g) in material.images]


def ratio_map(material: Material, run: str, generation: int) -> np.ndarray:
    """log₂ of the mean power of generated over that of real images, (h, w), with frequency 0 in the middle."""
    power, real = (mean_power(x) for x in (material.images[run, generation], real_images(material, run)))
    least = 1e-6 * real.mean()
    ratio = np.log2(np.maximum(power, least) / np.maximum(real, least))
    ratio[0, 0] = 0  # the mean brightness is no matter of frequency
    return np.fft.fftshift(ratio)


def shade(age: float) -> Any:
    """The colour of a generation, 0 < age ≤ 1 of the last one shown of any run."""
    return style.tint(style.COLOURS[0], 0.2 + 0.8 * age)


def draw_curves(left: Axes, right: Axes, material: Material, run: str, shades: dict[int, Any]) -> None:
    """Mean power over radius of real and generated images, and generated over real."""
    dataset = dataset_of(material, run)
    radius, real = arrays(distribution(material, REAL, MEASURE, dataset, None))
    left.plot(radius, real, color=style.REFERENCE, linestyle="--", label="real images", gid="reference")
    right.axhline(1, color=style.REFERENCE, linestyle="--", linewidth=1.0)
    for generation, colour in shades.items():
        _, power = arrays(distribution(material, run, MEASURE, dataset, generation))
        left.plot(radius, power, color=colour, linewidth=1.2, label=f"generation {generation}")
        right.plot(radius, power / real, color=colour, linewidth=1.2)
    left.set(yscale="log", ylabel="mean power")
    right.set(ylabel="ratio to real images", xlim=(0, radius[-1]), xticks=(0, 0.25, 0.5))


def arrays(values: dict[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Radii and powers, in the order of the radii."""
    radii = sorted(values)
    return np.array(radii), np.array([values[radius] for radius in radii])


def draw_map(ax: Axes, ratio: np.ndarray, deep: float, title: str) -> Any:
    """One map, from −½ to ½ cycles a pixel along each side."""
    picture = ax.imshow(ratio, cmap="RdBu_r", vmin=-deep, vmax=deep, extent=(-0.5, 0.5, 0.5, -0.5))
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=style.SMALL, loc="center")
    return picture


CAPTION = (
    "Power spectra of the images of selected generations: radial means beside those of real images (dashed), their "
    "ratio, and the ratio at each frequency, of up to 200 images of the first seed, with frequency 0 in the middle and "
    "half a cycle a pixel at the edges; a checkerboard is in the corners."
)

PLOT = Plot(draw, Options, frozenset({"images", "spectrum"}), caption=CAPTION)
