"""What a job is told: frozen dataclasses, parsed strictly from JSON.

    run = parse(RunSpec, json.loads(text), where="run")
    run.folder      # "vae-mnist-1f0c9a42": the same words for the same science, whatever the run is called

A dataclass field is declared with `option(default, description, minimum=…)`; `parse` checks type and range
and names the key at fault, `schema_of` turns the same declaration into JSON Schema.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeVar

T = TypeVar("T")
Scalar = bool | int | float | str


class SpecError(ValueError):
    """A configuration or spec that cannot be run. The message is one line that names the key."""


def option(
    default: Any = dataclasses.MISSING,
    description: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    sampling: bool = False,
) -> Any:
    """A dataclass field with a description and a range: minimum ≤ value ≤ maximum, above < value < below.

    `sampling` marks an option of a family that training does not depend on.
    """
    bounds = {"minimum": minimum, "maximum": maximum, "exclusiveMinimum": above, "exclusiveMaximum": below}
    given = {k: v for k, v in bounds.items() if v is not None}
    return field(
        default=default, metadata={"description": description, "bounds": given, "sampling": sampling}
    )


def parse(cls: type[T], data: Any, where: str) -> T:
    """`data` (as json.loads returns it) as a `cls`; raises SpecError naming the key below `where`."""
    if not isinstance(data, Mapping):
        raise SpecError(f"{where}: expected a mapping, got {_shown(data)}")
    hints = typing.get_type_hints(cls)
    fields = {_key(f): f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise SpecError(f"{where}.{key}: unknown key (known: {', '.join(fields)})")
    values = {}
    for key, declared in fields.items():
        if key in data:
            values[declared.name] = _convert(hints[declared.name], data[key], f"{where}.{key}")
            _check_bounds(declared, values[declared.name], f"{where}.{key}")
        elif declared.default is dataclasses.MISSING:
            raise SpecError(f"{where}.{key}: missing")
    try:
        return cls(**values)
    except SpecError as error:  # a rule between keys; the dataclass does not know where it stands
        raise SpecError(where + str(error).removeprefix(cls.__name__.lower())) from None


def to_dict(spec: Any) -> dict[str, Any]:
    """The JSON form of a spec; fields that are None are left out, so that `parse` gives the spec back."""
    if dataclasses.is_dataclass(spec):
        items = {_key(f): getattr(spec, f.name) for f in dataclasses.fields(spec)}
        return {k: to_dict(v) for k, v in items.items() if v is not None}
    if isinstance(spec, Mapping):
        return {k: to_dict(v) for k, v in spec.items()}
    if isinstance(spec, list | tuple):
        return [to_dict(v) for v in spec]  # type: ignore[return-value]
    return spec


def to_json(spec: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, shortest exact floats. Equal specs give equal text."""
    return json.dumps(to_dict(spec), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(spec: Any, digits: int = 8) -> str:
    """The first hex digits, of 64, of SHA-256 over the canonical JSON of `spec`."""
    return hashlib.sha256(to_json(spec).encode()).hexdigest()[:digits]


def schema_of(cls: type) -> dict[str, Any]:
    """JSON Schema of the options declared by the dataclass `cls`, all of them optional."""
    hints = typing.get_type_hints(cls)
    properties = {}
    for f in dataclasses.fields(cls):
        if "description" not in f.metadata:  # not declared by `option`: no key of a config
            continue
        entry: dict[str, Any] = {"description": f.metadata["description"]}
        if typing.get_origin(hints[f.name]) is Literal:
            entry["enum"] = list(typing.get_args(hints[f.name]))
        else:
            entry["type"] = {int: "integer", float: "number", str: "string", bool: "boolean"}[hints[f.name]]
        entry |= f.metadata["bounds"] | {"default": f.default}
        properties[f.name] = entry | ({"sampling": True} if f.metadata["sampling"] else {})
    return properties


# --- the specs ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelSpec:
    """A generative model: its family, the revision of the family's code, and every hyperparameter.

    `sampler` holds those that only its sampling depends on, where the family has any.
    """

    family: str
    revision: int
    options: dict[str, Scalar]
    sampler: dict[str, Scalar] | None = None

    @property
    def trained(self) -> ModelSpec:
        """The part that training depends on."""
        return dataclasses.replace(self, sampler=None)


@dataclass(frozen=True)
class DensitySpec:
    """A known density: its registered name and every parameter."""

    name: str
    options: dict[str, Scalar]


Start = Literal["scratch", "continue"]


@dataclass(frozen=True)
class Initial:
    """Generation 1: how many real rows it trains on."""

    n: int = option(description="real rows that generation 1 trains on", minimum=1)


@dataclass(frozen=True)
class Real:
    """Real rows in the training set of the later generations; both kinds may be given, they add up."""

    fixed: int = option(0, "rows of generation 1 that stay in the training set", minimum=0)
    fresh: int = option(0, "real rows that no earlier generation has seen, each generation anew", minimum=0)
    reuse: bool = option(False, "start over when the fresh rows are used up, instead of stopping")


@dataclass(frozen=True)
class Synthetic:
    """Generated rows in the training set of generation t > 1: `n`, or `ratio` times the real rows (not both).

    `from` is K, for n rows in total drawn from the last K generations (Alemohammad et al. 2024, App. G), or
    "all", for n rows of every earlier generation: a pool that grows (ibid., §4).
    """

    n: int | None = option(None, "synthetic rows", minimum=0)
    ratio: float | None = option(None, "synthetic rows as a multiple of the real rows", minimum=0)
    from_: int | Literal["all"] = option(1, "the last K generations, or all of them")

    def __post_init__(self) -> None:
        if self.n is not None and self.ratio is not None:
            raise SpecError("synthetic: give n or ratio, not both")
        if self.from_ != "all" and self.from_ < 1:
            raise SpecError(f"synthetic.from: expected 1 or more generations, or all, got {self.from_}")

    def rows(self, real_rows: int) -> int:
        """Synthetic rows beside `real_rows` real ones: in total, or of each earlier generation for "all"."""
        if self.n is not None:
            return self.n
        return math.floor((self.ratio or 0.0) * real_rows + 1e-9)  # ⌊λ·n⌋, safe from 0.29 * 100 = 28.99…

    def sources(self, generation: int) -> range:
        """The generations whose samples `generation` may train on."""
        oldest = 1 if self.from_ == "all" else max(1, generation - self.from_)
        return range(oldest if self.n or self.ratio else generation, generation)


@dataclass(frozen=True)
class Budget:
    """How long to train: passes over the training set, or images seen. Exactly one is given."""

    epochs: float | None = option(None, "passes over the training set", above=0)
    images: int | None = option(None, "training images seen, repetitions counted", minimum=1)

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.images is None):
            raise SpecError("budget: give exactly one of epochs, images")

    def steps(self, rows: int, batch_size: int) -> int:
        """Optimiser steps of `batch_size` images that spend this budget on a set of `rows` images, at least 1."""
        images = self.images if self.epochs is None else self.epochs * rows
        return max(1, round(typing.cast(float, images) / batch_size))


