"""Models on disk: create, write and load them; and which samples may be deleted."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch

from bigloop.artifacts import (
    FEATURES_FILE,
    OPTIMIZER_FILE,
    SNAPSHOTS_FILE,
    STEPS_FILE,
    ArtifactError,
    read_json,
    read_tensors,
    write_json,
    write_table,
    write_tensors,
)
from bigloop.data import dataset
from bigloop.loops import Composition
from bigloop.models import Continuing, Family, Observed, family
from bigloop.seeding import torch_generator
from bigloop.spec.generations import Source, TrainSpec
from bigloop.spec.options import Scalar, SpecError, digest, parse, to_dict
from bigloop.spec.registry import declared
from bigloop.spec.runs import Data, ModelSpec
from bigloop.training.checkpoint import pack
from bigloop.training.devices import made_by


def prune(lineage: Path, generations: Iterable[int], needed: Container[int], keep_every: int) -> None:
    """Delete the samples of these generations in `lineage`, the folder of a run's seed, and the features of them that
    are kept beside them. Previews stay.

    Kept are those that are `needed`, those that are not measured yet, those of every `keep_every`-th generation (0
    keeps no generation for its number), and those without a model beside them to draw them again.
    """
    for generation in generations:
        folder = lineage / f"gen-{generation}"
        kept = keep_every and generation % keep_every == 0
        again = all((folder / name).is_file() for name in ("measures.json", "model.safetensors"))
        if not kept and generation not in needed and again:
            for path in (folder / "samples.safetensors", *folder.glob(f"{FEATURES_FILE}-*.safetensors")):
                path.unlink(missing_ok=True)


STATE = "train.state.safetensors"  # of a training that is not finished, or whose model is not sampled yet


def new_model(
    spec: ModelSpec,
    shape: tuple[int, ...],
    seed: int,
    generation: int,
    device: torch.device,
    classes: int | None = None,
) -> Family:
    """A model of `spec` with fresh weights, for rows of `shape`; a conditional one is told the number of classes.

    Raises SpecError where the code is of another revision.
    """
    cls = family(spec.family)
    if cls.revision != spec.revision:
        raise SpecError(
            f"{spec.family}: revision {spec.revision} requested, but the code is at {cls.revision}"
        )
    options: Any = parse(cls.Options, spec.options | (spec.sampler or {}), spec.family)
    given = {"classes": classes} if declared("families")[spec.family].conditional else {}
    return cls.fresh(options, shape, torch_generator(seed, generation, "weights", device=device), **given)


def load_model(
    folder: Path, device: torch.device, sampler: dict[str, Scalar] | None = None
) -> tuple[Family, dict[str, Any]]:
    """The model saved in a generation's folder, to be sampled with these options, and its model.json.

    Raises ArtifactError where either file is broken.
    """
    record = read_json(folder / "model.json", keys=("spec", "sha256", "facts"))
    tensors, header = read_tensors(folder / "model.safetensors")
    spec = parse(TrainSpec, record["spec"], f"{folder / 'model.json'}: spec")
    if header["sha256"] != record["sha256"] or header.get("spec") != digest(spec):
        raise ArtifactError(f"{folder}: model.json and model.safetensors do not match; delete both")
    model = fresh_model(
        dataclasses.replace(spec, model=dataclasses.replace(spec.model, sampler=sampler)), device
    )
    model.restore(tensors, record["facts"])
    return model, record


def labels_in_turn(n: int, data: Data) -> np.ndarray:
    """The classes that n images of a conditional family are asked to be of, int64: all in turn, equally frequent."""
    return np.arange(n) % max(1, len(dataset(data).classes))


def named(source: Source) -> str:
    """What a rows file calls where synthetic rows are from: a generation, or member-generation of an ecosystem."""
    return str(source) if isinstance(source, int) else "-".join(map(str, source))


def check_place(folder: Path, record: dict[str, Any], seed: int, generation: int) -> None:
    found = record["spec"]["seed"], record["spec"]["generation"]
    if found != (seed, generation):
        raise ArtifactError(
            f"{folder}: holds seed {found[0]}, generation {found[1]}, not {seed}, {generation}"
        )


def fresh_model(spec: TrainSpec, device: torch.device) -> Family:
    """The model of a training job as it is before the training."""
    about = dataset(spec.dataset)
    return new_model(
        spec.model, about.shape, spec.stream, spec.generation, device, max(1, len(about.classes))
    )


def parameters(model: Family) -> np.ndarray:
    """All that training moves in a model, as one vector, float64 (p,): of networks their parameters."""
    parts = model.parameters() if hasattr(model, "parameters") else list(model.state()[0].values())
    return np.concatenate([part.ravel().astype(np.float64) for part in parts])


def write_model(
    spec: TrainSpec,
    model: Family,
    history: pd.DataFrame,
    composition: Composition,
    about: dict[str, Any],
    device: torch.device,
    out: Path,
    keep_optimizer: bool = False,
) -> None:
    """Write the files of a model, see above, into the folder `out`: those that no job waits for first."""
    tensors, facts = model.state()
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise ArtifactError(f"{out}: the weights are not finite; nothing was written")
    header = {"spec": digest(spec), "family": spec.model.family}
    can = declared("families")[spec.model.family]
    if can.records_steps and (summaries := cast(Observed, model).summaries):
        write_table(out / STEPS_FILE, summaries.table())
    if can.takes_snapshots and (snapshots := cast(Observed, model).snapshots):
        write_tensors(out / SNAPSHOTS_FILE, snapshots.arrays(), header)
    checksum = write_tensors(out / "model.safetensors", tensors, header)
    if keep_optimizer and can.continues:
        states, tree = pack(cast(Continuing, model).optimizer_state())
        write_tensors(out / OPTIMIZER_FILE, states, {"model": checksum, "tree": tree})
    chosen = {"real": composition.real, **{named(g): rows for g, rows in composition.synthetic.items()}}
    numbers = {name: rows.astype(np.int32) for name, rows in chosen.items()}
    write_tensors(out / "rows.safetensors", numbers, header)
    write_table(out / "history.csv", history)
    write_json(
        out / "model.json",
        {
            "spec": to_dict(spec),
            "sha256": checksum,
            **about,
            "facts": facts,
            **made_by(device),
        },
    )
