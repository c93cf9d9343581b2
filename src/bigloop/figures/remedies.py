"""Which remedies for mode collapse help: a row a remedy, a column a measure, each against the plain model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bigloop.analysis.series import require, selection
from bigloop.figures import Material, Plot
from bigloop.figures.parts import style
from bigloop.figures.parts.matrix import Form, bands, fitted, form_of, inches
from bigloop.figures.parts.names import name_of
from bigloop.figures.parts.notes import seeds_note
from bigloop.figures.quality_diversity import sizes_note
from bigloop.spec.options import option

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

    from bigloop.analysis.remedies import Cell, Comparison

MARKS = {"better": "✓", "worse": "✗", "not clear": "○", "": ""}
FACES = {  # a colour, and how strong
    "better": ("#56B4E9", 0.45),
    "worse": ("#D55E00", 0.45),
    "not clear": ("#000000", 0.05),
    "": ("#000000", 0.0),
}
ARROWS = {"up": "↑", "down": "↓", "": ""}
LINE = 0.138  # inches a line of text
AIR = 0.4  # lines, above and below the text of a row together
PAD = 0.08  # inches, left and right of the text of a cell together
MARGINS, GAP = 0.2, 0.13  # inches: of the page, left and right, and between two panels
LABEL = 1.0, 2.4  # inches that a label has at least, if it needs them, and at most
LABEL_LINES = 3
LAYOUTS = (
    (True, 0),
    (False, 0),
    (False, 1),
    (False, 0),
)  # intervals beside the differences? how many decimals fewer?
NARROW = 0.8  # inches: for "not measured" and the names of measures
NARROWEST = 4.2  # inches, of a page


@dataclass(frozen=True)
class Options:
    measures: tuple[str, ...] = option(
        ("modes_covered", "good_share", "mode_kl"), "measures to show, a column each"
    )
    plain: str = option(
        "",
        "run that the others are held against, by name or label; by default the first of each panel: a dataset, or "
        "one loop on it where it has several",
    )
    runs: tuple[str, ...] = option((), "runs to show, by name or by how their names begin; none: all")
    value: Literal["end", "change"] = option(
        "end", "end: value of the last generation; change: from the first to the last, for each generation"
    )
    last: int = option(
        1,
        "each seed's value is its mean over so many measured generations, the last",
        minimum=1,
        only={"value": ("end",)},
    )
    higher: tuple[str, ...] = option((), "measures of which higher is better, beside those known")
    lower: tuple[str, ...] = option((), "measures of which lower is better, beside those known")


@dataclass(frozen=True)
class Written:
    """The text of a cell: mean ± s.d., and the difference from the plain run with its interval."""

    mean: str
    change: str = ""
    interval: str = ""
    bold: bool = False

    def lines(self, wide: bool) -> list[str]:
        """From top to bottom; `wide`: the interval beside the difference."""
        changed = [f"{self.change} {self.interval}".strip()] if wide else [self.change, self.interval]
        return [line for line in (self.mean, *changed) if line]

    def weights(self, wide: bool) -> list[str]:
        """Of these lines: the difference in bold, if it is clear."""
        return ["bold" if place == 1 and self.bold else "normal" for place in range(len(self.lines(wide)))]

    def width(self, wide: bool) -> float:
        """Inches."""
        return max(
            inches(line, weight == "bold")
            for line, weight in zip(self.lines(wide), self.weights(wide), strict=True)
        )


Key = tuple[str, str, str]  # label, panel, measure
Column = tuple[str, str]  # panel, measure
Band = list[tuple[str, list[str]]]  # panel, measures


@dataclass(frozen=True)
class Matrix:
    """What is written where: `bands` of panels (name, measures); cells `cell` and labels `label` inches wide."""

    found: Comparison
    texts: Mapping[Key, Written]
    heads: Mapping[Column, str]
    bands: list[Band]
    wide: bool
    cell: float
    label: float

    @property
    def labels(self) -> list[str]:
        return [fitted(name, self.label, LABEL_LINES) for name in self.found.labels]

    @property
    def columns(self) -> int:
        """Of the widest band."""
        return max(sum(len(measures) for _, measures in band) for band in self.bands)

    @property
    def width(self) -> float:
        """Inches of the page."""
        panels = max(map(len, self.bands))
        inner = self.label + self.columns * self.cell + (panels - 1) * GAP + MARGINS
        return min(style.WIDTH, max(NARROWEST, inner))

    def lines(self, band: Band) -> list[float]:
        """Height of each row, in lines."""
        keys = [(panel, measure) for panel, measures in band for measure in measures]
        found = []
        for name, label in zip(self.found.labels, self.labels, strict=True):
            texts = [self.texts[name, *key].lines(self.wide) for key in keys if (name, *key) in self.texts]
            found.append(AIR + max([1 + label.count("\n"), *map(len, texts)]))
        return found

    def head(self, panel: str, measure: str) -> str:
        return fitted(self.heads[panel, measure], self.cell)

    def top(self, band: Band) -> float:
        """Inches above the cells."""
        heads = [self.head(panel, measure) for panel, measures in band for measure in measures]
        return 0.3 + LINE * max(1 + head.count("\n") for head in heads)


def draw(material: Material, options: Options) -> Figure:
    """A cell: mean ± s.d., the difference from the plain run, and as colour and mark whether that is better."""
    from bigloop.analysis.remedies import comparison  # here, not above: it needs pandas

    if not options.measures:
        raise ValueError("measures: expected at least one measure")
    shown = selection(material, options.runs)
    require(shown, *options.measures)
    table = shown.measures  # may be long, and is looked through for each run
    shown = dataclasses.replace(shown, measures=table[table["measure"].isin(options.measures)])
    how = options.plain, options.value, options.last, options.higher, options.lower
    found = comparison(shown, options.measures, *how)
    matrix = matrix_of(found)
    title = style.wrapped(note(shown, found, options), matrix.width)
    lines = [matrix.lines(band) for band in matrix.bands]
    heights = [matrix.top(band) + LINE * sum(own) for band, own in zip(matrix.bands, lines, strict=True)]
    with style.page(sum(heights) + 0.14 * title.count("\n"), matrix.width) as fig:
        grid = fig.add_gridspec(len(heights), 1, height_ratios=heights)
        for place, band in enumerate(matrix.bands):
            draw_band(fig, grid[place], matrix, band, lines[place])
        add_entries(fig.axes[0], found)
        style.legend(fig, title)
    return fig


def draw_band(fig: Figure, place: SubplotSpec, matrix: Matrix, band: Band, lines: list[float]) -> None:
    """Panels side by side, the labels left of the first."""
    sizes = [len(measures) for _, measures in band]
    rest = matrix.columns - sum(sizes)  # stays empty
    ratios = [*sizes, rest] if rest else sizes
    grid = place.subgridspec(1, len(ratios), width_ratios=ratios)
    for at, (panel, measures) in enumerate(band):
        ax = fig.add_subplot(grid[at])
        draw_panel(ax, matrix, panel, measures, lines)
        ax.set_yticks(middles(lines), matrix.labels if at == 0 else [""] * len(lines))


def add_entries(ax: Axes, found: Comparison) -> None:
    """Entries of the legend for the colours that are there."""
    from matplotlib.patches import Rectangle

    there = {cell.outcome for cell in found.cells.values()}
    for outcome, mark in MARKS.items():
        if outcome in there and mark:
            ax.add_patch(
                Rectangle((0, 0), 0, 0, facecolor=style.tint(*FACES[outcome]), label=f"{mark} {outcome}")
            )


def matrix_of(found: Comparison) -> Matrix:
    """Texts and sizes, the first of LAYOUTS with which all columns fit side by side, or the last, in bands."""
    label = min(LABEL[1], max(map(inches, found.labels)) + 0.02)
    room = style.WIDTH - MARGINS - (len(found.blocks) - 1) * GAP
    for wide, fewer in LAYOUTS:
        forms = {column: form_of_column(found, column, fewer) for column in found.columns}
        texts = {key: written(cell, forms[key[1:]]) for key, cell in found.cells.items()}
        cell = PAD + max([NARROW, *(text.width(wide) for text in texts.values())])
        most = int((room - min(label, LABEL[0])) / cell)
        if most >= len(found.columns):
            break
    heads = {column: head_of(found, column, forms[column]) for column in found.columns}
    parts = bands(found.blocks, max(1, most))
    columns = max(sum(len(measures) for _, measures in band) for band in parts)
    return Matrix(found, texts, heads, parts, wide, cell, min(label, room - columns * cell))


def form_of_column(found: Comparison, column: Column, fewer: int) -> Form:
    cells = [cell for key, cell in found.cells.items() if key[1:] == column]
    return form_of([cell.mean for cell in cells], [cell.sd for cell in cells], fewer)


def written(cell: Cell, form: Form) -> Written:
    """The text of a cell."""
    spread = f" ± {form.text(cell.sd)}" if math.isfinite(cell.sd) else ""
    mean = f"{form.text(cell.mean)}{spread}"
    if cell.change is None or math.isnan(cell.change.value):
        return Written(mean)
    change = f"{MARKS[cell.outcome]} {form.text(cell.change.value, '+')}".strip()
    low, high = cell.change.interval
    known = math.isfinite(low) and math.isfinite(high)
    return Written(
        mean, change, f"[{form.text(low, '+')}, {form.text(high, '+')}]" if known else "", cell.clear
    )


def head_of(found: Comparison, column: Column, form: Form) -> str:
    """Name of a column, its unit, and an arrow for the way that is better."""
    _, measure = column
    name = name_of(measure)
    unit = f", in\xa0{form.unit}" if form.unit else ""
    better = next(cell.better for key, cell in found.cells.items() if key[1:] == column)
    return f"{name}{unit}\xa0{ARROWS[better]}".rstrip("\xa0")


def middles(lines: Sequence[float]) -> list[float]:
    """Where the rows of these heights have their middles, from the top."""
    return [sum(lines[:row]) + lines[row] / 2 for row in range(len(lines))]


def draw_panel(ax: Axes, matrix: Matrix, panel: str, measures: Sequence[str], lines: Sequence[float]) -> None:
    """The cells of one panel; y counts lines of text from the top, x columns."""
    ax.set(xlim=(0, len(measures)), ylim=(sum(lines), 0))
    ax.set_title(panel, weight="bold")
    ax.set_xticks([i + 0.5 for i in range(len(measures))], [matrix.head(panel, m) for m in measures])
    ax.tick_params(length=0, bottom=False, labelbottom=False, labeltop=True)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    middle = middles(lines)
    for row, label in enumerate(matrix.found.labels):
        for column, measure in enumerate(measures):
            draw_cell(ax, matrix, (label, panel, measure), column, middle[row], lines[row])


def draw_cell(ax: Axes, matrix: Matrix, key: Key, column: int, middle: float, height: float) -> None:
    """A coloured box, and its text line by line: the difference in bold where its interval excludes 0."""
    from matplotlib.patches import Rectangle

    cell = matrix.found.cells.get(key)
    outcome = cell.outcome if cell else ""
    box = Rectangle((column, middle - height / 2), 1, height, gid=f"cell:{':'.join(key)}")
    box.set(facecolor=style.tint(*FACES[outcome]), edgecolor="white", linewidth=1.5)
    ax.add_patch(box)
    if cell is None:
        missing = "not measured" if key[:2] in matrix.found.runs else "no run"
        ax.text(
            column + 0.5, middle, missing, ha="center", va="center", size=style.SMALL, color=style.REFERENCE
        )
        return
    text = matrix.texts[key]
    parts = text.lines(matrix.wide)
    for place, (line, weight) in enumerate(zip(parts, text.weights(matrix.wide), strict=True)):
        y = middle + place - (len(parts) - 1) / 2
        ax.text(column + 0.5, y, line, ha="center", va="center", size=style.SMALL, weight=weight)


def note(material: Material, found: Comparison, options: Options) -> str:
    """What stands in a cell, of which generations, seeds and rows, and how sure the colours are."""
    seeds = seeds_note(cell.seeds for cell in found.cells.values())
    parts = [when(found, options), seeds, *compared(found), sizes_note(material, options.measures)]
    return "; ".join(filter(None, parts))


def when(found: Comparison, options: Options) -> str:
    """Which generations the values are of."""
    spans = set(found.columns.values())
    if options.value == "change":
        between = (
            "generation {} to {}".format(*spans.pop())
            if len(spans) == 1
            else "the first generation to the last"
        )
        return f"change for each generation, from {between}"
    if options.last > 1:
        return f"last {options.last} measured generations"
    return f"generation {spans.pop()[0]}" if len(spans) == 1 else "last generation in common"


def compared(found: Comparison) -> list[str]:
    """What the differences, intervals and colours are."""
    changes = [cell.change for cell in found.cells.values() if cell.change]
    if not changes:
        return []
    tops = (
        "rows" if len({label for label, panel in found.runs if found.is_plain(label, panel)}) > 1 else "row"
    )
    below = f"below it the difference from the plain run (top {tops})"
    if not any(math.isfinite(change.error) for change in changes):
        return [f"{below}, without an interval"]
    return [
        f"{below} and its 95 % interval (Welch's, for independent seeds), bold where that excludes 0",
        "where one of the two has one seed, the other's spread stands for both" if found.lone else "",
        f"colours and marks: p ≤ 0.05, adjusted for all {found.judged} differences (Holm)"
        if found.judged
        else "",
    ]


CAPTION = (
    "Each remedy for mode collapse against the plain run on the same data, by several measures: mean and standard "
    "deviation over seeds, and below the difference from the plain run with its 95 % interval; blue and ✓ where the "
    "remedy is better, orange and ✗ where it is worse, after an adjustment for the number of comparisons."
)

PLOT = Plot(draw, Options, caption=CAPTION)
