"""What a job says of itself: the file that it writes beside its log, and what is read there again."""

from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigloop.runtime import progress as room
from bigloop.runtime.progress import STATES, Progress, Reporter, read_state, state_file

finite = st.floats(min_value=0, max_value=1e9)
progresses = st.builds(
    Progress,
    unit=st.sampled_from(["step", "image", "generation"]),
    done=st.integers(1, 10**6),
    total=st.integers(1, 10**6),
    seconds=finite,
    left=st.none() | finite,
    saved=st.integers(0, 10**6),
    resumed_at=st.none() | st.integers(0, 10**6),
    epoch=st.none() | finite,
    epochs=st.none() | finite,
    losses=st.dictionaries(st.text(), st.floats()),  # NaN and infinities, too: a training that diverges
    rate=st.none() | finite,
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "gen-1" / "train.log"


@pytest.fixture
def report(log: Path) -> Reporter:
    log.parent.mkdir()
    return Reporter(log, "train", 1)


@given(said=progresses, message=st.text(), state=st.sampled_from(STATES), permanent=st.booleans())
def test_what_is_read_is_what_was_said(tmp_path_factory, said, message, state, permanent) -> None:
    log = tmp_path_factory.mktemp("job") / "train.log"
    report = Reporter(log, "train", 2)
    report.begin(1.5)
    report(said)
    report.end(state, message, permanent=permanent, work=2.5)
    told = read_state(log)
    assert told is not None
    assert repr(told) == repr(report.state)  # repr, for NaN is not equal to NaN
    assert repr(told.progress) == repr(said)
    assert (told.state, told.message, told.permanent) == (state, message, permanent)
    assert (told.job, told.attempt, told.pid, told.start_up, told.work) == ("train", 2, os.getpid(), 1.5, 2.5)
    assert str(told.progress)


def test_a_line_for_people_says_where_it_is_and_what_is_left() -> None:
    training = Progress(
        "step", 64, 300, 20.0, 42.0, epoch=3.2, epochs=15, losses={"loss": 101.234}, rate=12_000
    )
    assert str(training) == "epoch 3.2/15.0  loss 101.2  12,000 images/s  42 s left"
    slow = Progress("step", 64, 300, 20.0, 3e7, epoch=3.2, epochs=15, rate=0.3123)
    assert str(slow) == "epoch 3.2/15.0  0.31 images/s  347 days left"
    assert str(Progress("image", 3_000, 9_000)) == "image 3,000 of 9,000"
    assert str(Progress("generation", 50, 50, 65.0, 0.0)) == "generation 50 of 50  done in 1 min 05 s"


def test_the_share_that_is_done_counts_from_where_the_job_begins() -> None:
    assert Progress("generation", 75, 100, start=50).share == 0.5
    assert Progress("step", 0, 0).share == 0.0
    assert Progress("step", 11, 10).share == 1.0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"job": "train"}',
        b'{"job": "train", "progress": null, "state": "asleep"}',
        b'{"job": "train", "progress": null, "time": "noon"}',
        b'{"job": "train", "progress": {"unit": "step"}}',
        b'{"job": "train", "progress": {"unit": "step", "done": "1", "total": 2}}',
        b'{"job": "train", "progress": null, "of": "a later version"}',
    ],
)
def test_what_cannot_be_understood_is_as_good_as_nothing(log: Path, content: bytes) -> None:
    log.parent.mkdir()
    assert read_state(log) is None
    state_file(log).write_bytes(content)
    assert read_state(log) is None


def test_lines_are_logged_and_progress_now_and_then_and_at_the_end(
    report: Reporter, log: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "bigloop")
    logging.getLogger("bigloop").propagate = True
    now = room.time.monotonic()
    monkeypatch.setattr(room.time, "monotonic", lambda: now)
    report("training on 600 images")
    for step in range(1, 1_001):
        report(Progress("step", step, 1_000))
    assert caplog.messages == ["training on 600 images", "step 1,000 of 1,000  done in 0 s"]
    told = read_state(log)
    assert told is not None
    assert told.message == "training on 600 images"
    assert told.progress == Progress("step", 1_000, 1_000)


def test_a_thousand_reports_at_once_are_one_file_written(
    report: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[Path] = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: moved.append(to) or replace(self, to))
    monkeypatch.setattr(room.time, "monotonic", lambda: 1e6)
    for step in range(1, 1_000):
        report(Progress("step", step, 1_000))
    assert len(moved) == 1
    report(Progress("step", 1_000, 1_000))
    assert len(moved) == 2  # the end is always written


def test_a_disk_that_takes_nothing_costs_the_file_and_not_the_job(report: Reporter, log: Path) -> None:
    report.end("failed", "a reason", permanent=True)
    state_file(log).unlink()
    state_file(log).mkdir()  # nothing can be moved to a folder's place
    report(Progress("step", 10, 10))
    report.end("done")
    assert read_state(log) is None


def test_what_an_earlier_call_said_is_gone_even_where_nothing_can_be_written(
    report: Reporter, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report.end("failed", "a reason", permanent=True)

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    Reporter(log, "train", 1)
    assert read_state(log) is None


def test_the_file_is_whole_at_every_moment(
    report: Reporter, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report("one")
    before = state_file(log).read_bytes()
    written = Path.write_text

    def halfway(self: Path, text: str) -> None:
        written(self, text[:20])
        assert state_file(log).read_bytes() == before
        raise OSError("killed there")

    monkeypatch.setattr(Path, "write_text", halfway)
    report("two")
    assert json.loads(state_file(log).read_bytes())["message"] == "one"


def test_a_training_took_all_its_calls_together() -> None:
    ended = room.JobState("train", "done", start_up=2.0, work=30.0)
    assert ended.seconds == 32
    stopped_before = Progress("step", 10, 10, seconds=500.0, resumed_at=9)
    assert room.replace(ended, progress=stopped_before).seconds == 500
    assert room.JobState("train").seconds is None
    assert math.isclose(room.replace(ended, progress=stopped_before).trained, 500)
