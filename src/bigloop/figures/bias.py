"""Quality and diversity against the sampling bias λ (Alemohammad et al. 2024, figs. 6 and 9, cut at a generation)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bigloop.analysis.biases import biases, comparable_runs
from bigloop.analysis.loops import kind_of_loop
from bigloop.analysis.series import Curve, curve, require
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.curves import draw_floors
from bigloop.figures.parts.notes import seeds_note
from bigloop.figures.quality_diversity import TITLES, scale_values, sizes_note
from bigloop.spec.options import option

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = ("precision", "recall", "fid")


@dataclass(frozen=True)
class Options:
    generation: int = option(0, "generation to show; 0: the last that all runs have in common", minimum=0)


def draw(material: Material, options: Options) -> Figure:
    """A panel a measure; a line joins the runs that differ in nothing but λ, from the strongest bias to none."""
    require(material, *MEASURES)
    groups, generation = comparable_runs(material, MEASURES[0], options.generation)
    looks = style.looks(group_labels(material, groups))
    drawn: list[Curve] = []
    with style.page(2.6) as fig:
        for place, measure in enumerate(MEASURES, start=1):
            ax = fig.add_subplot(1, len(MEASURES), place)
            shown = []
            for runs in groups:
                shown += draw_group(ax, material, measure, runs, generation, looks[runs[0]])
            draw_floors(ax, material, measure, shown)
            scale_values(ax, measure, [c.mean[c.generation == generation].item() for c in shown])
            ax.set_title(TITLES[measure])
            ax.set_xlabel("sampling bias λ (1: none)")
            drawn += shown
        notes = f"generation {generation}", seeds_note(c.seeds for c in drawn), sizes_note(material, MEASURES)
        style.legend(fig, style.wrapped("; ".join(filter(None, notes)), style.WIDTH))
    return fig


def group_labels(material: Material, groups: list[list[str]]) -> pd.DataFrame:
    """A table for style.looks: the first run of each group, labelled with the family and the kind of loop."""
    firsts = material.runs.set_index("run", drop=False).loc[[group[0] for group in groups]]
    rows = firsts.to_dict("records")
    names = [", ".join(filter(None, (str(row["family"]), kind_of_loop(row)))) for row in rows]
    return firsts[["run"]].assign(label=names)


def draw_group(
    ax: Axes, material: Material, measure: str, runs: list[str], generation: int, look: style.Look
) -> list[Curve]:
    """Mean ± s.d. of one generation against λ; returns the curves of the runs that have the measure there."""
    lambdas = biases(material)
    found = [c for run in runs if (c := curve(material, run, measure)) and generation in c.generation]
    x = [lambdas[c.run] for c in found]
    mean = [c.mean[c.generation == generation].item() for c in found]
    looks: dict[str, Any] = {"color": look.colour, "linestyle": look.linestyle, "marker": look.marker}
    ax.plot(x, mean, label=look.label, gid=f"group:{runs[0]}", **looks)
    if any(c.seeds > 1 for c in found):
        sd = [c.sd[c.generation == generation].item() for c in found]
        ax.errorbar(x, mean, sd, fmt="none", ecolor=look.colour, elinewidth=1.0, capsize=2)
    return found


CAPTION = (
    "Quality (precision), diversity (recall) and Fréchet distance (FID) of one generation against the "
    "sampling bias λ, from strong bias on the left to none (λ = 1) on the right; a line joins runs that "
    "differ in λ alone, and the dashed grey line is the real-vs-real floor."
)

PLOT = Plot(draw, Options, frozenset(MEASURES), caption=CAPTION)
