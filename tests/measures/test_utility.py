"""What images are worth to a classifier that sees no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bigloop.data import load
from bigloop.measures.images import measure_images, measure_real
from bigloop.measures.utility import accuracy_on_test
from bigloop.spec.jobs import FloorSpec
from bigloop.training.devices import default_device

N = 600
OPTIONS = {"utility": {"n": N, "epochs": 6.0}}


def found(images: np.ndarray, labels: np.ndarray | None, classifier: Path, data: Path) -> dict[str, float]:
    records = measure_images(images, OPTIONS, classifier, data, labels)
    return {record["measure"]: record["value"] for record in records}


def test_real_rows_teach_and_wrong_labels_do_not(classifier: Path, small_mnist: Path) -> None:
    images, labels = (array[-N:] for array in load(small_mnist, "train")[:2])
    good = found(images, labels, classifier, small_mnist)
    assert good["utility"] > 0.5
    assert abs(good["utility_lost"]) < 0.2
    wrong = found(images, np.random.default_rng(0).permutation(labels), classifier, small_mnist)
    assert wrong["utility"] < 0.3
    assert wrong["utility_lost"] == pytest.approx(good["utility"] + good["utility_lost"] - wrong["utility"])


def test_without_labels_those_of_the_datas_own_classifier_are_taken(
    classifier: Path, small_mnist: Path
) -> None:
    images = load(small_mnist, "train")[0][-N:]
    assert found(images, None, classifier, small_mnist)["utility"] > 0.4


def test_it_repeats_itself(classifier: Path, small_mnist: Path) -> None:
    images, labels = (array[:200] for array in load(small_mnist, "train")[:2])
    given = images, labels, classifier, small_mnist, 2.0, default_device()
    assert accuracy_on_test(*given) == accuracy_on_test(*given)


def test_the_floor_is_another_real_set(classifier: Path, small_mnist: Path) -> None:
    records = measure_real(
        FloorSpec("mnist", {"utility": ({"n": N, "epochs": 6.0},)}), classifier, small_mnist
    )
    values = {record["measure"]: record["value"] for record in records}
    assert values["utility"] > 0.5
    assert abs(values["utility_lost"]) < 0.2
    assert all(record["n"] == N for record in records)
