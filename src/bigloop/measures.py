"""Samples to measures: every measure of a generation as records, each with its n, and the real floor.

    records = measure(spec, samples_file, model_folder, classifier_folder, data_folder)
    # [{"measure": "fid", "value": 12.3, "n": 10000, "k": None, "detail": ""}, …]

Real rows for comparison are two fixed, disjoint, seeded subsets of the training split: generated samples
are compared with the first, and the floor is the second compared with the first. What is costly and depends on
such a subset alone is computed once, and kept beside the classifier.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from bigloop import __version__
from bigloop.artifacts import (
    ArtifactError,
    file_checksum,
    read_json,
    read_table,
    read_tensors,
    write_json,
    write_tensors,
)
from bigloop.data import dataset, load, load_verified
from bigloop.data.files import read_images
from bigloop.generation import (
    default_device,
    describe,
    fresh_model,
    load_model,
    parameters,
    read_samples,
    recall_samples,
    versions,
)
from bigloop.metrics import MEASURES, Measure, View
from bigloop.models import Critic
from bigloop.models.classifier import Classifier, Judgement, accuracy, pixels, train_classifier
from bigloop.models.inception import inception_features, weights_file
from bigloop.seeding import numpy_generator
from bigloop.spec import (
    ClassifierSpec,
    CriticsSpec,
    FloorSpec,
    MeasureSpec,
    Scalar,
    SpecError,
    TrainSpec,
    digest,
    parse,
    to_dict,
)
from bigloop.storage import SAVE_SECONDS
from bigloop.training import Checkpoint, Report

Record = dict[str, Any]

LABELLED = 2_000  # images whose class is compared with the one asked for


def measure(
    spec: MeasureSpec,
    samples: Path,
    model: Path | None,
    classifier: Path,
    data: Path,
    report: Report = lambda line: None,
    first: Path | None = None,
) -> list[Record]:
    """All records of one generation: its samples' measures, and with `model` its losses and its critic's rate.

    first: folder of the model of generation 1, for the measures of weights.
    """
    preview = samples.with_name("preview.safetensors")
    if preview.is_file() and not samples.is_file():  # deleted to save disk since the job was planned
        _, rows, _ = recall_samples(preview, spec.seed, report)
    else:
        rows, _ = read_samples(samples, spec.seed, spec.generation)
    of_images = of_rows(spec.measures)
    records = measure_images(rows["images"], of_images, classifier, data, rows.get("labels"), report)
    if model is not None and first is not None:
        moved = [name for name in spec.measures if not MEASURES[name].has_rows]
        weights = model_parameters(model, first) if moved else ()
        for name in moved:
            records += as_records(name, MEASURES[name].function(*weights), {})
    if model is not None:
        records += final_losses(model)
        if spec.has_critic:
            records.append(critic_on_test(model, data))
    return records


def measure_images(
    images: np.ndarray,
    measures: dict[str, dict[str, Scalar]],
    classifier: Path,
    data: Path,
    labels: np.ndarray | None = None,
    report: Report = lambda line: None,
) -> list[Record]:
    """Records of images (n, c, h, w), floats in the range of the real data, against the real reference rows.

    labels: the classes (n,) that they were made to be of; adds how often the classifier agrees.
    """
    device = default_device()
    asked = labels[:LABELLED] if labels is not None else None
    judged = max(most_rows(measures, {"features", "probabilities"}), 0 if asked is None else len(asked))
    judgement = load_classifier(classifier, device).judge(images[:judged]) if judged else None
    generated = Side(images, judgement, device)
    sides = {"subset": real_side(classifier, data, most_rows(measures), device, report, floor=False)}
    if compares_with_training(measures):
        sides["training"] = Side(load(data, "train")[0], None, device)
    records = [
        r
        for name, options in measures.items()
        for r in compare(name, options, generated, sides[MEASURES[name].against])
    ]
    if asked is not None and judgement is not None:
        agreed = judgement.probabilities[: len(asked)].argmax(axis=1) == asked
        records.append(record("label_agreement", float(agreed.mean()), len(asked)))
    return records


def measure_file(
    path: Path,
    about: str,
    pixel_range: tuple[float, float],
    classifier: Path | None,
    data: Path | None,
    n: int | None,
    report: Report = lambda line: None,
) -> list[Record]:
    """Records of images from elsewhere (see data.files.read_images) against the real dataset `about`.

    All measures that need no downloaded weights, with `n` rows each (by default each measure's limit), or as
    many as there are. Classifier and data are looked for under results/ unless given.
    """
    if n is not None and n < 2:
        raise SpecError(f"--n: expected at least 2, got {n}")
    images = read_images(path, dataset(about).shape, *pixel_range)
    available = min(len(images), dataset(about).rows["train"] // 2)
    measures: dict[str, dict[str, Scalar]] = {}
    for name, entry in MEASURES.items():
        rows, k = min(n or entry.limit, available // entry.per_side), getattr(entry.Options(), "k", None)
        if entry.of_images and entry.has_rows and "inception" not in entry.on and rows > (k or 0):
            measures[name] = {"n": rows} if k is None else {"n": rows, "k": k}
    if available < 4:
        raise ArtifactError(f"{path}: holds {len(images)} images; at least 4 are needed")
    data = data or Path("results/data") / about
    return measure_images(images, measures, classifier or find_classifier(about), data, report=report)


def find_classifier(about: str) -> Path:
    """The newest trained classifier of a dataset under results/classifier."""
    found = sorted(Path("results/classifier").glob(f"{about}-*/model.json"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise ArtifactError(
            f"results/classifier/{about}-*: no classifier is trained yet; "
            "make it with `snakemake --cores 2 classifiers`"
        )
    return found[-1].parent


def measure_real(
    spec: FloorSpec, classifier: Path, data: Path, report: Report = lambda line: None
) -> list[Record]:
    """The floor: the records of the second real subset against the first, for every measure and n of `spec`.

    Of a measure against all training rows it is that of the test set, whose rows are not among them.
    """
    device = default_device()
    rows = max((most_rows({name: o}) for name, several in spec.measures.items() for o in several), default=0)
    first, second = (
        real_side(classifier, data, rows, device, report, floor=floor) for floor in (False, True)
    )
    sides = {"subset": (second, first)}
    if compares_with_training(spec.measures):
        training, test = (Side(load(data, split)[0], None, device) for split in ("train", "test"))
        sides["training"] = test, training
    return [
        r
        for name, several in spec.measures.items()
        for options in several
        for r in compare(name, options, *sides[MEASURES[name].against])
    ]


@dataclass(frozen=True)
class Kept:
    """What was computed of one set of rows, in a folder, each in a file named by a digest of all it depends on."""

    folder: Path
    rows: Mapping[str, str]  # which they are
    report: Report

    def get(
        self, name: str, depends: Mapping[str, Any], compute: Callable[[], np.ndarray | float]
    ) -> np.ndarray:
        """The array of this name that was kept, or else `compute()`, which is kept from now on where it can be.

        Jobs that keep the same array at the same time write the same file: one of them may say that it could not.
        """
        path = self.folder / f"{name}-{digest({**self.rows, **depends}, digits=16)}.safetensors"
        try:
            return read_tensors(path)[0][name]
        except ArtifactError:
            self.report(f"{path}: {'damaged' if path.is_file() else 'not there yet'}, computed now")
        computed = np.asarray(compute())
        try:
            write_tensors(path, {name: computed}, {})
        except ArtifactError as fault:
            self.report(str(fault))
        return computed


@dataclass
class Side:
    """One side of a comparison, in every view that a measure may ask for."""

    images: np.ndarray
    judgement: Judgement | None
    device: torch.device
    kept: Kept | None = None  # of real rows

    def view(self, on: View, options: dict[str, Scalar], rows: int | None) -> np.ndarray:
        """The first `rows` rows, or all, as a measure wants to see them."""
        if on == "inception":
            return self._inception(weights_file(str(options.get("weights", ""))), rows)
        if on == "images":
            return pixels(self.images[:rows]).numpy()
        assert self.judgement is not None
        return getattr(self.judgement, on)[:rows]

    def _inception(self, weights: Path, rows: int | None) -> np.ndarray:
        def features() -> np.ndarray:
            return inception_features(pixels(self.images[:rows]).numpy(), str(weights), self.device)

        if self.kept is None:
            return features()
        depends = {"n": rows, "weights": file_checksum(weights), "device": self.device.type}
        return self.kept.get("inception", depends, features)


def compare(name: str, options: dict[str, Scalar], generated: Side, real: Side) -> list[Record]:
    """The records of one measure. Raises ArtifactError where a side has too few rows or a value is not finite."""
    measure = MEASURES[name]
    wanted = rows_of(measure, options)
    taken = (generated, wanted), (real, None if measure.against == "training" else wanted)
    views = [side.view(on, options, rows) for side, rows in taken for on in measure.on]
    for view in views:
        if len(view) < wanted:
            raise ArtifactError(
                f"{name}: needs {wanted} rows on each side, got {len(view)}; lower measures.{name}.n"
            )
        if not np.isfinite(view).all():
            raise ArtifactError(f"{name}: its {measure.on[0]} are not all finite; nothing was written")
    extra: dict[str, Any] = {k: v for k, v in options.items() if k != "n" and k not in measure.consumed}
    known: dict[str, Any] = {}
    try:
        if measure.of_real is not None and real.kept is not None:
            compute = partial(measure.of_real, *views[len(measure.on) :], **extra)
            depends = {"n": wanted, "on": measure.on, **extra}
            known["of_real"] = real.kept.get(measure.of_real.__name__, depends, compute)
        return as_records(name, measure.function(*views, **extra, **known), options)
    except ValueError as error:
        raise ArtifactError(f"{name}: {error}; nothing was written") from None


def as_records(
    name: str, result: float | list[tuple[str, float, str]], options: dict[str, Scalar]
) -> list[Record]:
    """What a measure's function returned, as records. Raises ArtifactError where a value is not finite."""
    values = [(name, result, "")] if isinstance(result, float) else result
    for measured, value, _ in values:
        if not math.isfinite(value):
            raise ArtifactError(f"{measured}: came out as {value}; nothing was written")
    n, k = cast(int | None, options.get("n")), cast(int | None, options.get("k"))
    return [record(measured, value, n, detail, k) for measured, value, detail in values]


def of_rows(measures: dict[str, dict[str, Scalar]]) -> dict[str, dict[str, Scalar]]:
    """Those of the measures that compare rows."""
    return {name: options for name, options in measures.items() if MEASURES[name].has_rows}


def compares_with_training(measures: Iterable[str]) -> bool:
    """Whether one of these measures takes all of the real training set."""
    return any(MEASURES[name].against == "training" for name in measures)


def model_parameters(model: Path, first: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The weights of a model, of the generation 1 it descends from, and of that one before its training."""
    device = torch.device("cpu")
    current, origin = (load_model(folder, device) for folder in (model, first))
    spec = parse(TrainSpec, origin[1]["spec"], f"{first / 'model.json'}: spec")
    return parameters(current[0]), parameters(origin[0]), parameters(fresh_model(spec, device))


def record(
    measure: str, value: float, n: int | None = None, detail: str = "", k: int | None = None
) -> Record:
    """A row of measures.json."""
    return {"measure": measure, "value": value, "n": n, "k": k, "detail": detail}


def rows_of(measure: Measure, options: dict[str, Scalar]) -> int:
    """Rows that a measure takes of each side; none of weights."""
    return measure.per_side * cast(int, options.get("n", 0))


def most_rows(measures: dict[str, dict[str, Scalar]], views: set[str] | None = None) -> int:
    """The most rows that any of these measures takes of a side (of those in `views`)."""
    return max(
        (
            rows_of(MEASURES[m], o)
            for m, o in measures.items()
            if views is None or views & set(MEASURES[m].on)
        ),
        default=0,
    )


def real_side(
    classifier: Path,
    data: Path,
    rows: int,
    device: torch.device,
    report: Report = lambda line: None,
    *,
    floor: bool,
) -> Side:
    """`rows` rows of one of the two real subsets, which are the two ends of one seeded permutation."""
    images, _, checksum = load_verified(data, "train")
    order = numpy_generator(0, 0, "reference rows").permutation(len(images))
    chosen = (order[::-1] if floor else order)[:rows]
    tensors, header = read_tensors(classifier / "reference.safetensors")
    judgement = Judgement(tensors["features"][chosen], tensors["probabilities"][chosen])
    which = {"data": checksum, "reference": header["sha256"], "subset": "second" if floor else "first"}
    kept = Kept(classifier / "statistics", {**which, "bigloop": __version__}, report)
    return Side(images[chosen], judgement, device, kept)


def final_losses(model: Path) -> list[Record]:
    """The losses of the last epoch, from history.csv; none for imported weights."""
    history = read_table(model / "history.csv")
    if history.empty:  # imported weights
        return []
    last = history.iloc[-1]
    names = [c for c in history if c.startswith("loss") or c == "gradient_penalty"]
    return [record("final_loss", float(last[name]), None, name) for name in names]


def critic_on_test(model: Path, data: Path) -> Record:
    """The share of the real test images that the critic calls real (Knutsen et al. 2025, fig. 9)."""
    critic, threshold = load_critic(model, default_device())
    images, _ = load(data, "test")
    scores = critic.scores(pixels(images)).cpu().numpy()
    return record("critic_on_test", float((scores > threshold).mean()), len(images))


def critics(spec: CriticsSpec, runs: Path, report: Report = lambda line: None) -> list[Record]:
    """Critic × generator matrix: the share of each generation's samples that each critic calls fake (fig. 10)."""
    device = default_device()

    def place(folder: str, generation: int) -> Path:
        return runs / folder / f"seed-{spec.seed}" / f"gen-{generation}"

    samples = {
        g: torch.from_numpy(first_samples(place(f, g), spec.n, spec.seed, report))
        for g, f in enumerate(spec.generator_folders, start=1)
    }
    records = []
    for generation, folder in enumerate(spec.critic_folders, start=1):
        critic, threshold = load_critic(place(folder, generation), device)
        for other, images in samples.items():
            scores = critic.scores(images).cpu().numpy()
            records.append(
                {
                    "critic_run": spec.critic,
                    "critic_generation": generation,
                    "generator_run": spec.generator,
                    "generator_generation": other,
                    "seed": spec.seed,
                    "fake_share": float((scores <= threshold).mean()),
                    "n": len(images),
                    "threshold": threshold,
                }
            )
    return records


def first_samples(folder: Path, n: int, seed: int, report: Report) -> np.ndarray:
    """The first n samples of a generation, float16 (n, c, h, w): from its preview where that has as many."""
    preview = folder / "preview.safetensors"
    tensors, _ = read_tensors(preview)
    if n > len(tensors["images"]):
        _, tensors, _ = recall_samples(preview, seed, report)
    return tensors["images"][:n]


def load_critic(folder: Path, device: torch.device) -> tuple[Critic, float]:
    """A saved model that has a critic, and the critic's decision threshold."""
    model, record = load_model(folder, device)
    return cast(Critic, model), float(record["facts"]["threshold"])


def classify(
    spec: ClassifierSpec, data: Path, out: Path, report: Report, save_seconds: float = SAVE_SECONDS
) -> float:
    """Train the classifier; write it and its judgement of the real training set; returns its test accuracy.

    A training that was stopped goes on from the state that it left in `out`.
    """
    device = default_device()
    images, labels, data_checksum = load_verified(data, "train")
    key = digest({"spec": spec, "data": data_checksum, "device": device.type}, digits=64)
    checkpoint = Checkpoint(out / "classify.state.safetensors", key, save_seconds, report)
    classes = len(dataset(spec.dataset).classes)
    net, history = train_classifier(spec, images, labels, classes, device, report, checkpoint)
    test_images, test_labels = load(data, "test")
    test_accuracy = accuracy(net.judge(test_images), test_labels)
    judgement = net.judge(images)
    tensors = {k: v.cpu().numpy() for k, v in net.state_dict().items()}
    header = {"spec": digest(spec)}
    write_tensors(out / "reference.safetensors", judgement._asdict(), header)
    write_tensors(out / "model.safetensors", tensors, header)
    write_json(
        out / "model.json",
        {
            "spec": to_dict(spec),
            "test_accuracy": test_accuracy,
            "history": history,
            "resumed_at": checkpoint.resumed_at,
            "device": describe(device),
            "threads": torch.get_num_threads(),
            "versions": versions(),
        },
    )
    checkpoint.path.unlink(missing_ok=True)
    return test_accuracy


def load_classifier(folder: Path, device: torch.device) -> Classifier:
    """The classifier saved in `folder`; raises ArtifactError where it is broken."""
    spec = parse(
        ClassifierSpec,
        read_json(folder / "model.json", keys=("spec",))["spec"],
        f"{folder / 'model.json'}: spec",
    )
    tensors, header = read_tensors(folder / "model.safetensors")
    if header.get("spec") != digest(spec):
        raise ArtifactError(f"{folder}: model.json and model.safetensors do not belong together; delete both")
    about = dataset(spec.dataset)
    net = Classifier(spec, about.shape, len(about.classes))
    net.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
    return net.to(device).eval()
