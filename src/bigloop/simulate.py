"""A whole loop in one process, many seeds at once, for families too cheap for a job a generation.

    simulate(spec, results / "runs" / spec.run.folder / "seeds-0-49" / "gens-1-51", log.info)

The same loops as for images, on points of a known density: generation t is trained on what its LoopSpec asks for,
sampled and measured. A job is a block of seeds and generations. Its folder gets

    measures.csv            seed, generation, measure, value, n, k, detail
    points.safetensors      the first seed's points of each measured generation, for figures
    state.safetensors       all that a later block goes on from, and the records

A job that was stopped goes on from the generation that it saved last, and one that asks for more seeds or generations
than an earlier one goes on from what that one had: no generation is made twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bigloop.artifacts import (
    PREVIEW_ROWS,
    UNFINISHED,
    ArtifactError,
    read_tensors,
    write_table,
    write_tensors,
)
from bigloop.data.densities import Density, known_density
from bigloop.known import Generated, Judge
from bigloop.loops import synthetic_rows
from bigloop.measures import Record
from bigloop.models import entry, family
from bigloop.models.gaussian import Gaussian, Moments
from bigloop.models.stacked import Streams
from bigloop.progress import generation_line
from bigloop.seeding import numpy_generator
from bigloop.spec import RunSpec, SimulateSpec, SpecError, Synthetic, digest, parse
from bigloop.storage import SAVE_SECONDS
from bigloop.training import REPORT_SECONDS, Interrupted, Report, stop_signals

STATE = "state.safetensors"
COLUMNS = ["seed", "generation", "measure", "value", "n", "k", "detail"]

Pool = dict[int, dict[str, np.ndarray]]  # generation → what it left: its points, or its moments; seed first


def simulate(
    spec: SimulateSpec, out: Path, report: Report = lambda line: None, save_seconds: float = SAVE_SECONDS
) -> None:
    """Simulate the block `spec` and write it into the folder `out`, whose siblings are the run's other blocks.

    SIGTERM and SIGINT save at the end of the generation and raise Interrupted. Raises DivergedError where a loss or
    a sample is not finite.
    """
    parts = []
    for begun in beginnings(spec, out):
        if begun.generation >= spec.first:
            seeds = f"{len(begun.seeds)} seed{'s' * (len(begun.seeds) > 1)}"
            report(f"going on after generation {begun.generation} with {seeds}")
        parts.append(begun)
        _finish(spec, parts, out, report, save_seconds)
    whole = Lineages.joined(parts, spec.seeds)
    write_table(out / "measures.csv", pd.DataFrame(whole.records, columns=COLUMNS))
    write_tensors(out / "points.safetensors", whole.points, {"seed": str(spec.seeds[0])})
    whole.save(out / STATE, key_of(spec))
    (out / UNFINISHED).unlink(missing_ok=True)


def _finish(
    spec: SimulateSpec, parts: Sequence[Lineages], out: Path, report: Report, save_seconds: float
) -> None:
    """Take the last of the `parts` to the block's end."""
    block, key = parts[-1], key_of(spec)
    judge = Judge(block.density, spec.measures)
    begun = spoken = saved = time.monotonic()
    done = block.generation
    with stop_signals() as stopped:
        while block.generation < spec.last:
            block.advance(report)
            if spec.measured(block.generation):
                block.measure(judge)
            now, last = time.monotonic(), block.generation == spec.last
            if now - spoken > REPORT_SECONDS or last:
                spoken = now
                pace = (now - begun) / (block.generation - done)
                left = pace * (spec.last - block.generation)
                report(generation_line(block.generation, spec.last, now - begun if last else left))
            if stopped or now - saved > save_seconds:
                saved = now
                # finished parts, too, where they are at the same generation: one file holds one generation
                alike = [part for part in parts if part.generation == block.generation]
                seeds = tuple(seed for part in alike for seed in part.seeds)
                Lineages.joined(alike, seeds).save(out / UNFINISHED, key)
            if stopped and not last:
                raise Interrupted(
                    f"stopped by {stopped[0]}; state saved after generation {block.generation} of {spec.last}"
                )


