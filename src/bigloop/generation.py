"""One generation of one run: gather its training rows, fit a fresh model, sample it.

A generation's files, in its folder: `model.safetensors`, `model.json`, `history.csv`, `samples.safetensors`,
and `preview.safetensors`, the first rows of the samples, which is all that figures need of them.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bigloop import __version__
from bigloop.artifacts import (
    PREVIEW_ROWS,
    REBUILD,
    ArtifactError,
    read_json,
    read_tensors,
    write_json,
    write_table,
    write_tensors,
)
from bigloop.data import dataset, load
from bigloop.loops import compose
from bigloop.models import Family, family
from bigloop.models.classifier import pixels
from bigloop.seeding import torch_generator
from bigloop.spec import ModelSpec, SampleSpec, SpecError, TrainSpec, digest, parse, to_dict
from bigloop.training import Report


def train(spec: TrainSpec, data: Path, samples: dict[int, Path], out: Path, report: Report) -> None:
    """Fit the model of `spec` and write model.safetensors, model.json and history.csv into the folder `out`.

    data: folder of the real dataset. samples: the samples file of each earlier generation that the loop
    uses. Raises ArtifactError for a broken input and DivergedError for a loss that is not finite; then
    nothing is written.
    """
    rows, inputs = training_rows(spec, data, samples)
    device = default_device()
    model = new_model(spec.model, dataset(spec.dataset).shape, spec.seed, spec.generation, device)
    report(f"training on {len(rows):,} images, {device.type}, {torch.get_num_threads()} threads")
    generator = torch_generator(spec.seed, spec.generation, "training", device=device)
    history = model.fit(rows, spec.budget, generator, report)
    tensors, facts = model.state()
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise ArtifactError(f"{out}: the trained weights are not finite; nothing was written")
    header = {"spec": digest(spec), "family": spec.model.family}
    checksum = write_tensors(out / "model.safetensors", tensors, header)
    write_table(out / "history.csv", pd.DataFrame(history))
    write_json(
        out / "model.json",
        {
            "spec": to_dict(spec),
            "rows": len(rows),
            "sha256": checksum,
            "inputs": inputs,
            "facts": facts,
            "device": describe(device),
            "threads": torch.get_num_threads(),
            "versions": versions(),
        },
    )


def training_rows(spec: TrainSpec, data: Path, samples: dict[int, Path]) -> tuple[Tensor, dict[str, str]]:
    """The rows that a generation trains on, and the SHA-256 of each samples file they come from.

    Tensor (n, c, h, w): float32 in [0, 1] where real rows are among them, else float16 as handed over.
    """
    files = {g: read_samples(path, spec.seed, g) for g, path in samples.items()}
    available = min((len(images) for images, _ in files.values()), default=0)
    images, _ = load(data, "train")
    composition = compose(spec, len(images), available)
    missing = set(composition.synthetic) - set(files)
    if missing:
        raise ArtifactError(
            f"generation {spec.generation} needs the samples of generations {sorted(missing)}"
        )
    wanted = spec.synthetic.rows(len(composition.real)) if spec.synthetic else 0
    for g in composition.synthetic:
        if len(files[g][0]) < wanted:
            raise ArtifactError(
                f"{samples[g]}: holds {len(files[g][0])} rows, {wanted} are needed; {REBUILD}"
            )
    parts = [torch.from_numpy(files[g][0][rows]) for g, rows in composition.synthetic.items()]
    if len(composition.real):
        parts = [pixels(images[composition.real]), *(part.float() for part in parts)]
    return torch.cat(parts), {str(g): checksum for g, (_, checksum) in files.items()}


def sample(spec: SampleSpec, model: Path, out: Path) -> None:
    """Draw `spec.n` rows from the model in the folder `model`; write samples and preview into the folder `out`."""
    device = default_device()
    trained, record = load_model(model, device)
    told, found = (spec.seed, spec.generation), (record["spec"]["seed"], record["spec"]["generation"])
    if told != found:
        raise ArtifactError(
            f"{model}: holds seed {found[0]}, generation {found[1]}, not {told[0]}, {told[1]}"
        )
    generator = torch_generator(spec.seed, spec.generation, "sampling", device=device)
    rows = trained.sample(spec.n, spec.bias, generator).cpu().numpy()
    if not np.isfinite(rows).all():
        raise ArtifactError(f"{out}: the model gave values that are not finite; nothing was written")
    header = {
        "spec": digest(spec),
        "seed": str(spec.seed),
        "generation": str(spec.generation),
        "model": record["sha256"],
    }
    write_tensors(out / "preview.safetensors", {"images": rows[:PREVIEW_ROWS]}, header)
    write_tensors(out / "samples.safetensors", {"images": rows}, header)


def read_samples(path: Path, seed: int, generation: int) -> tuple[np.ndarray, str]:
    """Images, float16 (n, c, h, w), of a samples file and its SHA-256; raises ArtifactError where it is another's."""
    tensors, header = read_tensors(path)
    if (header.get("seed"), header.get("generation")) != (str(seed), str(generation)):
        raise ArtifactError(
            f"{path}: holds seed {header.get('seed')}, generation {header.get('generation')}, "
            f"expected {seed}, {generation}"
        )
    return tensors["images"], header["sha256"]


def new_model(
    spec: ModelSpec, shape: tuple[int, ...], seed: int, generation: int, device: torch.device
) -> Family:
    """A model of `spec` with fresh weights; raises SpecError where the code is of another revision."""
    cls = family(spec.family)
    if cls.revision != spec.revision:
        raise SpecError(f"{spec.family}: revision {spec.revision} asked for, the code is at {cls.revision}")
    options: Any = parse(cls.Options, spec.options, spec.family)
    return cls.fresh(options, shape, torch_generator(seed, generation, "weights", device=device))


def load_model(folder: Path, device: torch.device) -> tuple[Family, dict[str, Any]]:
    """The model saved in a generation's folder, and its model.json; raises ArtifactError where either is broken."""
    record = read_json(folder / "model.json", keys=("spec", "sha256", "facts"))
    tensors, header = read_tensors(folder / "model.safetensors")
    spec = parse(TrainSpec, record["spec"], f"{folder / 'model.json'}: spec")
    if header["sha256"] != record["sha256"] or header.get("spec") != digest(spec):
        raise ArtifactError(f"{folder}: model.json and model.safetensors do not belong together; delete both")
    model = new_model(spec.model, dataset(spec.dataset).shape, spec.seed, spec.generation, device)
    model.restore(tensors, record["facts"])
    return model, record


def default_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def describe(device: torch.device) -> str:
    """The device in words, as model.json records it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu"


def versions() -> dict[str, str]:
    """Versions that results may depend on."""
    return {
        "bigloop": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
