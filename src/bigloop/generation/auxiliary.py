"""The auxiliary model of a generation: its model, trained further on samples of its own, to be sampled away from."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch

from bigloop.artifacts import AUXILIARY_FILE, ArtifactError, read_tensors, write_tensors
from bigloop.generation.store import check_place, labels_in_turn, load_model
from bigloop.models import Continuing, Family, Opposed
from bigloop.models.opposed import extrapolated
from bigloop.runtime.progress import Report, quiet
from bigloop.runtime.signals import SAVE_SECONDS
from bigloop.seeding import torch_generator
from bigloop.spec.generations import AuxiliarySpec, Opposition
from bigloop.spec.options import digest
from bigloop.spec.registry import declared
from bigloop.training.checkpoint import Checkpoint
from bigloop.training.devices import default_device

STATE = "auxiliary.state.safetensors"


def train_auxiliary(
    spec: AuxiliarySpec, model: Path, out: Path, report: Report = quiet, save_seconds: float = SAVE_SECONDS
) -> None:
    """Train the model in the folder `model` further, by new optimisers, on samples of its own without bias; write the
    weights into the folder `out`.

    The state of a long training is kept in `out` every `save_seconds`; a call that finds it there continues from it.
    """
    device = default_device()
    base, record = load_model(model, device, spec.sampler)
    check_place(model, record, spec.seed, spec.generation)
    family = record["spec"]["model"]["family"]
    given = {}
    if declared("families")[family].conditional:
        given["labels"] = torch.from_numpy(labels_in_turn(spec.samples, spec.dataset))
    drawing = torch_generator(spec.stream, spec.generation, "auxiliary sampling", device=device)
    rows = base.sample(spec.samples, 1.0, drawing, **given).cpu()
    if not torch.isfinite(rows).all():
        raise ArtifactError(f"{model}: the model generated non-finite values; nothing was written")
    auxiliary, _ = load_model(model, device)
    further = cast(Continuing, auxiliary)
    further.resume_from(auxiliary.state()[0], {})
    key = digest({"spec": spec, "model": record["sha256"], "device": device.type}, digits=64)
    further.checkpoint = Checkpoint(out / STATE, key, save_seconds, report)
    report(f"training further on {len(rows):,} own samples, {device.type}")
    training = torch_generator(spec.stream, spec.generation, "auxiliary training", device=device)
    auxiliary.fit(rows, spec.budget, training, report, **given)
    tensors, _ = auxiliary.state()
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise ArtifactError(f"{out}: the weights are not finite; nothing was written")
    header = {"spec": digest(spec), "seed": str(spec.seed), "generation": str(spec.generation)}
    write_tensors(out / AUXILIARY_FILE, tensors, header | {"model": record["sha256"]})
    (out / STATE).unlink(missing_ok=True)


def oppose(model: Family, auxiliary: Family, made_from: str, folder: Path, against: Opposition) -> str:
    """Have a model be sampled away from its auxiliary one, whose weights lie in `folder`; returns their SHA-256.

    auxiliary: another such model, which takes these over. made_from: SHA-256 of the model. Raises ArtifactError where
    the auxiliary model was trained from another.
    """
    tensors, header = read_tensors(folder / AUXILIARY_FILE)
    if header["model"] != made_from:
        raise ArtifactError(
            f"{folder / AUXILIARY_FILE}: was trained from another model; delete it and run the same command again"
        )
    own, facts = model.state()
    opposed = cast(Opposed, model)
    if against.way == "weights":
        model.restore(extrapolated(own, tensors, against.strength, opposed.moved_names()), facts)
    else:
        auxiliary.restore(tensors, facts)
        opposed.opponent = auxiliary, against.strength
    return header["sha256"]
