"""Features of images: computed once for each set of rows, in batches, and kept in a side file that grows with n.

    rows = Rows.of(images, folder / "features", {"samples": checksum}, report)
    rows.seen_by(extractor, 1_000)["features"]      # float32 (1000, d); a second call reads them
    rows.seen_by(extractor, 2_000)["features"]      # computes the second thousand alone

A batch has the same rows in it whatever n is, so that a value depends on no earlier job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from bigloop import __version__
from bigloop.artifacts import ArtifactError, file_checksum, read_tensors, write_tensors
from bigloop.models.classifier import CHUNK, load_classifier
from bigloop.models.features import FEATURES
from bigloop.runtime.progress import Report
from bigloop.spec.jobs import OWN, FeaturesSpec
from bigloop.spec.options import digest, parse
from bigloop.spec.registry import declared

SAY_SECONDS = 30.0  # of features that take long: between two lines, and two times that they are saved

Arrays = dict[str, np.ndarray]  # by name, each with a row an image


@dataclass(frozen=True)
class Extractor:
    """What looks at images: a classifier, or another network.

    identity: SHA-256 of its weights; look: loads it, and gives what it says of up to `batch` images, (n, c, h, w), at a
    time. Neither is asked for before it is needed.
    """

    name: str
    device: torch.device
    batch: int
    identity: Callable[[], str]
    look: Callable[[], Callable[[np.ndarray], Arrays]]


@dataclass(frozen=True)
class Rows:
    """A set of images in its order, and where what was computed of them is kept.

    take: (start, stop) → these of the `total` images, (n, c, h, w). place: beginning of the files' names, None to keep
    nothing. which: the rows that they are, in words.
    """

    take: Callable[[int, int], np.ndarray]
    total: int
    place: Path | None
    which: Mapping[str, str]
    report: Report

    @classmethod
    def of(cls, images: np.ndarray, place: Path | None, which: Mapping[str, str], report: Report) -> Rows:
        """All of these images."""
        return cls(lambda start, stop: images[start:stop], len(images), place, which, report)

    def seen_by(self, extractor: Extractor, n: int) -> Arrays:
        """What an extractor says of the first n images, or of all where there are fewer; kept from now on where it
        can be."""
        n = min(n, self.total)
        known = self._kept(extractor)
        there = min(map(len, known.values()), default=0)
        if not known or there < n:
            known = self._seen(extractor, known, there, n)
        return {name: array[:n] for name, array in known.items()}

    def _seen(self, extractor: Extractor, known: Arrays, there: int, n: int) -> Arrays:
        """What an extractor says of the first n images, whole batches of them; of `there` images it is known."""
        whole = there - there % extractor.batch
        end = min(self.total, -(-n // extractor.batch) * extractor.batch)
        look, parts, said = extractor.look(), [{k: v[:whole] for k, v in known.items()}], time.monotonic()
        for start in range(whole, end, extractor.batch):
            parts.append(look(self.take(start, min(start + extractor.batch, end))))
            if time.monotonic() - said > SAY_SECONDS:  # a job that is stopped has this much, too
                done = start + extractor.batch
                self._keep(extractor, _joined(parts))
                self.report(f"features {extractor.name}: {done:,} of {end:,} images")
                said = time.monotonic()
        return self._keep(extractor, _joined(parts))

    def _keep(self, extractor: Extractor, seen: Arrays) -> Arrays:
        if self.place is not None:
            try:
                write_tensors(self._path(extractor), seen, self._words(extractor))
            except ArtifactError as fault:
                self.report(str(fault))
        return seen

    def _kept(self, extractor: Extractor) -> Arrays:
        """What is kept of it; nothing where the file is missing or damaged, or is of other images or weights."""
        if self.place is None:
            return {}
        path = self._path(extractor)
        try:
            arrays, header = read_tensors(path)
        except ArtifactError:
            self.report(f"{path}: {'damaged' if path.is_file() else 'not there yet'}; computing it")
            return {}
        if {key: header.get(key) for key in self._words(extractor)} != self._words(extractor):
            self.report(f"{path}: is of other images or weights; computing it")
            return {}
        return arrays

    def _path(self, extractor: Extractor) -> Path:
        assert self.place is not None
        return self.place.with_name(f"{self.place.name}-{extractor.name}.safetensors")

    def _words(self, extractor: Extractor) -> dict[str, str]:
        return {
            **self.which,
            "features": extractor.name,
            "weights": extractor.identity(),
            "device": extractor.device.type,
            "bigloop": __version__,
        }


def _joined(parts: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts if part]) for name in parts[-1]}


def of_classifier(folder: Path, device: torch.device, name: str = OWN) -> Extractor:
    """Features and class probabilities by the classifier in a folder."""

    def look() -> Callable[[np.ndarray], Arrays]:
        judge = load_classifier(folder, device).judge
        return lambda images: dict(judge(images)._asdict())

    def identity() -> str:
        return read_tensors(folder / "model.safetensors")[1]["sha256"]

    return Extractor(name, device, CHUNK, cache(identity), look)


def by_planes(whole: Extractor) -> Extractor:
    """Class probabilities of each colour plane alone, (n, planes, classes), by a classifier of grey pictures."""

    def look() -> Callable[[np.ndarray], Arrays]:
        judge = whole.look()

        def planes(images: np.ndarray) -> Arrays:
            n, c, h, w = images.shape
            return {"planes": judge(images.reshape(n * c, 1, h, w))["probabilities"].reshape(n, c, -1)}

        return planes

    return replace(whole, name=f"{whole.name}-planes", look=look)


def extractor_of(spec: FeaturesSpec, classifiers: Mapping[str, Path], device: torch.device) -> Extractor:
    """What gives the features of `spec`. classifiers: folders of the classifiers of other datasets, by their names.

    Raises ArtifactError where a file of weights is missing, or is another one than when the job was planned.
    """
    if declared("features")[spec.kind].trained_here:
        folder = str(spec.options[spec.kind])
        if folder not in classifiers:
            raise ArtifactError(f"{spec.name}: no classifier in results/classifier/{folder}; train it first")
        return of_classifier(classifiers[folder], device, spec.name)
    kind = FEATURES[spec.kind]
    options = parse(kind.Options, spec.options, spec.kind)
    path = kind.weights(options)
    if spec.weights and path and spec.weights != file_checksum(path):
        raise ArtifactError(
            f"{path}: is not the file of weights that it was when this was planned; run snakemake again"
        )

    def look() -> Callable[[np.ndarray], Arrays]:
        network = kind.network(options, path, device)
        return lambda images: {"features": np.asarray(network(images), np.float32)}

    def identity() -> str:
        words = {"options": spec.options | {"weights": ""}, "revision": spec.revision}
        return digest(words | {"file": spec.weights or (file_checksum(path) if path else None)}, digits=64)

    return Extractor(spec.name, device, kind.batch, cache(identity), look)
