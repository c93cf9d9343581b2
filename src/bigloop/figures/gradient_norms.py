"""Norms of the gradients of each network from step to step, one panel per run (Khelifa & Rossa, fig. 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bigloop.analysis.series import run_names
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.courses import WHICH, steps_of
from bigloop.spec.options import option

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NORM = "gradient_norm_"
ENDS = {"_least": "min", "_most": "max"}
POINTS = 120  # of a line: more would be a smear
LOWEST = 1e-12  # smaller norms, 0 among them, are drawn here


@dataclass(frozen=True)
class Options:
    generation: int = option(1, WHICH, minimum=0)


def draw(material: Material, options: Options) -> Figure:
    """All panels have one logarithmic scale; each line is a seed's mean, each band from the least to the greatest."""
    looks = style.looks(material.runs)
    found = tables(material, options.generation)
    if not found:
        raise ValueError(
            f"tables of steps of generation {options.generation} are missing"
            if options.generation
            else "generation: 0 shows runs that continue from generation to generation, and none records its steps"
        )
    several = [table for seeds in found.values() for table in seeds]
    networks = {
        name: place for place, name in enumerate(sorted({n for t in several for n in networks_of(t)}))
    }
    low, high = limits(several)
    rows, columns = style.panel_grid(len(found))
    with style.page(0.3 + 2.3 * rows, min(style.WIDTH, 1.2 + 2.9 * columns)) as fig:
        grid = fig.add_gridspec(rows, columns)
        for place, (run, seeds) in enumerate(found.items()):
            ax = fig.add_subplot(grid[place // columns, place % columns])
            for table in seeds:
                for network in networks_of(table):
                    draw_norms(ax, table, network, style.COLOURS[networks[network]], 1 / len(seeds))
            style.log_values(ax, low, high)
            ax.set_xlim(0, max(int(table["step"].max()) for table in seeds))
            ax.set_title(style.wrapped(looks[run].label, (style.WIDTH - 1) / columns))
            ax.set_xlabel("step" if place + columns >= len(found) else "")
            ax.set_ylabel("" if place % columns else "norm of the gradient")
            ax.tick_params(labelleft=not place % columns)
        most = max(map(len, found.values()))
        style.legend(fig, "one seed" if most == 1 else f"a line for each of {most} seeds")
    return fig


def tables(material: Material, generation: int) -> dict[str, list[pd.DataFrame]]:
    """Run → the tables of its seeds' trainings, of those runs that have any, in plotting order."""
    found: dict[str, list[pd.DataFrame]] = {}
    for run in run_names(material):
        for seed in sorted({of for name, of, _ in material.steps if name == run}):
            table = steps_of(material, run, seed, generation)
            if table is not None and networks_of(table):
                found.setdefault(run, []).append(table)
    return found


def networks_of(table: pd.DataFrame) -> list[str]:
    """The networks whose gradients a table has."""
    return [c.removeprefix(NORM) for c in table if c.startswith(NORM) and not c.endswith(tuple(ENDS))]


def limits(several: list[pd.DataFrame]) -> tuple[float, float]:
    """Lower and upper end of the axis on which all of these can be read."""
    ends = [[t[f"{NORM}{name}{end}"] for t in several for name in networks_of(t)] for end in ENDS]
    least, most = min(v.min() for v in ends[0]), max(v.max() for v in ends[1])
    return max(least, LOWEST) / 1.5, max(most, LOWEST) * 1.5


def draw_norms(ax: Axes, table: pd.DataFrame, network: str, colour: str, strength: float) -> None:
    """A network's norms: the mean over some steps, and from the least to the greatest of them."""
    together = table.groupby(table.index // -(-len(table) // POINTS))
    step = together["step"].max()
    mean = together[f"{NORM}{network}"].mean().clip(lower=LOWEST)
    least, most = (together[f"{NORM}{network}{end}"].agg(how).clip(lower=LOWEST) for end, how in ENDS.items())
    ax.fill_between(step, least, most, color=colour, alpha=0.05 + 0.15 * strength, linewidth=0)
    width = 0.6 + 0.6 * strength
    ax.plot(step, mean, color=colour, linewidth=width, label=network, gid=f"norm:{network}")


CAPTION = (
    "L2 norm of the gradients of each network in the steps of a training: mean (line), least and greatest (band) of "
    "some steps each; of a critic that takes several steps at a time, the last one's."
)

PLOT = Plot(draw, Options, frozenset({"steps"}), caption=CAPTION)
