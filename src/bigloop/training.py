"""The step loop that gradient-trained families share: rows in memory, history, progress, resume, and no silent NaN.

    history = run(step, rows, batch_size=64, steps=9_380, generator=generator, learner={"net": net, …})

`step(batch, generator)` makes one optimiser step and returns its losses as tensors; with labels it is
`step(batch, labels, generator)`. Nothing here waits for the device within a step: losses are added up where they are
and read once an epoch. On a GPU a whole step, the choice of the batch and the sums of the losses included, is
recorded once as a CUDA graph and then replayed: the networks here are so small that launching their kernels one by one
costs many times their arithmetic. With a `Checkpoint` the whole state of the training is saved now and then, and a
call that finds it goes on from there, on a CPU bit by bit as if it had never stopped.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bigloop.artifacts import ArtifactError, read_tensors, write_tensors
from bigloop.progress import Progress

Step = Callable[..., dict[str, Tensor]]
Report = Callable[[str], None]
History = list[dict[str, float]]

REPORT_SECONDS = 10.0
NORM_EVERY = 10
WARM_UP = 3  # steps before one is recorded: libraries choose their kernels, optimisers make their state
# Environment variable: 0 takes every step on a GPU as it stands, kernel by kernel.
GRAPHS = "BIGLOOP_CUDA_GRAPHS"
SAVE_SHARE = 0.02  # saving takes at most this share of the time, whatever interval is asked for


class DivergedError(RuntimeError):
    """A loss became NaN or infinite. The message names it and the step; nothing of the model is kept."""


class Interrupted(RuntimeError):
    """The training was told to stop (SIGTERM, SIGINT). The message says where its state was saved."""


class Stateful(Protocol):
    """What makes up a learner: modules, optimisers, learning rate schedules."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


@dataclass
class Checkpoint:
    """The file that keeps a training's state between two calls, at least `seconds` apart.

    `key` stands for all that the training depends on: a state with another key is never picked up.
    """

    path: Path
    key: str
    seconds: float
    report: Report = lambda line: None
    resumed_at: list[int] = field(default_factory=list)  # steps at which earlier calls were taken up
    saved: float = field(default_factory=time.monotonic)
    cost: float = 0.0  # seconds that the last save took

    def load(self) -> dict[str, Any] | None:
        """The state saved last, or None where there is none, or it is damaged or another training's."""
        if not self.path.is_file():
            return None
        try:
            tensors, header = read_tensors(self.path)
        except ArtifactError as error:
            self.report(f"{error}; starting from the beginning")
            return None
        if header.get("key") != self.key:
            self.report(f"{self.path}: the state of another training, not used; starting from the beginning")
            return None
        tree = unpack(tensors, header["tree"])
        self.resumed_at = [*tree.pop("resumed_at"), tree["done"]]
        return tree

    def due(self) -> bool:
        """Whether the interval has passed."""
        return time.monotonic() - self.saved > max(self.seconds, self.cost / SAVE_SHARE)

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state. A full disk costs the resume, not the training."""
        started = time.monotonic()
        arrays, tree = pack({**state, "resumed_at": self.resumed_at})
        try:
            write_tensors(self.path, arrays, {"key": self.key, "tree": tree})
        except ArtifactError as error:
            self.report(f"warning: {error}")
        self.saved = time.monotonic()
        self.cost = self.saved - started


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
    """The chosen rows of every part (n, …); float16 comes out as float32."""
    batch = [part[chosen] for part in parts]
    return [part.float() if part.dtype == torch.float16 else part for part in batch]


class Recorded:
    """A body of work on a GPU, called as it stands for WARM_UP calls, then recorded as a CUDA graph and replayed.

    The body must do the same work on the same memory at every call, and never wait for the GPU. What it draws from
    `generator` is what it would draw unrecorded. Recording runs nothing by itself: every call is one call of the body.
    """

    def __init__(self, body: Callable[[], None], generator: torch.Generator) -> None:
        self.body, self.generator = body, generator
        self.calls = 0
        self.side = torch.cuda.Stream(generator.device)
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self.graph is None and self.calls == WARM_UP:
            self.graph = self._record()
        self.calls += 1
        if self.graph is not None:
            self.graph.replay()
            return
        here = torch.cuda.current_stream(self.generator.device)
        self.side.wait_stream(here)
        # Recording needs what was first used on another than the default stream.
        with torch.cuda.stream(self.side):
            self.body()
        here.wait_stream(self.side)

    def _record(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        try:
            with torch.cuda.graph(graph, stream=self.side):
                self.body()
        except RuntimeError as error:
            raise RuntimeError(
                f"a training step cannot be recorded as a CUDA graph; {GRAPHS}=0 takes it as it stands ({error})"
            ) from error
        return graph


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
    record: bool = True,
) -> History:
    """Train on rows, and what belongs to them, for `steps` steps; returns one row an epoch, or a part of one.

    A row holds `epoch`, `step`, the mean of each loss, `gradient_norm_{name}` for each entry of `parameters`
    (L2, mean over every tenth step) and `seconds`. `report` gets a line of progress every ten seconds. `before` is
    called before each step with the number of those done. record: whether the step may be recorded on a GPU, see
    `Recorded`; what it does on the host beside its operations happens once, then.

    `learner` holds everything that `step` changes, by name; with it and `checkpoint` the training goes on
    where an earlier call stopped. SIGTERM and SIGINT then save at once and raise Interrupted. Raises
    DivergedError when a loss is no longer finite.
    """
    epoch_steps = max(1, round(len(rows[0]) / batch_size))
    watched = {name: list(tensors) for name, tensors in (parameters or {}).items()}
    parts = [part.to(generator.device) for part in rows]
    stream = Batches(len(rows[0]), batch_size, generator)
    tally = Tally()
    state = checkpoint.load() if checkpoint else None
    if state is not None:
        _restore(state, learner or {}, stream, tally)
        report(f"going on from step {tally.done:,} of {steps:,}")
    losses: dict[str, Tensor] = {}
    chosen = torch.zeros(batch_size, dtype=torch.int64, device=generator.device)

    def body() -> None:
        losses.update(step(*taken(parts, chosen), generator))
        tally.add(losses)

    graphs = record and generator.device.type == "cuda" and os.environ.get(GRAPHS) != "0"
    advance = Recorded(body, generator) if graphs else body
    spoken = last = time.monotonic()
    begun = tally.done
    with stop_signals(enabled=checkpoint is not None) as stopped:
        while tally.done < steps:
            before(tally.done)
            chosen.copy_(next(stream))
            advance()
            tally.count()
            if (tally.done - 1) % NORM_EVERY == 0:
                tally.add_norms({name: gradient_norm(tensors) for name, tensors in watched.items()})
            now = time.monotonic()
            tally.seconds += now - last
            tally.epoch_seconds += now - last
            last = now
            if now - spoken > REPORT_SECONDS:
                spoken = now
                report(_progress(tally, steps, epoch_steps, batch_size, losses))
            if tally.done % epoch_steps == 0 or tally.done == steps:
                tally.close_epoch(epoch_steps)
            if checkpoint and (stopped or checkpoint.due() or tally.done == steps):
                checkpoint.save(_state(learner or {}, stream, tally))
                if stopped and tally.done < steps:
                    raise Interrupted(
                        f"stopped by {stopped[0]}; state saved at step {tally.done:,} of {steps:,}"
                    )
    if tally.done > begun:
        report(_progress(tally, steps, epoch_steps, batch_size, losses))
    return tally.history


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """L2 norm of all gradients together, shape ()."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))


