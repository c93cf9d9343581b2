"""Mutations of the shipped configs, each planned: prints which ended neither in a plan nor in one line, as JSON.

python fuzz.py 2500 0      # so many mutations, from this seed
"""

from __future__ import annotations

import copy
import json
import math
import random
import resource
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from bigloop.config.experiment import Experiment
from bigloop.config.resolve import MOST_JOBS
from bigloop.spec.generations import SampleSpec, TrainSpec
from bigloop.spec.options import SpecError, to_json

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script

from shipped import SHIPPED

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGS = [*SHIPPED, *sorted((CHECKOUT / "tests" / "smoke").glob("*.yaml"))]
MEMORY = 3 * 2**30  # bytes of address space, most of it libraries that are mapped
LISTED = 20  # jobs of a run that are made: they are alike
LONGEST_LINE = 3_000  # characters: the longest list of known names and a few values

TEXTS = (
    "", " ", "x", "no", "null", "1e3", "4e2", "1e-4", "1e30", "nan", "-inf", "0x10", "mnist", "vae", "all", "real",
    "runs", "it's", '"', "$(touch owned)", "`touch owned`", "{x}", "{{", "a b", "a\nb", "a\n", "\t", "../up", "/",
    "a/b", "é", "λ", "\u2028", "\x85", "\x00", "\ud800", "🙂", "-", "--", "a--b", "[", "x" * 65, "x" * 100_000, ";",
    "&", "|", "~", "*",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 3, 7, 0.5, -0.5, 1.0, 2.0, 400.0, 1e-4, 1e-300, 1e30, -1e30, 1e308, math.nan, math.inf, -math.inf,
    10**6, 10**9, 10**12, 2**31, 2**53, 2**63, 2**64, 10**30, 10**400, 16**5_000, -(10**30), 999_999, 100_001,
)  # fmt: skip


def values(draw: random.Random) -> Any:
    """Something that hardly any key expects."""
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    deep: Any = []
    for _ in range(draw.choice((3, 50, 3_000))):
        deep = [deep]
    others = (
        None, True, False, [], {}, [[]], [None], {"a": 1}, {1: 2}, {None: None}, {"figure": []}, [0, "one"], [1.5],
        [0, 0], [-1], [10**30], list(range(1_000)), {"n": 1}, cyclic, deep, {"epochs": 1}, {"from": "all"}, {(1, 2): 3},
        b"bytes",
        [{"bias": [1.0] * 300}, {"samples": [5] * 300}],
    )  # fmt: skip
    return draw.choice(draw.choice((TEXTS, NUMBERS, others)))


def places(config: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything in a config."""
    for key in config if isinstance(config, dict) else range(len(config) if isinstance(config, list) else 0):
        yield config, key
        yield from places(config[key])


def mutated(config: dict[str, Any], draw: random.Random) -> Any:
    """The config with one to three faults, or with changes that are none."""
    config = copy.deepcopy(config)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        try:
            found = list(islice(places(config), 3_000))
        except RecursionError:  # of an earlier change
            return config
        container, key = draw.choice(found)
        other, at = draw.choice(found)
        match draw.randrange(8):
            case 0 | 1 | 2:
                container[key] = values(draw)
            case 3:
                del container[key]
            case 4 if isinstance(container, dict):
                name = draw.choice(
                    (draw.choice(TEXTS), key, 1, None, 2.5, True, 16**5_000, "n", "seeds", "over", "rules")
                )
                container[name] = container[key] if draw.random() < 0.5 else container.pop(key)
            case 5 if isinstance(container, list):
                container += container * draw.choice((1, 5))
            case 6:
                container[key] = (
                    other[at] if at in other or (isinstance(other, list) and at < len(other)) else None
                )
            case _:
                if isinstance(container[key], int | float) and not isinstance(container[key], bool):
                    container[key] = container[key] * draw.choice((0, -1, 10, 1e3, 10**6, 10**12, 0.1))
                else:
                    container[key] = values(draw)
    return draw.choice((values(draw), None)) if draw.random() < 0.005 else config


def plan(config: Any) -> str:
    """What planning makes of a config: "planned", or the one line that it ends in."""
    try:
        experiment = Experiment.from_config(config)
    except SpecError as error:
        line = str(error)
        if not line or len(line.splitlines()) != 1 or len(line) > LONGEST_LINE:
            raise AssertionError(f"not one line: {line[:500]!r}") from None
        line.encode()
        return line
    jobs = 0
    for run in experiment.trained:
        jobs += run.generations * len(run.seeds)
        for seed, t in islice(run.jobs(), LISTED):
            specs = (
                TrainSpec.of(run.spec, seed, t),
                SampleSpec.of(run.spec, seed, t),
                experiment.measure(run, seed, t),
            )
            [to_json(spec) for spec in specs]
    for run in experiment.simulated:
        jobs += run.block_count
        for block in islice(run.blocks(), LISTED):
            to_json(experiment.simulate(run, block))
    assert jobs <= MOST_JOBS
    for name in experiment.images:
        to_json(experiment.floor(name))
    for name in experiment.densities:
        to_json(experiment.density_floor(name))
    for pair in islice(experiment.critic_pairs(), LISTED):
        to_json(experiment.critics(*pair))
    return "planned"


def main(count: int, seed: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    shipped = [yaml.load(path.read_text(), loader) for path in CONFIGS]
    ends: Counter[str] = Counter()
    faults = []
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        config = mutated(draw.choice(shipped), draw)
        try:
            ends["planned" if plan(config) == "planned" else "one line"] += 1
        except BaseException as error:
            told = traceback.format_exception(error)
            faults.append(f"mutation {number} of seed {seed}: {''.join(told)[-1_500:]}")
    json.dump({"ends": ends, "faults": faults}, sys.stdout)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