@dataclass
class Lineages:
    """Some seeds of a run at the end of a generation, 0 before the first, and what was measured on the way.

    points: name of the generation → (k, d), of the first seed. history: of the last training.
    """

    run: RunSpec
    seeds: tuple[int, ...]
    generation: int
    model: Any
    pool: Pool = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    points: dict[str, np.ndarray] = field(default_factory=dict)
    history: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def fresh(cls, run: RunSpec, seeds: tuple[int, ...]) -> Self:
        """Before the first generation."""
        return cls(run, seeds, 0, new_models(run, seeds, 1))

    @property
    def density(self) -> Density:
        """The known density that generation 1 is trained on."""
        assert self.run.density is not None
        return known_density(self.run.density.name, self.run.density.options)

    def streams(self, generation: int, purpose: str) -> Streams:
        """A random stream for each seed."""
        return Streams([numpy_generator(seed, generation, purpose) for seed in self.seeds])

    def advance(self, report: Report) -> None:
        """Train and sample the next generation."""
        loop, t = self.run.loop, self.generation + 1
        rows = self.rows(t)
        if t > 1 and not loop.continues:
            self.model = new_models(self.run, self.seeds, t)
        budget = loop.budget.initial if t == 1 else loop.budget.retrain
        self.history = self.model.fit(rows, budget, self.streams(t, "training"), report)
        self.generation = t
        if by_moments(self.model):
            self.pool[t] = self.model.state()
        else:
            points = self.model.sample(loop.samples, loop.bias, self.streams(t, "sampling"))
            self.pool[t] = {"points": points.numpy()}
        for old in self.pool.keys() - {t, *loop.synthetic.sources(t + 1)}:
            del self.pool[old]

    def measure(self, judge: Judge) -> None:
        """Add the records of this generation, and its points for figures."""
        t, made = self.generation, self.pool[self.generation].get("points")
        for index, seed in enumerate(self.seeds):
            generated = Generated(
                None if made is None else made[index],
                self._moments(index),
                {name: float(values[index]) for name, values in self.history.items()},
            )
            self.records += [{"seed": seed, "generation": t, **r} for r in judge.records(generated)]
        if made is not None:
            self.points[str(t)] = made[0, :PREVIEW_ROWS].astype(np.float32)

    def _moments(self, index: int) -> tuple[np.ndarray, np.ndarray] | None:
        if not isinstance(self.model, Gaussian):
            return None
        return self.model.mean[index].numpy(), self.model.covariance[index].numpy()

    # --- what a generation trains on ---

    def rows(self, t: int) -> Tensor | Moments:
        """The training set of generation t: rows (seeds, n, d), or their moments."""
        loop = self.run.loop
        if t == 1:
            return self._real(loop.initial.n, loop.initial.n, 0, "real rows")
        parts = []
        if loop.real.fixed:
            parts.append(self._real(loop.initial.n, loop.real.fixed, 0, "real rows"))
        if loop.real.fresh:
            parts.append(self._real(loop.real.fresh, loop.real.fresh, t, "fresh rows"))
        wanted = loop.synthetic.rows(loop.real.fixed + loop.real.fresh)
        if wanted:
            parts.append(self._synthetic(loop.synthetic, wanted, t))
        if by_moments(self.model):
            return Moments.pooled(cast(Any, parts))
        return torch.cat(cast(Any, parts), dim=1)

    def _real(self, n: int, taken: int, generation: int, purpose: str) -> Tensor | Moments:
        """The first `taken` of n real rows of each seed; of a generation's own, or of all (0)."""
        streams = self.streams(generation, purpose)
        if by_moments(self.model):
            density = cast(Any, self.density)
            mean, covariance = (
                torch.from_numpy(a).expand(len(self.seeds), *a.shape)
                for a in (density.mean, density.covariance)
            )
            return Moments.drawn(n, mean, covariance, streams)
        density = self.density
        drawn = np.stack([density.sample(n, g)[:taken] for g in streams.generators])
        return torch.from_numpy(drawn).to(self.model.dtype)

    def _synthetic(self, synthetic: Synthetic, wanted: int, t: int) -> Tensor | Moments:
        """Rows of the earlier generations that are used, `wanted` in all (or of each, for "all").

        By moments, those of the last K generations are drawn anew from their models, in equal shares.
        """
        if by_moments(self.model):
            streams, used = self.streams(t, "synthetic rows"), synthetic.sources(t)
            parts = []
            for i, g in enumerate(used):
                n = wanted // len(used) + (i < wanted % len(used))
                if n:
                    source = new_models(self.run, self.seeds, g)
                    source.restore(self.pool[g])
                    parts.append(source.sample_moments(n, self.run.loop.bias, streams))
            return Moments.pooled(parts)
        chosen = []
        for index, seed in enumerate(self.seeds):
            rows = synthetic_rows(synthetic, wanted, seed, t, self.run.loop.samples)
            chosen.append(np.concatenate([self.pool[g]["points"][index][r] for g, r in rows.items()]))
        return torch.from_numpy(np.stack(chosen))

    # --- files, and parts of blocks ---

    def save(self, path: Path, key: str) -> None:
        """Write all of it; `key` stands for what it is the result of."""
        tensors = {f"model/{name}": array for name, array in self.model.state().items()}
        for g, arrays in self.pool.items():
            tensors |= {f"pool/{g}/{name}": array for name, array in arrays.items()}
        tensors |= {f"points/{name}": array for name, array in self.points.items()}
        tensors["records"] = np.frombuffer(json.dumps(self.records).encode(), dtype=np.uint8)
        header = {"key": key, "seeds": json.dumps(self.seeds), "generation": str(self.generation)}
        write_tensors(path, tensors, header)

    @classmethod
    def of_file(cls, content: tuple[dict[str, np.ndarray], dict[str, str]], run: RunSpec) -> Self:
        """What `save` wrote, from its file's arrays and header (see artifacts.read_tensors)."""
        tensors, header = content
        found = cls.fresh(run, tuple(json.loads(header["seeds"])))
        found.generation = int(header["generation"])
        found.model.restore(_below(tensors, "model/"))
        for name, array in _below(tensors, "pool/").items():
            g, _, what = name.partition("/")
            found.pool.setdefault(int(g), {})[what] = array
        found.records = json.loads(tensors["records"].tobytes())
        found.points = _below(tensors, "points/")
        return found

    def of_seeds(self, seeds: tuple[int, ...]) -> Self:
        """The same of some of its seeds alone."""
        if seeds == self.seeds:
            return self
        places = [self.seeds.index(seed) for seed in seeds]
        part = type(self).fresh(self.run, seeds)
        part.generation = self.generation
        part.model.restore({name: array[places] for name, array in self.model.state().items()})
        part.pool = {g: {name: a[places] for name, a in arrays.items()} for g, arrays in self.pool.items()}
        part.records = [r for r in self.records if r["seed"] in seeds]
        part.points = self.points if seeds[0] == self.seeds[0] else {}
        return part

    @classmethod
    def joined(cls, parts: Sequence[Self], seeds: tuple[int, ...]) -> Self:
        """The seeds of several parts, all at the same generation, in one, in the order of `seeds`."""
        if len(parts) == 1:
            return parts[0].of_seeds(seeds)
        held = [seed for part in parts for seed in part.seeds]
        places = [held.index(seed) for seed in seeds]

        def together(arrays: Sequence[np.ndarray]) -> np.ndarray:
            return np.concatenate(arrays)[places]

        whole = cls.fresh(parts[0].run, seeds)
        whole.generation = parts[0].generation
        states = [part.model.state() for part in parts]
        whole.model.restore({name: together([state[name] for state in states]) for name in states[0]})
        whole.pool = {
            g: {name: together([part.pool[g][name] for part in parts]) for name in arrays}
            for g, arrays in parts[0].pool.items()
        }
        records = [r for part in parts for r in part.records]
        whole.records = sorted(records, key=lambda r: (r["generation"], seeds.index(r["seed"])))
        whole.points = next(part.points for part in parts if seeds[0] in part.seeds)
        return whole