@dataclass(frozen=True)
class Budgets:
    """The budget of generation 1 and of each later one."""

    initial: Budget
    retrain: Budget


@dataclass(frozen=True)
class LoopSpec:
    """A self-consuming loop: what each generation trains on and what it hands over."""

    initial: Initial
    samples: int
    real: Real
    synthetic: Synthetic
    budget: Budgets
    bias: float = option(1.0, "sampling bias λ: 1 unbiased, towards 0 at the modes", minimum=0, maximum=1)
    start: Start = "scratch"

    @property
    def continues(self) -> bool:
        """Whether each generation goes on from the weights and the optimiser's state of the one before."""
        return self.start == "continue"


@dataclass(frozen=True)
class FirstSpec:
    """Everything that generation 1 depends on, apart from the seed."""

    dataset: str
    model: ModelSpec
    initial: Initial
    budget: Budget
    weights: str | None = None  # SHA-256 of a file with weights that were trained elsewhere

    @property
    def folder(self) -> str:
        return f"{self.model.family}-{self.dataset}-{digest(self)}"


@dataclass(frozen=True)
class RunSpec:
    """One lineage: dataset, model and loop. Names, seeds, generations and measures are not part of it.

    With `weights`, the SHA-256 of a file, its first generation is not trained but imported. With `density`, the data
    are a known density, `dataset` is the density's name, and the run is simulated.
    """

    dataset: str
    model: ModelSpec
    loop: LoopSpec
    weights: str | None = None
    density: DensitySpec | None = None

    @property
    def first(self) -> FirstSpec:
        """Generation 1, which all loops that begin alike have in common."""
        loop = self.loop
        return FirstSpec(self.dataset, self.model.trained, loop.initial, loop.budget.initial, self.weights)

    @property
    def folder(self) -> str:
        """Name of the run's folder under results/runs."""
        return f"{self.model.family}-{self.dataset}-{digest(self)}"

    def model_folder(self, generation: int) -> str:
        """Name of the folder under results/runs that holds the weights of `generation`."""
        return self.first.folder if generation == 1 else self.folder


@dataclass(frozen=True)
class TrainSpec:
    """One training job. The loop's keys are None for generation 1, which does not depend on them."""

    dataset: str
    model: ModelSpec
    seed: int
    generation: int
    initial: Initial
    budget: Budget
    real: Real | None = None
    synthetic: Synthetic | None = None
    start: Start | None = None
    weights: str | None = None  # of a first generation that is imported

    @classmethod
    def of(cls, run: RunSpec, seed: int, generation: int) -> Self:
        """The job that trains `generation` of a run."""
        loop, model = run.loop, run.model.trained
        if generation == 1:
            budget = loop.budget.initial
            return cls(run.dataset, model, seed, 1, loop.initial, budget, weights=run.weights)
        given = loop.initial, loop.budget.retrain, loop.real, loop.synthetic, loop.start
        return cls(run.dataset, model, seed, generation, *given)

    @property
    def continues(self) -> bool:
        """Whether it goes on from the weights and the optimiser's state of the generation before."""
        return self.start == "continue"


