"""Train the model of a generation, continue from an earlier one, or take over weights from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch

from bigloop.artifacts import (
    OPTIMIZER_FILE,
    REBUILD,
    ArtifactError,
    read_tensors,
)
from bigloop.data.elsewhere import CHANGED, foreign_file
from bigloop.generation.rows import training_set
from bigloop.generation.store import STATE, check_place, fresh_model, load_model, write_model
from bigloop.loops import Composition
from bigloop.models import Continuing, Family, Observed
from bigloop.models.weights import loaded
from bigloop.runtime.progress import Report
from bigloop.runtime.signals import SAVE_SECONDS
from bigloop.seeding import torch_generator
from bigloop.spec.generations import TrainSpec
from bigloop.spec.options import SpecError, digest, to_dict
from bigloop.spec.registry import declared
from bigloop.training.checkpoint import Checkpoint, unpack
from bigloop.training.devices import default_device
from bigloop.training.parallel import joined, team
from bigloop.training.snapshots import Snapshots


@joined()
def train(
    spec: TrainSpec,
    data: Path,
    previews: Iterable[Path],
    out: Path,
    report: Report,
    save_seconds: float = SAVE_SECONDS,
    previous: Path | None = None,
    keep_optimizer: bool = False,
    snapshots: float = 0,
    selections: Sequence[Path] = (),
) -> None:
    """Fit the model of `spec` and write the files of a model, see above, into the folder `out`.

    data: folder of the real dataset. previews: the preview file of each earlier generation that the loop uses,
    with its samples or its model beside it. selections: of a loop that selects, which of their samples are handed on.
    previous: folder of the model that this one continues from. The state of
    the training is kept in `out` every `save_seconds`, and a call that finds it there continues from it. snapshots:
    epochs between two snapshots, 0 for none; they change nothing else. Raises
    ArtifactError for a broken input, DivergedError for a loss that is not finite and Interrupted where a signal
    stopped it; then no output is written.
    """
    rows = training_set(spec, data, previews, report, selections)
    device = default_device()
    model = fresh_model(spec, device)
    if spec.continues:
        if previous is None:
            raise ArtifactError(f"generation {spec.generation} continues from a model that was not given")
        rows.inputs.update(_continue_from(previous, spec, model, report))
    assert spec.budget is not None
    report(f"training on {len(rows.images):,} images, {device.type}, {torch.get_num_threads()} threads")
    generator = torch_generator(spec.stream, spec.generation, "training", device=device)
    key = digest({"spec": spec, "inputs": rows.inputs, "device": device.type}, digits=64)
    checkpoint = Checkpoint(out / STATE, key, save_seconds, report)
    can = declared("families")[spec.model.family]
    if can.continues:
        cast(Continuing, model).checkpoint = checkpoint
    if can.takes_snapshots and snapshots:
        seed = torch_generator(
            spec.stream, 0, "snapshots"
        ).initial_seed()  # all of a lineage show the same latents
        cast(Observed, model).snapshots = Snapshots(snapshots, seed)
    given = {} if rows.labels is None else {"labels": rows.labels}
    history = model.fit(rows.images, spec.budget, generator, report, **given)
    if team().rank:
        return
    facts = {"rows": len(rows.images), "inputs": rows.inputs, "resumed_at": checkpoint.resumed_at}
    write_model(spec, model, pd.DataFrame(history), rows.composition, facts, device, out, keep_optimizer)


def import_weights(spec: TrainSpec, weights: Path, data: Path, out: Path, report: Report) -> None:
    """Write the model of `spec`, a first generation or one of a lineage, with the weights in a file from elsewhere.

    weights: a file with a state dict, safetensors or torch's own, which is read for tensors alone; with the family's
    own names, NETWORK.PARAMETER, as in a model.safetensors of bigloop, or with published ones that the family knows.
    Raises ArtifactError where it is not the file that was planned, or does not fit the family.
    """
    file = foreign_file(weights, spec.file_bytes)
    if spec.weights not in (None, file["sha256"]):
        raise ArtifactError(f"{weights}: {CHANGED}")
    device = default_device()
    model = fresh_model(spec, device)
    if not declared("families")[spec.model.family].continues:
        raise SpecError(f"{spec.model.family}: only families that continue can take over imported weights")
    remedy = f"give weights of a {spec.model.family} with these options"
    tensors = loaded(weights, "this run", remedy, cast(Continuing, model).own_names)
    expected, _ = model.state()
    for name in sorted(expected.keys() | tensors.keys()):
        wanted, found = (side[name].shape if name in side else "none" for side in (expected, tensors))
        if wanted != found:
            raise ArtifactError(
                f"{weights}: {name} has shape {found}, expected {wanted}: not the weights of a "
                f"{spec.model.family} with these options"
            )
    rows = training_set(spec, data, (), report)
    cast(Continuing, model).adopt(
        tensors, rows.images, torch_generator(spec.stream, spec.generation, "training", device=device)
    )
    report(f"weights of generation {spec.generation} imported from {weights}")
    inputs = {**rows.inputs, "weights": file["sha256"]}
    facts = {"rows": 0, "inputs": inputs, "resumed_at": []}
    if spec.file_bytes is not None:
        facts["file"] = file
    none = Composition(np.zeros(0, np.int64), {})
    write_model(spec, model, pd.DataFrame(columns=["epoch", "step"]), none, facts, device, out)


def _continue_from(previous: Path, spec: TrainSpec, model: Family, report: Report) -> dict[str, str]:
    """Give `model` the weights and the optimisers' state of the generation before; returns their SHA-256."""
    if not declared("families")[spec.model.family].continues:
        raise SpecError(f"{spec.model.family}: cannot continue from earlier weights")
    going_on = cast(Continuing, model)
    before, record = load_model(previous, torch.device("cpu"))
    check_place(previous, record, spec.seed, spec.generation - 1)
    inputs = {"model": record["sha256"]}
    if record["spec"].get("weights"):
        report("the weights of generation 1 were imported: the optimiser starts fresh")
        going_on.resume_from(before.state()[0], {})
        return inputs
    tensors, header = read_tensors(previous / OPTIMIZER_FILE)
    if header.get("model") != record["sha256"]:
        raise ArtifactError(f"{previous / OPTIMIZER_FILE}: does not match the model beside it; {REBUILD}")
    going_on.resume_from(before.state()[0], unpack(tensors, header["tree"]))
    return inputs | {"optimizer": header["sha256"]}


def is_trained(spec: TrainSpec, out: Path, keep_optimizer: bool = False) -> bool:
    """Whether the folder `out` holds the sound model of this very job, and the optimisers' state where it is kept."""
    try:
        _, record = load_model(out, torch.device("cpu"))
        if keep_optimizer:
            read_tensors(out / OPTIMIZER_FILE)
    except ArtifactError:
        return False
    return record["spec"] == to_dict(spec)
