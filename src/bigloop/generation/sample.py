"""Sample a generation, and load its samples from their file or regenerate them from the weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from bigloop.artifacts import (
    AUXILIARY_FILE,
    MODEL_FILES,
    PREVIEW_ROWS,
    SNAPSHOTS_FILE,
    STEPS_FILE,
    ArtifactError,
    checksum_at,
    link,
    read_tensors,
    write_tensors,
)
from bigloop.generation.auxiliary import oppose
from bigloop.generation.store import STATE, check_place, labels_in_turn, load_model
from bigloop.models import Continuing
from bigloop.runtime.progress import Report
from bigloop.runtime.signals import SAVE_SECONDS
from bigloop.seeding import torch_generator
from bigloop.spec.generations import SampleSpec, TrainSpec
from bigloop.spec.options import digest, parse, to_json
from bigloop.spec.registry import declared
from bigloop.training.checkpoint import Checkpoint
from bigloop.training.devices import default_device
from bigloop.training.parallel import joined, team

CHUNK = 1_000  # images that are float32 at one time
SAMPLE_STATE = "sample.state.safetensors"
IMPORT_AGAIN = "delete preview.safetensors beside it and run the same command again to import both"


@joined()
def sample(
    spec: SampleSpec,
    model: Path,
    out: Path,
    report: Report = lambda line: None,
    save_seconds: float = SAVE_SECONDS,
    auxiliary: Path | None = None,
) -> None:
    """Draw `spec.n` rows from the model in the folder `model`; write samples and preview into the folder `out`.

    auxiliary: file of the auxiliary model, where samples are drawn away from one. Models that lie elsewhere (those of a
    first generation, which several loops share) are linked in. The state of a long
    sampling is kept in `out` every `save_seconds`, and a call that finds it there continues from it.
    """
    if auxiliary and auxiliary.parent.resolve() != out.resolve():
        link(out / AUXILIARY_FILE, auxiliary)
    rows, record = draw(spec, model, (out / SAMPLE_STATE, save_seconds), report, out)
    if team().rank:
        return
    header = {
        "spec": digest(spec),
        "seed": str(spec.seed),
        "generation": str(spec.generation),
        "model": record["sha256"],
    }
    if spec.member:
        header["member"] = str(spec.member)
    checksum = write_tensors(out / "samples.safetensors", rows, header)
    more = {"samples": checksum, "job": to_json(spec)}
    first = {name: array[:PREVIEW_ROWS] for name, array in rows.items()}
    write_tensors(out / "preview.safetensors", first, header | more)
    if model.resolve() != out.resolve():
        beside = [name for name in (STEPS_FILE, SNAPSHOTS_FILE) if (model / name).is_file()]
        for name in (*MODEL_FILES, *beside):
            link(out / name, model / name)
    # Only now: a finished training whose end the workflow did not live to see is thus taken up, not repeated.
    (model / STATE).unlink(missing_ok=True)
    (out / SAMPLE_STATE).unlink(missing_ok=True)


def draw(
    spec: SampleSpec,
    model: Path,
    state: tuple[Path, float] | None = None,
    report: Report = lambda line: None,
    auxiliary: Path | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The rows of a sampling job and the model's record.

    images: (n, c, h, w), as the loop hands them over: float16 as the model gives them, or uint8, [0, 1] as 0…255 and
    clipped to it; and labels: int64 (n,), of a conditional family: the classes in turn, so that all
    are equally frequent. state: the file that keeps an unfinished sampling, and the seconds between two saves.
    auxiliary: folder of the auxiliary model, where samples are drawn away from one (default: that of the model).
    """
    device = default_device()
    trained, record = load_model(model, device, spec.sampler)
    check_place(model, record, spec.seed, spec.generation)
    generator = torch_generator(spec.stream, spec.generation, "sampling", device=device)
    training = parse(TrainSpec, record["spec"], f"{model / 'model.json'}: spec")
    can = declared("families")[training.model.family]
    drawn_by = {"model": record["sha256"]}
    if spec.against:
        other, _ = load_model(model, device, spec.sampler)
        given_by = record["sha256"], auxiliary or model, spec.against
        drawn_by["auxiliary"] = oppose(trained, other, *given_by)
    if state and can.continues:
        key = digest({"spec": spec, **drawn_by, "device": device.type}, digits=64)
        cast(Continuing, trained).checkpoint = Checkpoint(state[0], key, state[1], report)
    rows, given = {}, {}
    if can.conditional:
        rows["labels"] = labels_in_turn(spec.n, training.dataset)
        given["labels"] = torch.from_numpy(rows["labels"])
    rows["images"] = trained.sample(spec.n, spec.bias, generator, **given).cpu().numpy()
    if not np.isfinite(rows["images"]).all():
        raise ArtifactError(f"{model}: the model generated non-finite values; nothing was written")
    if spec.handover == "uint8":
        rows["images"] = as_bytes(rows["images"])
    return rows, record


def as_bytes(images: np.ndarray) -> np.ndarray:
    """Images, floats (n, …) with real data in [0, 1], as uint8: clipped, and rounded to the nearest of 256 levels."""
    rounded = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK].astype(np.float32)
        rounded[start : start + CHUNK] = (part.clip(0, 1) * 255).round()
    return rounded


class Recalled(NamedTuple):
    """All samples of a generation (see `draw`), their SHA-256, and of an ecosystem whose they are."""

    generation: int
    rows: dict[str, np.ndarray]
    checksum: str
    member: int


def recall_samples(preview: Path, seed: int, report: Report) -> Recalled:
    """The samples that a preview is the beginning of.

    They come from their file, or, where that was deleted, are regenerated exactly.
    """
    _, header = read_tensors(preview)
    generation = int(header["generation"])
    path = preview.with_name("samples.safetensors")
    if path.is_file():
        rows, checksum = read_samples(path, seed, generation)
    elif "job" not in header:
        raise ArtifactError(f"{path}: missing, and no model is there to draw it again; {IMPORT_AGAIN}")
    else:
        report(f"generation {generation}: regenerating its deleted samples")
        spec = parse(SampleSpec, json.loads(header["job"]), f"{preview}: job")
        rows, _ = draw(spec, preview.parent, None, report)
        own: dict[str, str] = {
            k: header[k] for k in ("spec", "seed", "generation", "model", "member") if k in header
        }
        checksum = checksum_at(path, rows, own)
    if checksum != header["samples"]:
        raise ArtifactError(
            f"{path}: not the samples that {preview.name} beside it belongs to (perhaps another device or number of "
            "threads); delete both and run snakemake with their names as targets"
        )
    return Recalled(generation, rows, checksum, int(header.get("member", 0)))


def read_samples(path: Path, seed: int, generation: int) -> tuple[dict[str, np.ndarray], str]:
    """The rows of a samples file (see `draw`) and its SHA-256; raises ArtifactError where it is another's."""
    tensors, header = read_tensors(path)
    if (header.get("seed"), header.get("generation")) != (str(seed), str(generation)):
        raise ArtifactError(
            f"{path}: holds seed {header.get('seed')}, generation {header.get('generation')}, "
            f"expected {seed}, {generation}"
        )
    return tensors, header["sha256"]


def is_sampled(spec: SampleSpec, out: Path) -> bool:
    """Whether the folder `out` holds the sound samples of this very job, and their preview."""
    try:
        headers = [read_tensors(out / f"{name}.safetensors")[1] for name in ("samples", "preview")]
    except ArtifactError:
        return False
    return headers[1]["samples"] == headers[0]["sha256"] and headers[0]["spec"] == digest(spec)
