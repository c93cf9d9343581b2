"""What families made of torch networks share: named networks, fitting, sampling in chunks, saving."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from bigloop.seeding import default_generator
from bigloop.spec import Budget
from bigloop.training import Checkpoint, History, Report, run

SAMPLE_CHUNK = 1_000  # rows generated at once: bounds memory, and is part of the result's last bits


class NeuralFamily:
    """A family whose state is a few networks.

    Subclasses give `build`, `prepare`, `step`, `latent` and `decode`. What a step changes must be the networks,
    the optimisers and the generator's state, and nothing else: these are saved for a resume.
    """

    Options: ClassVar[type]
    revision: ClassVar[int]

    def __init__(self, options: Any, shape: tuple[int, ...], device: torch.device) -> None:
        self.options = options
        self.shape = shape
        self.device = device
        self.facts: dict[str, Any] = {}
        self.checkpoint: Checkpoint | None = None  # where `fit` keeps its state between two calls
        self.networks: dict[str, nn.Module] = {k: net.to(device) for k, net in self.build().items()}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}

    @classmethod
    def fresh(cls, options: Any, shape: tuple[int, ...], generator: torch.Generator) -> Self:
        with default_generator(torch.Generator().manual_seed(generator.initial_seed())):
            return cls(options, shape, generator.device)

    def build(self) -> dict[str, nn.Module]:
        """The networks, by name, with torch's default initialisation."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make `self.optimizers`, by name; called once before the first step."""
        raise NotImplementedError

    def step(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """One training step on batch (b, *shape); returns detached losses, shape () each."""
        raise NotImplementedError

    def latent(self, n: int, bias: float, generator: torch.Generator) -> Tensor:
        """n latent vectors with sampling bias λ, Tensor (n, d)."""
        raise NotImplementedError

    def decode(self, latent: Tensor) -> Tensor:
        """Latent vectors (n, d) to rows (n, *shape)."""
        raise NotImplementedError

    def finish(self, rows: Tensor, generator: torch.Generator) -> None:
        """Called after training with all rows; a family may note facts in `self.facts`."""

    def fit(self, rows: Tensor, budget: Budget, generator: torch.Generator, report: Report) -> History:
        self._train(True)
        self.prepare()
        with default_generator(torch.Generator().manual_seed(generator.initial_seed())):
            history = run(
                self.step,
                rows,
                batch_size=self.options.batch_size,
                steps=budget.steps(len(rows), self.options.batch_size),
                generator=generator,
                parameters={name: list(net.parameters()) for name, net in self.networks.items()},
                report=report,
                learner={**self.networks, **{f"optimizer {k}": v for k, v in self.optimizers.items()}},
                checkpoint=self.checkpoint,
            )
        self._train(False)
        self.finish(rows, generator)
        return history

    @torch.no_grad()
    def sample(self, n: int, bias: float, generator: torch.Generator) -> Tensor:
        self._train(False)
        latent = self.latent(n, bias, generator)
        rows = torch.empty(n, *self.shape, dtype=torch.float16, device=self.device)
        for start in range(0, n, SAMPLE_CHUNK):
            rows[start : start + SAMPLE_CHUNK] = self.decode(latent[start : start + SAMPLE_CHUNK])
        return rows

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        tensors = {
            f"{name}.{key}": value.detach().cpu().numpy()
            for name, net in self.networks.items()
            for key, value in net.state_dict().items()
        }
        return tensors, dict(self.facts)

    def restore(self, tensors: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        for name, net in self.networks.items():
            mine = {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
            net.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in mine.items()})
        self.facts = dict(facts)

    def adopt(self, tensors: dict[str, np.ndarray], rows: Tensor, generator: torch.Generator) -> None:
        """Take over weights that were trained elsewhere, and note what `finish` finds with the training rows."""
        self.restore(tensors, {})
        self._train(False)
        self.finish(rows, generator)

    def _train(self, mode: bool) -> None:
        for net in self.networks.values():
            net.train(mode)
