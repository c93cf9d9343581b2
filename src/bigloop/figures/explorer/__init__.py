"""An experiment to look at: `explorer.html`, one file that needs no server and no network.

    explore(ExploreSpec("quickstart", images=36, seeds=3, megabytes=20), Path("results"))

contents.py    the tables, as plain data: what the page knows
pictures.py    previews and points, as text that a page can hold: what it shows
page/          the page: HTML, CSS, JavaScript, and uPlot (MIT), which draws its curves
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from bigloop.analysis.origins import made_by
from bigloop.artifacts import PROVENANCE_FILE, read_json, replacing
from bigloop.figures.explorer.contents import contents
from bigloop.figures.explorer.pictures import clouds, sheets
from bigloop.figures.files import read_material, table
from bigloop.runtime.progress import Report
from bigloop.spec.jobs import ExploreSpec

PAGE = Path(__file__).parent / "page"
# One after another they are one script: each uses what the ones before it name.
SCRIPTS = (
    "vendor/uPlot.iife.min.js",
    "state.js",
    "shown.js",
    "curves.js",
    "samples.js",
    "panels.js",
    "controls.js",
)
STYLES = ("vendor/uPlot.min.css", "page.css")


def explore(spec: ExploreSpec, results: Path, report: Report = lambda line: None) -> None:
    """Write explorer.html of an experiment, from its tables, previews and points."""
    home = results / spec.experiment
    material = read_material(home, results, {"points"})
    claims = table(home, "claims")
    made = made_by(read_json(home / "tables" / PROVENANCE_FILE))
    known: dict[str, Any] = contents(spec.experiment, material, claims, made)
    known["pictures"] = sheets(material.runs, results, spec)
    known["clouds"] = clouds(material, spec)
    page = written(known)
    with replacing(home / "explorer.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    report(f"{len(page) / 1e6:.1f} MB")


def written(known: dict[str, Any]) -> str:
    """The page that knows this: one HTML file, whole."""

    def joined(names: tuple[str, ...]) -> str:
        return "\n".join((PAGE / name).read_text(encoding="utf-8") for name in names)

    # "<" in a text could end the script that holds it
    data = json.dumps(known, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace(
        "<", "\\u003c"
    )
    page = (PAGE / "page.html").read_text(encoding="utf-8")
    parts = {
        "TITLE": html.escape(known["experiment"]),
        "STYLE": joined(STYLES),
        "SCRIPT": joined(SCRIPTS),
        "DATA": data,
    }
    for name, part in parts.items():
        page = page.replace(f"{{{{{name}}}}}", part)
    return page
