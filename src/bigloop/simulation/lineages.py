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
from typing import Any, Self

import numpy as np
import torch

from bigloop.artifacts import (
    PREVIEW_ROWS,
    write_tensors,
)
from bigloop.data.densities import known_density
from bigloop.loops.selection import scores, selected
from bigloop.measures.points import Generated, Judge, LogDensity
from bigloop.measures.records import Record
from bigloop.metrics.selection import Selection
from bigloop.runtime.progress import Report
from bigloop.seeding import numpy_generator
from bigloop.simulation.learner import Learner, by_moments, new_models
from bigloop.spec.jobs import SimulateSpec
from bigloop.spec.registry import declared
from bigloop.spec.runs import RunSpec


@dataclass
class Lineages(Learner):
    """Some seeds of a run at the end of a generation, 0 before the first, and what was measured on the way.

    points: name of the generation → (k, d), of the first seed. history: of the last training. siblings: the members of
    its ecosystem, itself among them.
    """

    records: list[Record] = field(default_factory=list)
    points: dict[str, np.ndarray] = field(default_factory=dict)
    history: dict[str, np.ndarray] = field(default_factory=dict)
    siblings: Sequence[Lineages] = field(default=(), repr=False, compare=False, kw_only=True)

    @classmethod
    def fresh(cls, run: RunSpec, seeds: tuple[int, ...]) -> Self:
        """Before the first generation."""
        return cls(run, seeds, 0, new_models(run, seeds, 1))

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
            self.pool[t] = self.kept_moments() if self.accumulates else self.model.state()
        else:
            points = self._sampler().sample(loop.samples, loop.bias, self.streams(t, "sampling")).numpy()
            self.pool[t] = {"points": points} | (self._selection(points, t) if loop.select else {})
        for old in self.pool.keys() - {t}:
            self.pool[old].pop("scores", None)
        for old in self.pool.keys() - {t, *self.needed(t + 1)}:
            del self.pool[old]

    def _sampler(self) -> Any:
        """The models that samples are drawn of: this generation's, or away from auxiliary ones."""
        against, t = self.run.looped.against, self.generation
        if against is None:
            return self.model
        rows = self.model.sample(against.samples, 1.0, self.streams(t, "auxiliary sampling"))
        auxiliary = self.model.trained_further(rows, against.budget, self.streams(t, "auxiliary training"))
        return self.model.opposed(auxiliary, against.way, against.strength)

    def _selection(self, points: np.ndarray, t: int) -> dict[str, np.ndarray]:
        """Of points (seeds, n, d), those that are handed on, bool (seeds, n), and all scores, (seeds, scores, n)."""
        select = self.run.looped.select
        assert select
        values, chosen = [], np.zeros(points.shape[:2], bool)
        for index, seed in enumerate(self.own_seeds):
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
                return self.real(self.own_seeds[index], np.arange(most)).double().numpy()
            case _:
                return points

    @staticmethod
    def judges(spec: SimulateSpec) -> list[Judge]:
        """What takes the measures of a block."""
        assert spec.run.density
        density = known_density(spec.run.density.name, spec.run.density.options)
        return [Judge(density, measures) for measures in spec.of_members or (spec.measures,)]

    def measure(self, judges: Sequence[Judge], of_selected: bool = False) -> None:
        """Add the records of this generation, of all its points or `of_selected` ones, and its points for figures."""
        t, left = self.generation, self.pool[self.generation]
        made, chosen = left.get("points"), left.get("selected")
        judge = judges[self.run.member]
        for index, seed in enumerate(self.seeds):
            whole = None if chosen is None else Selection(left["scores"][index], chosen[index])
            generated = Generated(
                self.shown(index, of_selected),
                self._moments(index),
                {name: float(values[index]) for name, values in self.history.items()},
                self._log_density(index),
                self.run.looped.bias != 1 or of_selected or self.run.looped.against is not None,
                whole,
                self._others(index, of_selected),
            )
            self.records += [{"seed": seed, "generation": t, **r} for r in judge.records(generated)]
        if made is not None:
            self.points[str(t)] = made[0, :PREVIEW_ROWS].astype(np.float32)

    def shown(self, index: int, of_selected: bool) -> np.ndarray | None:
        """The points of this generation that are measured, of one seed; None of a model that draws moments."""
        left = self.pool[self.generation]
        if "points" not in left:
            return None
        points: np.ndarray = left["points"][index]
        return points[left["selected"][index]] if of_selected and "selected" in left else points

    def _others(self, index: int, of_selected: bool) -> dict[str, np.ndarray]:
        """The points of the other members of the ecosystem, by their numbers."""
        shown = (
            (str(j), one.shown(index, of_selected)) for j, one in enumerate(self.siblings) if one is not self
        )
        return {name: points for name, points in shown if points is not None}

    def forget(self) -> None:
        """Drop what was measured up to now."""
        self.records, self.points = [], {}

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

    # --- files, and parts of blocks ---

    def save(self, path: Path, key: str) -> None:
        """Write all of it; `key` stands for what it is the result of."""
        header = {"key": key, "seeds": json.dumps(self.seeds), "generation": str(self.generation)}
        write_tensors(path, self.tensors(), header)

    def tensors(self) -> dict[str, np.ndarray]:
        """All of it, as arrays."""
        tensors = {f"model/{name}": array for name, array in self.model.state().items()}
        for g, arrays in self.pool.items():
            tensors |= {f"pool/{g}/{name}": array for name, array in arrays.items()}
        tensors |= {f"points/{name}": array for name, array in self.points.items()}
        tensors["records"] = np.frombuffer(json.dumps(self.records).encode(), dtype=np.uint8)
        return tensors

    @classmethod
    def of_file(cls, content: tuple[dict[str, np.ndarray], dict[str, str]], run: RunSpec) -> Self:
        """What `save` wrote, from its file's arrays and header (see artifacts.read_tensors)."""
        tensors, header = content
        found = cls.fresh(run, tuple(json.loads(header["seeds"])))
        found.generation = int(header["generation"])
        found.model.restore(below(tensors, "model/"))
        for name, array in below(tensors, "pool/").items():
            g, _, what = name.partition("/")
            found.pool.setdefault(int(g), {})[what] = array
        found.records = json.loads(tensors["records"].tobytes())
        found.points = below(tensors, "points/")
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


def below(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): a for name, a in tensors.items() if name.startswith(prefix)}
