"""The logger plugin without a terminal, fed with the records that Snakemake makes."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

from bigloop.config.experiment import Experiment
from bigloop.ops.logger import LogHandler
from bigloop.ops.view import Terminal
from bigloop.runtime.job import VIEWED
from bigloop.runtime.progress import Reporter

Emit = Callable[..., str]


@pytest.fixture
def settings() -> SimpleNamespace:
    flags = ("dryrun", "verbose", "debug_dag", "printshellcmds", "nocolor", "stdout", "show_failed_logs")
    return SimpleNamespace(quiet=None, **dict.fromkeys(flags, False))


@pytest.fixture
def handler(
    settings: SimpleNamespace,
    config: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> LogHandler:
    monkeypatch.setenv(VIEWED, "")
    handler = LogHandler(settings, None)
    handler.terminal = Terminal(io.StringIO())
    handler.follow(Experiment.from_config(config), Path("results"))
    return handler


@pytest.fixture
def emit(handler: LogHandler) -> Emit:
    """Hand over a record; returns what was printed of it."""

    def emit(
        event: LogEvent | None = None, message: str = "", level: int = logging.INFO, **given: Any
    ) -> str:
        handler.terminal.file = out = io.StringIO()
        handler.handle(logging.makeLogRecord({"msg": message, "levelno": level, "event": event, **given}))
        return out.getvalue()

    return emit


def job(log: Path, number: int) -> dict[str, Any]:
    return {"jobid": number, "log": [str(log)], "rule_name": "measure"}


def measure_log(handler: LogHandler, tmp_path: Path, t: int) -> Path:
    (folder,) = [
        folder for folder, name in handler.run.names.items() if name == "vae" and "first" not in folder
    ][:1]
    log = tmp_path / "results" / "runs" / folder / "seed-0" / f"gen-{t}" / "measure.log"
    log.parent.mkdir(parents=True)
    log.touch()
    return log


def test_snakemake_finds_the_plugin_by_its_name() -> None:
    assert LoggerPluginRegistry().get_plugin("bigloop").log_handler is LogHandler  # type: ignore[attr-defined]


def test_jobs_of_a_run_are_told_by_its_name_and_jobs_of_a_kind_are_counted(
    emit: Emit, handler: LogHandler, tmp_path: Path
) -> None:
    stats = {"measure": 2, "plot_fid": 1, "plot_losses": 1, "all": 1, "total": 5}
    assert emit(LogEvent.RUN_INFO, "Job stats: …", stats=stats) == "smoke: 2 measure, 2 plot\n"
    log = measure_log(handler, tmp_path, 2)
    assert emit(LogEvent.JOB_INFO, **job(log, 3)) == "started   vae seed 0 generation 2 measure\n"
    emit(LogEvent.PROGRESS, done=4, total=5)
    assert emit(LogEvent.JOB_FINISHED, job_id=3).endswith(" (5 of 5)\n")
    assert emit(LogEvent.JOB_INFO, jobid=0, log=[], rule_name="all") == ""


def test_in_a_group_that_failed_each_job_is_told_once_with_its_own_end(
    emit: Emit, handler: LogHandler, tmp_path: Path
) -> None:
    logs = [measure_log(handler, tmp_path, t) for t in (1, 2, 3)]
    for number, log in enumerate(logs):
        emit(LogEvent.JOB_INFO, **job(log, number))
    Reporter(logs[0], "measure", 1).end("done")
    Reporter(logs[1], "measure", 1).end("failed", "samples.safetensors: damaged", permanent=True)
    infos = [job(log, number) for number, log in enumerate(logs)]
    assert emit(LogEvent.GROUP_ERROR, "Error in group", logging.ERROR, job_error_info=infos) == ""
    ends = [emit(LogEvent.JOB_ERROR, "Error", logging.ERROR, **info).splitlines()[0] for info in infos]
    name = "FAILED    vae seed 0 generation"
    assert ends == [
        f"{name} 1 measure: done, but for its outputs or another job of its group",
        f"{name} 2 measure: samples.safetensors: damaged",
        f"{name} 3 measure: it did not begin",
    ]


def test_a_job_that_was_killed_is_told_with_the_end_of_its_log_and_counts_no_more_when_it_is_tried_again(
    emit: Emit, handler: LogHandler, tmp_path: Path
) -> None:
    log = measure_log(handler, tmp_path, 1)
    emit(LogEvent.JOB_INFO, **job(log, 1))
    Reporter(log, "measure", 1)
    log.write_text("".join(f"line {i}\n" for i in range(100)))
    printed = emit(LogEvent.JOB_ERROR, "Error", logging.ERROR, **job(log, 1))
    assert re.search(r"measure: it ended without saying why\n +line 95\n", printed)
    assert handler.run.view().failed == 1
    emit(LogEvent.JOB_INFO, **job(log, 1))
    assert handler.run.view().failed == 0


def test_warnings_and_errors_pass_and_what_is_said_in_every_run_does_not(emit: Emit) -> None:
    assert emit(None, "Building DAG of jobs...") == ""
    assert emit(None, "Nothing to be done.") == "Nothing to be done.\n"
    assert emit(None, "Using too much memory", logging.WARNING) == "Using too much memory\n"
    assert emit(LogEvent.ERROR, "MissingInputException in rule fetch", logging.ERROR) != ""
    assert emit(LogEvent.ERROR, "RuleException:\nCalledProcessError in file …", logging.ERROR) == ""
    assert emit(LogEvent.SHELLCMD, "python -m bigloop …") == ""


def test_when_told_to_be_quiet_it_says_failures_alone(
    settings: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VIEWED, "")
    settings.quiet = {"all"}
    handler = LogHandler(settings, None)
    for event, given in (
        (LogEvent.RUN_INFO, {"stats": {"measure": 1, "total": 1}}),
        (LogEvent.JOB_INFO, job(Path("results/a.log"), 1)),
        (None, {}),
    ):
        handler.handle(logging.makeLogRecord({"msg": "a word", "event": event, "levelno": 20, **given}))
    assert capsys.readouterr().err == ""
    handler.handle(
        logging.makeLogRecord({"event": LogEvent.JOB_ERROR, "levelno": 40, **job(Path("results/a.log"), 1)})
    )
    assert capsys.readouterr().err.startswith("FAILED    a: it did not begin\n")


@pytest.mark.parametrize("flag", ["dryrun", "verbose", "debug_dag"])
def test_dry_runs_and_verbose_ones_look_as_without_the_plugin(
    flag: str,
    settings: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(VIEWED, raising=False)
    setattr(settings, flag, True)
    handler = LogHandler(settings, None)
    handler.handle(
        logging.makeLogRecord({"msg": "Building DAG of jobs...", "levelno": 20, "levelname": "INFO"})
    )
    assert capsys.readouterr().err == "Building DAG of jobs...\n"
