"""What a critic takes for the distance to the real images against the exact distance (Khelifa & Rossa, §3.1.4).

A Wasserstein critic of slope 1 at most cannot exceed the distance, but for what n rows lie apart anyway; one that is
less than the best falls short of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bigloop.analysis.ranks import pairs
from bigloop.analysis.series import require, run_names
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.scatter import POINTS, draw_pairs
from bigloop.figures.quality_diversity import sizes_note
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CRITIC = "critic_distance"
WORDS = {"wasserstein1": "Wasserstein-1, exact", "wasserstein1_excess": "Wasserstein-1 excess, exact"}


@dataclass(frozen=True)
class Options:
    measure: Literal["wasserstein1", "wasserstein1_excess"] = option(
        "wasserstein1", "the exact distance, or what it exceeds the distances within each side by"
    )


def draw(material: Material, options: Options) -> Figure:
    """Points are generations, the later the darker; below each panel the rank correlation over them."""
    require(material, CRITIC, options.measure)
    found = {run: pairs(material, run, (options.measure, ""), (CRITIC, "")) for run in run_names(material)}
    found = {run: table for run, table in found.items() if len(table)}
    if not found:
        raise ValueError(f"{CRITIC} and {options.measure}: no generation of one run has both")
    fig = draw_pairs(material, found, WORDS[options.measure], "critic's distance")
    if note := sizes_note(material, [options.measure, CRITIC]):
        fig.supxlabel(note, fontsize=style.SMALL)
    return fig


CAPTION = (
    "Mean score of real images less that of generated ones, by the critic of the same generation, against the exact "
    f"Wasserstein-1 distance between images of both, {POINTS}; a discriminator's scores are between 0 and 1."
)

PLOT = Plot(draw, Options, frozenset({"critics", CRITIC}), caption=CAPTION)
