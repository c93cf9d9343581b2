"""The specification of each kind of job that makes a part of a generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from bigloop.seeding import of_member
from bigloop.spec.loops import MOST_ROWS, Budget, Handover, Initial, Real, RuleSpec, Start, Synthetic
from bigloop.spec.options import Scalar, option
from bigloop.spec.runs import Data, ModelSpec, RunSpec
from bigloop.spec.selection import SelectSpec

Source = int | tuple[int, int]  # of synthetic rows: a generation, or of an ecosystem (member, generation)


class Drawing:
    """A job that draws, for a seed and, of an ecosystem, for one of its members."""

    seed: int
    member: int

    @property
    def stream(self) -> int:
        """The seed of all that it draws."""
        return of_member(self.seed, self.member)


@dataclass(frozen=True)
class TrainSpec(Drawing):
    """One training job. The loop's keys are None for generation 1, which does not depend on them.

    All of them are None where `file_bytes`, the size of a file with weights from elsewhere, stands in their place.
    """

    dataset: Data
    model: ModelSpec
    seed: int
    generation: int
    initial: Initial | None = None
    budget: Budget | None = None
    real: Real | None = None
    synthetic: Synthetic | None = None
    start: Start | None = None
    weights: str | None = None  # of a first generation that is imported
    rules: tuple[RuleSpec, ...] = option((), neutral=())
    file_bytes: int | None = None
    member: int = option(0, neutral=0)  # of an ecosystem
    shares: tuple[float, ...] | None = None  # of its members among the synthetic rows
    filtered: bool = option(False, neutral=False)  # whether its real rows are some of the dataset's

    @classmethod
    def of(cls, run: RunSpec, seed: int, generation: int, file_bytes: int | None = None) -> Self:
        """The job that trains `generation` of a run, or imports it from a file of this size."""
        model = run.model.trained
        if run.elsewhere:
            return cls(run.dataset, model, seed, generation, file_bytes=file_bytes)
        loop = run.looped
        if generation == 1:
            budget = loop.budget.initial
            more: dict[str, Any] = {"weights": run.weights, "filtered": bool(loop.filter and not run.weights)}
            return cls(run.dataset, model, seed, 1, loop.initial, budget, member=run.member, **more)
        given = loop.initial, loop.budget.retrain, loop.real, loop.synthetic, loop.start
        more = {"rules": loop.rules, "member": run.member, "shares": run.shares}
        if loop.real.fixed or loop.real.fresh:
            more["filtered"] = loop.filter is not None
        return cls(run.dataset, model, seed, generation, *given, **more)

    @property
    def sources(self) -> list[Source]:
        """The earlier generations, of an ecosystem with their members, whose samples it may train on."""
        generations = self.synthetic.sources(self.generation) if self.synthetic else range(0)
        if self.shares is None:
            return [*generations]
        return [(j, g) for j, share in enumerate(self.shares) if share for g in generations]

    @property
    def imported(self) -> bool:
        """Whether its weights come from a file, and are not trained."""
        return self.weights is not None or self.budget is None

    @property
    def continues(self) -> bool:
        """Whether it continues from the weights and the optimiser state of the generation before."""
        return self.start == "continue"


@dataclass(frozen=True)
class Opposition:
    """How a generation is sampled away from its auxiliary model."""

    way: Literal["scores", "weights"]
    strength: float


@dataclass(frozen=True)
class AuxiliarySpec(Drawing):
    """One job that trains a generation's model further, on samples of its own."""

    dataset: Data
    seed: int
    generation: int
    samples: int
    budget: Budget
    sampler: dict[str, Scalar] | None = None
    member: int = option(0, neutral=0)  # of an ecosystem

    @classmethod
    def of(cls, run: RunSpec, seed: int, generation: int) -> Self:
        """The job that trains the auxiliary model of `generation` of a run."""
        against = run.looped.against
        assert against
        return cls(run.dataset, seed, generation, *against.training, run.model.sampler, run.member)


@dataclass(frozen=True)
class SampleSpec(Drawing):
    """One sampling job: n rows of a generation, with sampling bias λ."""

    seed: int
    generation: int
    n: int = option(description="rows to generate", minimum=1, maximum=MOST_ROWS)
    bias: float = option(1.0, "sampling bias λ", minimum=0, maximum=1)
    sampler: dict[str, Scalar] | None = None
    handover: Handover | None = None  # None: float16
    member: int = option(0, neutral=0)  # of an ecosystem
    against: Opposition | None = None

    @classmethod
    def of(cls, run: RunSpec, seed: int, generation: int) -> Self:
        """The job that samples `generation` of a run."""
        rows = run.elsewhere.samples if run.elsewhere else run.looped.samples
        assert rows is not None
        given = run.loop.against if run.loop else None
        against = Opposition(given.way, given.strength) if given else None
        return cls(seed, generation, rows, run.bias, run.model.sampler, run.handover, run.member, against)


@dataclass(frozen=True)
class ImportSpec:
    """One importing job: the samples of a generation that a model elsewhere generated, from a file of `file_bytes`.

    samples: how many rows of it, None for all. black_white: the values of black and white, None for 0 and 1.
    """

    dataset: Data
    seed: int
    generation: int
    file_bytes: int
    samples: int | None = None
    black_white: tuple[float, ...] | None = None
    revision: int = 1  # of the code

    @classmethod
    def of(cls, run: RunSpec, seed: int, generation: int, file_bytes: int) -> Self:
        """The job that imports `generation` of a run."""
        given = run.elsewhere
        assert given is not None
        return cls(
            run.dataset,
            seed,
            generation,
            file_bytes,
            given.samples,
            given.black_white,
            run.model.revision,
        )


@dataclass(frozen=True)
class SelectionSpec(Drawing):
    """One selecting job: which samples of a generation are handed on."""

    dataset: Data
    family: str
    seed: int
    generation: int
    select: SelectSpec
    member: int = option(0, neutral=0)  # of an ecosystem

    @classmethod
    def of(cls, run: RunSpec, seed: int, generation: int) -> Self:
        """The job that selects samples of `generation` of a run."""
        assert run.looped.select
        return cls(run.dataset, run.model.family, seed, generation, run.looped.select, run.member)


@dataclass(frozen=True)
class FilterSpec(Drawing):
    """One filtering job: which of a dataset's rows are real rows of a loop."""

    dataset: Data
    seed: int
    filter: SelectSpec
    member: int = option(0, neutral=0)  # of an ecosystem

    @classmethod
    def of(cls, run: RunSpec, seed: int) -> Self:
        """The job that filters the real rows of a run."""
        assert run.looped.filter
        return cls(run.dataset, seed, run.looped.filter, run.member)
