"""Losses and gradient norms recorded in training."""

from __future__ import annotations

from bigloop.metrics import Measure, NoOptions


def training_statistics(history: dict[str, float], real: object) -> list[tuple[str, float, str]]:
    """The values of a training's history, by name in alphabetical order. The real side is not used."""
    return [(name, float(history[name]), "") for name in sorted(history)]


TRAINING = Measure(training_statistics, ("history",), Options=NoOptions)
