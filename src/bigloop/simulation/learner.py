"""What a generation of a simulated run trains on: real rows without end, and what earlier generations left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from bigloop.data.densities import Density, known_density
from bigloop.loops import Composition, apportioned, compose_endless
from bigloop.loops.selection import chosen_rows, scores
from bigloop.models import family
from bigloop.models.points.gaussian import Moments
from bigloop.models.points.stacked import Streams
from bigloop.seeding import numpy_generator, of_member
from bigloop.spec.generations import Source
from bigloop.spec.options import SpecError, parse
from bigloop.spec.registry import declared
from bigloop.spec.runs import RunSpec

MOST_DRAWS = 1_000  # times the points that are needed

Pool = dict[int, dict[str, np.ndarray]]  # generation → what it left: its points, or its moments; seed first


@dataclass
class Learner:
    """Some seeds of a run, and what its generations left for later ones. siblings: all members of its ecosystem."""

    run: RunSpec
    seeds: tuple[int, ...]
    generation: int
    model: Any
    pool: Pool = field(default_factory=dict)
    siblings: Sequence[Learner] = field(default=(), repr=False, compare=False, kw_only=True)

    @cached_property
    def density(self) -> Density:
        """The known density that generation 1 is trained on."""
        assert self.run.density is not None
        return known_density(self.run.density.name, self.run.density.options)

    def streams(self, generation: int, purpose: str) -> Streams:
        """A random stream for each seed."""
        return Streams([numpy_generator(seed, generation, purpose) for seed in self.own_seeds])

    @cached_property
    def own_seeds(self) -> tuple[int, ...]:
        """The seeds of all that is drawn."""
        return tuple(of_member(seed, self.run.member) for seed in self.seeds)

    def rows(self, t: int) -> Tensor | Moments:
        """The training set of generation t: rows (seeds, n, d), or their moments."""
        if by_moments(self.model):
            return self._pooled_moments(t)
        sets = [
            self._training_set(
                index, compose_endless(self.run.looped, seed, t, self._available(index), self.run.shares)
            )
            for index, seed in enumerate(self.own_seeds)
        ]
        if len({len(rows) for rows in sets}) > 1:
            cause = "its selection" if self.run.looped.select else "the rules of this loop"
            raise SpecError(
                f"{cause} gives the seeds of generation {t} unequal numbers of rows, {min(map(len, sets))} and more; "
                "raise samples, or lower synthetic.n"
            )
        return torch.stack(sets)

    def left(self) -> dict[Source, dict[str, np.ndarray]]:
        """What earlier generations left, of an ecosystem those of all members."""
        if not self.siblings:
            return dict(self.pool.items())
        return {(j, g): left for j, one in enumerate(self.siblings) for g, left in one.pool.items()}

    def _available(self, index: int) -> dict[Source, int]:
        """How many rows each earlier generation hands on to one seed."""
        return {
            source: int(left["selected"][index].sum()) if "selected" in left else left["points"].shape[1]
            for source, left in self.left().items()
        }

    def _training_set(self, index: int, composition: Composition) -> Tensor:
        """The rows (n, d) of one seed."""
        parts = [self.real(self.own_seeds[index], composition.real)] if len(composition.real) else []
        pools = self.left()
        for source, rows in composition.synthetic.items():
            points = pools[source]["points"][index]
            if "selected" in pools[source]:
                points = points[pools[source]["selected"][index]]
            parts.append(torch.from_numpy(points[rows]).to(self.model.dtype))
        return torch.cat(parts)

    def real(self, seed: int, numbers: np.ndarray) -> Tensor:
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
            points = self._let_through(int(n), seed, int(g), purpose)
            parts.append((drawn == g, points[numbers[drawn == g] - first]))
        rows = np.empty((len(numbers), density.dimension))
        for where, points in parts:
            rows[where] = points
        return torch.from_numpy(rows).to(self.model.dtype)

    def _let_through(self, n: int, seed: int, g: int, purpose: str) -> np.ndarray:
        """n points of the density, float64 (n, d), or of those that the loop's filter lets through."""
        select, density, generator = self.run.looped.filter, self.density, numpy_generator(seed, g, purpose)
        if select is None:
            return density.sample(n, generator)
        chance, candidates, kept = (
            numpy_generator(seed, g, "filter"),
            select.candidates(n),
            list[np.ndarray](),
        )
        for _ in range(MOST_DRAWS):
            points = density.sample(candidates, generator)
            values = scores(select, partial(_seen, {"rows": points, "density": density.log_density(points)}))
            kept.append(points[chosen_rows(select, values, None, chance)])
            if sum(map(len, kept)) >= n:
                return np.concatenate(kept)[:n]
        raise SpecError(f"filter: lets fewer than one in {MOST_DRAWS} points through; lower its threshold")

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
        used = self.run.looped.synthetic.sources(t)
        if self.accumulates:  # the rows are those of before, not others of the same models
            n = self.run.looped.samples
            kept = [{name: torch.from_numpy(a) for name, a in self.pool[g].items()} for g in used]
            return Moments.pooled([Moments(n, each["mean"], each["scatter"]) for each in kept])
        if self.run.shares is None:
            return Moments.pooled(self._drawn(wanted, used, self, self.streams(t, "synthetic rows")))
        parts = []
        for j, n in enumerate(apportioned(wanted, self.run.shares)):
            parts += self._drawn(n, used, self.siblings[j], self.streams(t, f"synthetic rows of {j}"))
        return Moments.pooled(parts)

    @staticmethod
    def _drawn(wanted: int, used: range, of: Learner, streams: Streams) -> list[Moments]:
        """The moments of so many rows of these generations, in equal shares."""
        parts = []
        for i, g in enumerate(used):
            n = wanted // len(used) + (i < wanted % len(used))
            if n:
                source = new_models(of.run, of.seeds, g)
                source.restore(of.pool[g])
                parts.append(source.sample_moments(n, of.run.looped.bias, streams))
        return parts

    def needed(self, t: int) -> set[int]:
        """The generations whose samples generation t trains on, of all members of an ecosystem."""
        return {g for one in self.siblings or (self,) for g in one.run.looped.synthetic.sources(t)}

    @property
    def accumulates(self) -> bool:
        """Whether all samples of a generation stay in the training sets of all later ones."""
        return self.run.looped.synthetic.from_ == "all"

    def kept_moments(self) -> dict[str, np.ndarray]:
        """The moments of this generation's samples, drawn once."""
        loop, t = self.run.looped, self.generation
        drawn = self.model.sample_moments(loop.samples, loop.bias, self.streams(t, "sampling"))
        return {"mean": drawn.mean.numpy(), "scatter": drawn.scatter.numpy()}


def new_models(run: RunSpec, seeds: Sequence[int], generation: int) -> Any:
    """A run's models with fresh weights, one a seed, stacked."""
    assert run.density is not None
    cls: Any = family(run.model.family)
    options = parse(cls.Options, run.model.options | (run.model.sampler or {}), run.model.family)
    density = known_density(run.density.name, run.density.options)
    streams = Streams([numpy_generator(of_member(seed, run.member), generation, "weights") for seed in seeds])
    given = {"density": density} if declared("families")[run.model.family].sees_density else {}
    return cls.fresh(options, density.dimension, streams, **given)


def _seen(views: Mapping[str, np.ndarray], view: str, _options: Mapping[str, Any]) -> np.ndarray:
    return views[view]


def by_moments(model: Any) -> bool:
    """Whether a model takes and gives moments instead of rows."""
    return getattr(model, "by_moments", False)
