"""Snapshots: when they are taken, of what, and that a training is the same with and without them."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bigloop.artifacts import SNAPSHOT_ROWS
from bigloop.models.images.neural import NeuralFamily
from bigloop.runtime.signals import Interrupted
from bigloop.spec.loops import Budget
from bigloop.training.checkpoint import Checkpoint
from bigloop.training.snapshots import Snapshots

from .test_recorded import FAMILIES, data, model


def moments(epochs: float, steps: int, epoch_steps: int) -> list[int]:
    snapshots, taken = Snapshots(epochs, 0), []
    for done in range(steps + 1):
        if snapshots.due(done, steps, epoch_steps):
            snapshots.take(done, epoch_steps, lambda n, _: torch.zeros(n, 1, 2, 2), torch.device("cpu"))
            taken.append(done)
    assert taken == snapshots.steps
    assert snapshots.done_epochs == [done / epoch_steps for done in taken]
    return taken


@pytest.mark.parametrize(
    ("epochs", "steps", "epoch_steps", "expected"),
    [
        (100, 1_200, 4, [0, 400, 800, 1_200]),
        (2, 10, 3, [0, 6, 10]),
        (1, 25, 8, [0, 8, 16, 25]),  # 24 would be one step before the end
        (1, 4, 2, [0, 2, 4]),
        (0.5, 6, 3, [0, 2, 3, 4, 6]),  # after 1.5, 3, 4.5 and 6 steps, halves to the even
        (0.01, 3, 10, [0, 1, 2, 3]),
        (50, 3, 10, [0, 3]),
    ],
)
def test_they_are_taken_before_every_so_many_epochs_and_at_the_end(
    epochs: float, steps: int, epoch_steps: int, expected: list[int]
) -> None:
    assert moments(epochs, steps, epoch_steps) == expected


def fitted(name: str, snapshots: Snapshots | None, checkpoint: Checkpoint | None = None) -> NeuralFamily:
    made, (images, *labels) = model(name), data(name, 32)
    made.snapshots, made.checkpoint = snapshots, checkpoint
    given: dict[str, Any] = {"labels": labels[0]} if labels else {}
    made.fit(images, Budget(images=8 * 10), torch.Generator().manual_seed(3), lambda line: None, **given)
    return made


def weights(made: NeuralFamily) -> list[bytes]:
    return [array.tobytes() for array in made.state()[0].values()]


@pytest.mark.parametrize("name", FAMILIES)
def test_they_change_nothing_and_show_the_same_latents_before_and_after(name: str) -> None:
    taken = Snapshots(1, seed=5)
    plain, watched = fitted(name, None), fitted(name, taken)
    assert weights(plain) == weights(watched)
    found = taken.arrays()
    assert found["steps"].tolist() == [0, 4, 8, 10]
    assert found["images"].shape == (4, SNAPSHOT_ROWS, 1, 28, 28)
    assert found["images"].dtype == np.uint8
    for place, trained in ((0, model(name)), (-1, watched)):
        labels = torch.arange(SNAPSHOT_ROWS) % 3 if len(data(name, 3)) > 1 else None
        own = trained.sample(SNAPSHOT_ROWS, 1.0, torch.Generator().manual_seed(5), labels)
        expected = own.float().clamp(0, 1) * 255
        # samples are float16, whose digits below 1 are worth up to 2⁻¹¹, and bytes are rounded
        assert np.abs(found["images"][place] - expected.numpy()).max() <= 0.5 + 255 * 2**-11
    assert (found["images"][0] != found["images"][-1]).any()


@pytest.mark.parametrize("stopped", [1, 4, 5, 10])
def test_of_a_training_that_was_stopped_they_are_the_same(
    stopped: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, first, second = (Snapshots(1, seed=5) for _ in range(3))
    fitted("dcgan", whole)
    path, calls = tmp_path / "train.state.safetensors", []
    step = type(model("dcgan")).step

    def stopping(self: NeuralFamily, *given: Any) -> Any:
        calls.append(0)
        if len(calls) == stopped:
            signal.raise_signal(signal.SIGTERM)
        return step(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(type(model("dcgan")), "step", stopping)
        if stopped < 10:
            with pytest.raises(Interrupted):
                fitted("dcgan", first, Checkpoint(path, "key", 1e9))
        else:  # its end was saved, but nobody took it up
            fitted("dcgan", first, Checkpoint(path, "key", 1e9))
    fitted("dcgan", second, Checkpoint(path, "key", 1e9))
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(second.arrays()[name], array)


def test_a_training_that_was_begun_without_them_goes_on_with_those_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, path, calls = Snapshots(1, seed=5), tmp_path / "train.state.safetensors", []
    step = type(model("vae")).step

    def stopping(self: NeuralFamily, *given: Any) -> Any:
        calls.append(0)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGTERM)
        return step(self, *given)

    monkeypatch.setattr(type(model("vae")), "step", stopping)
    with pytest.raises(Interrupted):
        fitted("vae", None, Checkpoint(path, "key", 1e9))
    again = fitted("vae", late, Checkpoint(path, "key", 1e9))
    assert late.steps == [8, 10]
    assert weights(again) == weights(fitted("vae", None))
