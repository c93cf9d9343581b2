"""Images held against test rows: a model that copies its training rows gains nothing by it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bigloop.data import load
from bigloop.measures.images import measure_images, measure_real, real_side
from bigloop.measures.records import Side, compare
from bigloop.metrics import MEASURES
from bigloop.models.classifier import load_classifier
from bigloop.spec.jobs import FloorSpec

pytestmark = pytest.mark.long

CPU = torch.device("cpu")
# Of each measure: options, which of its values, and the sign of a better one.
COMPARED: dict[str, tuple[dict[str, Any], str, int]] = {
    "wasserstein1": ({"n": 200}, "wasserstein1", -1),
    "wasserstein1_excess": ({"n": 100}, "wasserstein1_excess", -1),
    "wasserstein2": ({"n": 200}, "wasserstein2", -1),
    "fid": ({"n": 200}, "fid_relative", -1),
    "precision": ({"n": 200, "k": 3}, "precision", 1),
    "recall": ({"n": 200, "k": 3}, "recall", 1),
    "density": ({"n": 200, "k": 3}, "density", 1),
    "coverage": ({"n": 200, "k": 3}, "coverage", 1),
    "classes": ({"n": 200}, "class_tv", -1),
    "bins": ({"n": 200, "clusters": 20}, "bins_js", -1),
    "spectrum": ({"n": 200}, "spectral_spike", -1),
}
OF_A_COPY = {"density": 4 / 3, "spectrum": -1}  # others: a distance of 0, a share of 1
TEST = {"reference": "test"}
Records = list[dict[str, Any]]


def value(records: Records, name: str) -> float:
    (found,) = (one["value"] for one in records if one["measure"] == name)
    return found


def test_every_measure_with_a_real_side_has_the_option_and_is_tested_here() -> None:
    others = {"fid_inception", "critic_distance"}  # which need weights, and a critic: test_images.py
    assert set(COMPARED) == {n for n, m in MEASURES.items() if m.compared_values(n)} - others


@pytest.mark.parametrize("name", COMPARED)
def test_a_copier_looks_better_than_any_real_rows_against_training_rows_and_like_them_against_test_rows(
    name: str, classifier: Path, small_mnist: Path
) -> None:
    """Ten other sets of real rows say what real rows score, and how far that scatters."""
    options, named, sign = COMPARED[name]
    rows = options["n"] * MEASURES[name].per_side
    known = real_side(classifier, small_mnist, 4_000, CPU, floor=False).images
    copies, rest = known[:rows], known[rows:]

    def scores(reference: dict[str, Any]) -> tuple[float, float, np.ndarray]:
        """Of the copier, of the floor, and of the others; larger is better."""
        asked = options | reference
        floor = measure_real(FloorSpec("mnist", {name: (asked,)}, classifier.name), classifier, small_mnist)
        copier, *others = (
            sign * value(measure_images(images, {name: asked}, classifier, small_mnist), named)
            for images in (copies, *(rest[i * rows : (i + 1) * rows] for i in range(10)))
        )
        return copier, sign * value(floor, named), np.array(others)

    perfect, floor, others = scores({})
    assert perfect > max(floor, *others)
    if name != "wasserstein1_excess":  # which is below 0 for a copy
        assert perfect == pytest.approx(OF_A_COPY.get(name, {-1: 0, 1: 1}[sign]), abs=1e-6)
    copier, floor, others = scores(TEST)
    assert copier - floor < 4 * others.std(ddof=1)
    assert abs(copier - others.mean()) < min(perfect - copier, 4 * others.std(ddof=1))


def test_records_say_that_they_are_of_test_rows_where_their_values_depend_on_them(
    classifier: Path, small_mnist: Path
) -> None:
    images = load(small_mnist, "train")[0][:50]
    asked = {"classes": {"n": 50} | TEST, "fid": {"n": 50} | TEST, "recall": {"n": 50, "k": 3}}
    records = measure_images(images, asked, classifier, small_mnist)
    assert {one["measure"] for one in records if one.get("reference") == "test"} == {
        *("class_tv", "fid", "fid_relative")
    }
    assert all("reference" not in one for one in records if one["measure"] in ("class_entropy", "recall"))


def test_the_two_subsets_of_test_rows_are_disjoint_and_judged_by_the_classifier(
    classifier: Path, small_mnist: Path
) -> None:
    images, _ = load(small_mnist, "test")
    sides = [
        real_side(classifier, small_mnist, 250, CPU, floor=floor, reference="test") for floor in (False, True)
    ]
    numbers = {image.tobytes(): i for i, image in enumerate(images)}
    assert len(numbers) == 500  # no two test images are equal
    assert sorted(numbers[image.tobytes()] for side in sides for image in side.images) == list(range(500))
    for side in sides:
        expected = load_classifier(classifier, CPU).judge(side.images)
        assert side.judgement is not None
        np.testing.assert_array_equal(side.judgement.features, expected.features)
        np.testing.assert_array_equal(side.judgement.probabilities, expected.probabilities)


def test_the_value_is_that_of_the_first_test_rows(classifier: Path, small_mnist: Path) -> None:
    images = load(small_mnist, "train")[0][:80]
    real = real_side(classifier, small_mnist, 80, CPU, floor=False, reference="test").images
    judge = load_classifier(classifier, CPU).judge
    for name in ("fid", "wasserstein1"):
        sides = (Side(one, judge(one), CPU) for one in (images, real))
        expected = compare(name, {"n": 80}, *sides)
        found = measure_images(images, {name: {"n": 80} | TEST}, classifier, small_mnist)
        assert [one["value"] for one in found] == [one["value"] for one in expected]


def test_test_rows_are_judged_once(
    classifier: Path, small_mnist: Path, tmp_path: Path, judged: list[int]
) -> None:
    own = tmp_path / classifier.parent.name / classifier.name
    shutil.copytree(classifier, own, ignore=shutil.ignore_patterns("statistics"))
    images = load(small_mnist, "train")[0][:61]
    for n in (61, 61, 40, 61):
        measure_images(images, {"fid": {"n": n} | TEST}, own, small_mnist)
    assert sorted(judged) == [61, 61, 61, 61, 500]  # the generated images each time, and all test rows, once
