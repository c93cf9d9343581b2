"""The device that a job uses, and what model.json says of it."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from bigloop import __version__
from bigloop.runtime.provenance import machine, processor, software


def default_device() -> torch.device:
    """The GPU if there is one, else the CPU.

    On a GPU float32 stays float32: TF32, torch's default for convolutions, keeps 10 bits of every factor, and would
    gain little where launching kernels is what costs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda")


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Float32 products and convolutions on GPUs in TF32, with 10 bits of every factor, or in float32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def describe(device: torch.device) -> str:
    """The device in words, as model.json records it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


def made_by(device: torch.device) -> dict[str, Any]:
    """What a model.json says of its origin: the software, the machine, and what of both its weights depend on."""
    return {
        "device": describe(device),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "software": software(),
        "machine": machine(),
    }


def versions() -> dict[str, str]:
    """Versions that results may depend on."""
    return {
        "bigloop": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
