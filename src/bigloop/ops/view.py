"""How the jobs at work are doing, on a terminal or in plain lines: the whole, and a row for each running job.

    view = View("smoke", done=23, total=45, rows=(Row("vae seed 0 generation 3 train", state),))
    print("\n".join(plain(view)))
    console.print(drawn(view, console.size))

The workflow shows it while it runs (`ops.logger`), and `status --watch` from elsewhere.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bigloop.config.experiment import Experiment
from bigloop.ops.survey import Survey, survey
from bigloop.runtime.progress import JobState, Progress
from bigloop.runtime.words import duration, place

SURVEY_SHARE = 0.05  # looking at all files takes at most this share of the time
TIME_COLUMNS = 16  # "10 min 05 s left"


@dataclass(frozen=True)
class Row:
    """A job at work. name: by its run's name in the config; measures: the last ones of its run, in words."""

    name: str
    progress: Progress | None = None
    left: float | None = None
    note: str = ""
    measures: str = ""


@dataclass(frozen=True)
class View:
    """How far a workflow is. done, total: jobs; left: seconds, None or infinite while unknown."""

    title: str
    done: int
    total: int
    left: float | None = None
    failed: int = 0
    rows: Sequence[Row] = ()

    @property
    def summary(self) -> str:
        """As 23 of 45 jobs done, 2 running, 1 failed, about 3 min 05 s left."""
        parts = [f"{self.done:,} of {self.total:,} jobs done"]
        parts += [f"{len(self.rows)} running"] if self.rows else []
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"about {duration(self.left)} left"] if self.left and math.isfinite(self.left) else []
        return ", ".join(parts)


def row(name: str, told: JobState | None, begun: float, measures: str = "") -> Row:
    """A running job by what it says of itself, or, while it says nothing, by when it began (seconds since 1970)."""
    if told is None or told.time < begun:  # what an earlier call said
        return Row(name, note=f"waiting for {duration(time.time() - begun)}", measures=measures)
    if told.state != "running":
        return Row(name, note=told.message or told.state, measures=measures)
    if told.progress is None:
        note = told.message or f"{duration(time.time() - begun)} so far"
        return Row(name, note=note, measures=measures)
    left = told.progress.left
    since = max(0.0, time.time() - told.time)
    return Row(name, told.progress, None if left is None else max(0.0, left - since), measures=measures)


def of_survey(found: Survey) -> View:
    """What the files say of a whole experiment."""
    names, measures = names_of(found.experiment), measures_of(found)
    running = [job for job in found.jobs if job.state == "running"]
    rows = [
        Row(
            place(job.log, names),
            job.progress,
            job.left,
            "" if job.progress else job.note,
            last_of(job.log, measures),
        )
        for job in running
    ]
    return View(
        found.experiment.name, found.count("done"), len(found.jobs), found.needs, found.count("failed"), rows
    )


def names_of(experiment: Experiment) -> dict[str, str]:
    """What to call the folders below results: runs by their names in the config. Others go without saying."""
    names = dict.fromkeys((experiment.name, "data", "classifier"), "")
    names |= {images.folder: dataset for dataset, images in experiment.datasets.items()}
    names |= {spec.folder: dataset for dataset, spec in experiment.classifiers.items()}
    shared: dict[str, list[str]] = {}  # several runs may begin with the same generation
    for run in experiment.runs.values():
        for folder in run.spec.folders:
            shared.setdefault(folder, []).append(run.name)
    more = {folder: f" and {len(runs) - 1} more" for folder, runs in shared.items() if len(runs) > 1}
    return names | {folder: runs[0] + more.get(folder, "") for folder, runs in shared.items()}


Measures = Mapping[tuple[str, str], str]  # (folder of a run, folder of a seed) → its last measures, in words


def measures_of(found: Survey) -> Measures:
    """The last measures of every run and seed."""
    return {(folder, f"seed-{s.seed}"): s.measures for s in found.standings for folder in s.run.spec.folders}


def last_of(log: Path, measures: Measures) -> str:
    """The last measures of the run and seed that a job belongs to."""
    return measures.get((log.parent.parent.parent.name, log.parent.parent.name), "")


