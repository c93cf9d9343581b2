"""Share of real test images that each generation's critic calls real (Knutsen et al. 2025, fig. 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigloop.analysis.series import require
from bigloop.figures import Material, NoOptions, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.curves import draw_curves, labelled
from bigloop.figures.parts.notes import seeds_note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURE = "critic_on_test"


def draw(material: Material, options: NoOptions) -> Figure:
    """A curve for each run with a critic; 1 means that the critic knows every real image as real."""
    require(material, MEASURE)
    with style.page(2.8, 5.0) as fig:
        ax = fig.add_subplot()
        drawn = draw_curves(ax, material, MEASURE)
        ax.set_ylim(-0.02, 1.02)
        ax.set_ylabel(labelled("share called real", drawn))
        ax.set_title("Real test images that the critic calls real")
        style.legend(fig, seeds_note(c.seeds for c in drawn))
    return fig


CAPTION = (
    "Share of the real test images, which no critic was trained on, that the critic of each generation "
    "calls real: scores above 0.5 for a sigmoid critic, and for a linear one above the midpoint between "
    "its mean scores on its own training images and on its own generator's images."
)

PLOT = Plot(draw, needs=frozenset({"critics"}), caption=CAPTION)
