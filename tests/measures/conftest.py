"""A tiny classifier that judges real digits, trained once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bigloop.measures.classify import classify
from bigloop.models.classifier import Classifier, Judgement
from bigloop.spec.jobs import ClassifierSpec

TINY = ClassifierSpec("mnist", width=2, features=16, epochs=1, learning_rate=1e-2)


@pytest.fixture(scope="session")
def classifier(small_mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny classifier, trained on a few thousand real digits."""
    folder = tmp_path_factory.mktemp("classifier") / TINY.folder
    assert classify(TINY, small_mnist, folder, lambda line: None) > 0.5
    return folder


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each call of a classifier's `judge` has had, from now on."""
    calls: list[int] = []
    judge = Classifier.judge

    def counted(self: Classifier, images: np.ndarray) -> Judgement:
        calls.append(len(images))
        return judge(self, images)

    monkeypatch.setattr(Classifier, "judge", counted)
    return calls