@dataclass(frozen=True)
class SampleSpec:
    """One sampling job: n rows of a generation, with sampling bias λ."""

    seed: int
    generation: int
    n: int = option(description="rows to generate", minimum=1)
    bias: float = option(1.0, "sampling bias λ", minimum=0, maximum=1)
    sampler: dict[str, Scalar] | None = None

    @classmethod
    def of(cls, run: RunSpec, seed: int, generation: int) -> Self:
        """The job that samples `generation` of a run."""
        return cls(seed, generation, run.loop.samples, run.loop.bias, run.model.sampler)


@dataclass(frozen=True)
class MeasureSpec:
    """One measuring job: each measure with its options, n always among them."""

    dataset: str
    measures: dict[str, dict[str, Scalar]]
    classifier: str  # folder name: another classifier is another job
    seed: int = 0
    generation: int = 1
    has_critic: bool = False


@dataclass(frozen=True)
class FloorSpec:
    """The real-against-real floors of one dataset: every measure at every n that some run uses."""

    dataset: str
    measures: dict[str, tuple[dict[str, Scalar], ...]]
    classifier: str


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


@dataclass(frozen=True)
class CollectSpec:
    """One experiment's tables."""

    experiment: str
    runs: tuple[TableRun, ...]
    datasets: tuple[str, ...]
    critics: tuple[str, ...]  # stems of the critics' files


@dataclass(frozen=True)
class PlotSpec:
    """One figure of an experiment, with its own options; `name` is that of its files."""

    experiment: str
    name: str
    figure: str
    options: dict[str, Any]


@dataclass(frozen=True)
class ClassifierSpec:
    """The CNN that predicts classes and gives the features of the distances, and its training."""

    dataset: str
    width: int = option(32, "channels of the first convolution", minimum=1)
    features: int = option(84, "units of the penultimate layer, the features of fid", minimum=1)
    epochs: int = option(12, "passes over the real training set", minimum=1)
    batch_size: int = option(128, "images a step", minimum=1)
    learning_rate: float = option(2e-3, "peak of the one-cycle schedule (AdamW)", above=0)
    shift: int = option(2, "training images are shifted by up to this many pixels", minimum=0)
    dropout: float = option(0.2, "share of features dropped in training", minimum=0, below=1)
    seed: int = option(0, "seed of the weights, the order and the shifts", minimum=0)
    revision: int = option(1, "revision of the classifier's code", minimum=1)

    @property
    def folder(self) -> str:
        """Name of the classifier's folder under results/classifier."""
        return f"{self.dataset}-{digest(self)}"


# --- parsing --------------------------------------------------------------------------------------------


def _key(declared: dataclasses.Field) -> str:
    return declared.name.rstrip("_")  # `from_` stands for the key "from"


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if hint == Scalar:
        if isinstance(value, Scalar):
            return value
        raise SpecError(f"{where}: expected a number, a word or true/false, got {_shown(value)}")
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        *others, last = (a for a in args if a is not type(None))
        for other in others:
            try:
                return _convert(other, value, where)
            except SpecError:
                continue
        return _convert(last, value, where)
    if origin is Literal:
        if value not in args or isinstance(value, bool) != any(isinstance(a, bool) for a in args):
            raise SpecError(f"{where}: expected one of {', '.join(map(str, args))}, got {_shown(value)}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise SpecError(f"{where}: expected a list, got {_shown(value)}")
        return tuple(_convert(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise SpecError(f"{where}: expected a mapping, got {_shown(value)}")
        return {str(k): _convert(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return parse(hint, value, where)  # type: ignore[arg-type]
    return _convert_scalar(hint, value, where)


def _convert_scalar(hint: type, value: Any, where: str) -> Any:
    if hint is bool and isinstance(value, bool):
        return value
    if hint is str and isinstance(value, str):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    finite = number and math.isfinite(value)
    if hint is int and finite and value == int(value):
        return int(value)
    if hint is float and finite:
        return float(value)
    expected = {bool: "true or false", str: "a word", int: "a whole number", float: "a number"}[hint]
    misread = misread_number(value)
    advice = "" if misread is None else f" (in YAML, write {misread:.1e})"
    raise SpecError(f"{where}: expected {expected}, got {_shown(value)}{advice}")


def misread_number(value: Any) -> float | None:
    """The finite number in a word, such as the 1e-4 that YAML 1.1 takes for one; None for anything else."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _check_bounds(declared: dataclasses.Field, value: Any, where: str) -> None:
    bounds = declared.metadata.get("bounds", {})
    if not bounds or value is None:
        return
    tests = {
        "minimum": ("at least", lambda v, b: v >= b),
        "maximum": ("at most", lambda v, b: v <= b),
        "exclusiveMinimum": ("above", lambda v, b: v > b),
        "exclusiveMaximum": ("below", lambda v, b: v < b),
    }
    for name, bound in bounds.items():
        words, holds = tests[name]
        if not holds(value, bound):
            raise SpecError(f"{where}: expected {words} {bound}, got {value}")


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)
