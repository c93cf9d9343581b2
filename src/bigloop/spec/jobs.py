"""The specification of each kind of job."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, Self

from bigloop.seeding import of_member
from bigloop.spec.options import Scalar, digest, option
from bigloop.spec.runs import (
    MOST_EPOCHS,
    MOST_ROWS,
    Budget,
    Data,
    DensitySpec,
    Handover,
    Initial,
    ModelSpec,
    Real,
    RuleSpec,
    RunSpec,
    Start,
    Synthetic,
    source_of,
)
from bigloop.spec.selection import SelectSpec

Source = int | tuple[int, int]  # of synthetic rows: a generation, or of an ecosystem (member, generation)


@dataclass(frozen=True)
class TrainSpec:
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

    @classmethod
    def of(cls, run: RunSpec, seed: int, generation: int, file_bytes: int | None = None) -> Self:
        """The job that trains `generation` of a run, or imports it from a file of this size."""
        model = run.model.trained
        if run.elsewhere:
            return cls(run.dataset, model, seed, generation, file_bytes=file_bytes)
        loop = run.looped
        if generation == 1:
            budget = loop.budget.initial
            return cls(
                run.dataset, model, seed, 1, loop.initial, budget, weights=run.weights, member=run.member
            )
        given = loop.initial, loop.budget.retrain, loop.real, loop.synthetic, loop.start
        more: dict[str, Any] = {"rules": loop.rules, "member": run.member, "shares": run.shares}
        return cls(run.dataset, model, seed, generation, *given, **more)

    @property
    def stream(self) -> int:
        """The seed of all that it draws."""
        return of_member(self.seed, self.member)

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
class AuxiliarySpec:
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
        given = against.samples, against.budget, run.model.sampler, run.member
        return cls(run.dataset, seed, generation, *given)

    @property
    def stream(self) -> int:
        """The seed of all that it draws."""
        return of_member(self.seed, self.member)


@dataclass(frozen=True)
class SampleSpec:
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

    @property
    def stream(self) -> int:
        """The seed of all that it draws."""
        return of_member(self.seed, self.member)


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
class SelectionSpec:
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

    @property
    def stream(self) -> int:
        """The seed of all that it draws."""
        return of_member(self.seed, self.member)


OWN = "classifier"  # the name of the features of the classifier of the data themselves


@dataclass(frozen=True)
class FeaturesSpec:
    """What images are compared on: a registered kind of features, and every option of it.

    weights: SHA-256 of the file that the option of this name names, None where there is none. A classifier is named by
    its folder under results/classifier.
    """

    kind: str
    revision: int
    options: dict[str, Scalar]
    weights: str | None = None

    @property
    def name(self) -> str:
        """What tables and files call them: other options or weights have another name."""
        known, rest = self.options.get(self.kind), {}
        for key, value in self.options.items():
            if key not in (self.kind, "weights"):
                rest[key] = value
        words = [self.kind, str(known or ""), digest(rest) if rest else "", (self.weights or "")[:8]]
        return re.sub(r"[^\w.-]", "_", "-".join(filter(None, words)))


@dataclass(frozen=True)
class MeasureSpec:
    """One measuring job: each measure with its options, n always among them.

    A measure that compares images on other features than those of the data's own classifier has their name as its
    option `features`, and `features` says which they are.
    """

    dataset: str  # name of the data's folder
    measures: dict[str, dict[str, Scalar]]
    classifier: str | None = None  # folder name: another classifier is another job; None without classes
    seed: int = 0
    generation: int = 1
    has_critic: bool = False
    features: dict[str, FeaturesSpec] | None = None
    selected: bool = option(False, neutral=False)  # measure the selected samples alone


@dataclass(frozen=True)
class FloorSpec:
    """The real-against-real floors of one dataset: every measure at every n that some run uses. Features as above."""

    dataset: str  # name of the data's folder
    measures: dict[str, tuple[dict[str, Scalar], ...]]
    classifier: str | None = None
    features: dict[str, FeaturesSpec] | None = None


@dataclass(frozen=True)
class SimulateSpec:
    """One simulating job, a block of a run: these seeds, all at once, from generation `first` to `last`.

    Of every `measure_every`-th generation, counted from the first of all, each measure with its options.
    """

    run: RunSpec
    seeds: tuple[int, ...]
    first: int
    last: int
    measures: dict[str, dict[str, Scalar]]
    measure_every: int = 1
    selected: bool = option(False, neutral=False)  # measure the selected samples alone
    of_members: tuple[dict[str, dict[str, Scalar]], ...] = option((), neutral=())  # measures, of an ecosystem

    def measured(self, generation: int) -> bool:
        """Whether this generation is measured."""
        return (generation - 1) % self.measure_every == 0


@dataclass(frozen=True)
class DensityFloorSpec:
    """The floors of one known density: points of it measured against other points of it, at every n in use."""

    density: DensitySpec
    measures: dict[str, tuple[dict[str, Scalar], ...]]


@dataclass(frozen=True)
class CriticsSpec:
    """All critics of one run on the samples of all generations of another, same seed, n images each."""

    critic: str
    critic_folders: tuple[str, ...]  # of the models, by generation
    generator: str
    generator_folders: tuple[str, ...]  # of the samples, by generation
    seed: int
    n: int


@dataclass(frozen=True)
class TableRun:
    """What the tables say of a run beside its measures."""

    run: str
    label: str
    sweep: str
    dataset: str
    loop: str
    generations: int
    seeds: tuple[int, ...]
    spec: RunSpec
    blocks: tuple[str, ...] = ()  # of a simulated run: folders below its own
    faithful: tuple[
        str, ...
    ] = ()  # papers, by their names among the claims, whose models, data and budgets it has
    published: str = ""  # a paper and its run, whose published values it is held against
    siblings: tuple[str, ...] = option((), neutral=())  # the runs of all members of its ecosystem


@dataclass(frozen=True)
class CollectSpec:
    """One experiment's tables."""

    experiment: str
    runs: tuple[TableRun, ...]
    datasets: tuple[str, ...]
    critics: tuple[str, ...]  # stems of the critics' files
    revision: int = 5  # of the tables' columns


