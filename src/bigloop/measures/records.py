"""Sides of a comparison and the records that measures make of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from bigloop.artifacts import (
    ArtifactError,
    file_checksum,
    read_tensors,
    write_tensors,
)
from bigloop.measures.features import Extractor, Rows, by_planes, extractor_of
from bigloop.measures.utility import accuracy_on_test
from bigloop.metrics import MEASURES, Measure, View
from bigloop.models import Critic
from bigloop.models.classifier import ADAPTED, Judgement, load_classifier, pixels
from bigloop.models.inception import INCEPTION
from bigloop.runtime.progress import Report, quiet
from bigloop.spec.jobs import FeaturesSpec
from bigloop.spec.options import Scalar, digest

Record = dict[str, Any]
RealRows = Literal["training", "test", "all training"]  # what a measure is held against


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
            self.report(f"{path}: {'damaged' if path.is_file() else 'not there yet'}; computing it")
        computed = np.asarray(compute())
        try:
            write_tensors(path, {name: computed}, {})
        except ArtifactError as fault:
            self.report(str(fault))
        return computed


@dataclass
class Side:
    """One side of a comparison, in every view that a measure may ask for.

    judgement: by the data's own classifier. rows: the images again, for features of other kinds, with the place where
    these are kept. most: by name of such features, the most rows that are asked for. critic: of the generation that is
    measured, for measures that need one. seen: the features that were asked for. others: of an ecosystem, the other
    members' samples of the same generation, by number. labels: the classes of the images, where they were made to be of
    some, or are real. data: folder of the real dataset.
    """

    images: np.ndarray
    judgement: Judgement | None
    device: torch.device
    kept: Kept | None = None  # of real rows
    classifier: Path | None = None  # folder
    rows: Rows | None = None
    extractors: Mapping[str, Extractor] = field(default_factory=dict)
    most: Mapping[str, int] = field(default_factory=dict)
    critic: Critic | None = None
    seen: dict[str, np.ndarray] = field(default_factory=dict)
    others: Mapping[str, Side] = field(default_factory=dict)
    labels: np.ndarray | None = None
    data: Path | None = None

    def view(self, on: View, options: dict[str, Scalar], rows: int | None) -> Any:
        """The first `rows` rows, or all, as a measure wants to see them."""
        if on == "others":
            return {name: side.view("features", options, rows) for name, side in self.others.items()}
        if other := self.extractor(on, options):
            return self._features(other, "planes" if on == "planes" else "features", rows)
        if on == "accuracy":
            return self._accuracy(float(options["epochs"]), rows)
        if on == "adapted":
            return self._adapted(rows)
        if on == "images":
            return pixels(self.images[:rows]).numpy()
        if on == "scores":
            assert self.critic is not None
            return self.critic.scores(torch.from_numpy(self.images[:rows])).cpu().numpy()
        assert self.judgement is not None
        return getattr(self.judgement, on)[:rows]

    def extractor(self, on: View, options: dict[str, Scalar]) -> Extractor | None:
        """What gives the features of a view; None where it shows none, or those of the data's own classifier."""
        if on == "inception":
            return inception(options, self.device)
        if on not in ("features", "planes") or "features" not in options:
            return None
        named = self.extractors[str(options["features"])]
        return by_planes(named) if on == "planes" else named

    def _features(self, extractor: Extractor, what: str, rows: int | None) -> np.ndarray:
        images = self.rows or Rows.of(self.images, None, {}, quiet)
        wanted = min(images.total, max(rows or len(self.images), self.most.get(extractor.name, 0)))
        if len(self.seen.get(extractor.name, ())) < wanted:
            self.seen[extractor.name] = images.seen_by(extractor, wanted)[what]
        return self.seen[extractor.name][:rows]

    def _accuracy(self, epochs: float, rows: int | None) -> float:
        """Of images without labels, those are taken that the data's own classifier gives them."""

        def trained() -> float:
            assert self.classifier is not None
            assert self.data is not None
            labels = self.labels
            if labels is None:
                assert self.judgement is not None
                labels = self.judgement.probabilities.argmax(axis=1)
            given = self.images[:rows], labels[:rows], self.classifier, self.data
            return accuracy_on_test(*given, epochs, self.device)

        if self.kept is None:
            return trained()
        return float(
            self.kept.get("utility", {"n": rows, "epochs": epochs, "device": self.device.type}, trained)
        )

    def _adapted(self, rows: int | None) -> np.ndarray:
        def probabilities() -> np.ndarray:
            assert self.classifier is not None
            return load_classifier(self.classifier, self.device).adapted(self.images[:rows])

        if self.kept is None:
            return probabilities()
        how = {"n": rows, "device": self.device.type, "normalisations": ADAPTED}
        return self.kept.get("adapted", how, probabilities)


