"""One entry of `runs` that sweeps over a loop's keys, as many runs."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from bigloop.spec.options import SpecError, parse
from bigloop.spec.runs import LoopSpec


def loop_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"real": {}, "synthetic": {}, **given}


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
}


def chosen(config: Mapping[str, Any]) -> dict[str, Any]:
    """The runs of a config, by the names given there: those that `only` names, or all."""
    runs, only = config["runs"], config.get("only") or []
    only = [only] if isinstance(only, str) else only
    for name in only:
        if name not in runs:
            raise SpecError(f"only: unknown run {name!r}; there are {', '.join(runs)}")
    return {name: given for name, given in runs.items() if not only or name in only}


def sweep(
    name: str, given: Mapping[str, Any], loops_given: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any], LoopSpec | None]]:
    """The runs that an entry of `runs` stands for: itself, or one for each combination of what it sweeps `over`.

    Each is (name, entry, loop), the loop None where it is the config's own. `over` is a list of axes: all
    combinations of one value of each; the keys of one axis go together.
    """
    axes = [
        [dict(zip(axis, values, strict=True)) for values in _together(axis, f"runs.{name}.over[{i}]")]
        for i, axis in enumerate(given.get("over") or [])
    ]
    entry = {key: value for key, value in given.items() if key != "over"}
    if not axes:
        yield name, entry, None
        return
    if given["loop"] not in loops_given:
        raise SpecError(
            f"runs.{name}.loop: no loop named {given['loop']!r} (known: {', '.join(loops_given)})"
        )
    for chosen in product(*axes):
        loop = copy.deepcopy(loop_defaults(loops_given[given["loop"]]))
        words, label = [name], [str(given.get("label", name))]
        for point in chosen:
            for key, value in point.items():
                *parents, last = key.split(".")
                place = loop
                for parent in parents:
                    place = place.setdefault(parent, {})
                place[last] = value
            key, value = next(iter(point.items()))
            shown = int(value) if isinstance(value, float) and value == int(value) else value
            words.append(f"{SWEPT[key][0]}{shown}")
            label.append(f"{SWEPT[key][1]} = {shown}")
        full = "-".join(words)
        spec = parse(LoopSpec, loop, f"runs.{full}: loop")
        yield full, entry | {"label": ", ".join(label), "sweep": label[0]}, spec


def _together(axis: Mapping[str, list[Any]], where: str) -> Iterator[tuple[Any, ...]]:
    if len({len(values) for values in axis.values()}) != 1:
        raise SpecError(f"{where}: the lists of one axis go together and must be equally long")
    return zip(*axis.values(), strict=True)