@contextmanager
def stop_signals(*, enabled: bool = True) -> Iterator[list[str]]:
    """A list that gets the names of SIGTERMs and SIGINTs that arrive in the block; they have no other effect there."""
    seen: list[str] = []
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield seen
        return

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(signal.Signals(number).name)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


def pack(tree: Any) -> tuple[dict[str, np.ndarray], str]:
    """A tree of mappings, lists, tensors and plain values as named arrays and JSON; see `unpack`."""
    tensors: dict[str, Tensor] = {}
    words = json.dumps(_flatten(tree, tensors, ""))
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}, words


def unpack(arrays: Mapping[str, np.ndarray], words: str) -> Any:
    """The tree that `pack` was given, its tensors on the CPU and its tuples as lists."""
    return _unflatten(json.loads(words), {name: torch.from_numpy(array) for name, array in arrays.items()})


def _flatten(tree: Any, tensors: dict[str, Tensor], path: str) -> Any:
    """`tree` as JSON, its tensors moved to `tensors`: they leave {"tensor": name} behind. Tuples become lists."""
    if isinstance(tree, Tensor):
        tensors[path] = tree
        return {"tensor": path}
    if isinstance(tree, Mapping):  # as pairs: the keys of an optimiser's state are numbers
        return {"pairs": [[key, _flatten(value, tensors, f"{path}/{key}")] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        return [_flatten(value, tensors, f"{path}/{index}") for index, value in enumerate(tree)]
    return tree


def _unflatten(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_unflatten(value, tensors) for value in tree]
    if isinstance(tree, dict):
        if "tensor" in tree:
            return tensors[tree["tensor"]]
        return {key: _unflatten(value, tensors) for key, value in tree["pairs"]}
    return tree


def _add(sums: dict[str, Tensor], more: dict[str, Tensor]) -> None:
    for name, value in more.items():
        if name in sums:
            sums[name] += value
        else:
            sums[name] = value.clone()


def _progress(tally: Tally, steps: int, epoch_steps: int, batch_size: int, losses: dict[str, Tensor]) -> str:
    finished = tally.done == steps
    progress = Progress(
        epoch=tally.done / epoch_steps,
        epochs=steps / epoch_steps,
        losses={name: float(loss) for name, loss in losses.items()},
        rate=tally.done * batch_size / tally.seconds,
        seconds=tally.seconds if finished else (steps - tally.done) * tally.seconds / tally.done,
        finished=finished,
    )
    return str(progress)
