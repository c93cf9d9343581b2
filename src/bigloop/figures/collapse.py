"""Model collapse on one page, for readers who know nothing about it: pictures above, three curves below."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bigloop.analysis.series import Curve, require, runs_with
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.curves import distance_panel, draw_curves, draw_floors, draw_reference, labelled
from bigloop.figures.parts.notes import seeds_note
from bigloop.figures.parts.tiles import classes_of, draw_tiles, generations_shown, tiles_height
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

TITLE = "Model collapse: models trained on the output of models"
STORY = (
    "Generation 1 learns from real images; later ones learn, wholly or partly, from images that models made.\n"
    "Above: what they make. Below: how far that has moved from real images, which are the grey lines."
)

LABEL = 1.1  # inches for the name of a run


@dataclass(frozen=True)
class Options:
    generations: tuple[int, ...] = option((), "generations to show; none: up to six, evenly spread")
    side: int = option(3, "images along each side of a block", minimum=1)


def draw(material: Material, options: Options) -> Figure:
    """A strip of images a run, real ones to the last generation, above its quality, variety and clarity."""
    require(material, "fid", "class_entropy")
    shown = generations_shown(material, options.generations, most=6)
    columns = 1 + max(len(generations) for generations in shown.values())
    block = min(0.85, (style.WIDTH - 1.3) / columns)
    lines = (style.wrapped(look.label, LABEL).count("\n") + 2 for look in style.looks(material.runs).values())
    heights = 0.55 + tiles_height(shown, max(block, 0.16 * max(lines))), 2.4
    with style.page(0.3 + sum(heights)) as fig:
        pictures, panels = fig.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
        fig.suptitle(TITLE, x=0.01, ha="left", fontsize=11, weight="bold")
        draw_strips(pictures, material, shown, options.side)
        drawn = draw_panels(panels, material)
        style.legend(fig, seeds_note(c.seeds for c in drawn))
    return fig


def draw_strips(fig: SubFigure, material: Material, shown: dict[str, list[int]], side: int) -> None:
    verdicts = {} if material.verdicts is None else dict(material.verdicts[["run", "verdict"]].to_numpy())
    looks = style.looks(material.runs)
    fig.suptitle(STORY, fontsize=style.SMALL, x=0.01, ha="left")
    for run, first in draw_tiles(fig, material, shown, side, ("real", "gen. {}"), LABEL).items():
        name = first.yaxis.label
        name.set(color=looks[run].colour, weight="bold")
        if run in verdicts:
            name.set_y(0.58)
            first.annotate(verdicts[run], (1, 0), xycoords=name, ha="right", va="top", size=style.SMALL)


def draw_panels(fig: SubFigure, material: Material) -> list[Curve]:
    """Quality (fid), variety (class_entropy), and where it was measured, clarity (confidence) or excess."""
    digits = all(name.isdigit() for names in material.classes.values() for name in names)
    things, kind, kinds = ("digits", "digit", "digits") if digits else ("images", "class", "classes")
    third = [m for m in ("confidence", "wasserstein1_excess") if runs_with(material, m)][:1]
    axes = [fig.add_subplot(1, 2 + len(third), place + 1) for place in range(2 + len(third))]

    drawn, _ = distance_panel(axes[0], material, "fid", "FID", log_if_wide=True)
    head(axes[0], "Quality", f"distance to real {things}\n(FID, lower is better)")
    drawn += draw_variety(axes[1], material)
    head(axes[1], "Variety", f"entropy of predicted {kinds}\n(lower: more alike)")
    if third == ["confidence"]:
        drawn += draw_clarity(axes[2], material)
        head(axes[2], "Clarity", f"how sure a classifier is\nwhich {kind} it sees")
    elif third:
        drawn += distance_panel(axes[2], material, third[0], "Wasserstein-1 excess")[0]
        head(axes[2], "Pixels", "distance to real pixels\n(0 is as good as real)")
    return drawn


def draw_variety(ax: Axes, material: Material) -> list[Curve]:
    drawn = draw_curves(ax, material, "class_entropy")
    draw_floors(ax, material, "class_entropy", drawn)
    several = sorted({len(classes_of(material, c.run)) for c in drawn})
    for k in several:
        draw_reference(ax, math.log(k), f"all {k} classes equally often (ln {k})", linestyle=":")
    ax.set_ylim(0, math.log(several[-1]) * 1.08)
    ax.set_ylabel(labelled("nats", drawn))
    return drawn


def draw_clarity(ax: Axes, material: Material) -> list[Curve]:
    drawn = draw_curves(ax, material, "confidence")
    draw_floors(ax, material, "confidence", drawn)
    ax.set_ylabel(labelled("confidence", drawn))
    return drawn


def head(ax: Axes, word: str, explanation: str) -> None:
    """A bold word and a plain explanation below it, above the panel."""
    ax.set_title(f"$\\mathbf{{{word}}}$\n{explanation}")


CAPTION = (
    "Model collapse at a glance: images from real data to the last generation of each model, and how "
    "their quality (distance to real images), their variety (entropy of the predicted classes) and their "
    "clarity change from generation to generation."
)

PLOT = Plot(draw, Options, frozenset({"images", "fid", "classes"}), caption=CAPTION)
