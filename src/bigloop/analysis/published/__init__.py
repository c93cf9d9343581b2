"""Values that papers publish of their runs, for figures to draw and claims to compare.

    values("knutsen2025/vae")       # one row a generation and measure

A paper is a CSV file in this folder, with the columns COLUMNS: figure, the paper's own; run, a name for what was run;
n and features, what the measure was computed on, as in the table of measures; the real side is of training rows. An
experiment's run names what it is held against with `published: PAPER/RUN`.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bigloop.analysis.series import against

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("paper", "figure", "run", "generation", "measure", "value", "n", "features", "source")
FOLDER = Path(__file__).parent


@cache
def runs() -> list[str]:
    """PAPER/RUN of all that is published."""
    found: dict[str, None] = {}
    for path in sorted(FOLDER.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            found |= dict.fromkeys(f"{path.stem}/{row['run']}" for row in csv.DictReader(file))
    return list(found)


def measures(paper: str) -> dict[str, list[str]]:
    """What a paper publishes values of, each with its figures; {} where nothing of it lies here."""
    found: dict[str, list[str]] = {}
    if not (path := FOLDER / f"{paper}.csv").is_file():
        return found
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            figures = found.setdefault(row["measure"], [])
            if row["figure"] not in figures:
                figures.append(row["figure"])
    return found


def values(name: str) -> pd.DataFrame:
    """What a paper publishes of a run, PAPER/RUN: the rows of its file, columns COLUMNS."""
    import pandas as pd  # here, not above: a config is checked without it

    paper, _, run = name.partition("/")
    table = pd.read_csv(FOLDER / f"{paper}.csv")
    return table[table["run"] == run]


def alike(name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The published rows of the measure of `rows`, rows of one run and measure, if n and features are the same."""
    found = values(name)
    if against(rows):
        return found.iloc[:0]
    for column in ("measure", "n", "features"):
        mine = rows[column].dropna().unique()
        found = found[found[column].isin(mine)] if len(mine) == 1 else found.iloc[:0]
    return found.sort_values("generation")
