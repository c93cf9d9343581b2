"""Features of other kinds than the classifier's: computed once, kept in prefixes, named, and never confused."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from bigloop.artifacts import ArtifactError, file_checksum, read_tensors, write_json, write_tensors
from bigloop.data import load
from bigloop.generation.store import prune
from bigloop.measures.classify import classify
from bigloop.measures.elsewhere import measure_file
from bigloop.measures.images import measure, measure_real, real_side
from bigloop.metrics.frechet import frechet_distance
from bigloop.metrics.modes import intra_class_variance
from bigloop.metrics.neighbours import precision
from bigloop.models.classifier import load_classifier, pixels
from bigloop.models.features import FEATURES, Network
from bigloop.models.networks import TORCHVISION, NetworkOptions, architecture
from bigloop.runtime.progress import Progress
from bigloop.spec.jobs import FeaturesSpec, FloorSpec, MeasureSpec
from bigloop.spec.options import option

from .conftest import TINY

pytestmark = pytest.mark.long

CPU = torch.device("cpu")
BATCH = 16
Options = dict[str, Any]


@dataclass(frozen=True)
class ThumbOptions:
    thumb: int = option(7, "pixels between two that are taken")
    weights: str = option("", "file with a number, which the features are turned by")


@dataclass
class Thumbs:
    """Features as a plugin might add them: every so many pixels, times a number. Notes the images that it looks at."""

    about: str = "Some pixels."
    Options: type = ThumbOptions
    revision: int = 1
    batch: int = BATCH
    seen: list[int] = field(default_factory=list)

    def weights(self, options: ThumbOptions) -> Path:
        return Path(options.weights)

    def network(self, options: ThumbOptions, weights: Path, device: torch.device) -> Network:
        factor = np.float32(weights.read_text())

        def features(images: np.ndarray) -> np.ndarray:
            assert 0 < len(images) <= self.batch
            self.seen.append(len(images))
            taken = pixels(images).numpy()[:, :, :: options.thumb, :: options.thumb].reshape(len(images), -1)
            return np.tanh(factor * taken + np.arange(taken.shape[1], dtype=np.float32) / 9)

        return features

    def untrained(self, options: ThumbOptions, device: torch.device) -> Network:
        raise NotImplementedError


@dataclass
class Place:
    """A generation's samples, real data, and the features that there are."""

    samples: Path
    data: Path
    weights: Path
    thumbs: Thumbs
    lines: list[str] = field(default_factory=list)

    def spec(self, thumb: int = 7) -> FeaturesSpec:
        options: dict[str, Any] = {"thumb": thumb, "weights": str(self.weights)}
        return FeaturesSpec("thumb", 1, options, file_checksum(self.weights))

    def say(self, what: str | Progress) -> None:
        if isinstance(what, str):
            self.lines.append(what)

    def measured(self, measures: dict[str, Options], thumb: int = 7, **more: Any) -> list[dict[str, Any]]:
        """The records of the generation, on these features, without a classifier."""
        spec = self.spec(thumb)
        told = {name: options | {"features": spec.name} for name, options in measures.items()}
        job = MeasureSpec("mnist", told, None, 0, 1, features={spec.name: spec})
        return measure(job, self.samples, None, None, self.data, self.say, **more)

    def floor(self, measures: dict[str, Options]) -> list[dict[str, Any]]:
        spec = self.spec()
        told = {name: (options | {"features": spec.name},) for name, options in measures.items()}
        return measure_real(FloorSpec("mnist", told, features={spec.name: spec}), None, self.data)

    def features(self, images: np.ndarray, thumb: int = 7) -> np.ndarray:
        """What the features are, without anything that is kept."""
        fresh = Thumbs()
        look = fresh.network(ThumbOptions(thumb), self.weights, CPU)
        return np.concatenate([look(images[start : start + BATCH]) for start in range(0, len(images), BATCH)])

    def count(self) -> int:
        """How many images were looked at since this was last asked."""
        number = sum(self.thumbs.seen)
        self.thumbs.seen.clear()
        return number

    @property
    def images(self) -> np.ndarray:
        return read_tensors(self.samples)[0]["images"]

    @property
    def kept(self) -> list[Path]:
        return sorted(self.samples.parent.glob("features-*"))


