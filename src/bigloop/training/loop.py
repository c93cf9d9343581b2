"""The step loop that gradient-trained families share: rows in memory, history, progress, resume, and no silent NaN.

    history = run(step, rows, batch_size=64, steps=9_380, generator=generator, learner={"net": net, …})

`step(batch, generator)` makes one optimiser step and returns its losses as tensors; with labels it is
`step(batch, labels, generator)`. Nothing here waits for the device within a step: losses are added up where they are
and read once an epoch. On a GPU a whole step, the choice of the batch and the sums of the losses included, is
recorded once as a CUDA graph and then replayed: the networks here are so small that launching their kernels one by one
costs many times their arithmetic. With a `Checkpoint` the whole state of the training is saved now and then, and a
call that finds it continues from there, on a CPU bit by bit as if it had never stopped.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bigloop.runtime.progress import REPORT_SECONDS, Progress, Report
from bigloop.runtime.signals import DivergedError, Interrupted, stop_signals
from bigloop.training.checkpoint import Checkpoint, Stateful
from bigloop.training.parallel import team
from bigloop.training.recorded import GRAPHS, Recorded

Step = Callable[..., dict[str, Tensor]]


History = list[dict[str, float]]


NORM_EVERY = 10
AGREE_EVERY = 10  # steps after which the processes of a team agree whether to save and to stop


class Batches:
    """Row numbers for one full batch after another, cut from an endless stream of shuffled passes over n rows.

    Every batch is full (the last rows of one pass stand with the first of the next), so that shapes never
    change and every row is seen equally often.
    """

    def __init__(self, n: int, size: int, generator: torch.Generator) -> None:
        self.n, self.size, self.generator = n, size, generator
        self.order = self._shuffled()  # row numbers still to come in the passes that have begun

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        while len(self.order) < self.size:
            self.order = torch.cat([self.order, self._shuffled()])
        chosen, self.order = self.order[: self.size], self.order[self.size :]
        return chosen

    def _shuffled(self) -> Tensor:
        return torch.randperm(self.n, generator=self.generator, device=self.generator.device)


def taken(parts: Sequence[Tensor], chosen: Tensor) -> list[Tensor]:
    """The chosen rows of every part (n, …), images as `as_floats` gives them."""
    return [as_floats(part[chosen]) for part in parts]


def as_floats(rows: Tensor) -> Tensor:
    """Images as float32: uint8 0…255 becomes [0, 1], floats keep their values; anything else (labels) stays."""
    if rows.dtype == torch.uint8:
        return rows.float() / 255
    return rows.float() if rows.is_floating_point() and rows.dtype != torch.float64 else rows


class LearningRate:
    """Sets the learning rate of all optimisers before each step: rate(k) before step k, from 0.

    On a GPU it is kept there, as a number that a recorded step reads anew, and the optimisers are told that they
    may be recorded. An optimiser's state from elsewhere, which may have ended with another rate and on another device,
    is made fit by the first call.
    """

    def __init__(self, optimizers: Iterable[torch.optim.Optimizer], rate: Callable[[int], float]) -> None:
        self.optimizers, self.rate = list(optimizers), rate
        self.current: float | None = None

    def __call__(self, done: int) -> None:
        before, self.current = self.current, self.rate(done)
        if self.current == before:
            return
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                device = group["params"][0].device
                if device.type != "cuda":
                    group.update(lr=self.current, capturable=False)
                elif before is None:
                    group.update(lr=torch.tensor(self.current, device=device), capturable=True)
                    # torch warns where an optimiser that may be recorded is not yet: in every first step.
                    warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
                else:
                    group["lr"].fill_(self.current)


@dataclass
class Tally:
    """How far a training is, and what its current epoch has added up."""

    done: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    counted: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    norms: dict[str, Tensor] = field(default_factory=dict)
    normed: int = 0
    history: History = field(default_factory=list)

    def count(self) -> None:
        self.done += 1
        self.counted += 1

    def add(self, losses: dict[str, Tensor]) -> None:
        """Add a step's losses, in place: the sums stay where a recorded step has them."""
        _add(self.sums, losses)

    def add_norms(self, norms: dict[str, Tensor]) -> None:
        self.normed += 1
        _add(self.norms, norms)

    def close_epoch(self, epoch_steps: int) -> None:
        """Turn the sums into a row of the history; raises DivergedError where one is not finite."""
        row = {"epoch": self.done / epoch_steps, "step": float(self.done)}
        row |= {name: float(total) / self.counted for name, total in self.sums.items()}
        if self.normed:
            row |= {f"gradient_norm_{k}": float(total) / self.normed for k, total in self.norms.items()}
        row["seconds"] = self.epoch_seconds
        for name, value in row.items():
            if not torch.isfinite(torch.tensor(value)):
                raise DivergedError(f"{name} became {value} by step {self.done}: training diverged")
        self.history.append(row)
        self.counted, self.normed, self.epoch_seconds = 0, 0, 0.0
        for total in (*self.sums.values(), *self.norms.values()):
            total.zero_()


