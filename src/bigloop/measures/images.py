"""Images to measures: every measure of a generation as records, each with its n, and the real floor.

    records = measure(spec, samples_file, model_folder, classifier_folder, data_folder)
    # [{"measure": "fid", "value": 12.3, "n": 10000, "k": None, "detail": ""}, …]

Real rows for comparison are two fixed, disjoint, seeded subsets of the training split or, for measures with
`reference: test`, of the test split: generated samples are compared with the first, and the floor is the second
compared with the first. What is costly and depends on such a subset alone is computed once, and kept beside the
classifier or the data.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from bigloop import __version__
from bigloop.artifacts import (
    FEATURES_FILE,
    file_checksum,
    folder_of,
    read_table,
    read_tensors,
)
from bigloop.data import load, load_verified
from bigloop.generation.sample import read_samples, recall_samples
from bigloop.generation.select import read_selection
from bigloop.generation.store import fresh_model, load_model, parameters
from bigloop.measures.critics import load_critic
from bigloop.measures.features import Extractor, Rows, extractor_of, of_classifier
from bigloop.measures.records import (
    Kept,
    RealRows,
    Record,
    Side,
    as_records,
    compare,
    held_against,
    most_features,
    most_rows,
    of_rows,
    record,
)
from bigloop.metrics import MEASURES, Reference
from bigloop.metrics.selection import Selection
from bigloop.models import Critic
from bigloop.models.classifier import Judgement
from bigloop.runtime.progress import Progress, Report
from bigloop.seeding import numpy_generator
from bigloop.spec.generations import TrainSpec
from bigloop.spec.jobs import FeaturesSpec, FloorSpec, MeasureSpec
from bigloop.spec.options import Scalar, parse
from bigloop.training.devices import default_device

LABELLED = 2_000  # images whose class is compared with the one asked for
KEPT = "statistics"  # folder, beside a classifier or below a dataset, of what is computed of real rows once


def measure(
    spec: MeasureSpec,
    samples: Path,
    model: Path | None,
    classifier: Path | None,
    data: Path,
    report: Report = lambda line: None,
    first: Path | None = None,
    judges: Mapping[str, Path] = MappingProxyType({}),
    selection: Path | None = None,
    others: Sequence[Path] = (),
) -> list[Record]:
    """All records of one generation: its samples' measures; with `model` its losses, gradient norms, critic's rate.

    classifier: None where the data have no classes, for measures that need none. first: folder of the model of
    generation 1, for the measures of weights. judges: folders of classifiers of other datasets, by their names.
    selection: which samples are handed on, where the loop selects. others: samples of the same generation of the other
    members of an ecosystem. Features of the samples are kept beside them.
    """
    drawn, which, whole = _drawn(spec, samples, selection, report)
    records: list[Record] = []
    for name in spec.measures if whole else ():
        if "selection" in MEASURES[name].on:
            records += as_records(name, MEASURES[name].function(whole), {})
    extractors = extractors_of(spec.features, judges)
    place = f"{FEATURES_FILE}-selected" if spec.selected else FEATURES_FILE
    rows = Rows.of(drawn["images"], samples.with_name(place), which, report)
    of_images, labels = of_rows(spec.measures), drawn.get("labels")
    scored = any(MEASURES[name].needs_critic for name in of_images)
    critic = load_critic(model, default_device())[0] if model is not None and scored else None
    records += measure_images(
        drawn["images"],
        of_images,
        classifier,
        data,
        labels,
        report,
        extractors,
        rows,
        critic,
        dict(_of_another(spec, path, report) for path in others if path.name == samples.name),
    )
    if model is not None and first is not None:
        moved = [name for name in spec.measures if "parameters" in MEASURES[name].on]
        weights = model_parameters(model, first) if moved else ()
        for name in moved:
            records += as_records(name, MEASURES[name].function(*weights), {})
    if model is not None:
        records += last_epoch(model)
        if spec.has_critic:
            records.append(critic_on_test(model, data))
    return records


def _drawn(
    spec: MeasureSpec, samples: Path, selection: Path | None, report: Report
) -> tuple[dict[str, np.ndarray], dict[str, str], Selection | None]:
    """The samples that are measured, what says which they are, and the selection among them."""
    preview = samples.with_name("preview.safetensors")
    if preview.is_file() and not samples.is_file():  # deleted to save disk since the job was planned
        _, drawn, checksum, _ = recall_samples(preview, spec.seed, report)
    else:
        drawn, checksum = read_samples(samples, spec.seed, spec.generation)
    which = {"samples": checksum}
    if selection is None:
        return drawn, which, None
    _, chosen = read_selection(selection, {spec.generation: checksum})
    whole = Selection(chosen["scores"], np.isin(np.arange(chosen["scores"].shape[1]), chosen["rows"]))
    if spec.selected:
        drawn = {name: array[chosen["rows"]] for name, array in drawn.items()}
        which |= {"selection": file_checksum(selection)}
    return drawn, which, whole


def _of_another(spec: MeasureSpec, samples: Path, report: Report) -> tuple[str, np.ndarray]:
    """The number of another member of the ecosystem, and its images."""
    selection = samples.with_name("selected.safetensors") if spec.selected else None
    drawn, _, _ = _drawn(spec, samples, selection, report)
    _, header = read_tensors(samples.with_name("preview.safetensors"))
    return header.get("member", "0"), drawn["images"]


def measure_images(
    images: np.ndarray,
    measures: dict[str, dict[str, Scalar]],
    classifier: Path | None,
    data: Path,
    labels: np.ndarray | None = None,
    report: Report = lambda line: None,
    extractors: Mapping[str, Extractor] = MappingProxyType({}),
    rows: Rows | None = None,
    critic: Critic | None = None,
    others: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> list[Record]:
    """Records of images (n, c, h, w), floats in the range of the real data or uint8, against the real reference rows.

    labels: the classes (n,) that they were made to be of; adds how often the classifier agrees. extractors: of features
    other than those of the classifier, by name. rows: the images, with the place where their features are kept. critic:
    of the generation, for the measures that need one. others: images of the other members of an ecosystem.
    """
    device, rows = default_device(), rows or Rows.of(images, None, {}, report)
    asked = labels[:LABELLED] if labels is not None and classifier is not None else None
    judged = max(
        most_rows(measures, {"features", "probabilities", "accuracy"}), 0 if asked is None else len(asked)
    )
    judgement = (
        Judgement(**rows.seen_by(of_classifier(classifier, device), judged))
        if classifier and judged
        else None
    )
    most = most_features(measures.items())

    def judged_by(these: np.ndarray) -> Side:
        seen = Rows.of(these, None, {}, report)
        judge = of_classifier(classifier, device) if classifier and judged else None
        found = Judgement(**seen.seen_by(judge, judged)) if judge else None
        return Side(these, found, device, None, classifier, seen, extractors, most)

    generated = Side(images, judgement, device, None, classifier, rows, extractors, most)
    generated.labels, generated.data = labels, data
    if any("others" in MEASURES[name].on for name in measures):
        generated.others = {name: judged_by(these) for name, these in others.items()}
    sides = real_sides(list(measures.items()), classifier, data, device, report, extractors, floor=False)
    for side in (generated, *sides.values()):
        side.critic = critic
    records, begun = [], time.monotonic()
    for done, (name, options) in enumerate(measures.items(), start=1):
        records += compare(name, options, generated, sides[held_against(name, options)])
        report(Progress("measure", done, len(measures), time.monotonic() - begun))
    if asked is not None and judgement is not None:
        agreed = judgement.probabilities[: len(asked)].argmax(axis=1) == asked
        records.append(record("label_agreement", float(agreed.mean()), len(asked)))
    return records


def measure_real(
    spec: FloorSpec,
    classifier: Path | None,
    data: Path,
    report: Report = lambda line: None,
    judges: Mapping[str, Path] = MappingProxyType({}),
) -> list[Record]:
    """The floor: the records of the second real subset against the first, for every measure and n of `spec`.

    Of a measure against all training rows it is that of the test set, whose rows are not among them.
    """
    device = default_device()
    asked = [(name, options) for name, several in spec.measures.items() for options in several]
    extractors = extractors_of(spec.features, judges)
    first, second = (
        real_sides(asked, classifier, data, device, report, extractors, floor=floor)
        for floor in (False, True)
    )
    return [
        r
        for name, options in asked
        for r in compare(name, options, *(side[held_against(name, options)] for side in (second, first)))
    ]


def model_parameters(model: Path, first: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The weights of a model, of the generation 1 it descends from, and of that one before its training."""
    device = torch.device("cpu")
    current, origin = (load_model(folder, device) for folder in (model, first))
    spec = parse(TrainSpec, origin[1]["spec"], f"{first / 'model.json'}: spec")
    return parameters(current[0]), parameters(origin[0]), parameters(fresh_model(spec, device))