def plain(view: View) -> Iterator[str]:
    """The view in lines, for where there is no terminal."""
    yield f"{time.strftime('%H:%M:%S')} {view.title}: {view.summary}"
    for one in view.rows:
        said = ", ".join(filter(None, (_where(one), _left(one), one.note)))
        yield f"    {one.name}: {said}"


def drawn(view: View, size: ConsoleDimensions) -> RenderableType:
    """The view with bars, no wider and no higher than a terminal of this size."""
    room = size.height - 3  # for the whole, what is left out, and the line the cursor is on
    detailed = 2 * len(view.rows) <= room
    shown = view.rows if detailed or len(view.rows) <= room else view.rows[: max(0, room - 1)]
    bar = min(40, max(6, (size.width - TIME_COLUMNS) // 5))
    under_way = sum(one.progress.share for one in view.rows if one.progress)
    share = min(1.0, (view.done + under_way) / view.total) if view.total else 0.0
    parts: list[RenderableType] = [
        _line(Text(view.title, "bold"), bar, share, "", size.width),
        Text(f"  {view.summary}", "dim", no_wrap=True, overflow="ellipsis"),
    ]
    for one in shown:
        share_of_job = one.progress.share if one.progress else None
        parts.append(_line(Text(one.name), bar, share_of_job, _left(one), size.width))
        more = "  ".join(filter(None, (_where(one), one.note, one.measures)))
        if detailed and more:
            parts.append(Text(f"  {more}", "dim", no_wrap=True, overflow="ellipsis"))
    if len(shown) < len(view.rows):
        parts.append(Text(f"  and {len(view.rows) - len(shown)} more", "dim"))
    return Group(*parts)


def _line(name: Text, bar: int, share: float | None, said: str, width: int) -> RenderableType:
    """A name, its bar, what is done of it in %, and some words, in columns of fixed widths."""
    if share is None:
        name.truncate(width, overflow="ellipsis")
        return name
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=max(8, width - bar - TIME_COLUMNS - 5 - 3), no_wrap=True, overflow="ellipsis")
    grid.add_column(width=bar)
    grid.add_column(width=5, justify="right", no_wrap=True)
    grid.add_column(width=TIME_COLUMNS, no_wrap=True, overflow="ellipsis")
    grid.add_row(name, ProgressBar(1.0, share, width=bar), f"{100 * share:.0f} %", said)
    return grid


def _where(one: Row) -> str:
    return "  ".join(filter(None, (one.progress.where, one.progress.said_losses))) if one.progress else ""


def _left(one: Row) -> str:
    return "" if one.left is None else f"{duration(one.left)} left"


class Terminal(Console):
    """A console on the terminal behind an open file, whatever becomes of the standard streams."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__(file=file, highlight=False)

    @property  # type: ignore[misc]  # nobody sets it
    def size(self) -> ConsoleDimensions:
        try:
            return ConsoleDimensions(*os.get_terminal_size(self.file.fileno()))
        except (OSError, ValueError):
            return ConsoleDimensions(80, 24)

    @property
    def can_draw(self) -> bool:
        """Whether a view can be redrawn in place there."""
        return self.is_terminal and not self.is_dumb_terminal


def watch(experiment: Experiment, results: Path, seconds: float, file: IO[str]) -> None:
    """Show how an experiment is doing, again every so many seconds, until it is done or Ctrl-C is pressed."""
    console = Terminal(file)
    live = Live(console=console, auto_refresh=False)
    if console.can_draw:
        live.start()
    try:
        while True:
            begun = time.monotonic()
            found = survey(experiment, results)
            view = of_survey(found)
            if console.can_draw:
                live.update(drawn(view, console.size), refresh=True)
            else:
                print("\n".join(plain(view)), file=file, flush=True)
            if view.done == view.total:
                return
            time.sleep(max(seconds, (time.monotonic() - begun) / SURVEY_SHARE))
    except KeyboardInterrupt:
        return
    finally:
        live.stop()
