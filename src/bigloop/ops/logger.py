"""What a person sees of a running workflow: a logger plugin of Snakemake (`logger: bigloop` in a profile).

On a terminal one live view; elsewhere a short line for each job that starts, ends or fails. Jobs go by their runs'
names in the config, and a failed one says why. Dry runs and --verbose look as they do without the plugin.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rich.live import Live
from rich.text import Text
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from bigloop.config.experiment import Experiment
from bigloop.ops import view
from bigloop.ops.survey import survey
from bigloop.runtime.job import VIEWED
from bigloop.runtime.progress import read_state
from bigloop.runtime.words import duration, place

SURVEY_SECONDS = 5.0  # at least, between two looks at all files
TAIL = 5  # lines of the log of a job that says nothing of its end
ROUTINE = (  # what Snakemake says in every run, and the view says better or not at all
    "Assuming unrestricted shared filesystem",
    "Building DAG of jobs",
    "Using ",
    "Conda environments: ignored",
    "Singularity containers: ignored",
    "Group jobs: inactive",
    "Select jobs to execute",
    "Complete log(s)",
    "Elapsed time",
    "Job ",  # has been submitted to a cluster
)
TOLD = (  # what failed has said so itself
    "CalledProcessError in file",
    "At least one job did not complete successfully",
    "Exiting because a job execution failed",
)
STYLES = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}
SILENT = {
    LogEvent.WORKFLOW_STARTED,
    LogEvent.JOB_STARTED,
    LogEvent.GROUP_INFO,
    LogEvent.GROUP_ERROR,  # each of its jobs has one of its own
    LogEvent.RESOURCES_INFO,
    LogEvent.DEBUG_DAG,
    LogEvent.RULEGRAPH,
}


@dataclass
class Run:
    """What Snakemake has said of its jobs so far. active: jobs at work, by id, with when they began."""

    title: str = "workflow"
    done: int = 0
    total: int = 0
    failed: set[int] = field(default_factory=set)  # jobs, by id, that are not tried again so far
    active: dict[int, tuple[Path, float]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    measures: view.Measures = field(default_factory=dict)
    left: float | None = None
    begun: float = field(default_factory=time.time)

    def view(self) -> view.View:
        rows = [
            view.row(place(log, self.names), read_state(log), begun, view.last_of(log, self.measures))
            for log, begun in tuple(self.active.values())
        ]
        return view.View(self.title, self.done, self.total, self.left, len(self.failed), rows)


class LogHandler(LogHandlerBase):
    """Shows a workflow; see the module. Snakemake calls `emit` in a thread of its own, and `close` at the end."""

    def __post_init__(self) -> None:
        settings = self.common_settings
        self.run = Run()
        self.followed: list[tuple[Experiment, Path]] = []
        self.screen: Screen | None = None
        self.usual: logging.Handler | None = None
        if settings.dryrun or settings.verbose or settings.debug_dag:
            self.usual = _usual_handler(settings)
            return
        self.quiet = {str(kind) for kind in settings.quiet or ()}
        self.terminal = view.Terminal(sys.stderr)
        os.environ[VIEWED] = "1"  # jobs write to their logs, and leave the terminal to the view

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def follow(self, experiment: Experiment, results: Path) -> None:
        """Called by the workflow when it is planned: whose names to use, and where its files are."""
        self.run.title = experiment.name
        self.run.names |= view.names_of(experiment)
        self.followed.append((experiment, results.absolute()))

    def _survey(self) -> None:
        """Look at all files now and then, for the time that is left and the last measures."""
        while True:
            begun = time.monotonic()
            found = [survey(*one) for one in self.followed]
            self.run.left = max((one.needs for one in found), default=None)
            self.run.measures = {key: words for one in found for key, words in view.measures_of(one).items()}
            time.sleep(max(SURVEY_SECONDS, (time.monotonic() - begun) / view.SURVEY_SHARE))

    def emit(self, record: logging.LogRecord) -> None:
        if self.usual is not None:
            self.usual.handle(record)
            return
        event, run = getattr(record, "event", None), self.run
        match event:
            case LogEvent.RUN_INFO:
                run.total = record.stats["total"]  # type: ignore[attr-defined]
                self._begin(record.stats)  # type: ignore[attr-defined]
            case LogEvent.JOB_INFO:
                self._started(record)
            case LogEvent.JOB_FINISHED:
                self._finished(record.job_id)  # type: ignore[attr-defined]
            case LogEvent.JOB_ERROR:
                self._failed(record.__dict__)
            case LogEvent.PROGRESS:
                run.done, run.total = record.done, record.total  # type: ignore[attr-defined]
            case LogEvent.SHELLCMD:
                if self.common_settings.printshellcmds:
                    self._say(record.getMessage())
            case _ if event not in SILENT:
                self._pass_on(record)

    def _pass_on(self, record: logging.LogRecord) -> None:
        """Say what Snakemake says, but for what a job has said better."""
        said = record.getMessage().removeprefix("WorkflowError:\n").removeprefix("RuleException:\n")
        routine = record.levelno < logging.WARNING and (said.startswith(ROUTINE) or "all" in self.quiet)
        if said not in ("", "None") and not routine and not said.startswith(TOLD):
            self._say(said, STYLES.get(record.levelno, ""))

    def _begin(self, stats: dict[str, int]) -> None:
        kinds: Counter[str] = Counter()
        for rule, count in stats.items():
            if rule not in ("total", "all"):
                kinds["plot" if rule.startswith("plot_") else rule] += count
        if self.terminal.can_draw and not self.quiet & {"all", "progress"}:
            self.screen = Screen(self.terminal, self.run)
            threading.Thread(target=self._survey, daemon=True).start()
        else:
            self._tell(f"{self.run.title}: {', '.join(f'{n} {kind}' for kind, n in kinds.items())}")

    def _started(self, record: logging.LogRecord) -> None:
        logs: list[str] = record.log  # type: ignore[attr-defined]
        if logs:
            log = Path(logs[0]).absolute()
            self.run.failed.discard(record.jobid)  # type: ignore[attr-defined]
            self.run.active[record.jobid] = log, time.time()  # type: ignore[attr-defined]
            self._tell(f"started   {place(log, self.run.names)}")

    def _finished(self, job: int) -> None:
        if job in self.run.active:
            log, begun = self.run.active.pop(job)
            told = f"{place(log, self.run.names)}, {duration(time.time() - begun)}"
            self._tell(f"finished  {told} ({self.run.done + 1} of {self.run.total})")

    def _failed(self, error: dict[str, Any]) -> None:
        """Say which job failed, and why, by what it said itself or by the end of its log."""
        self.run.active.pop(error["jobid"], None)
        log = Path(error["log"][0]).absolute() if error["log"] else None
        told = read_state(log) if log else None
        name = place(log, self.run.names) if log else error["rule_name"]
        if told and told.state == "stopped":
            self._say(f"stopped   {name}: {told.message}", "yellow")
            return
        self.run.failed.add(error["jobid"])
        end = _tail(log) if log else ()
        match told.state if told else None:
            case "failed":
                why = [told.message] if told else []
            case "done":
                why = ["done, but for its outputs or another job of its group"]
            case "running":
                why = ["it ended without saying why", *end]
            case _:
                why = ["it did not begin", *end]
        self._say(f"FAILED    {name}: {why[0]}", "bold red")
        for line in [*why[1:], *([f"log: {os.path.relpath(log)}"] if log else [])]:
            self._say(f"          {line}")

    def _tell(self, line: str) -> None:
        """A line that the live view makes needless."""
        if self.screen is None and not self.quiet & {"all", "progress"}:
            self._say(line)

    def _say(self, text: str, style: str = "") -> None:
        if self.screen or self.terminal.is_terminal:
            self.terminal.print(Text(text, style), soft_wrap=True)
        else:
            print(text, file=self.terminal.file, flush=True)

    def close(self) -> None:
        """The end: the terminal is as it was, and a line says how far the workflow came."""
        if self.usual is None and self.run.total:
            if self.screen:
                self.screen.close()
                self.screen = None
            run, took = self.run, duration(time.time() - self.run.begun)
            run.active.clear()
            run.left = None
            hint = "" if run.done == run.total else "; rerun the same command to continue"
            self._tell(f"{run.title}: {run.view().summary} after {took}{hint}")
            run.total = 0
        super().close()


class Screen:
    """The live view on a terminal. What else is written to this process's standard error, by it or by its jobs,
    comes out above the view, line by line."""

    def __init__(self, terminal: view.Terminal, run: Run) -> None:
        self.terminal, self.run = terminal, run
        self.before = os.dup(2)
        terminal.file = os.fdopen(
            self.before, "w", encoding=terminal.encoding, errors="replace", closefd=False
        )
        inside, outside = os.pipe()
        os.dup2(outside, 2)
        os.close(outside)
        said = os.fdopen(inside, errors="replace")
        self.reader = threading.Thread(target=self._pass_on, args=(said,), daemon=True)
        self.reader.start()
        self.live = Live(
            console=terminal,
            get_renderable=lambda: view.drawn(self.run.view(), terminal.size),
            refresh_per_second=2,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.live.start()
        terminal.show_cursor(True)  # nor does it stay hidden where this process is killed

    def _pass_on(self, lines: IO[str]) -> None:
        for line in lines:
            self.terminal.print(Text(line.rstrip("\n")), soft_wrap=True)

    def close(self) -> None:
        self.live.stop()
        os.dup2(self.before, 2)  # the pipe's last end here; jobs that still run may hold others
        self.reader.join(timeout=1.0)


def _tail(log: Path) -> Iterator[str]:
    """The last lines of a log."""
    with suppress(OSError):
        yield from log.read_text(errors="replace").splitlines()[-TAIL:]


def _usual_handler(settings: Any) -> logging.Handler:
    """Snakemake's own handler, as it stands where there is no plugin."""
    from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter

    return ColorizingTextHandler(
        nocolor=settings.nocolor,
        stream=sys.stdout if settings.stdout else sys.stderr,
        formatter=DefaultFormatter(settings.quiet, settings.show_failed_logs),
        filter=DefaultFilter(
            settings.quiet, settings.debug_dag, settings.verbose, settings.dryrun, settings.printshellcmds
        ),
    )
