"""A lineage: its model, its loop and its first generation, and the folders that their digests name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from bigloop.spec.loops import Budget, Handover, Initial, LoopSpec
from bigloop.spec.options import Scalar, digest, option
from bigloop.spec.selection import SelectSpec


@dataclass(frozen=True)
class ModelSpec:
    """A generative model: its family, the revision of the family's code, and every hyperparameter.

    `sampler` holds those that only its sampling depends on, where the family has any.
    """

    family: str
    revision: int
    options: dict[str, Any]
    sampler: dict[str, Scalar] | None = None

    @property
    def trained(self) -> ModelSpec:
        """The part that training depends on."""
        return dataclasses.replace(self, sampler=None)


GENERATED = ModelSpec("generated", 1, {})  # of samples from elsewhere, in place of a family


@dataclass(frozen=True)
class DensitySpec:
    """A known density: its registered name and every parameter."""

    name: str
    options: dict[str, Scalar]


@dataclass(frozen=True)
class DatasetSpec:
    """A configured dataset of images: its source, every option that decides what its images are, and what they come to.

    shape: (channels, height, width). rows: of the splits "train" and "test". classes: names, in the order of the
    labels; () where there are no labels. files: digest of the names and sizes of the user's files, where the source
    is made of them. Where the files lie is no part of it.
    """

    source: str
    revision: int
    options: dict[str, Any]
    shape: tuple[int, ...]
    rows: dict[str, int]
    classes: tuple[str, ...]
    files: str | None = None

    @property
    def labelled(self) -> bool:
        """Whether there are classes to tell apart: two or more."""
        return len(self.classes) > 1


Data = str | DatasetSpec  # a source's bare name stands for itself in digests


def source_of(data: Data) -> str:
    """The registered name of a dataset's source."""
    return data if isinstance(data, str) else data.source


def data_folder(data: Data) -> str:
    """Name of the folder under results/data that holds a dataset: two datasets never share one."""
    return data if isinstance(data, str) else f"{data.source}-{digest(data)}"


@dataclass(frozen=True)
class MemberSpec:
    """A member of an ecosystem: a model, and its loop."""

    model: ModelSpec
    loop: LoopSpec


@dataclass(frozen=True)
class EcosystemSpec:
    """Models that train on each other's samples. shares: for each member, of which members its synthetic rows are."""

    members: tuple[MemberSpec, ...]
    shares: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ElsewhereSpec:
    """A lineage that was made elsewhere, in place of a loop: each of its generations comes from a file.

    holds: what the files hold, "weights" of the run's model or "samples" of any model at all. files: their names, with
    {t} for the generation and {seed} for the seed. samples: rows of each generation; None: all that a file holds.
    black_white: the values of black and white in the files, where their type does not say; None for 0 and 1.
    """

    holds: Literal["weights", "samples"]
    files: str
    samples: int | None = None
    bias: float = 1.0
    handover: Handover | None = None
    black_white: tuple[float, ...] | None = None

    def file(self, seed: int, generation: int) -> str:
        """The name of a generation's file, as the config gives it."""
        return self.files.replace("{t}", str(generation)).replace("{seed}", str(seed))


@dataclass(frozen=True)
class FirstSpec:
    """Everything that generation 1 depends on, apart from the seed."""

    dataset: Data
    model: ModelSpec
    initial: Initial
    budget: Budget
    weights: str | None = None  # SHA-256 of a file with weights that were trained elsewhere
    member: int = option(0, neutral=0)  # of an ecosystem: two that begin alike are two models
    filter: SelectSpec | None = None  # of the real rows

    @cached_property
    def folder(self) -> str:
        return f"{self.model.family}-{source_of(self.dataset)}-{digest(self)}"


