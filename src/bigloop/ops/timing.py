"""A little of a work timed, and the whole of it told from that, in the best case and in the worst.

    low, high, done = timed(Probe("sampling", prepare, size=60_000), patience=1.0, clock=time.process_time)
    low.at(60_000), high.at(60_000)                          # seconds

The part that is done grows until it is the whole, or until the patience is used up. A line through the last parts gives
the rest; as far as the lines through any two of them differ, so do best and worst case.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from bigloop.runtime.progress import Report
from bigloop.spec.options import digest

VERBS = ("plot", "train", "simulate", "measure")  # each imports what those before it do, and more
GROWTH = 4  # from one part to the next
NOISE = 1.1  # two timings of the same differ by this factor and its inverse
STRETCH = (
    3.0  # seconds a part that may be spent beyond the patience to get from less than a batch to two of them
)
SCALED = 1.1  # and a row of a large work from one of a small part, by this: caches


class Line(NamedTuple):
    """Seconds of a work of some size: around + unit · size^power."""

    around: float
    unit: float
    power: float = 1.0

    def at(self, size: float) -> float:
        return self.around + self.unit * size**self.power

    def times(self, factor: float) -> Line:
        """The line of a work that takes so many times as long."""
        return Line(self.around * factor, self.unit * factor, self.power)


@dataclass(frozen=True)
class Probe:
    """A work of which a part can be done by itself. words: what it is.

    prepare(n) makes ready a part of size n, a multiple of `least` up to `size`, or all of it, and returns the call that
    does it; only that is timed. The time grows as n to `power`. batch: larger parts are whole batches, smaller ones a
    smaller batch.
    """

    words: str
    prepare: Callable[[int], Callable[[], object]]
    size: int
    power: float = 1.0
    least: int = 1
    batch: int = 1
    share: int = 1  # of the time for all probes


class Timed(NamedTuple):
    """The best and the worst case of a probe, and the largest part that was timed."""

    low: Line
    high: Line
    done: int


class Stopwatch:
    """Times works once they have all been named, each of them once.

    An experiment is added up with `line` and `start` three times. Before `run`, which times what was asked for, they
    give nothing; then the best case; and, with `worst` set, the worst. needs: the modules that each verb of the command
    line imports.
    """

    def __init__(self, needs: Mapping[str, Sequence[str]], threads: int, device: torch.device) -> None:
        self.needs, self.threads, self.device = needs, threads, device
        self.worst = False
        self.found: dict[str, Timed] = {}
        self.probes: dict[str, Probe] = {}  # of what is found, and of what is still to be timed
        self.known: dict[Any, Any] = {}
        torch.set_num_threads(threads)

    def line(self, depends: Any, probe: Probe) -> Line:
        """What any size of a work takes; it is the same work where it `depends` on the same."""
        key = digest(depends, digits=16)
        if key in self.found:
            return self.found[key].high if self.worst else self.found[key].low
        if key not in self.probes or self.probes[key].size < probe.size:
            self.probes[key] = probe
        return Line(0.0, 0.0)

    def start(self, verb: str) -> float:
        """Seconds before a job of this verb does anything: the interpreter and the imports."""
        return self.once("start", dict).get(verb, 0.0) * (NOISE if self.worst else 1 / NOISE)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once for each key."""
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]

    def run(self, seconds: float, report: Report) -> None:
        """Time what was asked for, in about so many seconds of the clock; longer where the least parts take longer."""
        waiting = [key for key in self.probes if key not in self.found]
        report(f"timing {len(waiting) + 1} kinds of work, for about {seconds:.0f} s in all")
        self.known["start"] = self._start_up()
        shares = max(1, sum(self.probes[key].share for key in waiting))
        end, least = self.clock() + seconds, seconds / shares / 4  # some time for the last ones in any case
        for done, key in enumerate(waiting, start=1):
            probe = self.probes[key]
            patience = probe.share * max(least, (end - self.clock()) / shares)
            shares -= probe.share
            self.found[key] = found = timed(probe, patience, self.clock)
            part = "all of it" if found.done == probe.size else f"{found.done:,} of {probe.size:,}"
            report(f"timed {probe.words}: {part}; {len(waiting) - done} to go")

    @property
    def processor(self) -> bool:
        """Whether it is the processor's own time that is taken: where one thread of it does all."""
        return self.device.type == "cpu" and self.threads == 1

    def clock(self) -> float:
        """Seconds since some moment."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.process_time() if self.processor else time.perf_counter()

    def _start_up(self) -> dict[str, float]:
        """By verb, seconds of start-up, in one process that imports what each of them needs, the lightest first."""
        clock = "process_time" if self.processor else "perf_counter"
        code = f"""import importlib, time
begun = 0.0 if {self.processor} else time.perf_counter()
for modules in {[tuple(self.needs[verb]) for verb in VERBS]}:
    for module in modules: importlib.import_module(module)
    print(time.{clock}() - begun)"""
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        return dict(zip(VERBS, map(float, done.stdout.split()), strict=True))


def timed(probe: Probe, patience: float, clock: Callable[[], float]) -> Timed:
    """Time growing parts of a work for about `patience` seconds of the clock; the least part at least."""

    def part(n: int) -> float:
        call = probe.prepare(n)
        begun = clock()
        call()
        return max(clock() - begun, 1e-7)

    n, points = min(probe.least, probe.size), []
    part(n)  # imports what it needs, and warms up
    end = clock() + patience
    while True:
        begun = clock()
        points.append((n, part(n)))
        now = clock()
        affordable = n * ((end - now) / max(now - begun, 1e-7)) ** (1 / probe.power) if end > now else 0
        if n == probe.size:
            break
        if n < 2 * probe.batch and _next(points) < STRETCH:  # what less takes is not for images alone
            affordable = max(affordable, n * GROWTH)
        larger = min(probe.size, n * GROWTH, int(affordable))
        if larger < probe.size:
            unit = probe.batch if larger > probe.batch else probe.least
            larger -= larger % unit
        if larger < min(1.5 * n, probe.size):
            break
        n = larger
    if affordable >= n:
        points.append((n, part(n)))
    return _through(points, probe)


def _next(points: Sequence[tuple[int, float]]) -> float:
    """Seconds that the next part takes, as far as the last two tell."""
    (m, before), (n, seconds) = (0, 0.0), points[-1]
    if len(points) > 1:
        m, before = points[-2]
    return seconds + max(0.0, seconds - before) / (n - m) * n * (GROWTH - 1)


def _through(points: Sequence[tuple[int, float]], probe: Probe) -> Timed:
    """Lines through the largest part, with the least and the greatest slope from one of two that are half as large."""
    done, p = points[-1][0], probe.power
    whole = done == probe.size  # then a slope is needed but for smaller sizes
    smaller = [(n, seconds) for n, seconds in points if n <= done / 2][-2:]
    ends = []
    for extreme, noise, scaled in (min, 1 / NOISE, 1 / SCALED), (max, NOISE, SCALED):
        seconds = extreme(seconds for n, seconds in points if n == done)
        apart = 1.0 if whole else noise**2
        slopes = [max(0.0, (seconds - s / apart) / (done**p - m**p)) for m, s in smaller]
        unit = extreme(slopes or [seconds / done**p]) * (1.0 if whole else scaled)
        line = Line(max(0.0, seconds - unit * done**p), unit, p).times(noise)
        # Of less than a batch the rest is in every batch, not in the whole.
        ends.append(line if done >= probe.batch else Line(0.0, line.at(probe.batch) / probe.batch, p))
    return Timed(ends[0], ends[1], done)
