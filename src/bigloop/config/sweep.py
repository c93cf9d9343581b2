"""Sweeps: one entry of `runs` expanded to many runs."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

from bigloop.config.declared import Config, Loop, RunEntry
from bigloop.config.selection import select_of
from bigloop.spec.faults import named, shown
from bigloop.spec.loops import LoopSpec, RuleSpec
from bigloop.spec.options import SpecError, parse, to_dict
from bigloop.spec.registry import declared
from bigloop.spec.runs import called

T = TypeVar("T")
MOST_RUNS = 10_000  # of an experiment, sweeps taken apart

SELECTIONS = ("select", "filter")  # keys of a loop: of its samples, and of real rows

# A swept key of a loop as a run's name has it, and as its label has it.
SWEPT = {
    "initial.n": ("initial", "nᵢₙᵢ"),
    "real.fixed": ("fixed", "nᵣ"),
    "real.fresh": ("fresh", "nᵣ"),
    "synthetic.n": ("n", "nₛ"),
    "synthetic.ratio": ("ratio", "λ"),
    "synthetic.from": ("from", "K"),
    "bias": ("bias", "λ"),
    "samples": ("samples", "samples"),
    "against.strength": ("strength", "ω"),
}


@dataclass(frozen=True)
class Point:
    """One run of a sweep, or an entry that sweeps over nothing.

    sweep: the label of the config's entry; loop: None where it is the config's own.
    """

    name: str
    label: str
    sweep: str
    entry: RunEntry
    loop: LoopSpec | None = None


def loop_of(given: Mapping[Any, Any], where: str) -> LoopSpec:
    """A loop of a config: its own keys, and a key for each registered rule that it follows."""
    rules = declared("rules")
    if taken := rules.keys() & {*Loop.__dataclass_fields__, *SELECTIONS}:  # type: ignore[attr-defined]
        raise SpecError(f"rule: {min(taken)!r} is a key that every loop has; register it under another name")
    beside = {*rules, *SELECTIONS}
    own: Any = parse(Loop, {key: value for key, value in given.items() if key not in beside}, where)
    followed = tuple(
        RuleSpec(name, about.revision, to_dict(parse(about.Options, given[name] or {}, f"{where}.{name}")))
        for name, about in sorted(rules.items())
        if given.get(name, False) is not False
    )
    select, real = (select_of(given.get(key), f"{where}.{key}") for key in SELECTIONS)
    return LoopSpec(**vars(own), rules=followed, select=select, filter=real)


def chosen(config: Config) -> dict[str, Any]:
    """The runs of a config: those that `only` names, in full or by how their names begin, or all."""
    only = [config.only] if isinstance(config.only, str) else config.only or []
    picked = set[str]() if only else set(config.runs)
    for name in only:
        found = called(name, config.runs)
        if not found:
            raise SpecError(f"only: unknown run {name!r} (known: {', '.join(map(named, config.runs))})")
        picked |= found
    return {name: given for name, given in config.runs.items() if name in picked}


def referred(key: str, name: str | None, known: Mapping[Any, T] | None, where: str) -> T:
    """What a run names as its `key`; raises SpecError where it names none, or one that is not there."""
    if name is None:
        raise SpecError(f"{where}.{key}: missing")
    if known is None:
        raise SpecError(f"{where}.{key}: names {shown(name)}, but the config has no {key}s; add them")
    if name not in known:
        there = ", ".join(map(named, known))
        raise SpecError(f"{where}.{key}: no {key} named {shown(name)} (known: {there})")
    return known[name]


def points(name: str, entry: RunEntry, loops_given: Mapping[Any, Any] | None) -> Iterator[Point]:
    """The runs that an entry of `runs` stands for: itself, or one for each combination of what it sweeps `over`.

    `over` is a list of axes: all combinations of one value of each; the keys of one axis go together. Raises
    SpecError where there are too many.
    """
    label = entry.label or name
    axes = [_axis(axis, f"runs.{name}.over.{i}") for i, axis in enumerate(entry.over or ())]
    if not axes:
        yield Point(name, label, label, entry)
        return
    if entry.loop is None:
        raise SpecError(f"runs.{name}.over: sweeps over a loop, but the run names none; leave it out")
    loop_given = referred("loop", entry.loop, loops_given, f"runs.{name}")
    if (several := math.prod(map(len, axes))) > MOST_RUNS:
        raise SpecError(f"runs.{name}.over: stands for {several} runs, expected at most {MOST_RUNS}")
    for combination in product(*axes):
        loop: Any = copy.deepcopy(dict(loop_given))
        words, labels = [name], [label]
        for point in combination:
            for key, value in point.items():
                _put(loop, key, value, f"loops.{entry.loop}")
            key, value = next(iter(point.items()))
            shown = int(value) if isinstance(value, float) and value.is_integer() else value
            word, symbol = SWEPT.get(key, (key.split(".")[-1],) * 2)
            words.append(f"{word}{shown}")
            labels.append(f"{symbol} = {shown}")
        full = "-".join(words)
        spec = loop_of(loop, f"runs.{full}: loop")
        yield Point(full, ", ".join(labels), label, entry, spec)


def _axis(axis: Mapping[str, tuple[Any, ...]], where: str) -> list[dict[str, Any]]:
    """The points of an axis: for each its keys and their values."""
    rules = declared("rules")
    for key in axis:
        if key not in SWEPT and key.split(".")[0] not in (*rules, *SELECTIONS):
            raise SpecError(f"{where}.{key}: unknown key (known: {', '.join([*SWEPT, *rules, *SELECTIONS])})")
        for value in axis[key]:
            if not isinstance(value, str | int | float):  # it is part of a name
                raise SpecError(f"{where}.{key}: expected numbers or words, got {shown(value)}")
    if not axis or not all(axis.values()):
        raise SpecError(f"{where}: is empty, expected at least 1 entry")
    if len({len(values) for values in axis.values()}) != 1:
        raise SpecError(f"{where}: the lists of one axis must have the same length")
    return [dict(zip(axis, values, strict=True)) for values in zip(*axis.values(), strict=True)]


def _put(loop: dict[Any, Any], key: str, value: Any, where: str) -> None:
    """Set a key such as real.fixed, in a loop as the config gives it."""
    *parents, last = key.split(".")
    place = loop
    for parent in parents:
        if place.get(parent) is None:
            place[parent] = {}
        place = place[parent]
        if not isinstance(place, dict):
            raise SpecError(f"{where}.{parent}: expected object, got {shown(place)}")
    place[last] = value