@dataclass(frozen=True)
class PlotSpec:
    """One figure of an experiment, with its own options; `name` is that of its files.

    Where it shows features, by dataset, the folder of its own classifier, or which other ones they are.
    """

    experiment: str
    name: str
    figure: str
    options: dict[str, Any]
    classifiers: dict[str, str] | None = None
    features: dict[str, FeaturesSpec] | None = None


@dataclass(frozen=True)
class ExploreSpec:
    """The page of an experiment: images of each generation of so many seeds of each run, in so many megabytes."""

    experiment: str
    images: int
    seeds: int
    megabytes: float
    revision: int = 1  # of the page


@dataclass(frozen=True)
class ClassifierSpec:
    """The network that predicts classes and gives the features of the distances, and its training."""

    dataset: Data
    network: Literal["cnn", "resnet"] = option(
        "cnn", "a small LeNet, for digits and the like; or a small ResNet, for natural images", neutral="cnn"
    )
    width: int = option(32, "channels of the first convolution", minimum=1, maximum=4096)
    features: int = option(
        84,
        "units of the penultimate layer, the features of fid; of resnet the channels of its last stage",
        minimum=1,
        maximum=65_536,
    )
    epochs: int = option(12, "passes over the real training set", minimum=1, maximum=MOST_EPOCHS)
    batch_size: int = option(128, "images per step", minimum=1)
    learning_rate: float = option(2e-3, "peak of the one-cycle schedule (AdamW)", above=0, maximum=1e6)
    shift: int = option(2, "training images are shifted by up to this many pixels", minimum=0, maximum=1024)
    mirror: bool = option(
        False,
        "mirror half of the training images left to right; not for classes that this would change",
        neutral=False,
    )
    dropout: float = option(0.2, "fraction of features dropped in training", minimum=0, below=1)
    label_smoothing: float = option(
        0.0, "share of each label that is spread evenly over all classes", minimum=0, below=1, neutral=0.0
    )
    seed: int = option(0, "seed of the weights, the order and the shifts", minimum=0, maximum=2**53)
    revision: int = 1  # of the code

    @property
    def folder(self) -> str:
        """Name of the classifier's folder under results/classifier."""
        return f"{source_of(self.dataset)}-{digest(self)}"
