"""What a config may say: every key declared once, with its type, range, default and description."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from bigloop.config.runs import Simulation
from bigloop.runtime.signals import SAVE_SECONDS
from bigloop.spec.faults import named, shown
from bigloop.spec.jobs import ClassifierSpec
from bigloop.spec.loops import MOST_EPOCHS, MOST_GENERATIONS, MOST_ROWS, LoopSpec
from bigloop.spec.options import Scalar, SpecError, option, without

RESERVED = ("real", "data", "classifier", "runs")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*")
LONGEST_NAME = 64
LONGEST_PATH = 4096
MOST_SEEDS = 100_000
LARGEST_SEED = 2**53

Entry = dict[Any, Any] | Literal[False] | None  # of a measure or a figure: options, left out, or all defaults
Classifier = without(ClassifierSpec, "dataset", "revision")  # the rest is not the config's to say
Loop = without(LoopSpec, "rules", "select", "filter")  # each rule is a key of its own


@dataclass(frozen=True)
class Data:
    """Where real data may be found."""

    root: str | None = option(
        None,
        "folder with the dataset's own files, gzipped or not; null looks for a download",
        maximum=LONGEST_PATH,
    )


@dataclass(frozen=True)
class Storage:
    """What is kept on disk. None of it changes a result or makes a job run again."""

    save_every: float = option(
        SAVE_SECONDS, "seconds between two saves of a training's state", above=0, maximum=10**9
    )
    keep_samples: int = option(
        1, "keep the samples of every k-th generation and of the last; 0: of the last only", minimum=0
    )
    snapshots: float = option(
        0.0,
        "epochs of a training between two snapshots, samples of the same 16 latents; 0: none are taken. A "
        "training that is finished is not repeated for them",
        minimum=0,
        maximum=MOST_EPOCHS,
    )


@dataclass(frozen=True)
class Critics:
    """The critic × generator matrices, for runs that have a critic."""

    n: int = option(1000, "images of each generation that each critic judges", minimum=1, maximum=MOST_ROWS)


@dataclass(frozen=True)
class Explorer:
    """The page in which the experiment can be looked at, explorer.html."""

    images: int = option(36, "images of each generation, as a square: 36, 25, 16 …", minimum=1, maximum=100)
    seeds: int = option(
        3, "seeds of each run, the first ones, whose images it shows", minimum=1, maximum=MOST_SEEDS
    )
    megabytes: float = option(
        20.0,
        "room for images and for points; where they do not fit, it shows fewer of them",
        above=0,
        maximum=1000,
    )


@dataclass(frozen=True)
class DatasetEntry:
    """What a config may say of a dataset beside the options of its source."""

    features: str | dict[str, Scalar] | None = option(
        None,
        "what measures on features compare its images on, unless they say otherwise: classifier (the default where "
        "there are classes), inception, {classifier: DATASET}, {torchvision: NETWORK}, …; images stay as they are",
        kind="features",
    )
    classifier: Classifier | None = option(  # type: ignore[valid-type]
        None, "options of the classifier of this dataset, where they differ from those of the key classifier"
    )


@dataclass(frozen=True)
class RunEntry:
    """One run, or with `over` several."""

    dataset: str = option(
        description="one of datasets or of densities, or a source of published data or a registered density by its name"
    )
    generations: int = option(
        description="how far the loop goes; the first trains on real data",
        minimum=1,
        maximum=MOST_GENERATIONS,
    )
    model: str | None = option(None, "one of models; none where `generated` is given")
    loop: str | None = option(None, "one of loops; none of a lineage from elsewhere")
    ecosystem: str | None = option(
        None, "instead of model and loop: one of ecosystems, each member of which becomes a run of its own"
    )
    seeds: tuple[int, ...] | int = option(
        (0,),
        "one replicate for each seed; a number n stands for the seeds 0 to n − 1",
        minimum=1,
        maximum=MOST_SEEDS,
        each=(0, LARGEST_SEED),
    )
    label: str | None = option(None, "name in figures; by default the run's own", minimum=1, maximum=200)
    faithful: tuple[str, ...] | str | None = option(
        None,
        "the paper or papers, by their names among the claims, whose models, data and budgets this run has; only such "
        "runs verify or contradict their claims",
        minimum=1,
        maximum=200,
    )
    published: str | None = option(
        None,
        "PAPER/RUN: hold this run, in figures and claims, against the values that the paper publishes, where "
        "they are measured alike",
        minimum=1,
        maximum=200,
    )
    over: tuple[dict[str, tuple[Any, ...]], ...] | None = option(
        None,
        "sweep: one run for each combination of one value of each axis; an axis is keys of the loop with a list of "
        "values each, and the keys of one axis go together",
        minimum=1,
        maximum=16,
    )
    measured: Literal["all", "selected"] = option(
        "all", "of a loop that selects: measure all samples of a generation, or those that it hands on"
    )
    simulation: Simulation | None = option(
        None, "of a run on a known density: how it is cut into jobs, and how often it is measured"
    )
    weights: str | None = option(
        None,
        "safetensors file with weights trained elsewhere, imported as generation 1 instead of training it; with {t}, "
        "the generation, in its name, the weights of every generation, without a loop",
        minimum=1,
        maximum=LONGEST_PATH,
    )
    generated: str | None = option(
        None,
        ".npz, .npy or .safetensors file with the samples of each generation of a model elsewhere; {t} in its name "
        "stands for the generation and {seed} for the seed",
        minimum=1,
        maximum=LONGEST_PATH,
    )
    samples: int | None = option(
        None,
        "of a lineage from elsewhere: rows of each generation, to be generated with its weights, or taken of each file "
        "(by default all)",
        minimum=1,
        maximum=MOST_ROWS,
    )
    bias: float | None = option(
        None, "of weights with {t}: the sampling bias λ, 1 (unbiased) by default", minimum=0, maximum=1
    )
    range: tuple[float, ...] | None = option(
        None, "of `generated`: the values of black and white, [0, 1] by default; of uint8 always 0 and 255"
    )


@dataclass(frozen=True)
class MemberEntry:
    """A member of an ecosystem."""

    model: str = option(description="one of models")
    loop: str = option(description="one of loops")
    label: str | None = option(None, "name in figures; by default its own", minimum=1, maximum=200)


@dataclass(frozen=True)
class EcosystemEntry:
    """Models that train on each other's samples, generation by generation."""

    members: dict[str, dict[Any, Any]] = option(
        description="Its members by name: each a model, and a loop that says how many real and synthetic rows",
        minimum=1,
        maximum=1_000,
    )
    shares: tuple[tuple[float, ...], ...] = option(
        description="For each member in turn, which part of its synthetic rows is of each member: a matrix whose rows "
        "have the sum 1",
        minimum=1,
        maximum=1_000,
    )


