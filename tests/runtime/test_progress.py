"""The line of progress: what a training writes is what `status` reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigloop.runtime.progress import Progress, read_progress
from bigloop.runtime.words import duration

losses = st.dictionaries(st.from_regex(r"[a-z]+(_[a-z]+)?", fullmatch=True), st.floats(width=32), max_size=3)
progresses = st.builds(
    Progress,
    epoch=st.floats(0, 1e4),
    epochs=st.floats(0, 1e4),
    losses=losses,
    rate=st.floats(0, 1e7),
    seconds=st.floats(0, 1e7),
    finished=st.booleans(),
)


@given(progress=progresses, before=st.sampled_from(["", "2026-11-22 02:35:57,151 "]))
def test_a_line_that_is_read_gives_the_same_line_again(progress: Progress, before: str) -> None:
    read = read_progress(f"{before}{progress}\n")
    assert read is not None
    assert str(read) == str(progress)


@given(progress=progresses)
def test_a_line_that_is_read_keeps_its_numbers_to_the_digits_shown(progress: Progress) -> None:
    read = read_progress(str(progress))
    assert read is not None
    assert read.losses.keys() == progress.losses.keys()
    assert read.epoch == pytest.approx(progress.epoch, abs=0.051)  # one digit after the point
    assert read.rate == pytest.approx(progress.rate, abs=0.51)
    # Seconds are shown below an hour, minutes above; these are cut off, not rounded.
    assert read.seconds == pytest.approx(progress.seconds, abs=0.51 if progress.seconds < 3599 else 60)
    assert read.finished == progress.finished


@pytest.mark.parametrize(
    "line",
    [
        "",
        "training on 600 images, cpu, 1 threads",
        "going on from step 120 of 1,000",
        "epoch 2.2/2.2  loss 1  1,390 images/s  done in",
        "epoch 2.2/2.2  loss 1  1,390 images/s  1 fortnight left",
        "epoch 1.2.3/2.2  loss 1  1,390 images/s  1 s left",
        "epoch 2.2/2.2  loss 1, 1  1,390 images/s  1 s 2 left",
    ],
)
def test_other_lines_are_not_taken_for_progress(line: str) -> None:
    assert read_progress(line) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7800, "2 h 10 min"),
        (100 * 3600, "100 h 00 min"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words
