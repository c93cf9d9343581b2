"""The figures of an archive, drawn again from its tables and previews: without data, weights or training."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bigloop.artifacts import ArtifactError
from bigloop.figures.explorer import explore
from bigloop.figures.files import write_figure
from bigloop.ops.archive.pack import DRAWN, opened, verify
from bigloop.ops.disk import check_empty
from bigloop.runtime.progress import Report
from bigloop.spec.jobs import ExploreSpec, PlotSpec
from bigloop.spec.options import SpecError, parse

FORMATS = ("pdf", "png", "gif")  # an MP4 is not the same twice


def rebuild(archive: Path, out: Path, report: Report = lambda line: None) -> list[str]:
    """Unpack an archive into the folder `out` and draw every figure, and the page, anew.

    Returns the files that are not, byte for byte, what they are in the archive. Raises ArtifactError for a damaged
    archive, and SpecError where `out` holds something.
    """
    check_empty(out)
    name = verify(archive)
    report(f"{archive}: every file is as it was written")
    with opened(archive) as file:
        file.extractall(out)
    known = json.loads((out / DRAWN).read_text(encoding="utf-8"))
    results = out / "results"
    home = results / name
    drawings: list[tuple[list[Path], Callable[[], None]]] = []
    for figure in known["figures"]:
        spec = parse(PlotSpec, figure, DRAWN)
        files = [path for kind in FORMATS if (path := home / "figures" / f"{spec.name}.{kind}").is_file()]
        drawings.append((files, partial(write_figure, spec, results, report)))
    if known["explorer"]:
        page = parse(ExploreSpec, known["explorer"], DRAWN)
        drawings.append(([home / "explorer.html"], partial(explore, page, results)))
    changed = [path for files, draw in drawings for path in redrawn(files, draw, report)]
    total = sum(len(files) for files, _ in drawings)
    report(f"{total - len(changed)} of {total} files are, byte for byte, what they are in the archive")
    return [path.relative_to(out).as_posix() for path in changed]


def redrawn(files: list[Path], draw: Callable[[], None], report: Report) -> list[Path]:
    """Of these files, those that differ once they are drawn anew; all where they cannot be, as the report then says."""
    before = {path: path.read_bytes() for path in files}
    try:
        draw()
    except (ArtifactError, SpecError) as fault:
        report(f"not drawn: {fault}")
        return files
    changed = [path for path in files if path.read_bytes() != before[path]]
    report(f"{files[0].stem}: {'differs' if changed else 'equal'}")
    return changed