def beginnings(spec: SimulateSpec, out: Path) -> list[Lineages]:
    """What the seeds of a block go on from: blocks that got furthest, then the block before, or nothing.

    Of this job's own unfinished state, and of other blocks that begin alike and end no later, all seeds that they
    hold are taken over; the other seeds begin after the block before.
    """
    found, left = [], list(spec.seeds)
    for block in sorted(_others(spec, out), key=lambda block: block.generation, reverse=True):
        seeds = tuple(seed for seed in block.seeds if seed in left)
        if seeds:
            found.append(block.of_seeds(seeds))
            left = [seed for seed in left if seed not in seeds]
    if left:
        found.append(_before(spec, tuple(left), out))
    return found


def _before(spec: SimulateSpec, seeds: tuple[int, ...], out: Path) -> Lineages:
    """The seeds at the end of the block of generations before this one."""
    if spec.first == 1:
        return Lineages.fresh(spec.run, seeds)
    places = out.parent.glob(f"gens-*-{spec.first - 1}/{STATE}")
    (path,) = list(places)[:1] or [out.parent / f"gens-…-{spec.first - 1}" / STATE]
    block = Lineages.of_file(read_tensors(path), spec.run).of_seeds(seeds)
    block.records, block.points = [], {}
    return block


def _others(spec: SimulateSpec, out: Path) -> list[Lineages]:
    """The states that this block may go on from: its own unfinished one, and those of blocks that begin alike."""
    key, places = key_of(spec), f"seeds-*/gens-{spec.first}-*"
    found = []
    for name in (STATE, UNFINISHED):
        for path in out.parent.parent.glob(f"{places}/{name}"):
            try:
                tensors, header = read_tensors(path)
            except ArtifactError:
                continue  # a broken file costs its work, not the job
            if header.get("key") == key and int(header["generation"]) <= spec.last:
                found.append(Lineages.of_file((tensors, header), spec.run))
    return found


def key_of(spec: SimulateSpec) -> str:
    """Stands for all that a block's content depends on, but for which seeds it has and where it ends."""
    model, about = family(spec.run.model.family), spec.run.model
    if model.revision != about.revision:
        raise SpecError(
            f"{about.family}: revision {about.revision} asked for, the code is at {model.revision}"
        )
    return digest(
        {"run": spec.run, "first": spec.first, "measures": spec.measures, "every": spec.measure_every}, 64
    )


def new_models(run: RunSpec, seeds: Sequence[int], generation: int) -> Any:
    """A run's models with fresh weights, one a seed, stacked."""
    assert run.density is not None
    cls: Any = family(run.model.family)
    options = parse(cls.Options, run.model.options | (run.model.sampler or {}), run.model.family)
    density = known_density(run.density.name, run.density.options)
    streams = Streams([numpy_generator(seed, generation, "weights") for seed in seeds])
    given = {"density": density} if entry(run.model.family).sees_density else {}
    return cls.fresh(options, density.dimension, streams, **given)


def by_moments(model: Any) -> bool:
    """Whether a model takes and gives moments instead of rows."""
    return isinstance(model, Gaussian) and model.by_moments


def _below(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): a for name, a in tensors.items() if name.startswith(prefix)}
