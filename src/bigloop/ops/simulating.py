"""How long the blocks of a simulated run would take, as far as its second generation, or its only one, tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import numpy as np

from bigloop.config.experiment import Experiment
from bigloop.config.runs import Run
from bigloop.data.densities import Density
from bigloop.measures.points import Generated, Judge, reference
from bigloop.metrics import MEASURES
from bigloop.metrics.selection import Selection
from bigloop.ops.forecast import RunForecast
from bigloop.ops.resources import training_batch, training_steps
from bigloop.ops.timing import Probe, Stopwatch
from bigloop.runtime.progress import quiet
from bigloop.simulation.lineages import Lineages
from bigloop.spec.generations import TrainSpec
from bigloop.spec.loops import Budget, Budgets
from bigloop.spec.options import Scalar, digest
from bigloop.spec.registry import declared


def simulation(watch: Stopwatch, experiment: Experiment, run: Run) -> RunForecast:
    """What all blocks of a run take."""
    every, blocks, start = run.simulation.measure_every, run.blocks(), watch.start("simulate")
    seeds, second = len(blocks[0].seeds), min(2, run.generations)
    measured = sum(judged(watch, name, options, run) for name, options in experiment.resolved(run).items())
    generations, sampled, kept = _generations(watch, run)
    train, sample, measure, chains = 0.0, 0.0, 0.0, dict.fromkeys((block.seeds for block in blocks), 0.0)
    for block in blocks:
        long, share = block.last - block.first + 1, len(block.seeds) / seeds
        # Where training sets grow, they grow evenly.
        last = [_steps(run, max(block.first, second)), _steps(run, block.last)]
        alone = block.first == 1
        trains = start + share * (
            (long - alone) * generations(sum(last) / 2) + alone * generations(_steps(run, 1))
        )
        samples = share * long * sampled
        measures = len(block.seeds) * measured * len(range(-(block.first - 1) % every, long, every))
        train, sample, measure = train + trains, sample + samples, measure + measures
        chains[block.seeds] += trains + samples + measures
    return RunForecast(train, sample, measure, max(chains.values()), kept * len(blocks))


def _steps(run: Run, generation: int) -> int:
    return training_steps(TrainSpec.of(run.spec, 0, generation))


def _generations(watch: Stopwatch, run: Run) -> tuple[Callable[[float], float], float, int]:
    """Of the seeds of the first block: what a training of so many steps takes, and a sampling; the bytes that stay.

    Where a training is a single step, a whole generation is timed, of some of the seeds.
    """
    loop, seeds, second = run.spec.looped, run.blocks()[0].seeds, min(2, run.generations)
    batch = training_batch(TrainSpec.of(run.spec, 0, second))
    most = max(_steps(run, t) for t in {1, second, run.generations})
    whole = most == 1

    def fresh(seeds: tuple[int, ...], steps: int) -> Lineages:
        budget = Budget(images=steps * batch)
        shortened = replace(loop, budget=Budgets(budget, budget))
        return Lineages.fresh(replace(run.spec, loop=shortened, ecosystem=None, member=0), seeds)

    def generation(n: int) -> Callable[[], object]:
        block = fresh(seeds[:n], 1) if whole else fresh(seeds, n)
        if second == 2 and (whole or loop.continues):
            (block.advance if whole else block.learn)(quiet)
        if second == 2 and not whole:  # nothing of the first generation matters but how many points it left
            drawn = np.random.default_rng(0)
            points = np.stack([block.density.sample(loop.samples, drawn) for _ in seeds])
            block.generation, block.pool = 1, {1: {"points": points.astype(np.float32)}}
        return lambda: (block.advance if whole else block.learn)(quiet)

    def learnt(seeds: tuple[int, ...]) -> Lineages:
        block = fresh(seeds, 1)
        block.learn(quiet)
        return block

    def sampling(n: int) -> Callable[[], object]:
        block = watch.once(("learnt", which), lambda: learnt(seeds))
        return lambda: block.model.sample(n, loop.bias, block.streams(1, "sampling"))

    same = replace(loop, bias=1.0, budget=Budgets(Budget(images=1), Budget(images=1)))
    which = digest((run.spec.model, run.spec.density, same, len(seeds)))
    kept = watch.once(
        ("bytes", which), lambda: sum(a.nbytes for a in learnt(seeds[:1]).model.state().values())
    )
    if whole:
        line = watch.line(("generations", which), Probe(f"generations of {run.name}", generation, len(seeds)))
        return lambda steps: line.at(len(seeds)), 0.0, kept * len(seeds)
    step = watch.once(("step", which), lambda: getattr(fresh(seeds[:1], 1).model, "batches_per_step", 1))
    probe = Probe(f"training of {run.name}", generation, max(most, step), least=step, batch=step)
    line = watch.line(("training", which), probe)
    sampled = watch.line(("sampling", which), Probe(f"sampling of {run.name}", sampling, loop.samples)).at(
        loop.samples
    )
    return line.at, sampled, kept * len(seeds)


def judged(watch: Stopwatch, name: str, options: dict[str, Scalar], run: Run) -> float:
    """Seconds of one measure of a replicate of a simulated generation, by points of the density itself."""
    measure, density, k = MEASURES[name], cast(Density, run.density), cast(int, options.get("k", 0))
    known = declared("families")[run.spec.model.family].has_moments
    judge = Judge(density, {})

    def prepare(n: int) -> Callable[[], object]:
        judge.measures = {name: options | ({"n": n} if measure.has_rows else {})}
        points = reference(density, max(2, measure.per_side * n), floor=True)
        covariance = np.cov(points.T).reshape(density.dimension, -1)
        moments = (points.mean(0), covariance) if known else None
        whole = Selection(np.zeros((1, len(points))), np.ones(len(points), bool))
        generated = Generated(points, moments, {"loss": 0.0}, selection=whole, others={"": points})
        return lambda: judge.records(generated)

    n = cast(int, options.get("n", 1))
    probe = Probe(f"{name} of {run.dataset}", prepare, n, measure.power, least=k + 2)
    return watch.line((name, options, run.spec.density, known), probe).at(n)
