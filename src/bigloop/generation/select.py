"""Score a generation's samples, and write which of them it hands on; or real rows, and which of them a loop has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from bigloop.artifacts import ArtifactError, read_tensors, write_tensors
from bigloop.data import dataset, load_verified
from bigloop.generation.sample import recall_samples
from bigloop.generation.store import load_model
from bigloop.loops import real_order
from bigloop.loops.selection import scores, selected
from bigloop.models import Critic
from bigloop.models.classifier import Judgement, load_classifier, pixels
from bigloop.runtime.progress import Report, quiet
from bigloop.seeding import numpy_generator
from bigloop.spec.generations import FilterSpec, SelectionSpec, Source
from bigloop.spec.options import digest
from bigloop.training.devices import default_device

REAL = 1_000  # real rows that a score sees that does not say how many


def select(
    spec: SelectionSpec,
    preview: Path,
    classifier: Path | None,
    data: Path | None,
    out: Path,
    report: Report = quiet,
    let_through: Path | None = None,
) -> None:
    """Write which samples of a generation are handed on into the folder `out`: selected.safetensors.

    preview: that of the generation, with its samples or its model beside it. classifier: folder of the one that scores
    look through; data: folder of the real dataset, for scores that see real rows; None where no score needs them.
    let_through: what `filter_real` wrote for this loop, where it filters. The file holds `rows`, int32 (m,), and
    `scores`, float64 (scores, n), of all samples, and names the samples they are of.
    """
    _, samples, checksum, _ = recall_samples(preview, spec.seed, report)

    def first_real(n: int) -> np.ndarray:
        if data is None:
            raise ArtifactError("select: its scores look at real rows, and none were given")
        images, _, real = load_verified(data, "train")
        kept = None if let_through is None else read_selection(let_through, {0: real})[1]["rows"]
        return images[real_order(spec.stream, len(images), kept)[:n]]

    seen = _Seen(samples["images"], samples.get("labels"), classifier, preview.parent, first_real)
    values = scores(spec.select, seen.view)
    generator = numpy_generator(spec.stream, spec.generation, "selection")
    rows = selected(spec.select, values, samples.get("labels"), generator)
    _write(spec, spec.generation, checksum, rows, values, out)
    report(f"{len(rows):,} of {len(values[0]):,} samples selected")


def filter_real(
    spec: FilterSpec, classifier: Path | None, data: Path, out: Path, report: Report = quiet
) -> None:
    """Write which training rows of a dataset are real rows of a loop into the folder `out`: selected.safetensors.

    classifier, data: as for `select`. The file has the same form; its samples are the stored training rows.
    """
    images, labels, checksum = load_verified(data, "train")
    known = labels if dataset(spec.dataset).labelled else None
    values = scores(spec.filter, _Seen(images, known, classifier).view)
    rows = selected(spec.filter, values, known, numpy_generator(spec.stream, 0, "filter"))
    _write(spec, 0, checksum, rows, values, out)
    report(f"{len(rows):,} of {len(images):,} real rows let through")


def _write(
    spec: SelectionSpec | FilterSpec,
    generation: int,
    samples: str,
    rows: np.ndarray,
    values: np.ndarray,
    out: Path,
) -> None:
    header = {
        "spec": digest(spec),
        "seed": str(spec.seed),
        "generation": str(generation),
        "samples": samples,
    }
    write_tensors(out / "selected.safetensors", {"rows": rows.astype(np.int32), "scores": values}, header)


class _Seen:
    """What scores see of images; what several of them see is computed once.

    model: folder of the one that generated them. first_real: the first n real rows that the lineage uses.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray | None,
        classifier: Path | None,
        model: Path | None = None,
        first_real: Callable[[int], np.ndarray] | None = None,
    ) -> None:
        self.images, self.labels, self.model, self.first_real = images, labels, model, first_real
        self.judge = None if classifier is None else load_classifier(classifier, default_device())
        self.judged: Judgement | None = None

    def view(self, name: str, options: Mapping[str, Any]) -> Any:
        match name:
            case "rows":
                return pixels(self.images).numpy()
            case "labels":
                return self.labels
            case "critic":
                assert self.model is not None
                model, _ = load_model(self.model, default_device())
                return cast(Critic, model).scores(torch.from_numpy(self.images)).cpu().numpy()
            case "real_features":
                assert self.first_real is not None
                return self._judgement(self.first_real(int(options.get("real", REAL)))).features
        if self.judged is None:
            self.judged = self._judgement(self.images)
        return getattr(self.judged, name)

    def _judgement(self, images: np.ndarray) -> Judgement:
        if self.judge is None:
            raise ArtifactError("select: its scores look through a classifier, and none was given")
        return self.judge.judge(images)


def read_selection(path: Path, samples: Mapping[Source, str]) -> tuple[Source, dict[str, np.ndarray]]:
    """Whose samples a selection is of, its `rows` and `scores`. samples: SHA-256 of those that it may be of, by their
    source, or 0 for real rows.

    Raises ArtifactError where it was made of others.
    """
    tensors, header = read_tensors(path)
    for source, checksum in samples.items():
        if header["samples"] == checksum:
            return source, tensors
    raise ArtifactError(f"{path}: was made of other samples; delete it and run the same command again")
