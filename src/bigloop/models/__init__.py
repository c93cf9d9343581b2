"""Generative families, one a file, behind one small protocol.

    model = family("vae").fresh(options, shape=(1, 28, 28), generator=generator)
    history = model.fit(rows, budget, generator, report)
    images = model.sample(60_000, bias=1.0, generator=generator)

To add a family, write a file like vae.py and add its line to FAMILIES.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from bigloop.spec import ModelSpec, SpecError, parse, to_dict


class Entry(NamedTuple):
    """Where a family's class is, and whether its models are a `Critic`, too."""

    path: str
    has_critic: bool = False


FAMILIES = {
    "vae": Entry("bigloop.models.vae:VAE"),
    "wgan_gp": Entry("bigloop.models.wgan_gp:WGANGP", has_critic=True),
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


def family(name: str) -> type[Family]:
    """The class of a registered family; raises SpecError for an unknown name."""
    if name not in FAMILIES:
        raise SpecError(f"family: unknown family {name!r} (known: {', '.join(FAMILIES)})")
    module, _, attribute = FAMILIES[name].path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def resolve(name: str, given: dict[str, Any], where: str) -> ModelSpec:
    """The complete ModelSpec of a family with the options `given`; raises SpecError naming the key below `where`."""
    cls = family(name)
    return ModelSpec(name, cls.revision, to_dict(parse(cls.Options, given, where)))