@dataclass(frozen=True)
class Config:
    """A complete experiment: datasets and models are put together to runs, each run is a self-consuming loop.

    Only science stands here; threads, memory and GPUs belong to the profile.
    """

    experiment: str = option(description="Name of the experiment and of its folder under results.")
    runs: dict[Any, dict[Any, Any]] = option(
        description="Runs by name, in the order in which figures show them.", minimum=1, maximum=10_000
    )
    measures: dict[Any, Entry] = option(
        description="What is measured of every generation. An empty entry takes the defaults; false leaves it out."
    )
    figures: dict[Any, Entry] = option(
        description="Figures to draw, each with its own options; an empty entry takes the defaults, false leaves it "
        'out. The key names the files; with "figure" among the options it is free, so that one kind of figure is drawn '
        "several times.",
        maximum=1_000,
    )
    models: dict[Any, dict[Any, Any]] = option(  # None where it is not given, though it may not be null
        None,
        "Model presets by name; a family and its hyperparameters. Needed where a run names one.",
        minimum=1,
        maximum=10_000,
    )
    loops: dict[Any, dict[Any, Any]] = option(  # likewise
        None, "Self-consuming loops by name. Needed where a run names one.", minimum=1, maximum=10_000
    )
    ecosystems: dict[Any, dict[Any, Any]] | None = option(
        None,
        "Ecosystems by name: members, each a model and a loop, and whose samples each trains on.",
        maximum=1_000,
    )
    datasets: dict[Any, dict[Any, Any]] | None = option(
        None,
        "Datasets of images by name: a source, and what is chosen of it. A run may name a source of published data "
        "itself, with all that it has.",
        maximum=1_000,
    )
    data: Data | None = option(None, "Where real data may be found.")
    storage: Storage | None = option(
        None, "What is kept on disk. None of it changes a result or makes a job run again."
    )
    classifier: Classifier | None = option(  # type: ignore[valid-type]
        None,
        "The network that predicts classes and gives the features of fid; each dataset has one of its own, trained "
        "with these options.",
    )
    densities: dict[Any, dict[Any, Any]] | None = option(
        None,
        "Known densities by name, as the data of simulated runs: a registered density and its parameters. A run may "
        "name a registered density itself, with all its defaults.",
    )
    critics: Critics | Literal[False] | None = option(
        None,
        "The critic × generator matrices, for runs that have a critic; false: none, as for many runs, each of which "
        "would judge all others.",
    )
    explorer: Explorer | Literal[False] | None = option(
        None, "The page in which the experiment can be looked at, explorer.html; false: none."
    )
    only: str | tuple[str, ...] | None = option(
        None,
        "These runs and no others, a name or a list of names, or how names begin; what no run of them has is left out "
        "of the measures and figures. Meant for the command line, --config only=NAME.",
    )
    plugins: tuple[str, ...] = option(
        (),
        "Modules, importable from the working directory, with families, measures, figures and so on of your own.",
        maximum=100,
    )


def check_names(given: Config) -> None:
    """Raise SpecError for the first name that could not be part of a path."""
    check_name(given.experiment, "experiment", repeated=True)
    for section in ("datasets", "densities", "models", "loops", "ecosystems", "runs"):
        for name in getattr(given, section) or {}:
            check_name(name, f"{section}.{named(name)}", reserved=section in ("datasets", "densities"))


def check_name(name: Any, where: str, *, repeated: bool = False, reserved: bool = True) -> None:
    """Raise SpecError where `name`, which stands at `where`, could not be part of a path, or is `reserved`."""
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not NAME.fullmatch(name):
        told = f"{shown(name)} " if repeated or named(name) != named(name).strip() else ""
        raise SpecError(
            f"{where.strip()}: {told}is not a name (up to 64 letters, digits, _ and ., with single - between)"
        )
    if reserved and name in RESERVED:
        raise SpecError(f"{where}: {name!r} is a reserved name ({', '.join(RESERVED)})")
