"""Samples of the same few latents at several moments of a training (Khelifa & Rossa, figs. 3 to 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bigloop.artifacts import SNAPSHOT_ROWS

Take = Callable[[int, torch.Generator], Tensor]


@dataclass
class Snapshots:
    """Takes SNAPSHOT_ROWS samples before a training, every so many epochs of it, and at its end.

    epochs: between two snapshots. seed: of the stream that latents, and whatever else the sampling draws, come from,
    anew for every snapshot; no other stream is touched, so that a training is the same with and without them.
    """

    epochs: float
    seed: int
    steps: list[int] = field(default_factory=list)  # done when each was taken
    done_epochs: list[float] = field(default_factory=list)  # likewise
    images: list[Tensor] = field(default_factory=list)  # of each, uint8 (n, c, h, w)

    def due(self, done: int, steps: int, epoch_steps: int) -> bool:
        """Whether one is to be taken after `done` of `steps` steps; none just before that at the end."""
        if self.steps and self.steps[-1] >= done:
            return False
        apart = self.epochs * epoch_steps
        regular = done == round(round(done / apart) * apart)
        return done in (0, steps) or (regular and steps - done >= apart / 2)

    def take(self, done: int, epoch_steps: int, sample: Take, device: torch.device) -> None:
        """Keep what `sample` makes of SNAPSHOT_ROWS and a generator: images (n, c, h, w), clipped to [0, 1]."""
        made = sample(SNAPSHOT_ROWS, torch.Generator(device).manual_seed(self.seed))
        self.images.append((made.clamp(0, 1) * 255).round().to(torch.uint8).cpu())
        self.steps.append(done)
        self.done_epochs.append(done / epoch_steps)

    def arrays(self) -> dict[str, np.ndarray]:
        """`images`, uint8 (k, n, c, h, w), and after how many `steps`, int64 (k,), and `epochs`, float64 (k,)."""
        steps, epochs = np.array(self.steps, np.int64), np.array(self.done_epochs)
        return {"images": torch.stack(self.images).numpy(), "steps": steps, "epochs": epochs}

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "epochs": self.done_epochs, "images": self.images}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.done_epochs = list(state["steps"]), list(state["epochs"])
        self.images = list(state["images"])
