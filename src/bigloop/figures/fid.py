"""Fréchet distance to real images per generation (Knutsen et al. 2025, fig. 8b)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigloop.analysis.series import features_named, require, rows_of, runs_with
from bigloop.figures import Material, NoOptions, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.curves import distance_panel
from bigloop.figures.parts.notes import seeds_note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = ("fid", "fid_inception")


def draw(material: Material, options: NoOptions) -> Figure:
    """FID on the features of the classifier, or what the config names, and, where measured, on those of Inception."""
    require(material, "fid")
    there = [m for m in MEASURES if runs_with(material, m)]
    drawn = []
    with style.page(2.8, style.WIDTH if len(there) > 1 else 5.0) as fig:
        for place, measure in enumerate(there, start=1):
            ax = fig.add_subplot(1, len(there), place)
            drawn += distance_panel(ax, material, measure, "FID", log_if_wide=True)[0]
            ax.set_title(f"FID on {features(material, measure)}")
        style.legend(fig, seeds_note(c.seeds for c in drawn))
    return fig


def features(material: Material, measure: str) -> str:
    """What a measure compares the images of all runs on, in words."""
    if measure == "fid_inception":
        return "Inception features"
    named = [features_named(rows_of(material, run, measure)) for run in runs_with(material, measure)]
    return " and ".join(
        dict.fromkeys(word for names in named for word in names or ["features of the dataset's CNN"])
    )


CAPTION = (
    "Fréchet distance between the features of generated and of real images per generation; the dashed "
    "line is the real-vs-real floor."
)

PLOT = Plot(draw, needs=frozenset({"fid"}), caption=CAPTION)
