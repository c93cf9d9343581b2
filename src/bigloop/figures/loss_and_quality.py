"""Does a loss tell quality? A loss against a measure over generations, one panel per run (Khelifa & Rossa, §3.1.4).

Where a loop trains on real rows alone and continues from generation to generation, its generations are checkpoints of
one long training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bigloop.analysis.ranks import pairs
from bigloop.analysis.series import require, run_names
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.scatter import POINTS, draw_pairs
from bigloop.figures.quality_diversity import TITLES, sizes_note
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSS = "final_loss"


@dataclass(frozen=True)
class Options:
    loss: str = option("loss_generator", "the loss, by its name in history.csv")
    measure: str = option("fid", "the measure that it is held against")


def draw(material: Material, options: Options) -> Figure:
    """Points are generations, the later the darker; below each panel the rank correlation over them."""
    require(material, LOSS, options.measure)
    values = (LOSS, options.loss), (options.measure, "")
    found = {run: pairs(material, run, *values) for run in run_names(material)}
    found = {run: table for run, table in found.items() if len(table)}
    if not found:
        raise ValueError(f"loss {options.loss} and measure {options.measure}: no generation has both")
    name = TITLES.get(options.measure, options.measure.replace("_", " ").capitalize())
    fig = draw_pairs(material, found, options.loss.replace("_", " "), name)
    if note := sizes_note(material, [options.measure]):
        fig.supxlabel(note, fontsize=style.SMALL)
    return fig


CAPTION = f"Loss at the end of each generation's training against a measure of its samples, {POINTS}."

PLOT = Plot(draw, Options, frozenset({"losses"}), caption=CAPTION)
