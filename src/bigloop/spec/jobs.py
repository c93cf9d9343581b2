"""The specification of each kind of job, but those that make a generation: of what judges, measures and tells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from bigloop.spec.loops import MOST_EPOCHS
from bigloop.spec.options import Scalar, digest, option
from bigloop.spec.runs import Data, DensitySpec, RunSpec, source_of

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
