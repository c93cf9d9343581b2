"""What generation t trains on: which real rows, and how many synthetic rows of which generations.

    composition = compose(spec, 60_000, available={1: 10_000})
    composition.real            # row numbers of the real training set
    composition.synthetic       # {generation: rows to take of those that it hands on}

Real rows come from one seeded permutation of the training set: generation 1 takes the first
`initial.n`, fixed rows are taken from those, and fresh rows are the slices that follow, so that asking
for more generations never changes the rows of earlier ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bigloop.seeding import numpy_generator
from bigloop.spec.generations import Source, TrainSpec
from bigloop.spec.loops import LoopSpec, RuleSpec, Synthetic
from bigloop.spec.options import SpecError, parse
from bigloop.spec.registry import Registry


@dataclass(frozen=True)
class Composition:
    """The training set of one generation, as row numbers.

    `real`: int64 array (n,), rows of the real training set. `synthetic`: for each earlier generation used, of an
    ecosystem for each (member, generation), an int64 array of rows of those that it hands on. Real rows come first,
    then the generations in order.
    """

    real: np.ndarray
    synthetic: dict[Source, np.ndarray]

    def __len__(self) -> int:
        return len(self.real) + sum(map(len, self.synthetic.values()))


@dataclass(frozen=True)
class Rule:
    """A key of a loop that changes what its later generations train on.

    function(composition, options, seed, generation, generator) returns the composition that is trained on instead:
    of the same real rows and of samples of the same generations, or of some of them. `generator`, a NumPy generator,
    is this rule's own for the seed and the generation. `revision` is raised when a change of code changes that.
    """

    function: Callable[[Composition, Any, int, int, np.random.Generator], Composition]
    Options: type
    revision: int = 1


RULES = Registry("rules", {"pool": "bigloop.loops.pool:POOL"})


def follow(rules: Iterable[RuleSpec], composition: Composition, seed: int, generation: int) -> Composition:
    """What a generation trains on, by the rules of its loop, one after another."""
    for spec in rules:
        rule = RULES[spec.name]
        if rule.revision != spec.revision:
            raise SpecError(
                f"{spec.name}: revision {spec.revision} requested, but the code is at {rule.revision}"
            )
        options = parse(rule.Options, spec.options, spec.name)
        generator = numpy_generator(seed, generation, f"rule {spec.name}")
        changed = rule.function(composition, options, seed, generation, generator)
        if not len(changed) or not changed.synthetic.keys() <= composition.synthetic.keys():
            raise SpecError(
                f"{spec.name}: left generation {generation} no rows, or asks for samples that are not there"
            )
        composition = changed
    return composition


def check(loop: LoopSpec, generations: int, train_rows: float, where: str) -> None:
    """Raise SpecError where the loop asks for rows that do not exist within `generations`."""
    real, there = loop.real, "the dataset has"
    if loop.filter and math.isfinite(train_rows):
        left = loop.filter.kept(int(train_rows))
        if left is not None:
            train_rows, there = left, "its filter leaves"
    if loop.initial.n > train_rows:
        raise SpecError(f"{where}.initial.n: {loop.initial.n} rows requested, but {there} {train_rows}")
    if real.fixed > loop.initial.n:
        raise SpecError(f"{where}.real.fixed: {real.fixed} rows, but generation 1 has only {loop.initial.n}")
    used = loop.initial.n + real.fresh * (generations - 1)
    if used > train_rows and not real.reuse:
        raise SpecError(
            f"{where}.real.fresh: {generations} generations need {used} distinct real rows, but {there} "
            f"{train_rows}; lower fresh or generations, or set reuse: true"
        )
    if real.fresh > train_rows:
        raise SpecError(f"{where}.real.fresh: {real.fresh} rows per generation, but {there} {train_rows}")
    wanted = loop.synthetic.rows(real.fixed + real.fresh)
    if generations > 1 and wanted + real.fixed + real.fresh == 0:
        raise SpecError(f"{where}: later generations would train on nothing; add real or synthetic rows")
    if wanted > loop.most:
        done = f"generates {loop.samples}" + f" and hands on {loop.most}" * (loop.most < loop.samples)
        raise SpecError(f"{where}.synthetic: {wanted} rows requested, but each generation {done}")


def real_order(stream: int, train_rows: int, let_through: np.ndarray | None = None) -> np.ndarray:
    """The real rows of a lineage in the order in which it uses them: all, or those that its filter lets through."""
    order = numpy_generator(stream, 0, "real rows").permutation(train_rows)
    return order if let_through is None else order[np.isin(order, let_through)]


def compose(
    spec: TrainSpec,
    train_rows: int,
    available: Mapping[Source, int],
    let_through: np.ndarray | None = None,
) -> Composition:
    """The training set of `spec.generation`, from a real set of `train_rows`, and as many rows of each earlier
    generation as are `available`. let_through: the real rows that the loop's filter lets through, where it has one.

    Depends on the spec alone: never on which jobs ran before, or in what order. Of weights from elsewhere, whose
    training set is not known, it is the whole real set. Raises SpecError where the filter leaves too few rows.
    """
    order = real_order(spec.stream, train_rows, let_through)
    asked = 0 if spec.initial is None else spec.initial.n
    if spec.real and spec.real.fresh:
        asked += spec.real.fresh * (1 if spec.real.reuse else spec.generation - 1)
    if spec.filtered and len(order) < asked:
        raise SpecError(
            f"filter: lets {len(order)} real rows through, but {asked} are asked for; lower its threshold, initial.n "
            "or real.fresh"
        )
    if spec.initial is None:
        return Composition(order, {})
    if spec.generation == 1:
        return Composition(order[: spec.initial.n], {})
    assert spec.real is not None
    assert spec.synthetic is not None
    start = spec.initial.n + spec.real.fresh * (spec.generation - 2)
    fresh = order[np.arange(start, start + spec.real.fresh) % len(order)]
    real = np.concatenate([order[: spec.real.fixed], fresh])
    wanted = spec.synthetic.rows(len(real))
    place = spec.stream, spec.generation
    composed = Composition(real, synthetic_rows(spec.synthetic, wanted, *place, available, spec.shares))
    return follow(spec.rules, composed, *place)


def compose_endless(
    loop: LoopSpec,
    seed: int,
    generation: int,
    available: Mapping[Source, int],
    shares: Sequence[float] | None = None,
) -> Composition:
    """What a generation trains on where real rows have no end, as those of a known density.

    Real rows are numbered as they are drawn: generation 1's, then the fresh ones of generation 2, 3, … available: as
    for `compose`. shares: of the members of an ecosystem.
    """
    if generation == 1:
        return Composition(np.arange(loop.initial.n), {})
    start = loop.initial.n + loop.real.fresh * (generation - 2)
    real = np.concatenate([np.arange(loop.real.fixed), np.arange(start, start + loop.real.fresh)])
    wanted = loop.synthetic.rows(len(real))
    synthetic = synthetic_rows(loop.synthetic, wanted, seed, generation, available, shares) if wanted else {}
    return follow(loop.rules, Composition(real, synthetic), seed, generation)


def synthetic_rows(
    synthetic: Synthetic,
    wanted: int,
    seed: int,
    generation: int,
    available: Mapping[Source, int],
    shares: Sequence[float] | None = None,
) -> dict[Source, np.ndarray]:
    """For each earlier generation used, which of its `available` rows `generation` trains on, sorted, int64.

    wanted: rows in total, or of each generation used for "all"; all where there are no more. shares: where the rows are
    of several members of an ecosystem, the part of each.
    """
    generations = synthetic.sources(generation)
    if shares is None:
        return _drawn(synthetic, wanted, [*generations], available, (seed, generation, "synthetic rows"))
    found: dict[Source, np.ndarray] = {}
    for member, n in enumerate(apportioned(wanted, shares)):
        if n:
            used: list[Source] = [(member, g) for g in generations]
            found |= _drawn(synthetic, n, used, available, (seed, generation, f"synthetic rows of {member}"))
    return found


def _drawn(
    synthetic: Synthetic,
    wanted: int,
    used: Sequence[Source],
    available: Mapping[Source, int],
    place: tuple[int, int, str],
) -> dict[Source, np.ndarray]:
    if len(used) == 1 and wanted >= available[used[0]]:
        return {used[0]: np.arange(available[used[0]])}
    draw = numpy_generator(*place)
    if synthetic.from_ == "all":
        chosen = {source: draw.permutation(available[source])[:wanted] for source in used}
    else:
        ends = np.cumsum([0, *(available[source] for source in used)])
        pool = draw.permutation(ends[-1])[:wanted]
        bounds = zip(used, ends, ends[1:], strict=False)
        chosen = {source: pool[(a <= pool) & (pool < b)] - a for source, a, b in bounds}
    return {source: np.sort(rows) for source, rows in chosen.items()}


def apportioned(rows: int, shares: Sequence[float]) -> list[int]:
    """So many rows in these shares, of sum 1: whole numbers of sum `rows`, none off by 1 or more (largest remainders,
    of equal ones the first)."""
    exact = [rows * share for share in shares]
    counts = [math.floor(part + 1e-9) for part in exact]
    rest = sorted(range(len(shares)), key=lambda i: counts[i] - exact[i])
    for i in rest[: rows - sum(counts)]:
        counts[i] += 1
    return counts