def by_name(files: Iterable[Path]) -> dict[str, Path]:
    """The folders of these files, or these folders, by their names."""
    folders = (folder for file in files if (folder := folder_of([file])))
    return {folder.name: folder for folder in folders}


def extractors_of(
    specs: Mapping[str, FeaturesSpec] | None, judges: Mapping[str, Path]
) -> dict[str, Extractor]:
    """What gives the features that a job is told to compare images on, by name."""
    return {name: extractor_of(spec, judges, default_device()) for name, spec in (specs or {}).items()}


def real_sides(
    asked: Sequence[tuple[str, dict[str, Scalar]]],
    classifier: Path | None,
    data: Path,
    device: torch.device,
    report: Report,
    extractors: Mapping[str, Extractor],
    *,
    floor: bool,
) -> Mapping[RealRows, Side]:
    """The real rows that the measures `asked`, each with its options, are held against; with `floor`, those that are
    held against these in turn: the other subset and, for all training rows, all test rows."""
    rows: dict[RealRows, int] = {}
    for name, options in asked:
        against = held_against(name, options)
        rows[against] = max(rows.get(against, 0), most_rows({name: options}))
    sides: dict[RealRows, Side] = {
        against: Side(load(data, "test" if floor else "train")[0], None, device)
        if against == "all training"
        else real_side(classifier, data, most, device, report, floor=floor, reference=against)
        for against, most in rows.items()
    }
    for against, side in sides.items():
        own = [(name, options) for name, options in asked if held_against(name, options) == against]
        side.extractors, side.most = extractors, most_features(own)
    return sides


