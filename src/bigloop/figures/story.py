"""What a finished experiment says, as the first page of its report: figure, verdicts, claims, runtimes, tables.

story("quickstart", Path("results"), ["collapse", "fid"])       # HTML, without a script
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from bigloop.analysis.origins import made_by
from bigloop.artifacts import PROVENANCE_FILE, ArtifactError, read_json
from bigloop.figures.files import table
from bigloop.figures.parts.names import name_of

ROWS = 2_000  # of a table that a page shows whole
FIRST = "collapse"  # the figure that tells most; else the first one
NOT_TESTED = "not tested"
# Of Snakemake's page: its text is as wide as a column of a newspaper, and beside it lies the graph of the rules.
STYLE = """
.prose { max-width: 70rem !important; }
div:has(> div > .prose) { flex-wrap: wrap; }
div:has(> div > div > .prose) { align-items: flex-start !important; }
.story table { font-size: .8rem; border-collapse: collapse; margin: .5rem 0; }
.story td:not(:last-child) { min-width: 5rem; }
.story th, .story td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; }
.story tr { border-bottom: 1px solid #ddd; }
.story .wide { max-height: 32rem; overflow: auto; }
.story .wide td, .story .wide th { white-space: nowrap; }
.story img { max-width: 100%; }
"""
VERDICT = {"verdict": "verdict", "reason": "why"}
CLAIM = {"paper": "paper", "claim": "claim", "verdict": "here", "numbers": "numbers"}


def story(experiment: str, results: Path, figures: Iterable[str]) -> str:
    """The page of an experiment that has run; where tables are missing, a line that says so."""
    home = results / experiment
    try:
        runs, measures, verdicts, claims, runtime = (
            table(home, name) for name in ("runs", "measures", "verdicts", "claims", "runtime")
        )
        made = made_by(read_json(home / "tables" / PROVENANCE_FILE))
    except ArtifactError as fault:
        return f"<p>{html.escape(str(fault))}</p>"
    labels = dict(zip(runs["run"], runs["label"], strict=True))
    judged = verdicts.assign(run=verdicts["run"].map(labels).fillna(verdicts["run"]))
    tested = claims[claims["verdict"] != NOT_TESTED]
    parts = [
        f"<style>{STYLE}</style>",
        f"<h1>{html.escape(experiment)}</h1>",
        picture(home, list(figures)),
        "<p>To look at it generation by generation: "
        f"<a href=\"javascript:app.showResultInfo('results/{experiment}/explorer.html')\">explorer</a>.</p>"
        if (home / "explorer.html").is_file()
        else "",
        "<h2>What became of each run</h2>",
        rows_of(judged, {"run": "run", **VERDICT}),
        "<h2>What the papers claim, and what these runs say</h2>",
        rows_of(tested, CLAIM)
        if len(tested)
        else "<p>None of the papers' claims is tested by these runs.</p>",
        "<h2>What it took</h2>",
        rows_of(spent(runtime, labels), {name: name for name in SPENT}),
        *(f"<p>{html.escape(line)}.</p>" for line in made),
        "<h2>Tables</h2>",
        folded("Runs: what each one is", runs),
        folded("Measures: every value", measures.drop(columns="experiment")),
    ]
    return "\n".join(['<div class="story">', *filter(None, parts), "</div>"])


def picture(home: Path, figures: list[str]) -> str:
    """The figure that tells most, as an image that a page holds."""
    chosen = next((name for name in [FIRST, *figures] if name in figures), None)
    if chosen is None or not (path := home / "figures" / f"{chosen}.png").is_file():
        return ""
    data = base64.encodebytes(path.read_bytes()).decode().strip()  # in short lines, which reports ask for
    return f'<img alt="Figure {html.escape(chosen)}" src="data:image/png;base64,{data}"/>'


SPENT = ("run", "job", "jobs", "minutes", "median s", "longest s", "most memory (MB)")


def spent(runtime: pd.DataFrame, labels: dict[str, str]) -> pd.DataFrame:
    """Of each run and kind of job: how many there were, minutes in all, and what one took."""
    grouped = runtime.groupby(["run", "job"], sort=False)
    found = pd.DataFrame(
        {
            "jobs": grouped.size(),
            "minutes": grouped["seconds"].sum() / 60,
            "median s": grouped["seconds"].median(),
            "longest s": grouped["seconds"].max(),
            "most memory (MB)": grouped["memory_mb"].max(),
        }
    ).reset_index()
    return found.assign(run=found["run"].map(labels).fillna(found["run"]))


def rows_of(table: pd.DataFrame, columns: dict[str, str]) -> str:
    """These columns of a table as HTML, under other names."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns.values())
    body = "\n".join(
        f"<tr>{''.join(f'<td>{cell(row[column])}</td>' for column in columns)}</tr>"
        for row in table.to_dict("records")
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def folded(title: str, table: pd.DataFrame) -> str:
    """A table that a click unfolds: its columns that say something, and its first rows."""
    shown = table.dropna(axis="columns", how="all").head(ROWS)
    if "measure" in shown:
        shown = shown.assign(measure=[name_of(str(name)) for name in shown["measure"]])
    more = f"; the first {ROWS:,} rows of {len(table):,}" if len(table) > ROWS else ""
    columns = {str(name): str(name) for name in shown.columns}
    return f"<details><summary>{title}{more}</summary><div class='wide'>{rows_of(shown, columns)}</div></details>"


def cell(value: Any) -> str:
    """A cell in words: numbers with four digits, nothing for what is not there."""
    if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return ""
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))
