"""A self-consuming loop, as a config describes it: what its generations train on, and what they pass on."""

from __future__ import annotations

import math
import typing
from dataclasses import dataclass
from typing import Literal

from bigloop.spec.options import Scalar, SpecError, option
from bigloop.spec.selection import SelectSpec

Start = Literal["scratch", "continue"]
Handover = Literal["float16", "uint8"]
MOST_ROWS = 10**9  # that a training set, a samples file or a measure may have
MOST_EPOCHS = 10**6
MOST_IMAGES = 10**13
MOST_GENERATIONS = 10**6


@dataclass(frozen=True)
class Initial:
    """Generation 1: how many real rows it trains on."""

    n: int = option(description="real rows of generation 1", minimum=1, maximum=MOST_ROWS)


@dataclass(frozen=True)
class Real:
    """Real rows in the training set of the later generations; both kinds may be given, they add up."""

    fixed: int = option(0, "rows of generation 1 that stay", minimum=0, maximum=MOST_ROWS)
    fresh: int = option(
        0, "rows that no earlier generation has seen, each generation anew", minimum=0, maximum=MOST_ROWS
    )
    reuse: bool = option(False, "start over when the fresh rows are used up, instead of stopping")


@dataclass(frozen=True)
class Synthetic:
    """Generated rows in the training set of generation t > 1: `n`, or `ratio` times the real rows (not both).

    `from` is K, for n rows in total drawn from the last K generations (Alemohammad et al. 2024, App. G), or
    "all", for n rows of every earlier generation: a pool that grows (ibid., §4).
    """

    n: int | None = option(None, "synthetic rows", minimum=0, maximum=MOST_ROWS)
    ratio: float | None = option(None, "instead of n: a multiple of the real rows", minimum=0, maximum=1e6)
    from_: int | Literal["all"] = option(
        1,
        "K, for n rows in total from the last K generations, or all, for n rows of each earlier one",
        minimum=1,
        maximum=MOST_GENERATIONS,
    )

    def __post_init__(self) -> None:
        if self.n is not None and self.ratio is not None:
            raise SpecError("synthetic: give n or ratio, not both")

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

    epochs: float | None = option(None, "passes over the training set", above=0, maximum=MOST_EPOCHS)
    images: int | None = option(
        None, "training images seen, repetitions counted", minimum=1, maximum=MOST_IMAGES
    )

    def __post_init__(self) -> None:
        if self.epochs is None and self.images is None:
            raise SpecError("budget: is empty, give epochs or images")
        if self.epochs is not None and self.images is not None:
            raise SpecError("budget: give only one of epochs, images")

    def steps(self, rows: int, batch_size: int) -> int:
        """Optimiser steps of `batch_size` images that spend this budget on a set of `rows` images, at least 1."""
        images = self.images if self.epochs is None else self.epochs * rows
        return max(1, round(typing.cast(float, images) / batch_size))


@dataclass(frozen=True)
class Budgets:
    """The budget of generation 1 and of each later one."""

    initial: Budget = option(description="of generation 1")
    retrain: Budget = option(description="of each later generation")


@dataclass(frozen=True)
class AgainstSpec:
    """Own samples used against the model itself, in every generation. See models/opposed.py."""

    way: Literal["scores", "weights"] = option(
        description="subtract the auxiliary model's scores when sampling (SIMS), or its weights (Neon)"
    )
    strength: float = option(
        description="ω: so much of the way from the auxiliary model to the base model beyond that",
        above=0,
        maximum=1e3,
    )
    samples: int = option(
        description="own samples that the auxiliary model is trained further on", minimum=2, maximum=MOST_ROWS
    )
    budget: Budget = option(description="how long it is")

    @property
    def training(self) -> tuple[int, Budget]:
        """What the auxiliary model is made by, whatever it is used for."""
        return self.samples, self.budget


@dataclass(frozen=True)
class RuleSpec:
    """A registered rule of a loop, the revision of its code, and its options."""

    name: str
    revision: int
    options: dict[str, Scalar]


@dataclass(frozen=True)
class LoopSpec:
    """A self-consuming loop: what each generation trains on and what it passes on.

    `rules`, by name: each is a key of the loop, and left out where none is given. `select`: None where all samples are
    handed on. `filter`: which of the dataset's rows are real rows of this loop; None: all.
    """

    initial: Initial = option(description="Generation 1, which trains on real rows alone.")
    samples: int = option(description="rows that each generation generates", minimum=1, maximum=MOST_ROWS)
    real: Real = option(description="Real rows in the training sets of the later generations.")
    synthetic: Synthetic = option(description="Generated rows in the training sets of later generations.")
    budget: Budgets = option(description="How long generation 1 and each later one train.")
    bias: float = option(1.0, "sampling bias λ: 1 unbiased, towards 0 at the modes", minimum=0, maximum=1)
    start: Start = option(
        "scratch", "from new weights, or from those and the optimiser state of the generation before"
    )
    handover: Handover | None = option(
        None, "precision in which samples are passed on; if not given, that of the dataset's source"
    )
    against: AgainstSpec | None = option(
        None,
        "The model's own samples used against it: an auxiliary model is trained further on them, and the model is "
        "sampled away from it.",
    )
    rules: tuple[RuleSpec, ...] = option((), neutral=())
    select: SelectSpec | None = None
    filter: SelectSpec | None = None

    @property
    def continues(self) -> bool:
        """Whether each generation continues from the weights and the optimiser state of the one before."""
        return self.start == "continue"

    @property
    def most(self) -> int:
        """Rows that each generation hands on, at most."""
        return self.samples if self.handed_on is None else self.handed_on

    @property
    def handed_on(self) -> int | None:
        """Rows that each generation hands on: all samples or those that are selected; None where scores tell."""
        return self.select.kept(self.samples) if self.select else self.samples
