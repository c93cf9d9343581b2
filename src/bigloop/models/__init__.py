"""Generative families, one a file, behind one small protocol.

    model = family("vae").fresh(options, shape=(1, 28, 28), generator=generator)
    history = model.fit(rows, budget, generator, report)
    images = model.sample(60_000, bias=1.0, generator=generator)

To add a family, write a file like vae.py and add its line to FAMILIES.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Container, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from bigloop.spec.options import SpecError, parse, to_dict
from bigloop.spec.runs import ModelSpec


class Entry(NamedTuple):
    """Where a family's class is, and what its models can do beside a `Family`'s duties."""

    path: str
    has_critic: bool = False  # a `Critic`
    conditional: bool = False  # a `Conditional`
    continues: bool = False  # can go on from another's weights and optimisers, as every `NeuralFamily` can
    reaches_modes: bool = True  # can be sampled with bias λ = 0
    stacked: bool = False  # a `Stacked`: of points, many replicates at once
    has_moments: bool = False  # is a Gaussian, whose mean and covariance are known
    sees_density: bool = False  # is fitted to the known density itself, which `fresh` gets
    multiple: int | str = 1  # of images: both sides are multiples of it, or of the option of this name
    least: int = 1  # of images: the shortest side that it can make

    def refuses(self, shape: tuple[int, ...], options: Mapping[str, Any]) -> str:
        """Why it makes no images of this (channels, height, width), in words; empty where it does."""
        of = options[self.multiple] if isinstance(self.multiple, str) else self.multiple
        if any(side % of or side < self.least for side in shape[1:]):
            named = f" ({self.multiple})" if isinstance(self.multiple, str) else ""
            least = f", at least {self.least}" if self.least > of else ""
            return f"makes images whose sides are multiples of {of}{named}{least}"
        return ""


FAMILIES = {
    "vae": Entry("bigloop.models.images.vae:VAE", continues=True),
    "wgan_gp": Entry(
        "bigloop.models.images.wgan_gp:WGANGP", has_critic=True, continues=True, multiple=4, least=12
    ),
    "ddpm": Entry(
        "bigloop.models.images.ddpm:DDPM",
        conditional=True,
        continues=True,
        reaches_modes=False,
        multiple="patch",
        least=4,
    ),
    "gaussian": Entry("bigloop.models.points.gaussian:Gaussian", stacked=True, has_moments=True),
    "projection": Entry(
        "bigloop.models.points.projection:Projection", stacked=True, has_moments=True, sees_density=True
    ),
    "gmm": Entry("bigloop.models.points.gmm:GMM", stacked=True, continues=True),
    "mlp_gan": Entry("bigloop.models.points.mlp_gan:MLPGAN", stacked=True, continues=True),
    "glow": Entry("bigloop.models.points.glow:Glow", stacked=True, continues=True),
    "otcfm": Entry("bigloop.models.points.otcfm:OTCFM", stacked=True, continues=True),
    "mlp_ddpm": Entry("bigloop.models.points.mlp_ddpm:MLPDDPM", stacked=True, continues=True),
}


class Family(Protocol):
    """What the loop asks of a generative model.

    A class has `Options`, a frozen dataclass of its hyperparameters declared with `spec.option`, and
    `revision`, raised when a change of code changes what the same options learn. Torch types are not named
    here, so that planning a workflow does not have to import torch.
    """

    Options: ClassVar[type]
    revision: ClassVar[int]

    @classmethod
    def fresh(cls, options: Any, shape: tuple[int, ...], generator: Any) -> Family:
        """A model with new weights for rows of `shape`, drawn from a torch.Generator whose device it uses."""
        ...

    def fit(self, rows: Any, budget: Any, generator: Any, report: Callable[[str], None]) -> list[dict]:
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

    labels: Tensor (n,), int64, each the class of a row, below `classes`; of images without labels there is one class.
    """

    @classmethod
    def fresh(cls, options: Any, shape: tuple[int, ...], generator: Any, classes: int) -> Family: ...

    def fit(
        self, rows: Any, budget: Any, generator: Any, report: Callable[[str], None], labels: Any
    ) -> list[dict]: ...

    def sample(self, n: int, bias: float, generator: Any, labels: Any) -> Any: ...


class Stacked(Protocol):
    """A family of points of R^d, many replicates of which are trained at once; what differs from `Family`.

    Every tensor has the replicate as its first dimension, and a replicate's result is that of the same replicate
    alone, up to rounding. `streams`: models.stacked.Streams, a random stream a replicate.
    """

    Options: ClassVar[type]
    revision: ClassVar[int]
    dtype: ClassVar[Any]  # of the rows, as torch names it

    @classmethod
    def fresh(cls, options: Any, dimension: int, streams: Any) -> Any:
        """New models for points of R^dimension, as many as there are streams."""
        ...

    def fit(
        self, rows: Any, budget: Any, streams: Any, report: Callable[[str], None]
    ) -> dict[str, np.ndarray]:
        """Train on rows, Tensor (replicates, n, d), going on from what was learnt before; returns the means over
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


def entry(name: str) -> Entry:
    """The entry of a registered family; raises SpecError for an unknown name."""
    if name not in FAMILIES:
        raise SpecError(f"family: unknown family {name!r} (known: {', '.join(FAMILIES)})")
    return FAMILIES[name]


def family(name: str) -> type[Family]:
    """The class of a registered family; raises SpecError for an unknown name."""
    module, _, attribute = entry(name).path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def resolve(name: str, given: dict[str, Any], where: str) -> ModelSpec:
    """The complete ModelSpec of a family with the options `given`; raises SpecError naming the key below `where`."""
    cls = family(name)
    values = to_dict(parse(cls.Options, given, where))
    sampling = {f.name for f in dataclasses.fields(cls.Options) if f.metadata.get("sampling")}
    return model_spec(name, cls.revision, values, sampling)


def model_spec(name: str, revision: int, values: dict[str, Any], sampling: Container[str]) -> ModelSpec:
    """The ModelSpec of resolved options, of which those in `sampling` matter to sampling alone."""
    sampler = {k: v for k, v in values.items() if k in sampling}
    return ModelSpec(name, revision, {k: v for k, v in values.items() if k not in sampling}, sampler or None)