@pytest.fixture
def place(small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    thumbs = Thumbs()
    monkeypatch.setitem(FEATURES, "thumb", thumbs)
    data = tmp_path / small_mnist.parent.name / small_mnist.name
    shutil.copytree(small_mnist, data, ignore=shutil.ignore_patterns("statistics"))
    weights = tmp_path / "weights.txt"
    weights.write_text("1.5")
    samples = tmp_path / "runs" / "vae-mnist" / "seed-0" / "gen-1" / "samples.safetensors"
    write_samples(samples, load(small_mnist, "test")[0][:100])
    return Place(samples, data, weights, thumbs)


def write_samples(path: Path, images: np.ndarray) -> None:
    floats = pixels(images).numpy().astype(np.float16)
    write_tensors(path, {"images": floats}, {"seed": "0", "generation": "1"})


def values(records: list[dict[str, Any]]) -> dict[str, float]:
    return {record["measure"]: record["value"] for record in records}


# --- how often they are computed ---


def test_a_second_measure_and_another_n_look_at_no_image_again(place: Place) -> None:
    place.measured({"fid": {"n": 64}})
    assert place.count() == 2 * 64  # generated and real
    place.measured({"fid": {"n": 64}, "precision": {"n": 40, "k": 3}, "spacing": {"n": 17}})
    assert place.count() == 0
    place.measured({"recall": {"n": 90, "k": 3}})
    assert place.count() == (96 - 64) + (96 - 64)  # what is missing, in whole batches
    place.measured({"recall": {"n": 90, "k": 3}, "fid": {"n": 2}})
    assert place.count() == 0


def test_several_measures_of_one_job_look_once_at_the_most_images_that_one_takes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.measured({"spacing": {"n": 10}, "fid": {"n": 33}, "density": {"n": 64, "k": 3}})
    assert place.count() == 2 * 64
    read: list[str] = []
    monkeypatch.setattr(
        "bigloop.measures.features.read_tensors", lambda path: (read.append(path.name), read_tensors(path))[1]
    )
    place.measured({"spacing": {"n": 10}, "fid": {"n": 33}, "density": {"n": 64, "k": 3}})
    assert len(read) == 2  # generated and real, once each


def test_real_rows_are_looked_at_once_for_all_generations_and_for_the_floor(place: Place) -> None:
    place.measured({"fid": {"n": 48}})
    place.count()
    another = place.samples.parents[1] / "gen-2" / "samples.safetensors"
    write_samples(another, load(place.data, "test")[0][100:200])
    place.samples = another
    place.measured({"fid": {"n": 48}})
    assert place.count() == 48
    place.floor({"fid": {"n": 48}})
    assert place.count() == 48  # the second subset; the first is known
    place.floor({"fid": {"n": 20}})
    assert place.count() == 0


def test_the_last_batch_of_a_generation_may_be_short_and_all_its_rows_are_kept(place: Place) -> None:
    place.measured({"fid": {"n": 100}})
    assert place.count() == 100 + 112
    (path,) = place.kept
    assert read_tensors(path)[0]["features"].shape == (100, 16)
    place.measured({"fid": {"n": 100}})
    assert place.count() == 0


def test_the_datas_own_classifier_judges_a_generation_once(
    classifier: Path, place: Place, judged: list[int]
) -> None:
    found = []
    for n in (60, 30, 100):
        job = MeasureSpec("mnist", {"fid": {"n": n}, "classes": {"n": n}}, classifier.name, 0, 1)
        found.append(measure(job, place.samples, None, classifier, place.data))
    assert judged == [100]
    assert all("features" not in record for records in found for record in records)


# --- which values they give ---


@pytest.mark.parametrize("order", [(30, 70), (70, 30)], ids=str)
def test_values_are_those_of_the_first_rows_whatever_was_measured_before(
    order: tuple[int, int], place: Place
) -> None:
    real = real_side(None, place.data, 100, CPU, floor=False).images
    for n in order:
        found = values(place.measured({"fid": {"n": n}, "precision": {"n": n, "k": 3}}))
        sides = [place.features(images)[:n] for images in (place.images, real)]
        assert found["fid"] == frechet_distance(*sides)
        assert found["precision"] == precision(*sides, k=3)


def test_the_floor_is_the_second_subset_against_the_first(place: Place) -> None:
    found = values(place.floor({"fid": {"n": 40}}))
    sides = [
        place.features(real_side(None, place.data, 64, CPU, floor=floor).images)[:40]
        for floor in (True, False)
    ]
    assert found["fid"] == frechet_distance(*sides)
    assert found["fid"] > 0


def test_test_rows_have_features_of_their_own(place: Place) -> None:
    measures: dict[str, Options] = {"fid": {"n": 40, "reference": "test"}}
    against_training = values(place.measured({"fid": {"n": 40}}))["fid"]
    found = values(place.measured(measures))["fid"]
    real = real_side(None, place.data, 48, CPU, floor=False, reference="test").images
    assert found == frechet_distance(place.features(place.images)[:40], place.features(real)[:40])
    assert found != against_training


def test_records_say_which_features_and_other_measures_do_not(place: Place) -> None:
    measures: dict[str, Options] = {"fid": {"n": 30}, "coverage": {"n": 30, "k": 3}}
    spec = place.spec()
    told = {name: options | {"features": spec.name} for name, options in measures.items()}
    job = MeasureSpec(
        "mnist", told | {"pixels": {"n": 30, "bins": 4}}, None, 0, 1, features={spec.name: spec}
    )
    records = measure(job, place.samples, None, None, place.data)
    said = {record["measure"]: record.get("features") for record in records}
    name = f"thumb-7-{file_checksum(place.weights)[:8]}"
    assert said == {
        **dict.fromkeys(("fid", "fid_relative", "coverage"), name),
        **dict.fromkeys(("pixel_intensity", "negative_share"), None),
    }


def test_what_is_kept_of_the_real_side_is_of_its_own_features(place: Place) -> None:
    """Radii of the balls depend on the features: the same n and k with others are others."""
    real = real_side(None, place.data, 64, CPU, floor=False).images
    for thumb in (7, 4, 7):
        found = values(place.measured({"precision": {"n": 50, "k": 3}}, thumb))["precision"]
        sides = [place.features(images, thumb)[:50] for images in (place.images, real)]
        assert found == precision(*sides, k=3)


def test_variance_within_classes_is_of_these_features_within_the_classes_that_the_own_classifier_sees(
    classifier: Path, place: Place
) -> None:
    spec = place.spec()
    measures = {"intra_class_variance": {"n": 60, "features": spec.name}}
    job = MeasureSpec("mnist", measures, classifier.name, 0, 1, features={spec.name: spec})
    (record,) = measure(job, place.samples, None, classifier, place.data)
    seen = load_classifier(classifier, CPU).judge(place.images).probabilities[:60]
    features = place.features(place.images)[:60]
    assert record["value"] == intra_class_variance(features, seen, features, seen)


# --- files ---


@pytest.mark.parametrize("damage", ["truncated", "altered", "another's"])
@pytest.mark.parametrize("side", ["generated", "real"])
def test_a_damaged_file_is_computed_anew_and_replaced(damage: str, side: str, place: Place) -> None:
    expected = place.measured({"fid": {"n": 48}})
    place.count()
    (path,) = (
        place.kept if side == "generated" else (place.data / "statistics").glob("features-train-first-*")
    )
    content = path.read_bytes()
    if damage == "another's":
        write_tensors(path.with_name("other"), {"features": np.zeros((48, 16), np.float32)}, {})
        path.with_name("other").replace(path)
    else:
        path.write_bytes(content[:-9] if damage == "truncated" else content[:-8] + bytes(8))
    place.lines.clear()
    assert place.measured({"fid": {"n": 48}}) == expected
    assert place.count() == 48
    assert place.lines == [f"{path}: damaged; computing it"]
    assert path.read_bytes() == content


def test_a_job_that_was_stopped_goes_on_where_its_features_were_saved(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigloop.measures.features.SAY_SECONDS", -1.0)
    network = Thumbs.network

    def stopped(self: Thumbs, *given: Any) -> Network:
        look = network(self, *given)

        def features(images: np.ndarray) -> np.ndarray:
            if len(self.seen) == 3:
                raise KeyboardInterrupt
            return look(images)

        return features

    with monkeypatch.context() as patch:
        patch.setattr(Thumbs, "network", stopped)
        with pytest.raises(KeyboardInterrupt):
            place.measured({"fid": {"n": 100}})
    assert place.count() == 3 * BATCH
    found = values(place.measured({"fid": {"n": 100}}))
    assert place.count() == (100 - 3 * BATCH) + 112
    assert f"features {place.spec().name}: 64 of 100 images" in place.lines
    real = real_side(None, place.data, 112, CPU, floor=False).images
    assert found["fid"] == frechet_distance(place.features(place.images), place.features(real)[:100])


@pytest.mark.parametrize("change", ["samples", "weights", "data"])
def test_features_of_other_images_or_weights_are_not_taken(change: str, place: Place) -> None:
    before = values(place.measured({"fid": {"n": 48}}))
    place.count()
    if change == "samples":
        write_samples(place.samples, load(place.data, "test")[0][200:300])
    elif change == "weights":
        place.weights.write_text("0.5")
    else:
        images, labels = load(place.data, "train")
        write_tensors(place.data / "train.safetensors", {"images": 255 - images, "labels": labels}, {})
    found = values(place.measured({"fid": {"n": 48}}))
    real = real_side(None, place.data, 48, CPU, floor=False).images
    assert found["fid"] == frechet_distance(place.features(place.images)[:48], place.features(real)[:48])
    assert found != before
    assert place.count() == (96 if change == "weights" else 48)


def test_a_file_of_weights_that_changed_since_the_job_was_planned_is_one_line(place: Place) -> None:
    spec = place.spec()
    place.weights.write_text("2.5")
    job = MeasureSpec("mnist", {"fid": {"n": 20, "features": spec.name}}, None, features={spec.name: spec})
    with pytest.raises(ArtifactError, match=rf"\A{place.weights}: is not the file of weights [^\n]*\Z"):
        measure(job, place.samples, None, None, place.data)


def test_they_lie_beside_the_samples_and_are_pruned_with_them(place: Place) -> None:
    place.measured({"fid": {"n": 20}})
    place.measured({"fid": {"n": 20}}, thumb=4)
    folder = place.samples.parent
    weights = file_checksum(place.weights)[:8]
    assert [path.name for path in place.kept] == [f"features-thumb-{t}-{weights}.safetensors" for t in (4, 7)]
    prune(folder.parent, [1], (), 0)
    assert len(place.kept) == 2  # not measured yet, nor can they be drawn again
    write_json(folder / "measures.json", [])
    write_tensors(folder / "model.safetensors", {}, {})
    prune(folder.parent, [1], (), 1)
    assert len(place.kept) == 2
    prune(folder.parent, [1], (), 0)
    assert not place.kept
    assert not place.samples.exists()


def test_where_nothing_can_be_kept_the_values_come_all_the_same(place: Place) -> None:
    expected = place.measured({"fid": {"n": 20}})
    for path in place.kept:
        path.unlink()
        path.mkdir()  # nothing can be written in its place
    place.lines.clear()
    assert place.measured({"fid": {"n": 20}}) == expected
    assert any("cannot be written" in line for line in place.lines)


# --- classifiers of other datasets, and images from elsewhere ---


@pytest.fixture
def lent(classifier: Path) -> FeaturesSpec:
    return FeaturesSpec("classifier", 1, {"classifier": classifier.name})


def test_images_without_classes_are_judged_by_the_classifier_of_another_dataset(
    lent: FeaturesSpec, classifier: Path, place: Place
) -> None:
    job = MeasureSpec(
        "plain", {"fid": {"n": 60, "features": lent.name}}, None, 0, 1, features={lent.name: lent}
    )
    records = measure(job, place.samples, None, None, place.data, judges={classifier.name: classifier})
    judge = load_classifier(classifier, CPU).judge
    real = real_side(None, place.data, 1_000, CPU, floor=False).images  # a whole batch
    expected = frechet_distance(judge(place.images).features[:60], judge(real).features[:60])
    assert values(records)["fid"] == expected
    assert {record["features"] for record in records} == {f"classifier-{classifier.name}"}


def test_a_classifier_that_is_not_there_is_one_line(lent: FeaturesSpec, place: Place) -> None:
    job = MeasureSpec(
        "plain", {"fid": {"n": 60, "features": lent.name}}, None, 0, 1, features={lent.name: lent}
    )
    words = rf"\Aclassifier-{TINY.folder}: no classifier in results/classifier/{TINY.folder}[^\n]*\Z"
    with pytest.raises(ArtifactError, match=words):
        measure(job, place.samples, None, None, place.data)


def test_a_lent_classifier_that_was_trained_anew_is_another_one(
    lent: FeaturesSpec, classifier: Path, place: Place, tmp_path: Path
) -> None:
    again = tmp_path / "again" / classifier.name
    job = MeasureSpec(
        "plain", {"fid": {"n": 60, "features": lent.name}}, None, 0, 1, features={lent.name: lent}
    )
    before = measure(job, place.samples, None, None, place.data, judges={classifier.name: classifier})
    images, labels = load(place.data, "train")
    for split in ("train", "test"):
        write_tensors(
            tmp_path / "less" / f"{split}.safetensors", {"images": images[:640], "labels": labels[:640]}, {}
        )
    classify(TINY, tmp_path / "less", again, lambda line: None)
    after = measure(job, place.samples, None, None, place.data, judges={classifier.name: again})
    assert values(before) != values(after)


def test_a_file_from_elsewhere_is_compared_on_the_features_of_its_dataset(
    classifier: Path, place: Place, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", place.images.astype(np.float32))
    records = measure_file(
        tmp_path / "images.npy", "mnist", (0.0, 1.0), classifier, place.data, 40, features=place.spec()
    )
    found = {record["measure"]: record for record in records}
    assert found["fid"]["value"] == values(place.measured({"fid": {"n": 40}}))["fid"]
    assert found["recall"]["features"] == place.spec().name
    assert math.isfinite(found["recall"]["value"])


# --- the same numbers as torch-fidelity's ---


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5"])
def test_fid_precision_and_recall_on_the_same_features_are_torch_fidelitys(
    name: str, place: Place, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "network.pth"
    torch.save(architecture(name).state_dict(), weights)
    spec = FeaturesSpec(
        "torchvision", 1, {"torchvision": name, "weights": str(weights)}, file_checksum(weights)
    )
    n, k = 50, 3
    measures = {"fid": {"n": n}, "precision": {"n": n, "k": k}, "recall": {"n": n, "k": k}}
    told = {m: options | {"features": spec.name} for m, options in measures.items()}
    job = MeasureSpec("mnist", told, None, 0, 1, features={spec.name: spec})
    noisy = place.images[:n] + np.random.default_rng(0).normal(0, 0.1, (n, 1, 28, 28)).astype(np.float16)
    write_tensors(place.samples, {"images": noisy}, {"seed": "0", "generation": "1"})
    found = values(measure(job, place.samples, None, None, place.data))
    look = TORCHVISION.network(NetworkOptions(name, str(weights)), weights, CPU)
    real = real_side(None, place.data, n, CPU, floor=False).images
    sides = [torch.from_numpy(look(images)).double() for images in (noisy, real)]
    fid = fid_statistics_to_metric(*map(fid_features_to_statistics, sides), verbose=False)
    prc = prc_features_to_metric(
        *sides, prc_neighborhood=k, prc_batch_size=64, save_cpu_ram=False, verbose=False
    )
    # Fewer rows than dimensions: theirs takes roots of eigenvalues that are zero but for rounding, √ε each.
    assert found["fid"] == pytest.approx(fid["frechet_inception_distance"], rel=1e-4)
    assert found["precision"] == pytest.approx(prc["precision"], abs=1e-6)  # theirs averages in float32
    assert found["recall"] == pytest.approx(prc["recall"], abs=1e-6)