def inception(options: Mapping[str, Scalar], device: torch.device) -> Extractor:
    """What the measure fid_inception, with these options, looks through."""
    path = Path(str(options.get("weights", "")))
    given = {"inception": options.get("features", 2048), "weights": options.get("weights", "")}
    cut = {"truncate": True} if options.get("truncate") else {}
    weights = file_checksum(path) if path.is_file() else None
    return extractor_of(FeaturesSpec("inception", INCEPTION.revision, given | cut, weights), {}, device)


def compare(name: str, options: dict[str, Scalar], generated: Side, real: Side) -> list[Record]:
    """The records of one measure. Raises ArtifactError where a side has too few rows or a value is not finite."""
    measure = MEASURES[name]
    wanted = rows_of(measure, options)
    taken = (generated, wanted), (real, None if measure.against == "training" else wanted)
    views = [side.view(on, options, rows) for side, rows in taken for on in measure.on]
    for view in (v for whole in views for v in _rows_in(whole)):
        if len(view) < wanted:
            raise ArtifactError(
                f"{name}: needs {wanted} rows on each side, got {len(view)}; lower measures.{name}.n"
            )
        if not np.isfinite(view).all():
            raise ArtifactError(f"{name}: its {measure.on[0]} are not all finite; nothing was written")
    extra = measure.arguments(options)
    known: dict[str, Any] = {}
    try:
        if measure.of_real is not None and real.kept is not None:
            compute = partial(measure.of_real, *views[len(measure.on) :], **extra)
            seen = {other.identity() for on in measure.on if (other := real.extractor(on, options))}
            depends = {"n": wanted, "on": measure.on, **extra} | ({"features": sorted(seen)} if seen else {})
            known["of_real"] = real.kept.get(measure.of_real.__name__, depends, compute)
        return as_records(name, measure.function(*views, **extra, **known), options)
    except ValueError as error:
        raise ArtifactError(f"{name}: {error}; nothing was written") from None


def _rows_in(view: Any) -> list[np.ndarray]:
    """The arrays of rows that a view is made of: none of a number, several where it is of several models."""
    if isinstance(view, float):
        return []
    return list(view.values()) if isinstance(view, dict) else [view]


def as_records(
    name: str, result: float | list[tuple[str, float, str]], options: dict[str, Scalar]
) -> list[Record]:
    """What a measure's function returned, as records. Raises ArtifactError where a value is not finite."""
    values = [(name, result, "")] if isinstance(result, float) else result
    for measured, value, _ in values:
        if not math.isfinite(value):
            raise ArtifactError(f"{measured}: is {value}; nothing was written")
    n, k = cast(int | None, options.get("n")), cast(int | None, options.get("k"))
    records = [record(measured, value, n, detail, k) for measured, value, detail in values]
    features = {"features": features_of(name, options)} if "features" in options else {}
    if "reference" in options:
        for one in records:
            if one["measure"] in MEASURES[name].compared_values(name):
                one["reference"] = options["reference"]
    return [one | features for one in records]


def features_of(name: str, options: Mapping[str, Scalar]) -> str:
    """The features that the options of a measure name."""
    features = options["features"]
    return f"inception-{features}" if "inception" in MEASURES[name].on else str(features)


def most_features(asked: Iterable[tuple[str, dict[str, Scalar]]]) -> dict[str, int]:
    """The most rows that any of these measures compares on features of each name, those of the own classifier aside."""
    most: dict[str, int] = {}
    for name, options in asked:
        if MEASURES[name].on_features and "features" in options:
            features = str(options["features"])
            most[features] = max(most.get(features, 0), rows_of(MEASURES[name], options))
    return most


def of_rows(measures: dict[str, dict[str, Scalar]]) -> dict[str, dict[str, Scalar]]:
    """Those of the measures that compare rows."""
    return {name: options for name, options in measures.items() if MEASURES[name].has_rows}


def held_against(name: str, options: Mapping[str, Scalar]) -> RealRows:
    """The real rows that a measure compares images with: a subset of the training or of the test set, or all training
    rows."""
    if MEASURES[name].against == "training":
        return "all training"
    return "test" if options.get("reference") == "test" else "training"


def record(
    measure: str, value: float, n: int | None = None, detail: str = "", k: int | None = None
) -> Record:
    """A row of measures.json."""
    return {"measure": measure, "value": value, "n": n, "k": k, "detail": detail}


def rows_of(measure: Measure, options: dict[str, Scalar]) -> int:
    """Rows that a measure takes of each side; none of weights."""
    return measure.per_side * cast(int, options.get("n", 0))


def most_rows(measures: dict[str, dict[str, Scalar]], views: set[str] | None = None) -> int:
    """The most rows that any of these measures takes of a side: of those that see one of `views`, of the data's own
    classifier."""

    def sees(name: str, options: Mapping[str, Scalar]) -> bool:
        own = set(MEASURES[name].on) - ({"features"} if "features" in options else set())
        return views is None or not own.isdisjoint(views)

    return max((rows_of(MEASURES[m], o) for m, o in measures.items() if sees(m, o)), default=0)
