"""One generation of one run: gather its training rows, fit a model, sample it.

A generation's files, in its folder: `model.safetensors`, `model.json`, `history.csv`, `rows.safetensors` (which rows it
trained on: `real`, row numbers of the real training set, and for each earlier generation, by its number, those of its
samples), `optimizer.safetensors` (where a loop continues from it), `samples.safetensors`, and `preview.safetensors`,
the first rows of the samples, whose header has the checksum of them all. Samples may be deleted to save disk: whoever
needs them makes them again from the weights, and checks that they are the same.
"""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import safetensors
import safetensors.numpy
import torch
from torch import Tensor

from bigloop import __version__
from bigloop.artifacts import (
    MODEL_FILES,
    OPTIMIZER_FILE,
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
from bigloop.loops import Composition, compose
from bigloop.models import Family, entry, family
from bigloop.models.classifier import pixels
from bigloop.models.neural import NeuralFamily
from bigloop.seeding import torch_generator
from bigloop.spec import (
    ModelSpec,
    SampleSpec,
    Scalar,
    SpecError,
    TrainSpec,
    digest,
    parse,
    to_dict,
    to_json,
)
from bigloop.storage import SAVE_SECONDS
from bigloop.training import Checkpoint, Report, pack, unpack

STATE = "train.state.safetensors"  # of a training that is not finished, or whose model is not sampled yet
SAMPLE_STATE = "sample.state.safetensors"


class TrainingSet(NamedTuple):
    """What a generation trains on, and where it comes from.

    images: Tensor (n, c, h, w), float32 in [0, 1] where real rows are among them, else float16 as handed over.
    labels: Tensor (n,), int64, of a conditional family, else None. inputs: SHA-256 of each file it was taken from.
    """

    images: Tensor
    labels: Tensor | None
    composition: Composition
    inputs: dict[str, str]


def train(
    spec: TrainSpec,
    data: Path,
    previews: Iterable[Path],
    out: Path,
    report: Report,
    save_seconds: float = SAVE_SECONDS,
    previous: Path | None = None,
    keep_optimizer: bool = False,
) -> None:
    """Fit the model of `spec` and write the files of a model, see above, into the folder `out`.

    data: folder of the real dataset. previews: the preview file of each earlier generation that the loop uses,
    with its samples or its model beside it. previous: folder of the model that this one continues from. The state of
    the training is kept in `out` every `save_seconds`, and a call that finds it there goes on from it. Raises
    ArtifactError for a broken input, DivergedError for a loss that is not finite and Interrupted where a signal
    stopped it; then no output is written.
    """
    rows = training_set(spec, data, previews, report)
    device = default_device()
    model = fresh_model(spec, device)
    if spec.continues:
        if previous is None:
            raise ArtifactError(f"generation {spec.generation} continues from a model that was not given")
        rows.inputs.update(_continue_from(previous, spec, model, report))
    report(f"training on {len(rows.images):,} images, {device.type}, {torch.get_num_threads()} threads")
    generator = torch_generator(spec.seed, spec.generation, "training", device=device)
    key = digest({"spec": spec, "inputs": rows.inputs, "device": device.type}, digits=64)
    checkpoint = Checkpoint(out / STATE, key, save_seconds, report)
    if isinstance(model, NeuralFamily):
        model.checkpoint = checkpoint
    given = {} if rows.labels is None else {"labels": rows.labels}
    history = model.fit(rows.images, spec.budget, generator, report, **given)
    facts = {"rows": len(rows.images), "inputs": rows.inputs, "resumed_at": checkpoint.resumed_at}
    write_model(spec, model, pd.DataFrame(history), rows.composition, facts, device, out, keep_optimizer)


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
    model = fresh_model(spec, device)
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
    rows = training_set(spec, data, (), report)
    model.adopt(tensors, rows.images, torch_generator(spec.seed, spec.generation, "training", device=device))
    report(f"weights of generation 1 taken from {weights}")
    facts = {"rows": 0, "inputs": {**rows.inputs, "weights": spec.weights}, "resumed_at": []}
    none = Composition(np.zeros(0, np.int64), {})
    write_model(spec, model, pd.DataFrame(columns=["epoch", "step"]), none, facts, device, out)


def _continue_from(previous: Path, spec: TrainSpec, model: Family, report: Report) -> dict[str, str]:
    """Give `model` the weights and the optimisers' state of the generation before; returns their SHA-256."""
    if not isinstance(model, NeuralFamily):
        raise SpecError(f"{spec.model.family}: only families of networks can continue from earlier weights")
    before, record = load_model(previous, torch.device("cpu"))
    check_place(previous, record, spec.seed, spec.generation - 1)
    inputs = {"model": record["sha256"]}
    if record["spec"].get("weights"):
        report("the weights of generation 1 were imported: the optimiser starts anew")
        model.resume_from(before.state()[0], {})
        return inputs
    tensors, header = read_tensors(previous / OPTIMIZER_FILE)
    if header.get("model") != record["sha256"]:
        raise ArtifactError(f"{previous / OPTIMIZER_FILE}: does not belong to the model beside it; {REBUILD}")
    model.resume_from(before.state()[0], unpack(tensors, header["tree"]))
    return inputs | {"optimizer": header["sha256"]}


def training_set(spec: TrainSpec, data: Path, previews: Iterable[Path], report: Report) -> TrainingSet:
    """What a generation trains on; see `train`."""
    files = {}
    for preview in previews:
        g, tensors, checksum = recall_samples(preview, spec.seed, report)
        files[g] = tensors, checksum
    available = min((len(tensors["images"]) for tensors, _ in files.values()), default=0)
    images, labels, data_checksum = load_verified(data, "train")
    composition = compose(spec, len(images), available)
    missing = set(composition.synthetic) - set(files)
    if missing:
        raise ArtifactError(
            f"generation {spec.generation} needs the samples of generations {sorted(missing)}"
        )
    wanted = spec.synthetic.rows(len(composition.real)) if spec.synthetic else 0
    for g in composition.synthetic:
        if len(files[g][0]["images"]) < wanted:
            raise ArtifactError(
                f"the samples of generation {g} hold {len(files[g][0]['images'])} rows, {wanted} are needed; {REBUILD}"
            )
    used = [(files[g][0], rows) for g, rows in composition.synthetic.items()]
    parts = [torch.from_numpy(tensors["images"][rows]) for tensors, rows in used]
    inputs = {str(g): checksum for g, (_, checksum) in files.items()}
    if len(composition.real):
        parts = [pixels(images[composition.real]), *(part.float() for part in parts)]
        inputs["data"] = data_checksum
    classes = None
    if entry(spec.model.family).conditional:
        known = [labels[composition.real], *(tensors["labels"][rows] for tensors, rows in used)]
        classes = torch.from_numpy(np.concatenate(known).astype(np.int64))
    return TrainingSet(torch.cat(parts), classes, composition, inputs)


def sample(
    spec: SampleSpec,
    model: Path,
    out: Path,
    report: Report = lambda line: None,
    save_seconds: float = SAVE_SECONDS,
) -> None:
    """Draw `spec.n` rows from the model in the folder `model`; write samples and preview into the folder `out`.

    A model that lies elsewhere (a first generation, which several loops share) is linked in. The state of a long
    sampling is kept in `out` every `save_seconds`, and a call that finds it there goes on from it.
    """
    rows, record = draw(spec, model, (out / SAMPLE_STATE, save_seconds), report)
    header = {
        "spec": digest(spec),
        "seed": str(spec.seed),
        "generation": str(spec.generation),
        "model": record["sha256"],
    }
    checksum = write_tensors(out / "samples.safetensors", rows, header)
    more = {"samples": checksum, "job": to_json(spec)}
    first = {name: array[:PREVIEW_ROWS] for name, array in rows.items()}
    write_tensors(out / "preview.safetensors", first, header | more)
    if model.resolve() != out.resolve():
        for name in MODEL_FILES:
            link(out / name, model / name)
    # Only now: a finished training whose end the workflow did not live to see is thus taken up, not repeated.
    (model / STATE).unlink(missing_ok=True)
    (out / SAMPLE_STATE).unlink(missing_ok=True)


def draw(
    spec: SampleSpec,
    model: Path,
    state: tuple[Path, float] | None = None,
    report: Report = lambda line: None,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The rows of a sampling job and the model's record.

    images: float16 (n, c, h, w); and labels: int64 (n,), of a conditional family: the classes in turn, so that all
    are equally frequent. state: the file that keeps an unfinished sampling, and the seconds between two saves.
    """
    device = default_device()
    trained, record = load_model(model, device, spec.sampler)
    check_place(model, record, spec.seed, spec.generation)
    generator = torch_generator(spec.seed, spec.generation, "sampling", device=device)
    if state and isinstance(trained, NeuralFamily):
        key = digest({"spec": spec, "model": record["sha256"], "device": device.type}, digits=64)
        trained.checkpoint = Checkpoint(state[0], key, state[1], report)
    about = record["spec"]
    rows, given = {}, {}
    if entry(about["model"]["family"]).conditional:
        rows["labels"] = np.arange(spec.n) % len(dataset(about["dataset"]).classes)
        given["labels"] = torch.from_numpy(rows["labels"])
    rows["images"] = trained.sample(spec.n, spec.bias, generator, **given).cpu().numpy()
    if not np.isfinite(rows["images"]).all():
        raise ArtifactError(f"{model}: the model gives values that are not finite; nothing was written")
    return rows, record


def recall_samples(preview: Path, seed: int, report: Report) -> tuple[int, dict[str, np.ndarray], str]:
    """The generation of a preview, all the samples that it is the beginning of (see `draw`), and their SHA-256.

    The samples come from their file, or, where that was deleted, are drawn again exactly.
    """
    _, header = read_tensors(preview)
    generation = int(header["generation"])
    path = preview.with_name("samples.safetensors")
    if path.is_file():
        rows, checksum = read_samples(path, seed, generation)
    else:
        report(f"generation {generation}: drawing its deleted samples again")
        spec = parse(SampleSpec, json.loads(header["job"]), f"{preview}: job")
        rows, _ = draw(spec, preview.parent, None, report)
        own = {k: header[k] for k in ("spec", "seed", "generation", "model")}
        checksum = checksum_at(path, rows, own)
    if checksum != header["samples"]:
        raise ArtifactError(
            f"{path}: not the samples that {preview.name} beside it was made with (another device or number of "
            "threads, perhaps); delete both and run snakemake with their names as targets"
        )
    return generation, rows, checksum


def read_samples(path: Path, seed: int, generation: int) -> tuple[dict[str, np.ndarray], str]:
    """The rows of a samples file (see `draw`) and its SHA-256; raises ArtifactError where it is another's."""
    tensors, header = read_tensors(path)
    if (header.get("seed"), header.get("generation")) != (str(seed), str(generation)):
        raise ArtifactError(
            f"{path}: holds seed {header.get('seed')}, generation {header.get('generation')}, "
            f"expected {seed}, {generation}"
        )
    return tensors, header["sha256"]


def is_trained(spec: TrainSpec, out: Path, keep_optimizer: bool = False) -> bool:
    """Whether the folder `out` holds the sound model of this very job, and the optimisers' state where it is kept."""
    try:
        _, record = load_model(out, torch.device("cpu"))
        if keep_optimizer:
            read_tensors(out / OPTIMIZER_FILE)
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
        raise SpecError(f"{spec.family}: revision {spec.revision} asked for, the code is at {cls.revision}")
    options: Any = parse(cls.Options, spec.options | (spec.sampler or {}), spec.family)
    given = {"classes": classes} if entry(spec.family).conditional else {}
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
        raise ArtifactError(f"{folder}: model.json and model.safetensors do not belong together; delete both")
    model = fresh_model(
        dataclasses.replace(spec, model=dataclasses.replace(spec.model, sampler=sampler)), device
    )
    model.restore(tensors, record["facts"])
    return model, record


def check_place(folder: Path, record: dict[str, Any], seed: int, generation: int) -> None:
    found = record["spec"]["seed"], record["spec"]["generation"]
    if found != (seed, generation):
        raise ArtifactError(
            f"{folder}: holds seed {found[0]}, generation {found[1]}, not {seed}, {generation}"
        )


def fresh_model(spec: TrainSpec, device: torch.device) -> Family:
    """The model of a training job as it is before the training."""
    about = dataset(spec.dataset)
    return new_model(spec.model, about.shape, spec.seed, spec.generation, device, len(about.classes))


def parameters(model: Family) -> np.ndarray:
    """All that training moves in a model, as one vector, float64 (p,): of networks their parameters."""
    if isinstance(model, NeuralFamily):
        parts = [p.detach().cpu().numpy() for net in model.networks.values() for p in net.parameters()]
    else:
        parts = list(model.state()[0].values())
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
    tensors, facts = model.state()
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise ArtifactError(f"{out}: the weights are not finite; nothing was written")
    header = {"spec": digest(spec), "family": spec.model.family}
    checksum = write_tensors(out / "model.safetensors", tensors, header)
    if keep_optimizer and isinstance(model, NeuralFamily):
        states, tree = pack({name: part.state_dict() for name, part in model.optimizers.items()})
        write_tensors(out / OPTIMIZER_FILE, states, {"model": checksum, "tree": tree})
    chosen = {"real": composition.real, **{str(g): rows for g, rows in composition.synthetic.items()}}
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
            "device": describe(device),
            "threads": torch.get_num_threads(),
            "versions": versions(),
        },
    )


def default_device() -> torch.device:
    """The GPU if there is one, else the CPU.

    On a GPU float32 stays float32: TF32, torch's default for convolutions, keeps 10 bits of every factor, and would
    gain little where launching kernels is what costs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda")


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
