"""Quality and diversity per generation (Alemohammad et al. 2024, figs. 4-16; Bertrand et al. 2024, fig. 2)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bigloop.analysis.biases import biases
from bigloop.analysis.loops import kind_of_loop
from bigloop.analysis.series import Curve, against, features_named, require, run_names
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.curves import draw_curves, draw_floors
from bigloop.figures.parts.notes import n_note, seeds_note
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {
    "fid": "FID",
    "fid_inception": "FID on Inception",
    "precision": "Quality (precision)",
    "recall": "Diversity (recall)",
    "intra_class_variance": "Variance within classes",
    "nearest_real": "Distance to the nearest real image",
}
SHARES = ("precision", "recall", "coverage")  # between 0 and 1


@dataclass(frozen=True)
class Options:
    measures: tuple[str, ...] = option(("fid", "precision", "recall"), "measures to show, a panel each")
    rows: Literal["", "family", "dataset", "loop", "kind", "bias"] = option(
        "", "what the runs of a row share; kind: fully synthetic, synthetic augmentation, …"
    )


def draw(material: Material, options: Options) -> Figure:
    """A panel a measure, one curve per run; with `rows`, panels that stand below one another share both axes."""
    measures, groups = options.measures, runs_by(material, options.rows)
    require(material, *measures)
    if not measures:
        raise ValueError("measures: expected at least one measure")
    lines = math.ceil(len(measures) / 4)  # more than four side by side have no room for their titles
    columns = math.ceil(len(measures) / lines)
    drawn: dict[str, list[Curve]] = {measure: [] for measure in measures}
    with style.page(0.3 + 1.75 * lines * len(groups), min(style.WIDTH, 0.4 + 2.4 * columns)) as fig:
        grid = fig.add_gridspec(lines * len(groups), columns)
        for row, (name, runs) in enumerate(groups.items()):
            for place, measure in enumerate(measures):
                above = fig.axes[place] if row else None
                cell = grid[row * lines + place // columns, place % columns]
                ax = fig.add_subplot(cell, sharex=above, sharey=above)
                found = draw_curves(ax, material, measure, runs=runs)
                draw_floors(ax, material, measure, found)
                drawn[measure] += found
                if not found:
                    ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", size=style.SMALL)
                ax.set_ylabel("" if place else style.wrapped(name, 1.7), weight="bold")
                title = TITLES.get(measure, measure.replace("_", " ").capitalize())
                ax.set_title(style.wrapped(title, 6.0 / columns) if row == 0 or lines > 1 else "")
        curves = [c for found in drawn.values() for c in found]
        generations = {int(g) for c in curves for g in c.generation}
        for place, ax in enumerate(fig.axes):
            measure = measures[place % len(measures)]
            style.generation_axis(ax, min(generations), max(generations))
            scale_values(ax, measure, [value for c in drawn[measure] for value in c.mean])
            lowest = place >= len(fig.axes) - len(measures)
            ax.tick_params(labelbottom=lowest or lines > 1)
            ax.set_xlabel("generation" if lowest else "")
        notes = seeds_note(c.seeds for c in curves), sizes_note(material, measures)
        style.legend(fig, style.wrapped("; ".join(filter(None, notes)), style.WIDTH))
    return fig


def runs_by(material: Material, rows: str) -> dict[str, list[str]]:
    """The runs of each row of panels by its name, in plotting order; all runs in one row for ""."""
    lambdas = [f"λ = {value:g}" for value in biases(material).values()]
    kinds = [kind_of_loop(row) for row in material.runs.to_dict("records")]
    made = {"": [""] * len(lambdas), "bias": lambdas, "kind": kinds}
    names = made.get(rows, material.runs.get(rows))
    groups: dict[str, list[str]] = {}
    for name, run in zip(names, material.runs["run"], strict=True):
        groups.setdefault(str(name), []).append(str(run))
    return groups


def scale_values(ax: Axes, measure: str, values: list[float]) -> None:
    """From 0 to 1 for a share, else from 0, or logarithmic for values far apart."""
    if measure in SHARES:
        ax.set_ylim(-0.02, 1.02)
    else:
        style.log_if_wide(ax, values)
        ax.set_ylim(bottom=0 if ax.get_yscale() == "linear" else None)


def sizes_note(material: Material, measures: Iterable[str]) -> str:
    """On how many images and with which k each measure was taken, in lines that do not break within a number."""
    table = material.measures[material.measures["run"].isin(run_names(material))]
    notes: dict[str, list[str]] = {}
    for measure in measures:
        rows = table[table["measure"] == measure]
        sizes = [n_note(rows["n"].dropna().astype(int)), *(f"k = {k:g}" for k in rows["k"].dropna().unique())]
        on = f"on {' and '.join(names)}" if (names := features_named(rows)) else ""
        note = ", ".join(filter(None, (*sizes, on, against(rows)))).replace(" ", "\xa0")
        notes.setdefault(note, []).append(measure.replace("fid", "FID").replace("_", " "))
    return "; ".join(f"{', '.join(names)}: {note}" for note, names in notes.items() if note)


CAPTION = (
    "Fréchet distance (FID), quality (precision: the share of generated images that lie among real ones), "
    "diversity (recall: the share of real images that lie among generated ones) and, where asked for, "
    "further measures per generation; the dashed grey line is what real images score against other real "
    "images."
)

PLOT = Plot(draw, Options, frozenset({"fid", "precision", "recall"}), caption=CAPTION)
