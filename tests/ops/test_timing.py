"""Works timed by parts: what is told of the whole, and how much is done for it. The clock is the test's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from bigloop.ops.timing import GROWTH, NOISE, VERBS, Probe, Stopwatch, timed

NEEDS: dict[str, tuple[str, ...]] = dict.fromkeys(VERBS, ())


class Work:
    """A work whose parts take the seconds that they are said to; and the clock that they take them from."""

    def __init__(self, seconds: Callable[[int], float]) -> None:
        self.seconds, self.now, self.parts = seconds, 0.0, list[int]()

    def clock(self) -> float:
        return self.now

    def prepare(self, n: int) -> Callable[[], object]:
        def call() -> None:
            self.parts.append(n)
            self.now += self.seconds(n)

        return call

    def probe(self, size: int, **more: Any) -> Probe:
        return Probe("a work", self.prepare, size, **more)


@pytest.mark.parametrize("power", [1.0, 2.0, 2.5])
@pytest.mark.parametrize(("around", "unit"), [(0.7, 1e-2), (0.0, 1.0), (0.2, 1e-5)])
def test_a_work_that_follows_its_law_is_told_within_the_noise_at_any_size(
    around: float, unit: float, power: float
) -> None:
    def seconds(n: float) -> float:
        return around + unit * n**power

    low, high, done = timed((work := Work(seconds)).probe(10**9, power=power), 10.0, work.clock)
    assert done < 10**9
    for size in (done, 10 * done, 10**9):
        assert low.at(size) < seconds(size) < high.at(size)
        assert (
            high.at(size) / low.at(size) < 2.2
        )  # each end of a slope is off by NOISE, and the slope by SCALED


def test_what_fits_the_patience_is_timed_as_it_is() -> None:
    low, high, done = timed((work := Work(lambda n: 0.1 + n * 1e-3)).probe(1_000), 10.0, work.clock)
    assert done == 1_000
    assert (low.at(1_000), high.at(1_000)) == (pytest.approx(1.1 / NOISE), pytest.approx(1.1 * NOISE))
    assert max(work.parts) == 1_000


@pytest.mark.parametrize("power", [1.0, 2.5])
@pytest.mark.parametrize("unit", [1e-9, 1e-4, 1.0, 100.0])
def test_no_more_is_done_than_patience_allows_beside_the_least_parts(unit: float, power: float) -> None:
    work = Work(lambda n: unit * n**power)
    timed(work.probe(10**9, power=power), 1.0, work.clock)
    assert work.now <= 1.0 + 2 * unit  # the least part warms up and is timed, whatever it takes
    assert len(work.parts) <= 3 + math.log(10**9, GROWTH)


@pytest.mark.parametrize("patience", [0.01, 0.5, 8.0])
def test_what_a_training_takes_once_does_not_stand_for_every_batch(patience: float) -> None:
    def training(n: int) -> float:  # in batches of 64, or one smaller batch
        return 0.35 + 0.25 * math.ceil(n / 64) + 0.005 * n

    work = Work(training)
    low, high, done = timed(work.probe(64 * 10**5, batch=64), patience, work.clock)
    assert done >= 128
    whole = training(64 * 10**5)
    assert 0.6 < low.at(64 * 10**5) / whole < high.at(64 * 10**5) / whole < 1.6
    assert work.now < patience + 7


def test_a_batch_that_takes_long_is_not_waited_for() -> None:
    work = Work(lambda n: 5.0 * n)
    assert timed(work.probe(6_400, batch=64), 1.0, work.clock).done == 1
    assert work.parts == [1, 1]


def test_the_least_part_is_what_a_work_can_be_tried_with() -> None:
    work = Work(lambda n: 5.0)
    assert timed(work.probe(100, least=7), 1.0, work.clock).done == 7
    assert work.parts == [7, 7]
    assert timed(work.probe(3, least=7), 1.0, work.clock).done == 3


def test_noise_widens_the_range() -> None:
    def told(noise: float) -> tuple[float, float]:
        work = Work(lambda n: n * (noise if len(work.parts) % 2 else 1.0))
        low, high, done = timed(work.probe(10**6), 300.0, work.clock)
        assert done > 16
        return low.at(10**6), high.at(10**6)

    quiet, noisy = told(1.0), told(1.3)
    assert quiet[0] < 10**6 < quiet[1]
    assert noisy[0] < 1.15 * 10**6 < noisy[1]
    assert noisy[1] / noisy[0] > 1.3 * quiet[1] / quiet[0]


def test_a_slope_that_noise_hides_is_not_taken_for_none() -> None:
    low, high, done = timed((work := Work(lambda n: 1.0 + 0.01 * n)).probe(10**6), 8.0, work.clock)
    assert done < 200
    assert low.at(10**6) < 10_001 < high.at(10**6)


def test_large_parts_are_made_of_whole_batches() -> None:
    work = Work(lambda n: 0.01 * n)
    done = timed(work.probe(10**6, batch=100), 50.0, work.clock).done
    assert done > 100
    assert [n for n in work.parts if n > 100 and n % 100] == []


def test_what_a_batch_takes_beside_its_rows_is_in_every_batch() -> None:
    def seconds(n: int) -> float:  # a step takes 2 s, whatever it sees, and 0.1 s an image
        return 2.0 * max(1, n // 64) + 0.1 * n

    for patience, of in ((12.0, "less than a batch"), (4_000.0, "batches")):
        low, high, done = timed((work := Work(seconds)).probe(64_000, batch=64), patience, work.clock)
        assert (done < 64) == (of == "less than a batch")
        assert low.at(64_000) < seconds(64_000) < high.at(64_000)


class Clockwork(Stopwatch):
    """A stopwatch whose clock is a work's."""

    def __init__(self, work: Work) -> None:
        super().__init__(NEEDS, 1, torch.device("cpu"))
        self.clock = work.clock  # type: ignore[method-assign]


