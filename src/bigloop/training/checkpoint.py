"""Checkpoints: the state of a training or a sampling, from which an interrupted one resumes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bigloop.artifacts import ArtifactError, read_tensors, write_tensors
from bigloop.runtime.progress import Report
from bigloop.training.parallel import team

SAVE_SHARE = 0.02  # saving takes at most this share of the time, whatever interval is asked for


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
            self.report(f"{self.path}: the state of another training; ignored, starting from the beginning")
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
        if team().rank:  # the first process of a team saves for all
            self.saved = started
            return
        arrays, tree = pack({**state, "resumed_at": self.resumed_at})
        try:
            write_tensors(self.path, arrays, {"key": self.key, "tree": tree})
        except ArtifactError as error:
            self.report(f"warning: {error}")
        self.saved = time.monotonic()
        self.cost = self.saved - started


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
