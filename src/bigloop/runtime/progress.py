"""The line of progress that a training writes to its log, and that `status` reads there again. Without torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bigloop.runtime.words import duration

Report = Callable[[str], None]


_LINE = re.compile(
    r"epoch (?P<epoch>[\d.]+)/(?P<epochs>[\d.]+)  (?P<losses>.*?)  (?P<rate>[\d,]+) images/s  "
    r"(?:(?P<left>[\w ]+) left|done in (?P<taken>[\w ]+))$"
)


_GENERATION = re.compile(r"generation \d+ of \d+, (?P<left>[\w ]+) left$")


_SECONDS = {"h": 3600, "min": 60, "s": 1}


@dataclass(frozen=True)
class Progress:
    """How far a training is: passes over its rows, its losses, images a second, and seconds.

    The seconds are those left, or, where it is `finished`, those that it took, earlier calls included.
    """

    epoch: float
    epochs: float
    losses: Mapping[str, float]
    rate: float
    seconds: float
    finished: bool

    def __str__(self) -> str:
        """The line, as `epoch 3.2/15.0  loss 101.2  12,000 images/s  42 s left`; `read_progress` reads it."""
        losses = ", ".join(f"{name} {loss:.4g}" for name, loss in self.losses.items())
        time = f"done in {duration(self.seconds)}" if self.finished else f"{duration(self.seconds)} left"
        return f"epoch {self.epoch:.1f}/{self.epochs:.1f}  {losses}  {self.rate:,.0f} images/s  {time}"


def read_progress(line: str) -> Progress | None:
    """The progress that ends a line of a log, with the digits that it shows; None for any other line."""
    found = _LINE.search(line.rstrip())
    if found is None:
        return None
    pairs = (word.rpartition(" ") for word in found["losses"].split(", ") if word)
    try:
        return Progress(
            epoch=float(found["epoch"]),
            epochs=float(found["epochs"]),
            losses={name: float(loss) for name, _, loss in pairs},
            rate=float(found["rate"].replace(",", "")),
            seconds=_seconds(found["left"] or found["taken"]),
            finished=found["left"] is None,
        )
    except (ValueError, KeyError):  # a line that only looks like one, or half of one
        return None


def generation_line(generation: int, last: int, seconds: float) -> str:
    """How far a simulation is, as it writes it to its log: of `last` generations, with the seconds left or taken."""
    time = f"done in {duration(seconds)}" if generation == last else f"{duration(seconds)} left"
    return f"generation {generation} of {last}, {time}"


def read_left(line: str) -> float | None:
    """The seconds left that a `generation_line` at the end of a log's line says; None for any other line."""
    found = _GENERATION.search(line.rstrip())
    try:
        return _seconds(found["left"]) if found else None
    except (ValueError, KeyError):
        return None


def _seconds(words: str) -> float:
    """What `duration` made words of, to the second, or the minute from an hour on."""
    parts = words.split()
    return float(
        sum(int(number) * _SECONDS[unit] for number, unit in zip(parts[::2], parts[1::2], strict=True))
    )
