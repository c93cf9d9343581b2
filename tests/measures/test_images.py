"""Samples to records: every measure with its n, against real rows that the floor never shares."""

from __future__ import annotations

import math
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from bigloop.artifacts import (
    ArtifactError,
    file_checksum,
    read_json,
    read_tensors,
    write_json,
    write_table,
    write_tensors,
)
from bigloop.data import load
from bigloop.generation.sample import read_samples, sample
from bigloop.generation.store import load_model, new_model, parameters
from bigloop.generation.train import train
from bigloop.measures.critics import critics, load_critic
from bigloop.measures.elsewhere import measure_file
from bigloop.measures.features import extractor_of
from bigloop.measures.images import (
    critic_on_test,
    measure,
    measure_images,
    measure_real,
    real_side,
)
from bigloop.measures.records import Kept, Side, compare
from bigloop.metrics import MEASURES, neighbours, wasserstein
from bigloop.metrics.frechet import frechet_distance
from bigloop.metrics.wasserstein import wasserstein1, wasserstein1_excess
from bigloop.models import resolve
from bigloop.models.classifier import Judgement, load_classifier, pixels
from bigloop.models.features import Network
from bigloop.models.inception import Inception
from bigloop.runtime.progress import Progress
from bigloop.spec.generations import SampleSpec, TrainSpec
from bigloop.spec.jobs import CriticsSpec, FeaturesSpec, FloorSpec, MeasureSpec
from bigloop.spec.loops import Budget, Budgets, Initial, LoopSpec, Real, Synthetic
from bigloop.spec.options import SpecError, digest
from bigloop.spec.runs import RunSpec

from .conftest import TINY

pytestmark = pytest.mark.long

CPU = torch.device("cpu")
OPTIONS: dict[str, dict[str, Any]] = {
    "wasserstein1": {"n": 40},
    "wasserstein1_excess": {"n": 30},
    "fid": {"n": 80},
    "classes": {"n": 70},
    "pixels": {"n": 60, "bins": 20},
}
Records = list[dict[str, Any]]


def by_name(records: Records) -> dict[str, float]:
    """The value of each measure that is one number."""
    return {record["measure"]: record["value"] for record in records if not record["detail"]}


# --- records ---


def test_every_measure_of_real_images_is_a_record_with_its_n_and_detail(
    classifier: Path, small_mnist: Path
) -> None:
    images = pixels(load(small_mnist, "test")[0]).numpy()
    records = measure_images(images, OPTIONS, classifier, small_mnist)
    assert {record["n"] for record in records if record["measure"].startswith("class_")} == {70}
    found = by_name(records)
    assert found.keys() == {
        *("wasserstein1", "wasserstein1_excess", "fid", "fid_relative"),
        *("class_entropy", "class_tv", "confidence", "negative_share"),
    }
    details = {
        name: [record["detail"] for record in records if record["measure"] == name]
        for name in ("class_frequency", "pixel_intensity")
    }
    assert details["class_frequency"] == [str(c) for c in range(10)]
    assert [float(centre) for centre in details["pixel_intensity"]] == pytest.approx(np.arange(-0.95, 1, 0.1))
    assert all(record.keys() == {"measure", "value", "n", "k", "detail"} for record in records)
    assert {record["measure"]: record["n"] for record in records}["wasserstein1_excess"] == 30


def test_values_are_the_metrics_of_the_first_rows_of_both_sides(classifier: Path, small_mnist: Path) -> None:
    images = pixels(load(small_mnist, "test")[0]).numpy()
    found = by_name(measure_images(images, OPTIONS, classifier, small_mnist))
    real = real_side(classifier, small_mnist, 80, CPU, floor=False)
    real_pixels = real.images / np.float32(255)
    features = load_classifier(classifier, CPU).judge(images[:80]).features
    assert found["wasserstein1"] == pytest.approx(wasserstein1(images[:40], real_pixels[:40]))
    assert found["wasserstein1_excess"] == pytest.approx(wasserstein1_excess(images[:60], real_pixels[:60]))
    assert real.judgement is not None
    assert found["fid"] == pytest.approx(frechet_distance(features, real.judgement.features[:80]))


