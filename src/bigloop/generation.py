"""One generation of one run: gather its training rows, fit a fresh model, sample it.

A generation's files, in its folder: `model.safetensors`, `model.json`, `history.csv`, `samples.safetensors`,
and `preview.safetensors`, the first rows of the samples, whose header has the checksum of them all. Samples may be
deleted to save disk: whoever needs them makes them again from the weights, and checks that they are the same.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors
import safetensors.numpy
import torch
from torch import Tensor

from bigloop import __version__
from bigloop.artifacts import (
    MODEL_FILES,
    PREVIEW_ROWS,
    REBUILD,
    ArtifactError,
    checksum_at,
    file_checksum,
    link,
    read_json,
    read_tensors,
    write_json,
    write_table,
    write_tensors,
)
from bigloop.data import dataset, load_verified
from bigloop.loops import compose
from bigloop.models import Family, family
from bigloop.models.classifier import pixels
from bigloop.models.neural import NeuralFamily
from bigloop.seeding import torch_generator
from bigloop.spec import ModelSpec, SampleSpec, SpecError, TrainSpec, digest, parse, to_dict
from bigloop.storage import SAVE_SECONDS
from bigloop.training import Checkpoint, Report

STATE = "train.state.safetensors"  # of a training that is not finished, or whose model is not sampled yet


def train(
    spec: TrainSpec,
    data: Path,
    previews: Iterable[Path],
    out: Path,
    report: Report,
    save_seconds: float = SAVE_SECONDS,
) -> None:
    """Fit the model of `spec` and write model.safetensors, model.json and history.csv into the folder `out`.

    data: folder of the real dataset. previews: the preview file of each earlier generation that the loop uses,
    with its samples or its model beside it. The state of the training is kept in `out` every `save_seconds`, and
    a call that finds it there goes on from it. Raises ArtifactError for a broken input, DivergedError for a
    loss that is not finite and Interrupted where a signal stopped it; then no output is written.
    """
    rows, inputs = training_rows(spec, data, previews, report)
    device = default_device()
    model = new_model(spec.model, dataset(spec.dataset).shape, spec.seed, spec.generation, device)
    report(f"training on {len(rows):,} images, {device.type}, {torch.get_num_threads()} threads")
    generator = torch_generator(spec.seed, spec.generation, "training", device=device)
    key = digest({"spec": spec, "inputs": inputs, "device": device.type}, digits=64)
    checkpoint = Checkpoint(out / STATE, key, save_seconds, report)
    if isinstance(model, NeuralFamily):
        model.checkpoint = checkpoint
    history = model.fit(rows, spec.budget, generator, report)
    facts = {"rows": len(rows), "inputs": inputs, "resumed_at": checkpoint.resumed_at}
    _write_model(spec, model, pd.DataFrame(history), facts, device, out)


def import_weights(spec: TrainSpec, weights: Path, data: Path, out: Path, report: Report) -> None:
    """Write the model of `spec`, a first generation, with the weights in a file that somebody else trained.

    weights: safetensors with the family's own names, NETWORK.PARAMETER, as in a model.safetensors of bigloop. Never
    a pickle. Raises ArtifactError where it is not the file that the spec names, or does not fit the family.
    """
    if file_checksum(weights) != spec.weights:
        raise ArtifactError(f"{weights}: changed since the workflow was planned; run the same command again")
    try:
        tensors = safetensors.numpy.load_file(weights)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(f"{weights}: not a safetensors file ({' '.join(str(error).split())})") from None
    device = default_device()
    model = new_model(spec.model, dataset(spec.dataset).shape, spec.seed, spec.generation, device)
    if not isinstance(model, NeuralFamily):
        raise SpecError(f"{spec.model.family}: only families of networks can start from imported weights")
    expected, _ = model.state()
    for name in sorted(expected.keys() | tensors.keys()):
        wanted, found = (side[name].shape if name in side else "none" for side in (expected, tensors))
        if wanted != found:
            raise ArtifactError(
                f"{weights}: {name} has shape {found}, expected {wanted}: not the weights of a "
                f"{spec.model.family} with these options"
            )
    rows, inputs = training_rows(spec, data, (), report)
    model.adopt(tensors, rows, torch_generator(spec.seed, spec.generation, "training", device=device))
    report(f"weights of generation 1 taken from {weights}")
    facts = {"rows": 0, "inputs": {**inputs, "weights": spec.weights}, "resumed_at": []}
    _write_model(spec, model, pd.DataFrame(columns=["epoch", "step"]), facts, device, out)


def training_rows(
    spec: TrainSpec, data: Path, previews: Iterable[Path], report: Report
) -> tuple[Tensor, dict[str, str]]:
    """The rows that a generation trains on, and the SHA-256 of each file they come from.

    Tensor (n, c, h, w): float32 in [0, 1] where real rows are among them, else float16 as handed over.
    """
    files = {}
    for preview in previews:
        g, images, checksum = recall_samples(preview, spec.seed, report)
        files[g] = images, checksum
    available = min((len(images) for images, _ in files.values()), default=0)
    images, _, data_checksum = load_verified(data, "train")
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
                f"the samples of generation {g} hold {len(files[g][0])} rows, {wanted} are needed; {REBUILD}"
            )
    parts = [torch.from_numpy(files[g][0][rows]) for g, rows in composition.synthetic.items()]
    inputs = {str(g): checksum for g, (_, checksum) in files.items()}
    if len(composition.real):
        parts = [pixels(images[composition.real]), *(part.float() for part in parts)]
        inputs["data"] = data_checksum
    return torch.cat(parts), inputs


def sample(spec: SampleSpec, model: Path, out: Path) -> None:
    """Draw `spec.n` rows from the model in the folder `model`; write samples and preview into the folder `out`.

    A model that lies elsewhere (a first generation, which several loops share) is linked in.
    """
    rows, record = draw(spec, model)
    header = {
        "spec": digest(spec),
        "seed": str(spec.seed),
        "generation": str(spec.generation),
        "model": record["sha256"],
    }
    checksum = write_tensors(out / "samples.safetensors", {"images": rows}, header)
    more = {"samples": checksum, "n": str(spec.n), "bias": str(spec.bias)}
    write_tensors(out / "preview.safetensors", {"images": rows[:PREVIEW_ROWS]}, header | more)
    if model.resolve() != out.resolve():
        for name in MODEL_FILES:
            link(out / name, model / name)
    # Only now: a finished training whose end the workflow did not live to see is thus taken up, not repeated.
    (model / STATE).unlink(missing_ok=True)


def draw(spec: SampleSpec, model: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The rows of a sampling job, float16 (n, c, h, w), and the model's record."""
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
        raise ArtifactError(f"{model}: the model gives values that are not finite; nothing was written")
    return rows, record


