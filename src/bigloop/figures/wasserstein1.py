"""Wasserstein-1 distance to real images, and its excess (Knutsen et al. 2025, fig. 8a)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigloop.analysis.series import require
from bigloop.figures import Material, NoOptions, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.curves import distance_panel
from bigloop.figures.parts.notes import seeds_note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BELOW_FLOOR = "below the floor: blur is rewarded\nat small n; see excess"


def draw(material: Material, options: NoOptions) -> Figure:
    """The plain distance on the left, its excess on the right, each with what real images score."""
    require(material, "wasserstein1", "wasserstein1_excess")
    with style.page(2.9) as fig:
        plain, excess = fig.add_subplot(1, 2, 1), fig.add_subplot(1, 2, 2)
        drawn, floors = distance_panel(plain, material, "wasserstein1", "Wasserstein-1")
        more, _ = distance_panel(excess, material, "wasserstein1_excess", "Wasserstein-1 excess")
        below = any((c.mean < floors[c.run]).any() for c in drawn if c.run in floors)
        title = "Wasserstein-1 distance to real images"
        plain.set_title(f"{title}\n{BELOW_FLOOR}" if below else title)
        excess.set_title("Excess over each side's distance to itself")
        style.legend(fig, seeds_note(c.seeds for c in drawn + more))
    return fig


CAPTION = (
    "Wasserstein-1 distance between flattened generated and real images per generation; the dashed line "
    "is the real-vs-real floor, below which the plain distance (left) can fall "
    "because at small n it rewards blurred and uniform images, whereas the excess (right) takes half of "
    "each side's distance to itself away."
)

PLOT = Plot(draw, needs=frozenset({"wasserstein1", "wasserstein1_excess"}), caption=CAPTION)
