"""Score a generation's samples, and write which of them it hands on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from bigloop.artifacts import ArtifactError, read_tensors, write_tensors
from bigloop.data import load
from bigloop.generation.sample import recall_samples
from bigloop.generation.store import load_model
from bigloop.loops.selection import scores, selected
from bigloop.models import Critic
from bigloop.models.classifier import Judgement, load_classifier, pixels
from bigloop.runtime.progress import Report, quiet
from bigloop.seeding import numpy_generator
from bigloop.spec.generations import SelectionSpec, Source
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
) -> None:
    """Write which samples of a generation are handed on into the folder `out`: selected.safetensors.

    preview: that of the generation, with its samples or its model beside it. classifier: folder of the one that scores
    look through; data: folder of the real dataset, for scores that see real rows; None where no score needs them. The
    file holds `rows`, int32 (m,), and `scores`, float64 (scores, n), of all samples, and names the samples they are of.
    """
    _, samples, checksum, _ = recall_samples(preview, spec.seed, report)
    seen = _Seen(spec, samples["images"], samples.get("labels"), preview.parent, classifier, data)
    values = scores(spec.select, seen.view)
    generator = numpy_generator(spec.stream, spec.generation, "selection")
    rows = selected(spec.select, values, samples.get("labels"), generator)
    header = {
        "spec": digest(spec),
        "seed": str(spec.seed),
        "generation": str(spec.generation),
        "samples": checksum,
    }
    write_tensors(out / "selected.safetensors", {"rows": rows.astype(np.int32), "scores": values}, header)
    report(f"{len(rows):,} of {len(values[0]):,} samples selected")


class _Seen:
    """What scores see of a generation's images; what several of them see is computed once."""

    def __init__(
        self,
        spec: SelectionSpec,
        images: np.ndarray,
        labels: np.ndarray | None,
        model: Path,
        classifier: Path | None,
        data: Path | None,
    ) -> None:
        self.spec, self.images, self.labels, self.model, self.data = spec, images, labels, model, data
        self.judge = None if classifier is None else load_classifier(classifier, default_device())
        self.judged: Judgement | None = None

    def view(self, name: str, options: Mapping[str, Any]) -> Any:
        match name:
            case "rows":
                return pixels(self.images).numpy()
            case "labels":
                return self.labels
            case "critic":
                model, _ = load_model(self.model, default_device())
                return cast(Critic, model).scores(torch.from_numpy(self.images)).cpu().numpy()
            case "real_features":
                assert self.data is not None
                real = load(self.data, "train")[0]
                order = numpy_generator(self.spec.stream, 0, "real rows").permutation(len(real))
                return self._judgement(real[order[: int(options.get("real", REAL))]]).features
        if self.judged is None:
            self.judged = self._judgement(self.images)
        return getattr(self.judged, name)

    def _judgement(self, images: np.ndarray) -> Judgement:
        if self.judge is None:
            raise ArtifactError("select: its scores look through a classifier, and none was given")
        return self.judge.judge(images)


def read_selection(path: Path, samples: Mapping[Source, str]) -> tuple[Source, dict[str, np.ndarray]]:
    """Whose samples a selection is of, its `rows` and `scores`. samples: SHA-256 of those that it may be of.

    Raises ArtifactError where it was made of others.
    """
    tensors, header = read_tensors(path)
    for source, checksum in samples.items():
        if header["samples"] == checksum:
            return source, tensors
    raise ArtifactError(f"{path}: was made of other samples; delete it and run the same command again")
