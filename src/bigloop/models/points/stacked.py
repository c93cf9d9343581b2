"""Many replicates of a small model trained at once, on points: stacked weights, one random stream a replicate.

    streams = Streams([numpy_generator(seed, 1, "training") for seed in seeds])
    model = family("otcfm").fresh(options, 2, Streams([…]))
    model.fit(rows, Budget(epochs=150), streams)             # rows: Tensor (replicates, n, 2)

Every tensor has the replicate as its first dimension, no operation mixes replicates, and each replicate draws from
a stream of its own: a replicate's result is that of the same replicate trained alone, up to the rounding of sums.
On the CPU: the networks are so small that a GPU would wait for its launches.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from bigloop.models.opposed import extrapolated
from bigloop.runtime.progress import LINE_SECONDS, Report
from bigloop.runtime.signals import DivergedError
from bigloop.runtime.words import duration
from bigloop.spec.loops import Budget
from bigloop.training.loop import NORM_EVERY


class Streams:
    """One NumPy generator a replicate; what is drawn has the replicate as its first dimension.

    A replicate's draws depend on its own generator and on the order of calls alone.
    """

    def __init__(self, generators: Sequence[np.random.Generator]) -> None:
        self.generators = list(generators)

    def __len__(self) -> int:
        return len(self.generators)

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard normal, shape (replicates, *shape)."""
        return self._drawn("standard_normal", shape, dtype)

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Uniform in [0, 1), shape (replicates, *shape)."""
        return self._drawn("random", shape, dtype)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Whole numbers 0 ≤ i < high, int64, shape (replicates, *shape)."""
        return torch.from_numpy(np.stack([g.integers(high, size=shape) for g in self.generators]))

    def permutations(self, n: int) -> Tensor:
        """A permutation of 0 … n − 1 for each replicate, int64, shape (replicates, n)."""
        return torch.from_numpy(np.stack([g.permutation(n) for g in self.generators]))

    def _drawn(self, method: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        kind = np.float32 if dtype == torch.float32 else np.float64
        drawn = np.empty((len(self), *shape), kind)
        for generator, place in zip(self.generators, drawn, strict=True):
            getattr(generator, method)(dtype=kind, out=place)
        return torch.from_numpy(drawn)


class Linear(nn.Module):
    """Replicates of a linear layer: x (replicates, n, inputs) to (replicates, n, outputs).

    Weights and biases are uniform in ±1/√inputs, as torch.nn.Linear draws them.
    """

    def __init__(self, inputs: int, outputs: int, streams: Streams, bias: bool = True) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter((2 * streams.uniform(inputs, outputs) - 1) * bound)
        self.bias = nn.Parameter((2 * streams.uniform(1, outputs) - 1) * bound) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight if self.bias is None else torch.baddbmm(self.bias, x, self.weight)


def mlp(widths: Sequence[int], activation: Callable[[], nn.Module], streams: Streams) -> nn.Sequential:
    """Linear layers of these widths, inputs and outputs among them, with an activation between each two."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [Linear(inputs, outputs, streams), activation()]
    return nn.Sequential(*layers[:-1])


def batches(rows: Tensor, size: int, streams: Streams) -> Iterator[Tensor]:
    """Batches (replicates, size, d) of rows (replicates, n, d), from an endless stream of shuffled passes.

    As with `training.Batches`: every batch is full, every row is seen equally often.
    """
    replicate = torch.arange(len(rows))[:, None]
    order = streams.permutations(rows.shape[1])
    while True:
        while order.shape[1] < size:
            order = torch.cat([order, streams.permutations(rows.shape[1])], dim=1)
        chosen, order = order[:, :size], order[:, size:]
        yield rows[replicate, chosen]


class StackedFamily:
    """A family whose state is a few stacked networks and their optimisers.

    Subclasses give `build`, `step` and `draw`. A loss is a Tensor (replicates,); what is differentiated
    is the sum over replicates of each one's own mean, so that each gets the gradient it would get alone.
    """

    Options: ClassVar[type]
    revision: ClassVar[int]
    stacked: ClassVar[bool] = True
    continues: ClassVar[bool] = True
    extrapolates: ClassVar[bool] = True
    dtype: ClassVar[torch.dtype] = torch.float32  # of the rows it trains on and gives
    opponent: tuple[Self, float] | None = None

    def __init__(self, options: Any, dimension: int, streams: Streams) -> None:
        self.options = options
        self.dimension = dimension
        self.replicates = len(streams)
        self.networks: dict[str, nn.Module] = self.build(streams)
        self.optimizers: dict[str, torch.optim.Optimizer] = self.prepare()

    @classmethod
    def fresh(cls, options: Any, dimension: int, streams: Streams) -> Self:
        """New models for points of R^dimension, as many as there are streams."""
        return cls(options, dimension, streams)

    def build(self, streams: Streams) -> dict[str, nn.Module]:
        """The networks, every parameter of shape (replicates, …), with weights drawn from `streams`."""
        raise NotImplementedError

    @property
    def betas(self) -> tuple[float, float]:
        """Adam's decays of the gradient's mean and of its square."""
        return 0.9, 0.999

    def prepare(self) -> dict[str, torch.optim.Optimizer]:
        """An Adam for each network, which treats every number by itself."""
        trained = {
            name: filter(lambda p: p.requires_grad, net.parameters()) for name, net in self.networks.items()
        }
        given: dict[str, Any] = {"lr": self.options.learning_rate, "betas": self.betas, "fused": True}
        return {name: torch.optim.Adam(parameters, **given) for name, parameters in trained.items()}

    def descend(self, name: str, loss: Tensor) -> Tensor:
        """One Adam step of one network on losses (replicates,), which are returned detached.

        The gradients of other networks are neither computed nor touched.
        """
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.sum().backward(inputs=optimizer.param_groups[0]["params"])
        optimizer.step()
        return loss.detach()

    def step(self, stream: Iterator[Tensor], streams: Streams) -> dict[str, Tensor]:
        """One step of every optimiser on the next batches (replicates, batch_size, d); returns losses (replicates,)."""
        raise NotImplementedError

    def draw(self, n: int, bias: float, streams: Streams) -> Tensor:
        """Points (replicates, n, d) with sampling bias λ = `bias`; called without gradients."""
        raise NotImplementedError

    @property
    def batches_per_step(self) -> int:
        """Batches that a step takes from its stream."""
        return 1

    def fit(
        self, rows: Tensor, budget: Budget, streams: Streams, report: Report = lambda line: None
    ) -> dict[str, np.ndarray]:
        """Train on rows (replicates, n, d); returns means over the training, float64 (replicates,) each.

        These are the losses and `gradient_norm_{network}` (L2, of every tenth step). Raises DivergedError where a
        loss or weight is not finite in the end.
        """
        size = self.options.batch_size
        steps = max(1, round(budget.steps(rows.shape[1], size) / self.batches_per_step))
        stream = batches(rows, size, streams)
        sums: dict[str, Tensor] = {}
        norms: dict[str, Tensor] = {}
        begun = spoken = time.monotonic()
        for done in range(steps):
            losses = self.step(stream, streams)
            _add(sums, losses)
            if done % NORM_EVERY == 0:
                _add(norms, {f"gradient_norm_{name}": norm(net) for name, net in self.networks.items()})
            now = time.monotonic()
            if now - spoken > LINE_SECONDS:
                spoken = now
                left = (now - begun) / (done + 1) * (steps - done - 1)
                report(f"    step {done + 1:,} of {steps:,}, {duration(left)} left of this generation")
        found = {name: total / steps for name, total in sums.items()}
        found |= {name: total / math.ceil(steps / NORM_EVERY) for name, total in norms.items()}
        history = {name: mean.double().numpy() for name, mean in found.items()}
        for name, values in (*history.items(), *self.state().items()):
            self._require_finite(name, values)
        return history

    @torch.no_grad()
    def sample(self, n: int, bias: float, streams: Streams) -> Tensor:
        """n new points of each replicate, (replicates, n, d), with sampling bias λ = `bias` in [0, 1]; 1 is unbiased.

        Raises DivergedError where one is not finite.
        """
        points = self.draw(n, bias, streams)
        self._require_finite("a sample", points.numpy())
        return points

    def moved_names(self) -> set[str]:
        """The names in `state` of all weights, and of moving averages of them."""
        return {f"{name}.{key}" for name, net in self.networks.items() for key, _ in net.named_parameters()}

    def trained_further(self, rows: Tensor, budget: Budget, streams: Streams) -> Self:
        """A copy of the models, trained further on rows (replicates, n, d) by new optimisers."""
        other = copy.deepcopy(self)
        other.optimizers = other.prepare()
        other.fit(rows, budget, streams)
        return other

    def opposed(self, auxiliary: Self, way: str, strength: float) -> Self:
        """A copy of the models that is sampled away from auxiliary ones, by "scores" or by "weights"."""
        other = copy.deepcopy(self)
        if way == "scores":
            other.opponent = auxiliary, strength
        else:
            other.restore(extrapolated(self.state(), auxiliary.state(), strength, self.moved_names()))
        return other

    def state(self) -> dict[str, np.ndarray]:
        """All that training has made, weights and optimisers' moments, the replicate first in every array."""
        found: dict[str, np.ndarray] = {}
        for name, net in self.networks.items():
            found |= {f"{name}.{key}": p.detach().numpy() for key, p in net.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            for index, moments in optimizer.state_dict()["state"].items():
                for key, value in moments.items():
                    # Adam counts its steps for each parameter: the same for all replicates
                    whole = value if value.dim() else value.expand(self.replicates)
                    found[f"optimizer.{name}.{index}.{key}"] = whole.numpy()
        return {name: array.copy() for name, array in found.items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` gave, for as many replicates as this model has."""
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
        for name, net in self.networks.items():
            net.load_state_dict({key: tensors[f"{name}.{key}"] for key in net.state_dict()})
        for name, optimizer in self.optimizers.items():
            moments: dict[int, dict[str, Tensor]] = {}
            for place, value in tensors.items():
                if place.startswith(f"optimizer.{name}."):
                    index, key = place.removeprefix(f"optimizer.{name}.").split(".")
                    moments.setdefault(int(index), {})[key] = value[0] if key == "step" else value
            optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})

    def _require_finite(self, name: str, values: np.ndarray) -> None:
        good = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if not good.all():
            raise DivergedError(f"{name} is not finite in replicates {np.flatnonzero(~good).tolist()}")


def norm(net: nn.Module) -> Tensor:
    """L2 norm of all gradients of each replicate's network, shape (replicates,)."""
    squares = [p.grad.square().flatten(1).sum(1) for p in net.parameters() if p.grad is not None]
    return torch.stack(squares).sum(0).sqrt()


def _add(sums: dict[str, Tensor], more: Mapping[str, Tensor]) -> None:
    for name, value in more.items():
        sums[name] = sums[name] + value.detach() if name in sums else value.detach()
