"""Share of generated images that critics call fake, over all generations (Knutsen et al. 2025, fig. 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bigloop.analysis.series import dataset_of, run_names
from bigloop.figures import Material, NoOptions, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.notes import rows_note

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UPRIGHT = 0.9  # inches: narrower columns have their names on end


def draw(material: Material, options: NoOptions) -> Figure:
    """A heatmap for each generator run (row) and critic run (column), all on one scale from 0 to 1."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    table, looks = material.critics, style.looks(material.runs)
    if table.empty:
        raise ValueError("critics are missing (no run has a critic)")
    critics = [run for run in run_names(material) if (table["critic_run"] == run).any()]
    generators = [run for run in run_names(material) if (table["generator_run"] == run).any()]
    side = min(1.9, (style.WIDTH - 2.3) / len(critics))
    with style.page(
        0.8 + len(generators) * max(side, 0.7) + 1.5 * (side < UPRIGHT), 2.3 + len(critics) * side
    ) as fig:
        grid = fig.add_gridspec(len(generators), len(critics))
        for row, generator in enumerate(generators):
            for column, critic in enumerate(critics):
                pair = table[(table["critic_run"] == critic) & (table["generator_run"] == generator)]
                ax = fig.add_subplot(grid[row, column])
                if pair.empty:
                    draw_nothing(ax, material, critic, generator)
                else:
                    draw_matrix(ax, pair)
                    lower, left = table["generator_run"].isin(generators[row + 1 :]), critics[:column]
                    beside = table[table["generator_run"] == generator]["critic_run"]
                    ax.tick_params(
                        labelbottom=not (table["critic_run"][lower] == critic).any(),
                        labelleft=not beside.isin(left).any(),
                    )
                if row == 0:
                    draw_column_name(ax, f"critic of {looks[critic].label}", side)
                if column == 0:
                    name = style.wrapped(f"images of {looks[generator].label}", 1.3)
                    ax.set_ylabel(name, rotation=0, ha="right", va="center", size=style.SMALL)
        fig.supxlabel("generation of the critic", fontsize=8.5)
        fig.supylabel("generation of the generator", fontsize=8.5)
        note = rows_note([rows for _, rows in table.groupby("critic_run")])
        scale = ScalarMappable(Normalize(0, 1), style.SHARES)
        fig.colorbar(
            scale,
            ax=fig.axes,
            label=f"share called fake ({note})",
            aspect=30,
            shrink=0.8,
        )
    return fig


def draw_nothing(ax: Axes, material: Material, critic: str, generator: str) -> None:
    """Say why there is no matrix of a pair."""
    other = dataset_of(material, critic) != dataset_of(material, generator)
    reason = "other data" if other else "no seed\nin common"
    ax.text(0.5, 0.5, reason, transform=ax.transAxes, ha="center", va="center", size=style.SMALL, color="0.5")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)


def draw_column_name(ax: Axes, name: str, inches: float) -> None:
    """Above the column, or standing on end where the column is narrow."""
    if inches < UPRIGHT:
        ax.set_title(style.wrapped(name, 2.4), size=style.SMALL, loc="center", rotation=90)
    else:
        ax.set_title(style.wrapped(name, 0.95 * inches), size=style.SMALL, loc="center")


def fake_shares(pair: pd.DataFrame) -> tuple[np.ndarray, tuple[int, int], tuple[int, int]]:
    """Mean share over seeds, (generator generations, critic generations), and first and last of both."""
    means = pair.pivot_table("fake_share", "generator_generation", "critic_generation", aggfunc="mean")
    rows = int(means.index.min()), int(means.index.max())
    columns = int(means.columns.min()), int(means.columns.max())
    means = means.reindex(index=range(rows[0], rows[1] + 1), columns=range(columns[0], columns[1] + 1))
    return means.to_numpy(float), rows, columns


def draw_matrix(ax: Axes, pair: pd.DataFrame) -> None:
    """Generation 1 is top left: what a critic trained on, the generation before, is the superdiagonal."""
    shares, rows, columns = fake_shares(pair)
    extent = (columns[0] - 0.5, columns[1] + 0.5, rows[1] + 0.5, rows[0] - 0.5)
    ax.imshow(shares, cmap=style.SHARES, vmin=0, vmax=1, extent=extent, aspect="auto")
    ax.set_xticks(style.generation_ticks(*columns, most=4))
    ax.set_yticks(style.generation_ticks(*rows, most=4))
    ax.grid(False)
    ax.spines[:].set_visible(False)


CAPTION = (
    "Share of the images of each generation of each generator (downwards) that the critic of each "
    "generation (rightwards) calls fake; a critic was trained on the images of the generation before its "
    "own, just right of the diagonal; the threshold is 0.5 for a sigmoid critic, and for a linear one the "
    "midpoint between its mean scores on its own training images and on its own generator's images."
)

PLOT = Plot(draw, needs=frozenset({"critics"}), caption=CAPTION)
