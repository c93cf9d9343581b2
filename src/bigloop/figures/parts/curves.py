"""The panel that most figures are made of: a measure over generations, one curve per run, and the real floor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from bigloop.analysis.published import alike
from bigloop.analysis.series import Curve, curve, dataset_of, reference, row_of, rows_of, run_names
from bigloop.figures import Material
from bigloop.figures.parts import style
from bigloop.figures.parts.notes import n_note

if TYPE_CHECKING:
    from matplotlib.axes import Axes


FLOORS = ("--", "-.", (0, (6, 3)), (0, (3, 1, 1, 1, 1, 1)))  # of the real data of each dataset


def draw_curves(
    ax: Axes,
    material: Material,
    measure: str,
    detail: str | None = None,
    runs: Iterable[str] | None = None,
    places: Callable[[str, np.ndarray], np.ndarray] | None = None,
    standard_error: bool = False,
) -> list[Curve]:
    """Draw mean and band (± s.d., or ± standard error) of each run that has the measure; returns what was drawn.

    `places`: a run and its generations → where they stand on the x axis, if that is not one of generations.
    """
    looks = style.looks(material.runs)
    drawn = []
    wanted = run_names(material) if runs is None else list(runs)
    alpha = 0.2 if len(wanted) < 5 else 0.1
    for run in wanted:
        found = curve(material, run, measure, detail)
        if found is None:
            continue
        look = looks[run]
        x = found.generation if places is None else places(run, found.generation)
        ax.plot(
            x,
            found.mean,
            color=look.colour,
            linestyle=look.linestyle,
            marker=look.marker,
            markevery=max(1, len(found.generation) // 25),
            label=look.label,
            gid=f"run:{run}",
        )
        if found.seeds > 1:
            half = found.sd / found.seeds**0.5 if standard_error else found.sd
            low, high = found.mean - half, found.mean + half
            ax.fill_between(x, low, high, color=look.colour, alpha=alpha, linewidth=0)
        drawn.append(found)
    if detail is None and places is None:
        draw_published(ax, material, measure, drawn)
    if drawn and places is None:
        style.generation_axis(
            ax, int(min(c.generation[0] for c in drawn)), int(max(c.generation[-1] for c in drawn))
        )
    return drawn


def draw_published(ax: Axes, material: Material, measure: str, drawn: Iterable[Curve]) -> None:
    """Hollow circles beside a curve for what the paper that its run names publishes, where it is measured alike."""
    looks = style.looks(material.runs)
    circles: dict[str, Any] = {"marker": "o", "markersize": 5, "markerfacecolor": "none", "linestyle": "none"}
    there = False
    for c in drawn:
        name = row_of(material, c.run).get("published")
        if not name:
            continue
        found = alike(name, rows_of(material, c.run, measure))
        found = found[found["generation"] <= c.generation[-1]]
        if len(found):
            x, y = found["generation"], found["value"]
            ax.plot(x, y, color=looks[c.run].colour, gid=f"published:{c.run}", **circles)
            there = True
    if there:
        ax.plot([], [], color=style.REFERENCE, label="as published", gid="reference", **circles)


def draw_floors(ax: Axes, material: Material, measure: str, drawn: list[Curve]) -> dict[str, float]:
    """Draw the real-vs-real floor, for the n of each curve; returns run → floor."""
    keys = {c.run: (dataset_of(material, c.run), c.n) for c in drawn}
    values = {key: reference(material, measure, *key) for key in dict.fromkeys(keys.values())}
    several = len({dataset for dataset, _ in values}) > 1
    strokes = dict(zip(dict.fromkeys(dataset for dataset, _ in values), cycle(FLOORS), strict=False))
    for (dataset, _), value in values.items():
        if value is not None:
            label = f"real vs real ({dataset})" if several else "real vs real"
            draw_reference(ax, value, label, strokes[dataset])
    return {run: value for run, key in keys.items() if (value := values[key]) is not None}


def draw_reference(ax: Axes, value: float, label: str, linestyle: Any = "--") -> None:
    """A grey horizontal line for something that does not change with the generation."""
    line = ax.axhline(
        value, color=style.REFERENCE, linestyle=linestyle, linewidth=1.2, zorder=1.5, label=label
    )
    line.set_gid("reference")


def distance_panel(
    ax: Axes, material: Material, measure: str, name: str, log_if_wide: bool = False
) -> tuple[list[Curve], dict[str, float]]:
    """Draw a distance to real data with its floors; returns both."""
    drawn = draw_curves(ax, material, measure)
    floors = draw_floors(ax, material, measure, drawn)
    if log_if_wide:
        # The floor does not count: far below all curves, it would squeeze them into the top of a log axis.
        style.log_if_wide(ax, [value for c in drawn for value in c.mean])
        if ax.get_yscale() == "linear":
            ax.set_ylim(bottom=0)
    ax.set_ylabel(labelled(name, drawn))
    return drawn, floors


def labelled(name: str, drawn: list[Curve]) -> str:
    """An axis label that says on how many images the curves were measured, and if it was against test rows."""
    against = [c for c in dict.fromkeys(c.against for c in drawn) if c]
    notes = ", ".join(filter(None, (n_note(c.n for c in drawn), *against)))
    line = "\n" if against else " "  # together they are longer than an axis
    return f"{name}{line}({notes})" if notes else name