@dataclass(frozen=True)
class RunSpec:
    """One lineage: dataset, model and loop. Names, seeds, generations and measures are not part of it.

    The loop's handover is None where it is float16. A lineage from `elsewhere` has no loop.
    With `weights`, the SHA-256 of a file, its first generation is not trained but imported. With `density`, the data
    are a known density, `dataset` is the density's name, and the run is simulated. Each member of an `ecosystem`, whose
    models and loops all of them have in their digests, is a run of its own.
    """

    dataset: Data
    model: ModelSpec
    loop: LoopSpec | None = None
    weights: str | None = None
    density: DensitySpec | None = None
    elsewhere: ElsewhereSpec | None = None
    ecosystem: EcosystemSpec | None = None
    member: int = option(0, neutral=0)

    def of_member(self, member: int) -> RunSpec:
        """The run of a member of the same ecosystem."""
        assert self.ecosystem
        other = self.ecosystem.members[member]
        return dataclasses.replace(self, model=other.model, loop=other.loop, member=member)

    @property
    def whole(self) -> RunSpec:
        """What is simulated: the run, or all members of its ecosystem together, which the first one stands for."""
        return self.of_member(0) if self.ecosystem else self

    @property
    def shares(self) -> tuple[float, ...] | None:
        """Of a member of an ecosystem: what share of its synthetic rows comes from each member."""
        return self.ecosystem.shares[self.member] if self.ecosystem else None

    @property
    def looped(self) -> LoopSpec:
        """The loop of a run that has one."""
        assert self.loop is not None
        return self.loop

    @property
    def bias(self) -> float:
        """The sampling bias λ of its samples."""
        return self.elsewhere.bias if self.elsewhere else self.looped.bias

    @property
    def handover(self) -> Handover | None:
        """The precision of its samples; None: float16, and of samples from elsewhere that of their file."""
        return self.elsewhere.handover if self.elsewhere else self.looped.handover

    @property
    def continues(self) -> bool:
        """Whether each generation continues from the weights and the optimiser state of the one before."""
        return self.loop is not None and self.loop.continues

    @property
    def has_model(self) -> bool:
        """Whether its generations have weights, and not samples alone."""
        return self.elsewhere is None or self.elsewhere.holds == "weights"

    @cached_property
    def first(self) -> FirstSpec:
        """Generation 1, which all loops that begin alike have in common."""
        loop = self.looped
        given = self.model.trained, loop.initial, loop.budget.initial, self.weights, self.member
        return FirstSpec(self.dataset, *given, None if self.weights else loop.filter)

    @cached_property
    def folder(self) -> str:
        """Name of the run's folder under results/runs; members that are simulated together have one."""
        name = "ecosystem" if self.ecosystem and self.density else self.model.family
        return f"{name}-{source_of(self.dataset)}-{digest(self.whole if self.density else self)}"

    @property
    def filter_folder(self) -> str | None:
        """Name of the folder under results/runs where it says which real rows there are; None where all are, or none is
        trained on. Imported weights are the same whatever was filtered."""
        if self.loop is None or self.loop.filter is None:
            return None
        if not self.weights:
            return self.first.folder
        return self.folder if self.loop.real.fixed or self.loop.real.fresh else None

    def model_folder(self, generation: int) -> str:
        """Name of the folder under results/runs that holds the weights of `generation`."""
        return self.first.folder if generation == 1 and self.loop else self.folder

    def auxiliary_folder(self, generation: int) -> str | None:
        """Name of the folder under results/runs that holds the auxiliary model of `generation`; None without one. That
        of a generation 1 is the same for all loops which only use it otherwise."""
        against = self.loop.against if self.loop else None
        if against is None or generation > 1:
            return self.folder if against else None
        made_by = {"first": self.first, "sampler": self.model.sampler, "further": against.training}
        return f"auxiliary-{source_of(self.dataset)}-{digest(made_by)}"

    @property
    def folders(self) -> set[str]:
        """Names of all its folders under results/runs, those that it shares with other runs among them."""
        return {self.folder, self.model_folder(1), self.auxiliary_folder(1) or self.folder}


def called(name: str, runs: Iterable[Any]) -> set[Any]:
    """The run of this name or, if there is none, those whose names begin so."""
    names = set(runs)
    return {name} & names or {run for run in names if str(run).startswith(name)}
