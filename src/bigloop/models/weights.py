"""Files of weights that others have trained: found or fetched, and read without running anything that is in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bigloop.artifacts import ArtifactError

T = TypeVar("T")
FAULTS = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    EOFError,
    AttributeError,
    UnpicklingError,
    SafetensorError,
)


def weights_file(given: str, url: str, whose: str, remedy: str) -> Path:
    """The file that `given` names; for "", the one at `url`, in torch's cache, where it is fetched to at first.

    whose: the network, in words; remedy: what the user can do. Raises ArtifactError where there is no such file.
    """
    path = Path(given) if given else Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if given and not path.is_file():
        raise ArtifactError(f"{path}: no such file ({remedy})")
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        published = re.search(r"-([0-9a-f]{8,})\.", path.name)  # the beginning of its SHA-256
        try:
            torch.hub.download_url_to_file(
                url, str(path), hash_prefix=published[1] if published else None, progress=False
            )
        except (OSError, RuntimeError) as error:
            raise ArtifactError(
                f"the weights of {whose} could not be fetched ({_one_line(error)}); {remedy}"
            ) from None
    return path


def loaded(path: Path, whose: str, remedy: str, use: Callable[[dict[str, Tensor]], T]) -> T:
    """`use(state)` of the state dict in a file, safetensors or torch's own, which is read for tensors alone.

    A pickle can run anything when it is read, but not here. Raises ArtifactError, one line, where the file holds no
    state dict or `use` cannot take it.
    """
    try:
        safe = is_safetensors(path)
        state: Any = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise TypeError(f"holds a {type(state).__name__}, expected tensors by name")
        return use(state)
    except FAULTS as error:
        raise ArtifactError(
            f"{path}: the weights of {whose} could not be loaded ({_one_line(error)}); {remedy}"
        ) from None


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors does, whatever its name: the length of a JSON header, and that header."""
    with path.open("rb") as file:
        length, brace = int.from_bytes(file.read(8), "little"), file.read(1)
    return brace == b"{" and 8 + length <= path.stat().st_size


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