def test_noise_is_further_from_digits_than_digits_are(classifier: Path, small_mnist: Path) -> None:
    rng = np.random.default_rng(0)
    digits = pixels(load(small_mnist, "test")[0][:100]).numpy()
    noise = rng.random((100, 1, 28, 28), dtype=np.float32)
    good, bad = (by_name(measure_images(x, OPTIONS, classifier, small_mnist)) for x in (digits, noise))
    assert all(good[name] < bad[name] for name in ("wasserstein1", "wasserstein1_excess", "fid", "class_tv"))


class Brightness:
    """A critic that scores images by their mean."""

    def scores(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().flatten(1).mean(1)


@pytest.mark.parametrize("reference", ["training", "test"])
def test_a_critic_scores_the_rows_that_a_distance_between_images_compares(
    reference: Any, classifier: Path, small_mnist: Path
) -> None:
    images = load(small_mnist, "train")[0][:300]
    real = real_side(classifier, small_mnist, 200, CPU, floor=False, reference=reference).images
    options = {"critic_distance": {"n": 200, "reference": reference}}
    critic: Any = Brightness()
    (record,) = measure_images(images, options, classifier, small_mnist, critic=critic)
    assert record["value"] == pytest.approx(real.mean() - images[:200].mean(), rel=1e-4)
    assert (record["n"], record["reference"]) == (200, reference)


@pytest.mark.parametrize("name", OPTIONS)
def test_too_few_rows_are_named_by_the_key_to_lower(name: str, classifier: Path, small_mnist: Path) -> None:
    images = pixels(load(small_mnist, "test")[0][:20]).numpy()
    wanted = OPTIONS[name]["n"] * MEASURES[name].per_side
    with pytest.raises(
        ArtifactError, match=rf"^{name}: needs {wanted} rows .* got 20; lower measures\.{name}\.n$"
    ):
        measure_images(images, {name: OPTIONS[name]}, classifier, small_mnist)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_not_measured(value: float) -> None:
    sound, broken = np.random.default_rng(0).normal(size=(2, 10, 3))
    broken[4, 1] = value
    sides = [Side(np.zeros((10, 1, 2, 2)), Judgement(f, f), CPU) for f in (sound, broken)]
    with pytest.raises(ArtifactError, match=r"^fid: its features are not all finite; nothing was written$"):
        compare("fid", {"n": 10}, *sides)


# --- images from elsewhere ---


def test_a_file_from_elsewhere_has_the_numbers_of_the_same_images_in_the_workflow(
    classifier: Path, small_mnist: Path, tmp_path: Path
) -> None:
    images = pixels(load(small_mnist, "test")[0][:100]).numpy().astype(np.float16)
    samples = tmp_path / "vae-mnist" / "seed-0" / "gen-3" / "samples.safetensors"
    write_tensors(samples, {"images": images}, {"seed": "0", "generation": "3"})
    np.save(tmp_path / "images.npy", images.astype(np.float32) * 2 - 1)
    names = [
        m
        for m, e in MEASURES.items()
        if e.of_images
        and e.has_rows
        and not {"inception", "scores", "planes", "others", "accuracy"} & {*e.on}
    ]
    spec = MeasureSpec("mnist", {name: {"n": 40} for name in names}, classifier.name, 0, 3)
    expected = measure(spec, samples, None, classifier, small_mnist)
    found = measure_file(tmp_path / "images.npy", "mnist", (-1.0, 1.0), classifier, small_mnist, 40)
    assert [record["measure"] for record in found] == [record["measure"] for record in expected]
    # (2x − 1 + 1) / 2 is exact for a float16 x in float32
    assert [record["value"] for record in found] == [record["value"] for record in expected]


def test_without_n_a_file_is_measured_on_as_many_rows_as_it_has(
    classifier: Path, small_mnist: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", load(small_mnist, "test")[0][:50])
    found = measure_file(tmp_path / "images.npy", "mnist", (0.0, 1.0), classifier, small_mnist, None)
    n = {record["measure"]: record["n"] for record in found}
    assert (n["wasserstein1"], n["wasserstein1_excess"], n["fid"]) == (50, 25, 50)


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("n", [None, 2, 100])
def test_a_file_of_hardly_any_images_is_one_line(
    rows: int, n: int | None, classifier: Path, small_mnist: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", load(small_mnist, "test")[0][:rows])
    with pytest.raises(ArtifactError, match=rf"\A{re.escape(str(tmp_path))}[^\n]+\Z"):
        measure_file(tmp_path / "images.npy", "mnist", (0.0, 1.0), classifier, small_mnist, n)


@pytest.mark.parametrize("n", [-5, 0, 1])
def test_an_n_below_2_is_one_line(n: int, classifier: Path, small_mnist: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", load(small_mnist, "test")[0][:50])
    with pytest.raises(SpecError, match=rf"^--n: expected at least 2, got {n}$"):
        measure_file(tmp_path / "images.npy", "mnist", (0.0, 1.0), classifier, small_mnist, n)


# --- the real floor ---


@pytest.fixture
def numbered(tmp_path: Path) -> tuple[Path, Path]:
    """A data folder whose image i and its features and probabilities say i, and its classifier's folder."""
    n = 300
    numbers = np.arange(n)
    images = np.zeros((n, 1, 28, 28), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = numbers // 256, numbers % 256
    write_tensors(tmp_path / "mnist" / "train.safetensors", {"images": images, "labels": numbers}, {})
    judgement = {name: numbers[:, None].astype(np.float32) for name in ("features", "probabilities")}
    write_tensors(tmp_path / "numbers" / "reference.safetensors", judgement, {})
    return tmp_path / "mnist", tmp_path / "numbers"


def numbers_of(side: Side) -> list[int]:
    return (side.images[:, 0, 0, 0].astype(int) * 256 + side.images[:, 0, 0, 1]).tolist()


@pytest.mark.parametrize("rows", [1, 20, 150])
def test_the_two_real_subsets_are_disjoint_fixed_and_nested(rows: int, numbered: tuple[Path, Path]) -> None:
    data, classifier = numbered
    first, second = (real_side(classifier, data, rows, CPU, floor=floor) for floor in (False, True))
    assert len(set(numbers_of(first)) | set(numbers_of(second))) == 2 * rows
    for side, floor in ((first, False), (second, True)):
        larger = real_side(classifier, data, 150, CPU, floor=floor)
        assert numbers_of(larger)[:rows] == numbers_of(side)


def test_images_and_judgements_of_a_real_subset_are_of_the_same_rows(numbered: tuple[Path, Path]) -> None:
    data, classifier = numbered
    for floor in (False, True):
        side = real_side(classifier, data, 50, CPU, floor=floor)
        assert side.judgement is not None
        assert side.judgement.features[:, 0].tolist() == numbers_of(side)
        assert side.judgement.probabilities[:, 0].tolist() == numbers_of(side)


def test_the_floor_has_every_measure_at_every_n(classifier: Path, small_mnist: Path) -> None:
    spec = FloorSpec(
        "mnist", {"fid": ({"n": 50}, {"n": 60}), "pixels": ({"n": 20, "bins": 4},)}, classifier.name
    )
    records = measure_real(spec, classifier, small_mnist)
    assert [r["n"] for r in records if r["measure"] == "fid"] == [50, 60]
    assert len([r for r in records if r["measure"] == "pixel_intensity"]) == 4
    assert by_name(records)["negative_share"] == 0


@dataclass(frozen=True)
class Reference:
    """Features of all of MNIST that need no classifier: the leading principal components of the raw pixels."""

    folder: Path
    features: np.ndarray


@pytest.fixture(scope="module")
def principal(digits: np.ndarray, mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    rows = digits.reshape(len(digits), -1)
    centred = rows - rows.mean(axis=0)
    _, axes = np.linalg.eigh(centred[:10_000].T @ centred[:10_000])
    features = centred @ axes[:, -20:]
    one_hot = np.eye(10, dtype=np.float32)[load(mnist, "train")[1]]
    folder = tmp_path_factory.mktemp("classifier") / "principal"
    write_tensors(folder / "reference.safetensors", {"features": features, "probabilities": one_hot}, {})
    return Reference(folder, features)


@pytest.mark.parametrize(
    ("name", "n", "repeats"), [("wasserstein1", 200, 20), ("wasserstein1_excess", 100, 20), ("fid", 500, 40)]
)
def test_mnists_floor_lies_within_the_spread_of_other_disjoint_subsets(
    name: str, n: int, repeats: int, principal: Reference, digits: np.ndarray, mnist: Path
) -> None:
    floor, *_ = measure_real(FloorSpec("mnist", {name: ({"n": n},)}, "principal"), principal.folder, mnist)
    rows = n * MEASURES[name].per_side
    order = np.random.default_rng(1).permutation(len(digits))[: 2 * repeats * rows]
    source = principal.features if MEASURES[name].on == ("features",) else digits
    pairs = order.reshape(repeats, 2, rows)
    measured = frechet_distance if name == "fid" else MEASURES[name].function
    values = [measured(source[a], source[b]) for a, b in pairs]
    assert abs(floor["value"] - np.mean(values)) < 4 * np.std(values, ddof=1)


# --- what is kept of the real rows ---

OF_REAL: dict[str, dict[str, Any]] = {
    "precision": {"n": 50, "k": 3},
    "density": {"n": 50, "k": 3},
    "coverage": {"n": 50, "k": 3},
    "wasserstein1_excess": {"n": 30},
}


@pytest.fixture
def own_classifier(classifier: Path, tmp_path: Path) -> Path:
    """A copy of the classifier, beside which nothing is kept yet."""
    folder = tmp_path / classifier.parent.name / classifier.name
    shutil.copytree(classifier, folder, ignore=shutil.ignore_patterns("statistics"))
    return folder


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """Name and rows of each radii or own distance that is computed, in or out of a measure's function."""
    calls: list[tuple[str, bytes]] = []

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(points: np.ndarray, *rest: Any, **options: Any) -> Any:
            calls.append((function.__name__, points.astype(np.float64).tobytes()))
            return function(points, *rest, **options)

        return call

    for room, name in ((neighbours, "ball_radii"), (wasserstein, "own_wasserstein1")):
        whole = counted(getattr(room, name))
        monkeypatch.setattr(room, name, whole)
        for key, entry in MEASURES.items():
            if entry.of_real is not None and entry.of_real.__name__ == name:
                monkeypatch.setitem(MEASURES, key, replace(entry, of_real=whole))
    return calls


def two_generations(data: Path) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.split(pixels(load(data, "test")[0][:200]).numpy(), 2)
    return first, second


def kept_files(classifier: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (classifier / "statistics").iterdir()}


@pytest.mark.parametrize("before", ["another generation", "the floor"])
def test_what_depends_on_the_real_rows_alone_is_computed_once(
    before: str, own_classifier: Path, small_mnist: Path, computed: list[tuple[str, bytes]]
) -> None:
    first, second = two_generations(small_mnist)
    if before == "the floor":
        spec = FloorSpec("mnist", {m: (o,) for m, o in OF_REAL.items()}, own_classifier.name)
        measure_real(spec, own_classifier, small_mnist)
    else:
        measure_images(first, OF_REAL, own_classifier, small_mnist)
    measure_images(second, OF_REAL, own_classifier, small_mnist)
    # radii of the real rows, once for three measures; the own distance of the real rows, and of either generated set
    assert Counter(name for name, _ in computed) == {"ball_radii": 1, "own_wasserstein1": 3}
    assert len(set(computed)) == len(computed)


def test_values_are_the_same_whether_computed_kept_or_never_kept(
    own_classifier: Path, small_mnist: Path
) -> None:
    images, _ = two_generations(small_mnist)
    real = real_side(own_classifier, small_mnist, 60, CPU, floor=False)
    generated = Side(images, load_classifier(own_classifier, CPU).judge(images[:60]), CPU)
    never = Side(real.images, real.judgement, CPU)
    for name, options in OF_REAL.items():
        expected = compare(name, options, generated, never)
        assert compare(name, options, generated, real) == expected  # computed, or kept by another measure
        assert compare(name, options, generated, real) == expected
    assert sorted(name.partition("-")[0] for name in kept_files(own_classifier)) == [
        *("ball_radii", "own_wasserstein1")
    ]


@pytest.mark.parametrize("damage", ["truncated", "altered", "another's"])
def test_a_damaged_file_is_computed_anew_and_replaced(
    damage: str, own_classifier: Path, small_mnist: Path
) -> None:
    images, _ = two_generations(small_mnist)
    lines: list[str] = []

    def said(what: str | Progress) -> None:
        if isinstance(what, str):
            lines.append(what)

    options: dict[str, dict[str, Any]] = {"precision": {"n": 50, "k": 3}}
    expected = measure_images(images, options, own_classifier, small_mnist)
    ((name, content),) = kept_files(own_classifier).items()
    path = own_classifier / "statistics" / name
    if damage == "another's":
        write_tensors(path.with_name("other"), {"ball_radii": np.zeros(50)}, {})
        path.with_name("other").replace(path)
    else:
        path.write_bytes(content[:-9] if damage == "truncated" else content[:-8] + bytes(8))
    found = measure_images(images, options, own_classifier, small_mnist, report=said)
    assert found == expected
    assert kept_files(own_classifier) == {name: content}
    assert lines == [f"{path}: damaged; computing it"]
    measure_images(images, options, own_classifier, small_mnist, report=said)
    assert len(lines) == 1


@pytest.mark.parametrize("change", ["n", "k", "classifier", "data"])
def test_another_n_k_classifier_or_data_has_another_file(
    change: str, own_classifier: Path, small_mnist: Path, tmp_path: Path
) -> None:
    images, _ = two_generations(small_mnist)
    data = small_mnist
    options: dict[str, Any] = {"n": 50, "k": 3}
    measure_images(images, {"precision": options}, own_classifier, data)
    if change in ("n", "k"):
        options = {**options, change: options[change] + 1}
    elif change == "classifier":  # trained anew, in the same place
        tensors, header = read_tensors(own_classifier / "reference.safetensors")
        tensors["features"] = tensors["features"] * np.float32(2)
        write_tensors(own_classifier / "reference.safetensors", tensors, {"spec": header["spec"]})
    else:
        data = tmp_path / "changed" / "mnist"
        real, labels = load(small_mnist, "train")
        write_tensors(data / "train.safetensors", {"images": 255 - real, "labels": labels}, {})
    measure_images(images, {"precision": options}, own_classifier, data)
    assert len(kept_files(own_classifier)) == 2


def test_where_nothing_can_be_kept_the_values_come_all_the_same(
    own_classifier: Path, small_mnist: Path
) -> None:
    images, _ = two_generations(small_mnist)
    lines: list[str] = []
    expected = measure_images(images, OF_REAL, own_classifier, small_mnist)
    shutil.rmtree(own_classifier / "statistics")
    (own_classifier / "statistics").touch()  # no folder: nothing can be written below it
    found = measure_images(images, OF_REAL, own_classifier, small_mnist, report=lines.append)
    assert found == expected
    assert any("cannot be written" in str(line) for line in lines)
    measured = [line for line in lines if isinstance(line, Progress)]
    assert [(one.done, one.total) for one in measured] == [
        (i, len(OF_REAL)) for i in range(1, len(OF_REAL) + 1)
    ]


def test_two_jobs_that_keep_the_same_array_at_once_do_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    kept = Kept(tmp_path / "statistics", {"data": "some"}, lines.append)
    array = np.arange(5.0)
    write = write_tensors

    def overtaken(path: Path, *content: Any) -> str:
        """The other job begins and ends while this one has its temporary file written, and not yet moved."""
        from bigloop import artifacts

        save = artifacts.safetensors.numpy.save_file

        def save_and_wait(*arguments: Any, **options: Any) -> None:
            save(*arguments, **options)
            monkeypatch.undo()
            np.testing.assert_array_equal(kept.get("radii", {"n": 5}, lambda: array), array)

        monkeypatch.setattr(artifacts.safetensors.numpy, "save_file", save_and_wait)
        return write(path, *content)

    monkeypatch.setattr("bigloop.measures.records.write_tensors", overtaken)
    np.testing.assert_array_equal(kept.get("radii", {"n": 5}, lambda: array), array)
    before = len(lines)
    np.testing.assert_array_equal(kept.get("radii", {"n": 5}, lambda: np.zeros(5)), array)
    assert len(lines) == before  # it was there, and sound
    assert len(list((tmp_path / "statistics").iterdir())) == 1


def test_inception_features_of_real_rows_are_computed_once_for_each_file_of_weights(
    own_classifier: Path, small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    def network(self: Inception, options: Any, weights: Path, device: torch.device) -> Network:
        def features(images: np.ndarray) -> np.ndarray:
            seen.append(images.tobytes())
            return images.reshape(len(images), -1)[:, 300:310] + np.float32(weights.read_text())

        return features

    monkeypatch.setattr(Inception, "network", network)
    weights, data = tmp_path / "weights.pth", tmp_path / small_mnist.parent.name / small_mnist.name
    shutil.copytree(
        small_mnist, data, ignore=shutil.ignore_patterns("statistics")
    )  # nothing is kept there yet
    options: dict[str, dict[str, Any]] = {"fid_inception": {"n": 50, "weights": str(weights)}}
    first, second = two_generations(data)
    weights.write_text("0")
    real = real_side(own_classifier, data, 50, CPU, floor=False).images.tobytes()
    found = [measure_images(images, options, own_classifier, data) for images in (first, second, first)]
    assert found[0] == found[2] != found[1]
    assert (seen.count(real), len(seen)) == (1, 4)
    weights.write_text("1")
    measure_images(second, options, own_classifier, data)
    assert seen.count(real) == 2
    spec = FloorSpec("mnist", {"fid_inception": (options["fid_inception"],)}, own_classifier.name)
    measure_real(spec, own_classifier, data)
    assert (seen.count(real), len(seen)) == (2, 7)  # of the floor, the second subset alone


# --- models with a critic ---


def gan(critic_output: str) -> RunSpec:
    options = {"width": 2, "latent": 4, "critic_iterations": 1, "critic_output": critic_output}
    budgets = Budgets(Budget(images=640), Budget(images=640))
    loop = LoopSpec(Initial(200), 80, Real(), Synthetic(n=80), budgets)
    return RunSpec("mnist", resolve("wgan_gp", options, "models.gan"), loop)


@pytest.fixture(scope="module", params=["sigmoid", "linear"])
def gans(
    request: pytest.FixtureRequest, small_mnist: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunSpec, Path]:
    """Two generations of a tiny WGAN-GP: its spec, and the folder of runs."""
    runs, run = tmp_path_factory.mktemp("runs"), gan(request.param)
    earlier: list[Path] = []
    for generation in (1, 2):
        out = runs / run.folder / "seed-0" / f"gen-{generation}"
        train(TrainSpec.of(run, 0, generation), small_mnist, earlier, out, lambda line: None)
        sample(SampleSpec.of(run, 0, generation), out, out)
        earlier.append(out / "preview.safetensors")
    return run, runs


def test_a_matrix_has_for_each_critic_the_share_of_each_generation_not_above_its_threshold(
    gans: tuple[RunSpec, Path],
) -> None:
    run, runs = gans
    spec = CriticsSpec("gan", (run.folder,) * 2, "gan", (run.folder,) * 2, seed=0, n=50)
    found = {(r["critic_generation"], r["generator_generation"]): r for r in critics(spec, runs)}
    assert found.keys() == {(1, 1), (1, 2), (2, 1), (2, 2)}
    for (critic_generation, generator_generation), record in found.items():
        model, facts = load_model(runs / run.folder / "seed-0" / f"gen-{critic_generation}", CPU)
        threshold = facts["facts"]["threshold"]
        path = runs / run.folder / "seed-0" / f"gen-{generator_generation}" / "samples.safetensors"
        images = torch.from_numpy(read_samples(path, 0, generator_generation)[0]["images"][:50]).float()
        called_fake = [score <= threshold for score in model.networks["critic"](images).tolist()]
        assert record["fake_share"] == pytest.approx(sum(called_fake) / 50)
        assert record["threshold"] == threshold
        assert (record["n"], record["seed"]) == (50, 0)
        assert (record["critic_run"], record["generator_run"]) == ("gan", "gan")


def test_a_critics_rate_on_test_images_is_the_share_that_it_calls_real(
    gans: tuple[RunSpec, Path], small_mnist: Path
) -> None:
    run, runs = gans
    folder = runs / run.folder / "seed-0" / "gen-1"
    critic, threshold = load_critic(folder, CPU)
    images, _ = load(small_mnist, "test")
    record = critic_on_test(folder, small_mnist)
    scores = critic.scores(torch.from_numpy(images / np.float32(255)))
    assert record["value"] == pytest.approx((scores > threshold).double().mean().item())
    assert (record["measure"], record["n"]) == ("critic_on_test", 500)


def test_measuring_a_generation_adds_its_last_losses_and_its_critics_rate(
    gans: tuple[RunSpec, Path], classifier: Path, small_mnist: Path
) -> None:
    run, runs = gans
    folder = runs / run.folder / "seed-0" / "gen-2"
    spec = MeasureSpec("mnist", {"pixels": {"n": 50, "bins": 4}}, classifier.name, 0, 2, has_critic=True)
    records = measure(spec, folder / "samples.safetensors", folder, classifier, small_mnist)
    losses = {r["detail"]: r["value"] for r in records if r["measure"] == "final_loss"}
    assert losses.keys() == {"loss_critic", "loss_generator", "gradient_penalty"}
    assert records[-1] == critic_on_test(folder, small_mnist)
    without = MeasureSpec("mnist", spec.measures, classifier.name, 0, 2, has_critic=False)
    assert measure(without, folder / "samples.safetensors", folder, classifier, small_mnist) == records[:-1]


def test_the_distance_of_weights_is_from_generation_1_and_from_before_its_training(
    gans: tuple[RunSpec, Path], classifier: Path, small_mnist: Path
) -> None:
    run, runs = gans
    first, second = (runs / run.folder / "seed-0" / f"gen-{t}" for t in (1, 2))
    found = {}
    for t, folder in ((1, first), (2, second)):
        spec = MeasureSpec("mnist", {"parameter_distance": {}}, classifier.name, 0, t)
        records = measure(spec, folder / "samples.safetensors", folder, classifier, small_mnist, first=first)
        found[t] = {r["measure"]: r for r in records}
    weights = [parameters(load_model(folder, CPU)[0]) for folder in (first, second)]
    expected = np.linalg.norm(weights[1] - weights[0]) / len(weights[0])
    assert found[1]["parameter_distance"]["value"] == 0
    assert found[2]["parameter_distance"]["value"] == pytest.approx(expected)
    assert found[2]["parameter_distance"]["n"] is None
    fresh = parameters(new_model(run.model, (1, 28, 28), 0, 1, CPU, 10))
    initial = np.linalg.norm(weights[0] - fresh) / len(fresh)
    assert found[2]["parameter_distance_initial"]["value"] == pytest.approx(initial)


def test_copies_of_training_rows_lie_far_nearer_than_unseen_real_ones(
    classifier: Path, small_mnist: Path
) -> None:
    training, _ = load(small_mnist, "train")
    options: dict[str, dict[str, Any]] = {"nearest_real": {"n": 60}}
    copies = measure_images(training[1_000:1_060], options, classifier, small_mnist)
    (floor,) = measure_real(
        FloorSpec("mnist", {"nearest_real": ({"n": 60},)}, classifier.name), classifier, small_mnist
    )
    noisy = pixels(training[1_000:1_060]).numpy() + np.float32(0.02)
    near = measure_images(noisy, options, classifier, small_mnist)
    assert by_name(copies)["nearest_real"] == 0
    assert by_name(near)["nearest_real"] == pytest.approx(0.02 * 28, rel=0.02)  # 784 pixels, each off by 0.02
    assert floor["value"] > 5 * 0.02 * 28


def test_losses_and_gradient_norms_are_those_of_the_last_epoch(tmp_path: Path) -> None:
    import pandas as pd

    from bigloop.measures.images import last_epoch

    rows = {"epoch": [1.0, 2.0], "loss": [5.0, 3.0], "loss_kl": [2.0, 1.0], "gradient_norm_net": [7.0, 0.5]}
    rows |= {"gradient_norm_other": [4.0, math.nan], "gradient_norm_none": [math.nan, math.nan]}
    write_table(tmp_path / "history.csv", pd.DataFrame(rows | {"seconds": [9.0, 9.0]}))
    assert [(r["measure"], r["detail"], r["value"]) for r in last_epoch(tmp_path)] == [
        ("final_loss", "loss", 3.0),
        ("final_loss", "loss_kl", 1.0),
        ("gradient_norm_net", "", 0.5),
        ("gradient_norm_other", "", 4.0),
    ]


# --- the classifier's files ---


def test_a_classifier_comes_back_from_its_files_and_its_reference_is_its_judgement(
    classifier: Path, small_mnist: Path
) -> None:
    net = load_classifier(classifier, CPU)
    images, _ = load(small_mnist, "train")
    side = real_side(classifier, small_mnist, 100, CPU, floor=True)
    judgement = net.judge(side.images)
    assert side.judgement is not None
    np.testing.assert_allclose(side.judgement.features, judgement.features, atol=1e-5)  # another batch
    np.testing.assert_allclose(side.judgement.probabilities, judgement.probabilities, atol=1e-5)
    assert not net.training
    assert len(images) == 4_000


def test_a_classifier_whose_files_do_not_belong_together_is_refused(classifier: Path, tmp_path: Path) -> None:
    folder = tmp_path / classifier.name
    record = read_json(classifier / "model.json")
    record["spec"]["seed"] += 1
    write_json(folder / "model.json", record)
    tensors, header = read_tensors(classifier / "model.safetensors")
    write_tensors(folder / "model.safetensors", tensors, {"spec": header["spec"]})
    with pytest.raises(ArtifactError, match=rf"^{re.escape(str(folder))}: .* do not match; delete both$"):
        load_classifier(folder, CPU)
    assert digest(TINY) in classifier.name


def test_without_a_classifier_the_message_says_how_to_make_one(
    small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", load(small_mnist, "test")[0][:50])
    with pytest.raises(
        ArtifactError, match=r"\Aresults/classifier/mnist-\*: no trained classifier[^\n]+ classifiers`\Z"
    ):
        measure_file(Path("images.npy"), "mnist", (0.0, 1.0), None, small_mnist, None)


# --- Inception ---


def test_fid_on_inception_features_runs_with_weights_from_a_file(
    classifier: Path, small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few features, so that the covariances stay small: random weights have nothing to say anyway."""
    weights = tmp_path / "weights.pth"
    torch.save({}, weights)
    with monkeypatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.manual_seed(0)
        network = FeatureExtractorInceptionV3(
            "inception", ["64"], feature_extractor_weights_path=str(weights)
        )
    torch.save(network.state_dict(), weights)
    images = load(small_mnist, "test")[0][:6]
    options: dict[str, dict[str, Any]] = {"fid_inception": {"n": 6, "weights": str(weights), "features": 64}}
    (record,) = measure_images(pixels(images).numpy(), options, classifier, small_mnist)
    real = real_side(classifier, small_mnist, 6, CPU, floor=False).images
    features = [network(torch.from_numpy(side).repeat(1, 3, 1, 1))[0].numpy() for side in (images, real)]
    assert record["value"] == pytest.approx(frechet_distance(*features), rel=1e-3)
    assert record["value"] > 1e-6  # features of about 0.1 in float32: rounding is far below
    assert (record["measure"], record["n"], record["features"]) == ("fid_inception", 6, "inception-64")
    assert math.isfinite(record["value"])
    spec = FeaturesSpec("inception", 1, {"inception": 64, "weights": str(weights)}, file_checksum(weights))
    same: dict[str, dict[str, Any]] = {"fid": {"n": 6, "features": spec.name}}
    extractors = {spec.name: extractor_of(spec, {}, CPU)}
    found = measure_images(pixels(images).numpy(), same, None, small_mnist, extractors=extractors)
    assert by_name(found)["fid"] == record["value"]


def test_images_of_a_conditional_family_are_held_against_the_class_asked_for(
    classifier: Path, small_mnist: Path, tmp_path: Path
) -> None:
    images, labels = load(small_mnist, "test")
    asked = np.where(np.arange(500) < 400, labels, (labels + 1) % 10)  # the last hundred are of another class
    samples = tmp_path / "ddpm-mnist" / "seed-0" / "gen-1" / "samples.safetensors"
    content = {"images": pixels(images).numpy().astype(np.float16), "labels": asked}
    write_tensors(samples, content, {"seed": "0", "generation": "1"})
    spec = MeasureSpec("mnist", {"pixels": {"n": 50}}, classifier.name, 0, 1)
    agreed = measure(spec, samples, None, classifier, small_mnist)[-1]
    predicted = load_classifier(classifier, CPU).judge(images).probabilities.argmax(axis=1)
    assert (agreed["measure"], agreed["n"]) == ("label_agreement", 500)
    assert agreed["value"] == pytest.approx((predicted == asked).mean(), abs=2 / 500)  # float16 moves few
