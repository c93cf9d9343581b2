"""The rule of verdicts on lineages whose answer is known: variety that is lost, quality that is lost, neither."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bigloop.data import load
from bigloop.models.classifier import Classifier, train_classifier
from bigloop.spec.jobs import ClassifierSpec

from . import constructed

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def net(mnist: Path) -> Classifier:
    spec = ClassifierSpec("mnist", width=8, epochs=1, learning_rate=1e-2)
    images, labels = load(mnist, "train")
    return train_classifier(spec, images, labels, 10, torch.device("cpu"), lambda line: None)[0]


def test_every_constructed_lineage_gets_its_verdict(net: Classifier, mnist: Path) -> None:
    pool, real = constructed.pools(mnist)
    found = constructed.verdicts(net, constructed.lineages(pool), real).set_index("run")
    expected = {maker.__name__: verdict for maker, verdict in constructed.TRUTH.items()}
    assert found["verdict"].to_dict() == expected, list(found["reason"])
    both = found.loc["half_and_half", "reason"]
    assert "variety is lost" in both
    assert "quality falls, too" in both
