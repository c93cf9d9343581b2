"""What lets a GPU record a family's step once and replay it: always the same operations, and no value read.

The first half needs no GPU: it watches the operations of a step. The second half compares recorded and unrecorded
trainings, where a GPU is named: CUDA_VISIBLE_DEVICES=0, as `make test-gpu` does.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bigloop.models import family
from bigloop.models.images.neural import NeuralFamily
from bigloop.models.images.wgan_gp import WGANGP
from bigloop.spec.loops import Budget
from bigloop.spec.registry import declared
from bigloop.training.recorded import GRAPHS
from bigloop.training.summaries import Summaries

from ..remedies import DIVERGENCES, REMEDIES

DEEP: dict[str, Any] = {"width": 8, "multipliers": (1, 2), "blocks": 1, "attention": (14,), "batch_size": 8}
FAMILIES: dict[str, dict[str, Any]] = {
    "vae": {"hidden": 32, "latent": 8, "batch_size": 8},
    "wgan_gp": {"width": 4, "latent": 8, "critic_iterations": 2, "batch_size": 8},
    "wgan_gp-batch-linear": {
        "width": 4,
        "critic_iterations": 2,
        "generator_norm": "batch",
        "critic_output": "linear",
        "batch_size": 8,
    },
    "dcgan": {"width": 4, "latent": 8, "batch_size": 8, "critic_iterations": 2},
    "dcgan-clip": {"width": 4, "loss": "wgan_clip", "batch_size": 8},
    "dcgan-penalty": {"width": 4, "loss": "wgan_gp", "critic_learning_rate": 1e-4, "batch_size": 8},
    "stylegan2": {"latent": 8, "width_base": 112, "width_most": 8, "batch_size": 8},
    "stylegan2-r3gan": {"loss": "relativistic", "r2": 0.1, "latent": 8, "width_base": 112, "batch_size": 8},
    "stylegan2-bf16": {"precision": "bf16", "latent": 8, "width_base": 112, "mirror": True, "batch_size": 8},
    "ddpm": {"width": 8, "timesteps": 20, "sampler": "ddim", "sampling_steps": 5, "batch_size": 8},
    "ddpm-ho": {
        "network": "ho",
        "predicts": "noise",
        "dropout": 0.1,
        "mirror": True,
        "timesteps": 20,
        "sampler": "ddim",
        "sampling_steps": 5,
        **DEEP,
    },
    "edm": {"augmentation": 0.12, "label_dropout": 0.1, "warm_up": 64, **DEEP},
    "edm-bf16": {"precision": "bf16", "clip_gradient": 1.0, **DEEP},
}
FAMILIES |= {
    f"dcgan-{name}": {"width": 4, "latent": 8, "batch_size": 8, **options}
    for name, options in (REMEDIES | DIVERGENCES).items()
}
READS_A_VALUE = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal", "is_nonzero"}
READS_A_VALUE |= {"lift_fresh"}  # the other way round: a tensor of numbers copied from the host


class Operations(TorchDispatchMode):
    """Collects the operations of its block: name and shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[tuple[int, ...]]]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        shapes = [tuple(a.shape) for a in args if isinstance(a, Tensor)]
        self.seen.append((function.overloadpacket.__name__, shapes))
        return function(*args, **(kwargs or {}))


def model(name: str, device: str = "cpu") -> NeuralFamily:
    cls = family(name.partition("-")[0])
    classes = 3 if declared("families")[name.partition("-")[0]].conditional else None
    made = cls.fresh(
        cls.Options(**FAMILIES[name]), (1, 28, 28), torch.Generator(device).manual_seed(0), classes
    )
    assert isinstance(made, NeuralFamily)
    return made


def data(name: str, n: int) -> list[Tensor]:
    stream = torch.Generator().manual_seed(1)
    images = torch.rand(n, 1, 28, 28, generator=stream)
    conditional = declared("families")[name.partition("-")[0]].conditional
    return [images, torch.arange(n) % 3] if conditional else [images]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_reads_no_value_and_always_does_the_same_operations(name: str) -> None:
    made, batch, generator = model(name), data(name, 8), torch.Generator().manual_seed(2)
    made.prepare()
    if isinstance(made, WGANGP):
        made.losses = made.losses_by_autograd  # as on a GPU
    made.summaries = Summaries(4, generator.device) if made.records_steps else None
    steps = []
    for _ in range(4):
        with Operations() as operations:
            made.noted_step(*batch, generator)
        steps.append(operations.seen)
    assert not READS_A_VALUE & {operation for operation, _ in steps[-1]}
    assert len(steps[-1]) > 10
    assert steps[-2] == steps[-1]  # the first ones also make the optimiser state


@pytest.mark.parametrize("name", ["stylegan2", "stylegan2-r3gan"])
def test_a_step_has_as_many_operations_whatever_the_widths(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    for widest in (8, 16):
        monkeypatch.setitem(FAMILIES, name, FAMILIES[name] | {"width_base": 448, "width_most": widest})
        made, batch, generator = model(name), data(name, 8), torch.Generator().manual_seed(2)
        made.prepare()
        with Operations() as operations:
            for _ in range(16):  # with R1 and path lengths
                made.step(*batch, generator)
        counts.append(len(operations.seen))
    assert counts[0] == counts[1]


def test_the_watcher_sees_a_value_that_is_read() -> None:
    with Operations() as operations:
        torch.ones(()).item()
    assert READS_A_VALUE & {operation for operation, _ in operations.seen}


def losses(name: str, steps: int, device: str = "cuda") -> Tensor:
    """Losses and gradient norms of every epoch of a training, float64 (epochs, values). Steps: whole epochs of 16."""
    # Epochs have 16 steps, so that each has a gradient norm.
    made, (images, *labels) = model(name, device), data(name, 128)
    history = made.fit(
        images,
        Budget(images=8 * steps),
        torch.Generator(device).manual_seed(3),
        lambda line: None,
        **({"labels": labels[0]} if labels else {}),
    )
    names = [k for k in history[0] if k.startswith(("loss", "gradient"))]
    return torch.tensor([[row[k] for k in names] for row in history], dtype=torch.float64)


@pytest.mark.parametrize("name", ["vae", "dcgan"])
def test_what_is_compared_is_there_in_every_epoch(name: str) -> None:
    found = losses(name, 48, "cpu")
    assert found.shape[0] == 3
    assert found.shape[1] >= 3
    assert found.isfinite().all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, named: make test-gpu")
@pytest.mark.parametrize("name", FAMILIES)
def test_a_recorded_training_has_the_losses_of_an_unrecorded_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 1_008
    recorded = losses(name, steps)
    monkeypatch.setenv(GRAPHS, "0")
    plain = losses(name, steps)
    # The same kernels on the same numbers, but sums of some run in no fixed order: float32 rounding, which
    # a GAN's training amplifies. Compared are the means of the first ten epochs, and of all.
    torch.testing.assert_close(recorded[:10], plain[:10], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(recorded.mean(dim=0), plain.mean(dim=0), rtol=5e-2, atol=1e-2)
