"""A whole loop in one process, many seeds at once, for families too cheap for one job per generation.

    simulate(spec, results / "runs" / spec.run.folder / "seeds-0-49" / "gens-1-51", log.info)

The same loops as for images, on points of a known density: generation t is trained on what its LoopSpec asks for,
sampled and measured. A job is a block of seeds and generations. Its folder gets

    measures.csv            seed, generation, measure, value, n, k, detail
    points.safetensors      the first seed's points of each measured generation, for figures
    state.safetensors       all that a later block continues from, and the records

A job that was stopped continues from the generation that it saved last, and one that asks for more seeds or generations
than an earlier one continues from what that one had: no generation is made twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor

from bigloop.artifacts import (
    PREVIEW_ROWS,
    write_tensors,
)
from bigloop.data.densities import Density, known_density
from bigloop.loops import Composition, compose_endless
from bigloop.loops.selection import scores, selected
from bigloop.measures.points import Generated, Judge, LogDensity
from bigloop.measures.records import Record
from bigloop.metrics.selection import Selection
from bigloop.models import family
from bigloop.models.points.gaussian import Moments
from bigloop.models.points.stacked import Streams
from bigloop.runtime.progress import Report
from bigloop.seeding import numpy_generator
from bigloop.spec.options import SpecError, parse
from bigloop.spec.registry import declared
from bigloop.spec.runs import RunSpec

Pool = dict[int, dict[str, np.ndarray]]  # generation → what it left: its points, or its moments; seed first


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
        self.learn(report)
        self.hand_over()

    def learn(self, report: Report) -> None:
        """Train the next generation."""
        loop, t = self.run.looped, self.generation + 1
        rows = self.rows(t)
        if t > 1 and not loop.continues:
            self.model = new_models(self.run, self.seeds, t)
        budget = loop.budget.initial if t == 1 else loop.budget.retrain
        self.history = self.model.fit(rows, budget, self.streams(t, "training"), report)
        self.generation = t

    def hand_over(self) -> None:
        """Sample this generation for the later ones, and drop those that none of them needs."""
        loop, t = self.run.looped, self.generation
        if by_moments(self.model):
            self.pool[t] = self._kept_moments() if self._accumulates else self.model.state()
        else:
            points = self.model.sample(loop.samples, loop.bias, self.streams(t, "sampling")).numpy()
            self.pool[t] = {"points": points} | (self._selection(points, t) if loop.select else {})
        for old in self.pool.keys() - {t}:
            self.pool[old].pop("scores", None)
        for old in self.pool.keys() - {t, *loop.synthetic.sources(t + 1)}:
            del self.pool[old]

    def _selection(self, points: np.ndarray, t: int) -> dict[str, np.ndarray]:
        """Of points (seeds, n, d), those that are handed on, bool (seeds, n), and all scores, (seeds, scores, n)."""
        select = self.run.looped.select
        assert select
        values, chosen = [], np.zeros(points.shape[:2], bool)
        for index, seed in enumerate(self.seeds):
            values.append(scores(select, partial(self._seen, index, points[index].astype(np.float64))))
            generator = numpy_generator(seed, t, "selection")
            chosen[index, selected(select, values[-1], None, generator)] = True
        return {"selected": chosen, "scores": np.stack(values)}

    def _seen(self, index: int, points: np.ndarray, view: str, options: Mapping[str, Any]) -> np.ndarray:
        """What a score sees of one seed's points."""
        match view:
            case "density":
                return self.density.log_density(points)
            case "own_density":
                known = self._log_density(index)
                assert known
                return known(points)
            case "real_features":
                most = min(int(options["real"]), self.run.looped.initial.n)
                return self._real(self.seeds[index], np.arange(most)).double().numpy()
            case _:
                return points

    def measure(self, judge: Judge, of_selected: bool = False) -> None:
        """Add the records of this generation, of all its points or `of_selected` ones, and its points for figures."""
        t, left = self.generation, self.pool[self.generation]
        made, chosen = left.get("points"), left.get("selected")
        for index, seed in enumerate(self.seeds):
            whole = None if chosen is None else Selection(left["scores"][index], chosen[index])
            points = None if made is None else made[index]
            if of_selected and chosen is not None and points is not None:
                points = points[chosen[index]]
            generated = Generated(
                points,
                self._moments(index),
                {name: float(values[index]) for name, values in self.history.items()},
                self._log_density(index),
                self.run.looped.bias != 1 or of_selected,
                whole,
            )
            self.records += [{"seed": seed, "generation": t, **r} for r in judge.records(generated)]
        if made is not None:
            self.points[str(t)] = made[0, :PREVIEW_ROWS].astype(np.float32)

    def _moments(self, index: int) -> tuple[np.ndarray, np.ndarray] | None:
        if not declared("families")[self.run.model.family].has_moments:
            return None
        return self.model.mean[index].numpy(), self.model.covariance[index].numpy()

    def _log_density(self, index: int) -> LogDensity | None:
        """The density that one seed's model knows itself to have."""
        if not declared("families")[self.run.model.family].has_log_density:
            return None

        def known(points: np.ndarray) -> np.ndarray:
            alone = new_models(self.run, self.seeds[index : index + 1], 1)
            alone.restore({name: array[index : index + 1] for name, array in self.model.state().items()})
            given = torch.from_numpy(points)[None].to(alone.dtype)
            return alone.log_density(given)[0].double().numpy()

        return known

    # --- what a generation trains on ---

    def rows(self, t: int) -> Tensor | Moments:
        """The training set of generation t: rows (seeds, n, d), or their moments."""
        if by_moments(self.model):
            return self._pooled_moments(t)
        sets = [
            self._training_set(index, compose_endless(self.run.looped, seed, t, self._available(index)))
            for index, seed in enumerate(self.seeds)
        ]
        if len({len(rows) for rows in sets}) > 1:
            cause = "its selection" if self.run.looped.select else "the rules of this loop"
            raise SpecError(
                f"{cause} gives the seeds of generation {t} unequal numbers of rows, {min(map(len, sets))} and more; "
                "raise samples, or lower synthetic.n"
            )
        return torch.stack(sets)

    def _available(self, index: int) -> dict[int, int]:
        """How many rows each earlier generation hands on to one seed."""
        return {
            g: int(left["selected"][index].sum()) if "selected" in left else left["points"].shape[1]
            for g, left in self.pool.items()
        }

    def _training_set(self, index: int, composition: Composition) -> Tensor:
        """The rows (n, d) of one seed."""
        parts = [self._real(self.seeds[index], composition.real)] if len(composition.real) else []
        for g, rows in composition.synthetic.items():
            points = self.pool[g]["points"][index]
            if "selected" in self.pool[g]:
                points = points[self.pool[g]["selected"][index]]
            parts.append(torch.from_numpy(points[rows]))
        return torch.cat(parts)

    def _real(self, seed: int, numbers: np.ndarray) -> Tensor:
        """Rows of a seed's endless real data: generation 1's, then those that each generation gets anew."""
        initial, fresh = self.run.looped.initial.n, self.run.looped.real.fresh
        drawn = np.where(
            numbers < initial, 0, 2 + (numbers - initial) // max(fresh, 1)
        )  # by which generation
        density, parts = self.density, []
        for g in np.unique(drawn):
            n, first, purpose = (
                (fresh, initial + fresh * (g - 2), "fresh rows") if g else (initial, 0, "real rows")
            )
            points = density.sample(int(n), numpy_generator(seed, int(g), purpose))
            parts.append((drawn == g, points[numbers[drawn == g] - first]))
        rows = np.empty((len(numbers), density.dimension))
        for where, points in parts:
            rows[where] = points
        return torch.from_numpy(rows).to(self.model.dtype)

    def _pooled_moments(self, t: int) -> Moments:
        """The moments of the training set of generation t; those of the last K generations' rows are drawn anew."""
        loop = self.run.looped
        if t == 1:
            return self._real_moments(loop.initial.n, 0, "real rows")
        parts = []
        if loop.real.fixed:
            parts.append(self._real_moments(loop.initial.n, 0, "real rows"))
        if loop.real.fresh:
            parts.append(self._real_moments(loop.real.fresh, t, "fresh rows"))
        if wanted := loop.synthetic.rows(loop.real.fixed + loop.real.fresh):
            parts.append(self._synthetic_moments(wanted, t))
        return Moments.pooled(parts)

    def _real_moments(self, n: int, generation: int, purpose: str) -> Moments:
        density = cast(Any, self.density)
        mean, covariance = (
            torch.from_numpy(a).expand(len(self.seeds), *a.shape) for a in (density.mean, density.covariance)
        )
        return Moments.drawn(n, mean, covariance, self.streams(generation, purpose))

    def _synthetic_moments(self, wanted: int, t: int) -> Moments:
        """Of `wanted` rows from the earlier generations that are used, in equal shares."""
        streams, used = self.streams(t, "synthetic rows"), self.run.looped.synthetic.sources(t)
        parts = []
        if self._accumulates:  # the rows are those of before, not others of the same models
            n = self.run.looped.samples
            kept = [{name: torch.from_numpy(a) for name, a in self.pool[g].items()} for g in used]
            return Moments.pooled([Moments(n, each["mean"], each["scatter"]) for each in kept])
        for i, g in enumerate(used):
            n = wanted // len(used) + (i < wanted % len(used))
            if n:
                source = new_models(self.run, self.seeds, g)
                source.restore(self.pool[g])
                parts.append(source.sample_moments(n, self.run.looped.bias, streams))
        return Moments.pooled(parts)

    @property
    def _accumulates(self) -> bool:
        """Whether all samples of a generation stay in the training sets of all later ones."""
        return self.run.looped.synthetic.from_ == "all"

    def _kept_moments(self) -> dict[str, np.ndarray]:
        """The moments of this generation's samples, drawn once."""
        loop, t = self.run.looped, self.generation
        drawn = self.model.sample_moments(loop.samples, loop.bias, self.streams(t, "sampling"))
        return {"mean": drawn.mean.numpy(), "scatter": drawn.scatter.numpy()}

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


def new_models(run: RunSpec, seeds: Sequence[int], generation: int) -> Any:
    """A run's models with fresh weights, one a seed, stacked."""
    assert run.density is not None
    cls: Any = family(run.model.family)
    options = parse(cls.Options, run.model.options | (run.model.sampler or {}), run.model.family)
    density = known_density(run.density.name, run.density.options)
    streams = Streams([numpy_generator(seed, generation, "weights") for seed in seeds])
    given = {"density": density} if declared("families")[run.model.family].sees_density else {}
    return cls.fresh(options, density.dimension, streams, **given)


def by_moments(model: Any) -> bool:
    """Whether a model takes and gives moments instead of rows."""
    return getattr(model, "by_moments", False)


def _below(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): a for name, a in tensors.items() if name.startswith(prefix)}