def recall_samples(preview: Path, seed: int, report: Report) -> tuple[int, np.ndarray, str]:
    """The generation of a preview, all the samples that it is the beginning of, and their SHA-256.

    The samples come from their file, or, where that was deleted, are drawn again exactly.
    """
    _, header = read_tensors(preview)
    generation = int(header["generation"])
    path = preview.with_name("samples.safetensors")
    if path.is_file():
        images, checksum = read_samples(path, seed, generation)
    else:
        report(f"generation {generation}: drawing its deleted samples again")
        spec = SampleSpec(seed, generation, int(header["n"]), float(header["bias"]))
        images, _ = draw(spec, preview.parent)
        own = {k: header[k] for k in ("spec", "seed", "generation", "model")}
        checksum = checksum_at(path, {"images": images}, own)
    if checksum != header["samples"]:
        raise ArtifactError(
            f"{path}: not the samples that {preview.name} beside it was made with (another device or number of "
            "threads, perhaps); delete both and run snakemake with their names as targets"
        )
    return generation, images, checksum


def read_samples(path: Path, seed: int, generation: int) -> tuple[np.ndarray, str]:
    """Images, float16 (n, c, h, w), of a samples file and its SHA-256; raises ArtifactError where it is another's."""
    tensors, header = read_tensors(path)
    if (header.get("seed"), header.get("generation")) != (str(seed), str(generation)):
        raise ArtifactError(
            f"{path}: holds seed {header.get('seed')}, generation {header.get('generation')}, "
            f"expected {seed}, {generation}"
        )
    return tensors["images"], header["sha256"]


def is_trained(spec: TrainSpec, out: Path) -> bool:
    """Whether the folder `out` holds the sound model of this very job."""
    try:
        _, record = load_model(out, torch.device("cpu"))
    except ArtifactError:
        return False
    return record["spec"] == to_dict(spec)


def is_sampled(spec: SampleSpec, out: Path) -> bool:
    """Whether the folder `out` holds the sound samples of this very job, and their preview."""
    try:
        headers = [read_tensors(out / f"{name}.safetensors")[1] for name in ("samples", "preview")]
    except ArtifactError:
        return False
    return headers[1]["samples"] == headers[0]["sha256"] and headers[0]["spec"] == digest(spec)


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


def _write_model(
    spec: TrainSpec,
    model: Family,
    history: pd.DataFrame,
    about: dict[str, Any],
    device: torch.device,
    out: Path,
) -> None:
    tensors, facts = model.state()
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise ArtifactError(f"{out}: the weights are not finite; nothing was written")
    header = {"spec": digest(spec), "family": spec.model.family}
    checksum = write_tensors(out / "model.safetensors", tensors, header)
    write_table(out / "history.csv", history)
    write_json(
        out / "model.json",
        {
            "spec": to_dict(spec),
            "sha256": checksum,
            **about,
            "facts": facts,
            "device": describe(device),
            "threads": torch.get_num_threads(),
            "versions": versions(),
        },
    )


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
