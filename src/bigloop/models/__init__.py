"""Generative families, one a file, behind one small protocol.

    model = family("vae").fresh(options, shape=(1, 28, 28), generator=generator)
    history = model.fit(rows, budget, generator, report)
    images = model.sample(60_000, bias=1.0, generator=generator)

To add a family, write a file like vae.py and add its line to FAMILIES.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np

from bigloop.runtime.progress import Report
from bigloop.spec.options import parse, to_dict
from bigloop.spec.registry import Registry, declared
from bigloop.spec.runs import ModelSpec

FAMILIES = Registry(
    "families",
    {
        "vae": "bigloop.models.images.vae:VAE",
        "wgan_gp": "bigloop.models.images.wgan_gp:WGANGP",
        "ddpm": "bigloop.models.images.ddpm:DDPM",
        "dcgan": "bigloop.models.images.dcgan:DCGAN",
        "stylegan2": "bigloop.models.images.stylegan2:StyleGAN2",
        "edm": "bigloop.models.images.edm:EDM",
        "otcfm_unet": "bigloop.models.images.otcfm_unet:OTCFMUNet",
        "gaussian": "bigloop.models.points.gaussian:Gaussian",
        "projection": "bigloop.models.points.projection:Projection",
        "gmm": "bigloop.models.points.gmm:GMM",
        "kde": "bigloop.models.points.kde:KDE",
        "counting": "bigloop.models.points.counting:Counting",
        "mlp_gan": "bigloop.models.points.mlp_gan:MLPGAN",
        "glow": "bigloop.models.points.glow:Glow",
        "otcfm": "bigloop.models.points.otcfm:OTCFM",
        "mlp_ddpm": "bigloop.models.points.mlp_ddpm:MLPDDPM",
    },
)


class Family(Protocol):
    """What the loop asks of a generative model.

    A class has `Options`, a frozen dataclass of its hyperparameters declared with `spec.option`, and `revision`,
    raised when a change of code changes what the same options learn. What it can do besides, it says in class
    attributes, which planning reads from spec/registered.json:

    conditional      a `Conditional`                    has_critic     a `Critic`
    continues        a `Continuing`                     stacked        a `Stacked`: of points, many replicates at once
    reaches_modes    can be sampled with bias λ = 0; True unless it says otherwise
    has_moments      is a Gaussian, with `mean`, `covariance` and `by_moments`
    guides, extrapolates                an `Opposed`, by its scores or by its weights
    takes_bytes      trains on uint8, 0 to 255, as well as on floats in [0, 1]
    takes_snapshots, records_steps      an `Observed`, of the one or the other
    has_log_density  knows its own density: `log_density(points)`, Tensor (replicates, n, d) to (replicates, n), nats
    sees_density     is told the known density itself, which `fresh` gets
    discrete         learns symbols, points of a density that has `probabilities`
    parallel         several processes share a training or a sampling of it
    multiple, least  of images: both sides are multiples of it, or of the option that it names, and no shorter

    One whose sampling takes many steps may have `shortened(options)`: options of few steps, which `status --estimate`
    times, and how many times as long its own take.

    Torch types are not named here, so that planning a workflow does not have to import torch.
    """

    Options: ClassVar[type]
    revision: ClassVar[int]

    @classmethod
    def fresh(cls, options: Any, shape: tuple[int, ...], generator: Any) -> Family:
        """A model with new weights for rows of `shape`, drawn from a torch.Generator whose device it uses."""
        ...

    def fit(self, rows: Any, budget: Any, generator: Any, report: Report) -> list[dict]:
        """Train on rows, Tensor (n, *shape); returns the history, a row an epoch."""
        ...

    def sample(self, n: int, bias: float, generator: Any) -> Any:
        """n new rows, Tensor (n, *shape), with sampling bias λ = `bias` in [0, 1]; 1 is unbiased."""
        ...

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything `restore` needs: named arrays, and facts that fit in JSON."""
        ...

    def restore(self, tensors: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        ...


class Critic(Family, Protocol):
    """A family with a critic, which after `fit` has its decision threshold in its facts as "threshold"."""

    def scores(self, images: Any) -> Any:
        """Scores of images, Tensor (n, *shape) to Tensor (n,); above the threshold the critic says "real"."""
        ...


class Conditional(Protocol):
    """A family that learns and samples images of given classes; what differs from `Family`.

    labels: Tensor (n,), int64, each the class of a row, below `classes`.
    """

    @classmethod
    def fresh(cls, options: Any, shape: tuple[int, ...], generator: Any, classes: int) -> Family: ...

    def fit(self, rows: Any, budget: Any, generator: Any, report: Report, labels: Any) -> list[dict]: ...

    def sample(self, n: int, bias: float, generator: Any, labels: Any) -> Any: ...


class Continuing(Protocol):
    """A family whose training can be left and taken up again, by itself or by the next generation's model.

    checkpoint: training.checkpoint.Checkpoint, where the next `fit` or `sample` keeps its state, or None.
    """

    checkpoint: Any

    def optimizer_state(self) -> dict[str, Any]:
        """The state of the optimisers, tensors in a tree, by name."""
        ...

    def resume_from(self, tensors: dict[str, np.ndarray], optimizers: dict[str, Any]) -> None:
        """Begin the next `fit` with these weights and states of the optimisers, those of another model's end."""
        ...

    def own_names(self, state: dict[str, Any]) -> dict[str, np.ndarray]:
        """The tensors in a file of weights by the names that `state` gives; raises ValueError for a layout that it
        does not know."""
        ...

    def adopt(self, tensors: dict[str, np.ndarray], rows: Any, generator: Any) -> None:
        """Take over weights that were trained elsewhere, and note what there is to note of the training rows."""
        ...

    def parameters(self) -> list[np.ndarray]:
        """All that training moves."""
        ...


class Observed(Protocol):
    """A family whose training can be watched, which changes nothing in it.

    snapshots: training.snapshots.Snapshots, to be taken in the next `fit`, or None. summaries: what the last one's
    steps were, training.summaries.Summaries, or None.
    """

    snapshots: Any
    summaries: Any


class Opposed(Protocol):
    """A family of networks that can be sampled away from an auxiliary model.

    opponent: that model and ω, whose scores are subtracted in the next `sample`, or None; of a family that `guides`.
    """

    opponent: Any

    def moved_names(self) -> set[str]:
        """The names in `state` of all weights, and of moving averages of them; of a family that `extrapolates`."""
        ...


class Stacked(Protocol):
    """A family of points of R^d, many replicates of which are trained at once; what differs from `Family`.

    Every tensor has the replicate as its first dimension, and a replicate's result is that of the same replicate
    alone, up to rounding. `streams`: models.stacked.Streams, one random stream per replicate.
    """

    Options: ClassVar[type]
    revision: ClassVar[int]
    dtype: ClassVar[Any]  # of the rows, as torch names it

    @classmethod
    def fresh(cls, options: Any, dimension: int, streams: Any) -> Any:
        """New models for points of R^dimension, as many as there are streams."""
        ...

    def fit(self, rows: Any, budget: Any, streams: Any, report: Report) -> dict[str, np.ndarray]:
        """Train on rows, Tensor (replicates, n, d), continuing from what was learnt before; returns the means over
        this training of losses and the like, (replicates,) each."""
        ...

    def sample(self, n: int, bias: float, streams: Any) -> Any:
        """n new points of each replicate, Tensor (replicates, n, d), with sampling bias λ = `bias`."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """Everything `restore` needs, (replicates, …) each."""
        ...

    def restore(self, state: Any) -> None:
        """Take over what `state` gave, for as many replicates as there are."""
        ...


def family(name: str) -> type[Family]:
    """The class of a registered family; raises SpecError for an unknown name."""
    return FAMILIES[name]


def resolve(name: str, given: dict[str, Any], where: str) -> ModelSpec:
    """The complete ModelSpec of a family with the options `given`; raises SpecError naming the key below `where`."""
    about = declared("families")[name]
    values = to_dict(parse(about.Options, given, where))
    sampler = {k: v for k, v in values.items() if about.options[k].get("sampling")}
    return ModelSpec(
        name, about.revision, {k: v for k, v in values.items() if k not in sampler}, sampler or None
    )


def refuses(name: str, shape: tuple[int, ...], options: Mapping[str, Any]) -> str:
    """Why a family makes no images of this (channels, height, width), in words; empty where it does."""
    about = declared("families")[name]
    of = options[about.multiple] if isinstance(about.multiple, str) else about.multiple
    if not any(side % of or side < about.least for side in shape[1:]):
        return ""
    named = f" ({about.multiple})" if isinstance(about.multiple, str) else ""
    least = f", at least {about.least}" if about.least > of else ""
    return f"makes images whose sides are multiples of {of}{named}{least}"