def run(
    step: Step,
    *rows: Tensor,
    batch_size: int,
    steps: int,
    generator: torch.Generator,
    parameters: Mapping[str, Iterable[Tensor]] | None = None,
    report: Report = lambda line: None,
    learner: Mapping[str, Stateful] | None = None,
    checkpoint: Checkpoint | None = None,
    before: Callable[[int], None] = lambda done: None,
    kind: Callable[[int], Hashable] = lambda done: None,
    record: bool = True,
) -> History:
    """Train on rows, and what belongs to them, for `steps` steps; returns one row an epoch, or a part of one.

    A row holds `epoch`, `step`, the mean of each loss, `gradient_norm_{name}` for each entry of `parameters`
    (L2, mean over every tenth step) and `seconds`. `report` gets the progress every second. `before` is
    called before each step with the number of those done. record: whether the step may be recorded on a GPU, see
    `Recorded`, once for each `kind(done)` of step; what it does on the host beside its operations happens once, then.
    A loss that steps of some kinds alone have counts as 0 in the others.

    `learner` holds everything that `step` changes, by name; with it and `checkpoint` the training goes on
    where an earlier call stopped. SIGTERM and SIGINT then save at once and raise Interrupted. Raises
    DivergedError when a loss is no longer finite.
    """
    epoch_steps = steps_an_epoch(len(rows[0]), batch_size)
    watched = {name: list(tensors) for name, tensors in (parameters or {}).items()}
    parts = [part.to(generator.device) for part in rows]
    stream, here = Batches(len(rows[0]), batch_size, generator), team()
    tally = Tally()
    state = checkpoint.load() if checkpoint else None
    if state is not None:
        _restore(state, learner or {}, stream, tally)
        report(f"resuming at step {tally.done:,} of {steps:,}")
    losses: dict[str, Tensor] = {}
    chosen = torch.zeros(batch_size, dtype=torch.int64, device=generator.device)

    def body() -> None:
        now = step(*taken(parts, chosen), generator)
        losses.update(now)
        tally.add(now)

    graphs = record and generator.device.type == "cuda" and os.environ.get(GRAPHS) != "0"
    every = [parameter for tensors in watched.values() for parameter in tensors]
    recorded: defaultdict[Hashable, Recorded] = defaultdict(lambda: Recorded(body, generator, every))
    spoken = last = time.monotonic()
    begun = saved = tally.done

    def progress() -> Progress:
        return Progress(
            "step",
            tally.done,
            steps,
            tally.seconds,
            left=(steps - tally.done) * tally.seconds / tally.done,
            saved=saved,
            resumed_at=begun or None,
            epoch=tally.done / epoch_steps,
            epochs=steps / epoch_steps,
            losses={name: float(loss) for name, loss in losses.items()},
            rate=tally.done * batch_size / tally.seconds,
        )

    with stop_signals(enabled=checkpoint is not None) as stopped:
        while tally.done < steps:
            before(tally.done)
            chosen.copy_(next(stream))
            (recorded[kind(tally.done)] if graphs else body)()
            tally.count()
            if (tally.done - 1) % NORM_EVERY == 0:
                tally.add_norms({name: gradient_norm(tensors) for name, tensors in watched.items()})
            now = time.monotonic()
            tally.seconds += now - last
            tally.epoch_seconds += now - last
            last = now
            if now - spoken > REPORT_SECONDS and tally.done < steps:
                spoken = now
                report(progress())
            if tally.done % epoch_steps == 0 or tally.done == steps:
                tally.close_epoch(epoch_steps)
            if not checkpoint or (here.size > 1 and tally.done % AGREE_EVERY and tally.done < steps):
                continue
            stop, due = here.any(bool(stopped), checkpoint.due())
            if stop or due or tally.done == steps:
                checkpoint.save(_state(learner or {}, stream, tally))
                saved = tally.done
                if stop and tally.done < steps:
                    report(progress())
                    why = stopped[0] if stopped else "another process"
                    raise Interrupted(f"stopped by {why}; state saved at step {tally.done:,} of {steps:,}")
    if tally.done > begun:
        report(progress())
    return tally.history


def steps_an_epoch(rows: int, batch_size: int) -> int:
    """Steps in a pass over so many rows, to the nearest, at least 1."""
    return max(1, round(rows / batch_size))


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """L2 norm of all gradients together, shape ()."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))


def _state(learner: Mapping[str, Stateful], stream: Batches, tally: Tally) -> dict[str, Any]:
    device = stream.generator.device
    return {
        **vars(tally),
        "learner": {name: part.state_dict() for name, part in learner.items()},
        "order": stream.order,
        "generator": stream.generator.get_state(),
        "default": torch.get_rng_state(),  # dropout and the like draw from the default streams
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def _restore(state: dict[str, Any], learner: Mapping[str, Stateful], stream: Batches, tally: Tally) -> None:
    device = stream.generator.device
    for name, part in learner.items():
        if name in state["learner"]:  # an onlooker may have been called in since
            part.load_state_dict(state["learner"][name])
    stream.order = state["order"].to(device)
    stream.generator.set_state(state["generator"])
    torch.set_rng_state(state["default"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
    for name in vars(tally):
        setattr(tally, name, state[name])
    for sums in (tally.sums, tally.norms):
        sums.update({name: total.to(device) for name, total in sums.items()})


def _add(sums: dict[str, Tensor], more: dict[str, Tensor]) -> None:
    for name, value in more.items():
        if name in sums:
            sums[name] += value
        else:
            sums[name] = value.clone()