def test_works_are_timed_once_each_at_the_largest_size_asked_for() -> None:
    watch = Clockwork(work := Work(lambda n: 1e-3 * n))
    for depends, size in ((("training", 1), 50), (("training", 1), 80), (("training", 2), 10)):
        assert watch.line(depends, work.probe(size)).at(size) == 0.0  # nothing is known yet
    said: list[str] = []
    watch.run(10.0, said.append)
    assert sorted(p.size for p in watch.probes.values()) == [10, 80]
    done = len(work.parts)
    low = watch.line(("training", 1), work.probe(50)).at(50)
    watch.worst = True
    assert low < 0.05 < watch.line(("training", 1), work.probe(50)).at(50)
    watch.run(10.0, said.append)
    assert len(work.parts) == done
    assert said[:3] == [
        "timing 3 kinds of work, for about 10 s in all",
        "timed a work: all of it; 1 to go",
        "timed a work: all of it; 0 to go",
    ]


def test_all_probes_together_keep_to_the_time_they_are_given_and_the_last_ones_get_some() -> None:
    watch = Clockwork(work := Work(lambda n: 1e-3 * n))
    for number in range(20):
        watch.line(number, work.probe(10**9, share=1 + 2 * (number == 0)))
    watch.run(10.0, lambda line: None)
    assert 5.0 < work.now < 15.0
    done = [found.done for found in watch.found.values()]
    assert min(done) >= 64
    assert done[0] == max(done)


def test_start_up_is_that_of_what_a_verb_imports() -> None:
    needs = NEEDS | {"plot": ("json",), "train": ("json", "torch")}
    watch = Stopwatch(needs, 1, torch.device("cpu"))
    watch.run(1.0, lambda line: None)
    best = [watch.start(verb) for verb in VERBS]
    assert 0.0 < best[0] < best[1] <= best[2] <= best[3]
    watch.worst = True
    assert watch.start("train") > best[1]