def real_side(
    classifier: Path | None,
    data: Path,
    rows: int,
    device: torch.device,
    report: Report = lambda line: None,
    *,
    floor: bool,
    reference: Reference = "training",
) -> Side:
    """`rows` rows of one of the two real subsets, which are the two ends of one seeded permutation of the training rows
    or of the test rows."""
    split = "train" if reference == "training" else "test"
    images, labels, checksum = load_verified(data, split)
    order = numpy_generator(0, 0, "reference rows").permutation(len(images))
    order = order[::-1] if floor else order
    chosen = order[:rows]
    which = {"data": checksum, "subset": "second" if floor else "first"}
    everything = partial(
        Rows, lambda start, stop: images[order[start:stop]], len(images), which=which, report=report
    )
    stem = f"features-{split}-{which['subset']}"
    seen = everything(place=data / KEPT / stem)
    versioned = which | {"bigloop": __version__}
    if classifier is None:
        return Side(images[chosen], None, device, Kept(data / KEPT, versioned, report), None, seen)
    if reference == "training":  # judged when the classifier was trained
        tensors, header = read_tensors(classifier / "reference.safetensors")
        kept = Kept(classifier / KEPT, versioned | {"reference": header["sha256"]}, report)
        judgement = Judgement(tensors["features"][chosen], tensors["probabilities"][chosen])
    else:
        judge = of_classifier(classifier, device)
        kept = Kept(classifier / KEPT, versioned | {"classifier": judge.identity()}, report)
        judgement = Judgement(**everything(place=classifier / KEPT / stem).seen_by(judge, rows))
    return Side(images[chosen], judgement, device, kept, classifier, seen, labels=labels[chosen], data=data)


def last_epoch(model: Path) -> list[Record]:
    """The losses of the last epoch, and the gradient norms of the last that has any; none for imported weights."""
    history = read_table(model / "history.csv")
    if history.empty:  # imported weights
        return []
    last = history.iloc[-1]
    names = [c for c in history if c.startswith("loss") or c == "gradient_penalty"]
    norms = {c: history[c].dropna() for c in history if c.startswith("gradient_norm_")}
    losses = [record("final_loss", float(last[name]), None, name) for name in names]
    return losses + [record(name, float(taken.iloc[-1])) for name, taken in norms.items() if len(taken)]


def critic_on_test(model: Path, data: Path) -> Record:
    """The share of the real test images that the critic calls real (Knutsen et al. 2025, fig. 9)."""
    critic, threshold = load_critic(model, default_device())
    images, _ = load(data, "test")
    scores = critic.scores(torch.from_numpy(images)).cpu().numpy()
    return record("critic_on_test", float((scores > threshold).mean()), len(images))
