"""What families made of torch networks share: named networks, fitting, sampling in chunks, saving."""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from bigloop.runtime.progress import Progress, Report
from bigloop.runtime.signals import Interrupted, stop_signals
from bigloop.seeding import default_generator
from bigloop.spec.loops import Budget
from bigloop.training.checkpoint import Checkpoint, Stateful
from bigloop.training.loop import History, LearningRate, gradient_norm, run, steps_an_epoch
from bigloop.training.parallel import team
from bigloop.training.snapshots import Snapshots
from bigloop.training.summaries import Summaries

SAMPLE_CHUNK = 1_000  # rows generated at once: bounds memory, and is part of the result's last bits


class NeuralFamily:
    """A family whose state is a few networks.

    Subclasses give `build`, `prepare`, `step`, and `latent` and `decode`, or `piece`. What a step changes must be
    the networks, the optimisers and the generator's state, and nothing else: these are saved for a resume. Steps
    of one `kind` do the same operations every time and read no value (no `.item()`, no branch on one): on a GPU each
    kind is recorded once and replayed.

    One that says `records_steps` has after `fit` what each step's losses and gradient norms were, in `summaries`.
    """

    Options: ClassVar[type]
    revision: ClassVar[int]
    continues: ClassVar[bool] = True
    extrapolates: ClassVar[bool] = True
    takes_bytes: ClassVar[bool] = True
    takes_snapshots: ClassVar[bool] = True
    records_steps: ClassVar[bool] = False
    recordable: ClassVar[bool] = True  # as a CUDA graph
    conditional: ClassVar[bool] = False
    parallel: ClassVar[bool] = False

    def __init__(
        self, options: Any, shape: tuple[int, ...], device: torch.device, classes: int | None = None
    ) -> None:
        self.options = options
        self.shape = shape
        self.device = device
        self.classes = classes  # of a conditional family
        self.facts: dict[str, Any] = {}
        self.checkpoint: Checkpoint | None = None  # where the next `fit` or `sample` keeps its state
        self.snapshots: Snapshots | None = None  # to be taken in the next `fit`
        self.summaries: Summaries | None = None
        self.networks: dict[str, nn.Module] = {k: net.to(device) for k, net in self.build().items()}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.optimizer_states: dict[str, Any] = {}  # of `optimizers`, to begin a training with

    @classmethod
    def fresh(
        cls,
        options: Any,
        shape: tuple[int, ...],
        generator: torch.Generator,
        classes: int | None = None,
    ) -> Self:
        with default_generator(torch.Generator().manual_seed(generator.initial_seed())):
            return cls(options, shape, generator.device, classes)

    def build(self) -> dict[str, nn.Module]:
        """The networks, by name, with torch's default initialisation."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make `self.optimizers`, by name; called once before the first step."""
        raise NotImplementedError

    def learning_rate(self, done: int, steps: int, optimizer: str) -> float:
        """The learning rate of an optimiser in the step after `done` of `steps` steps; constant by default."""
        return self.options.learning_rate

    def advance(self, done: int, steps: int) -> None:
        """Called before the step after `done` of `steps` steps, and at the end: for networks that grow in training."""

    def kind(self, done: int) -> Hashable:
        """Which kind of step the one after `done` steps is: those of one kind do the same operations."""
        return None

    def step(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """step(batch, generator): one training step on batch (b, *shape); returns detached losses, shape () each.

        Of a conditional family: step(batch, labels, generator), with labels (b,).
        """
        raise NotImplementedError

    def descend(self, name: str, loss: Tensor) -> None:
        """One step of the optimiser that has a network's name; others' gradients are neither computed nor touched.

        In a team each process has the loss of its share, and the step is that of their mean.
        """
        optimizer, moved = (
            self.optimizers[name],
            [p for p in self.networks[name].parameters() if p.requires_grad],
        )
        optimizer.zero_grad(set_to_none=True)
        # backward, not autograd.grad: it gives gradients the memory layout of their parameters, and the fused
        # optimiser silently mixes up elements where the two differ.
        loss.backward(inputs=moved)
        team().average([p.grad for p in moved if p.grad is not None])
        optimizer.step()

    def latent(self, n: int, bias: float, generator: torch.Generator) -> Tensor:
        """n latents with sampling bias λ, Tensor (n, …)."""
        raise NotImplementedError

    def decode(self, latent: Tensor) -> Tensor:
        """Latents (n, …) to rows (n, *shape)."""
        raise NotImplementedError

    def piece(self, latent: Tensor, bias: float, generator: torch.Generator, labels: Tensor | None) -> Tensor:
        """New rows from at most SAMPLE_CHUNK latents, for a family that needs more than `decode` gets.

        A conditional family gets labels (n,).
        """
        return self.decode(latent)

    def finish(self, rows: Tensor, generator: torch.Generator) -> None:
        """Called after training with all rows; a family may note facts in `self.facts`."""

    def fit(
        self,
        rows: Tensor,
        budget: Budget,
        generator: torch.Generator,
        report: Report,
        labels: Tensor | None = None,
    ) -> History:
        self._train(True)
        self.prepare()
        for name, state in self.optimizer_states.items():
            self.optimizers[name].load_state_dict(state)
        steps = budget.steps(len(rows), self.options.batch_size)
        self.summaries = Summaries(steps, self.device) if self.records_steps else None
        onlookers: dict[str, Stateful | None] = {"summaries": self.summaries, "snapshots": self.snapshots}
        learner: dict[str, Stateful] = {
            **self.networks,
            **{f"optimizer {name}": part for name, part in self.optimizers.items()},
            **{name: part for name, part in onlookers.items() if part is not None},
        }
        rates = [
            LearningRate([part], partial(self.learning_rate, steps=steps, optimizer=name))
            for name, part in self.optimizers.items()
        ]

        def before(done: int) -> None:
            for rate in rates:
                rate(done)
            self.advance(done, steps)
            self._look(done, steps, len(rows))

        with default_generator(torch.Generator().manual_seed(generator.initial_seed())):
            history = run(
                self.noted_step,
                *([rows] if labels is None else [rows, labels]),
                batch_size=self.options.batch_size,
                steps=steps,
                generator=generator,
                parameters={name: list(net.parameters()) for name, net in self.networks.items()},
                report=report,
                learner=learner,
                checkpoint=self.checkpoint,
                before=before,
                kind=self.kind,
                record=self.recordable and team().size == 1,
            )
            self.advance(steps, steps)
            self._look(steps, steps, len(rows))
        self.checkpoint = None
        self._train(False)
        self.finish(rows, generator)
        return history

    def noted_step(self, *given: Any) -> dict[str, Tensor]:
        """A step as `fit` makes it: its losses and gradient norms are summed up, where they are to be recorded."""
        losses = self.step(*given)
        if self.summaries:
            norms = {name: gradient_norm(net.parameters()) for name, net in self.networks.items()}
            self.summaries.add(losses | {f"gradient_norm_{name}": norm for name, norm in norms.items()})
        return losses

    def autocast(self) -> torch.autocast:
        """Within it products are made with bfloat16, where the option `precision` says so."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bf16")

    def _look(self, done: int, steps: int, rows: int) -> None:
        """Look at a training between two steps, and change nothing."""
        if self.summaries:
            self.summaries.upto(done, end=done == steps)
        epoch_steps = steps_an_epoch(rows, self.options.batch_size)
        if self.snapshots and self.snapshots.due(done, steps, epoch_steps):
            self._train(False)
            self.snapshots.take(done, epoch_steps, self._snapshot, self.device)
            self._train(True)

    @torch.no_grad()
    def _snapshot(self, n: int, generator: torch.Generator) -> Tensor:
        labels = torch.arange(n, device=self.device) % (self.classes or 1) if self.conditional else None
        return self.piece(self.latent(n, 1.0, generator), 1.0, generator, labels)

    @torch.no_grad()
    def sample(self, n: int, bias: float, generator: torch.Generator, labels: Tensor | None = None) -> Tensor:
        self._train(False)
        latent = self.latent(n, bias, generator)
        rows = torch.empty(n, *self.shape, dtype=torch.float16, device=self.device)
        done, checkpoint = 0, self.checkpoint
        if checkpoint and (state := checkpoint.load()):
            done = state["done"]
            rows[:done] = state["rows"].to(self.device)
            generator.set_state(state["generator"])
            checkpoint.report(f"resuming at image {done:,} of {n:,}")
        started, begun, saved = time.monotonic(), done, done
        with stop_signals(enabled=checkpoint is not None) as stopped:
            while done < n:
                part = slice(done, done + SAMPLE_CHUNK)
                given = None if labels is None else labels[part].to(self.device)
                rows[part] = self.piece(latent[part], bias, generator, given)
                done = min(n, part.stop)
                stop, due = team().any(bool(stopped), bool(checkpoint and checkpoint.due()))
                if checkpoint and done < n and (stop or due):
                    checkpoint.save({"done": done, "rows": rows[:done], "generator": generator.get_state()})
                    saved = done
                if checkpoint:
                    seconds = time.monotonic() - started
                    rate = (done - begun) / seconds
                    told = Progress("image", done, n, seconds, (n - done) / rate, saved=saved, rate=rate)
                    checkpoint.report(replace(told, resumed_at=begun or None))
                if stop and done == saved < n:
                    why = stopped[0] if stopped else "another process"
                    raise Interrupted(f"stopped by {why}; state saved at image {done:,} of {n:,}")
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

    def optimizer_state(self) -> dict[str, Any]:
        """The state of the optimisers, by name."""
        return {name: part.state_dict() for name, part in self.optimizers.items()}

    def moved_names(self) -> set[str]:
        """The names in `state` of all weights, and of moving averages of them."""
        return {f"{name}.{key}" for name, net in self.networks.items() for key, _ in net.named_parameters()}

    def parameters(self) -> list[np.ndarray]:
        """The parameters of all networks that an optimiser moves: a moving average of them is not theirs."""
        trained = (p for net in self.networks.values() for p in net.parameters() if p.requires_grad)
        return [p.detach().cpu().numpy() for p in trained]

    def resume_from(self, tensors: dict[str, np.ndarray], optimizers: dict[str, Any]) -> None:
        """Begin the next `fit` with these weights and states of the optimisers, those of another model's end."""
        self.restore(tensors, {})
        self.optimizer_states = optimizers

    def own_names(self, state: dict[str, Any]) -> dict[str, np.ndarray]:
        """The tensors in a file of weights under our own names; families that know published layouts translate."""
        return {name: tensor.numpy() for name, tensor in state.items() if isinstance(tensor, Tensor)}

    def adopt(self, tensors: dict[str, np.ndarray], rows: Tensor, generator: torch.Generator) -> None:
        """Take over weights that were trained elsewhere, and note what `finish` finds with the training rows."""
        self.restore(tensors, {})
        self._train(False)
        self.finish(rows, generator)

    def _train(self, mode: bool) -> None:
        for net in self.networks.values():
            net.train(mode)
