"""The modes of stacked digits, from a config to measures.json: each plane is judged by the classifier of its source."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bigloop.__main__ import main
from bigloop.artifacts import ArtifactError, read_json, read_tensors, write_tensors
from bigloop.config.datasets import Images
from bigloop.config.experiment import Experiment
from bigloop.data import load
from bigloop.data.idx import FILES
from bigloop.data.store import fetch
from bigloop.measures.elsewhere import measure_file
from bigloop.measures.images import measure, measure_real, real_side
from bigloop.models.classifier import load_classifier
from bigloop.spec.options import to_dict, to_json

from ..data.test_idx import files_under, idx
from .conftest import TINY

pytestmark = pytest.mark.long

CPU = torch.device("cpu")
N, ROWS = 300, 1_000
LOOP = {
    "initial": {"n": 100},
    "samples": N,
    "real": {},
    "synthetic": {"n": 100},
    "budget": {"initial": {"images": 10}, "retrain": {"images": 10}},
}


@pytest.fixture(scope="module")
def published(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with MNIST's own four files."""
    arrays = {key: load(mnist, key.split()[0])["labels" in key] for key in FILES}
    contents = {FILES[key]: idx(array[:, 0] if array.ndim == 4 else array) for key, array in arrays.items()}
    return files_under(tmp_path_factory.mktemp("mnist") / "files", contents)


@pytest.fixture(scope="module")
def experiment(published: Path) -> Experiment:
    classifier = {key: value for key, value in to_dict(TINY).items() if key not in ("dataset", "revision")}
    run = {"dataset": "digits", "model": "gan", "loop": "full", "generations": 1}
    return Experiment.from_config(
        {
            "experiment": "stacked",
            "datasets": {"digits": {"source": "stacked", "root": str(published), "rows": ROWS}},
            "classifier": classifier,
            "models": {"gan": {"family": "dcgan"}},
            "loops": {"full": LOOP},
            "runs": {"gan": run},
            "measures": {"stacked_modes": None, "variance": {"n": 10}},
            "figures": {},
        }
    )


@pytest.fixture(scope="module")
def digits(experiment: Experiment) -> Images:
    return experiment.images["digits"]


@pytest.fixture(scope="module")
def data(digits: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / digits.folder
    fetch(digits.data, folder, digits.root)
    return folder


@pytest.fixture
def samples(data: Path, tmp_path: Path) -> Path:
    """A generation that knows a few modes only: real test images, and its first twenty again and again."""
    images, _ = load(data, "test")
    images = np.concatenate([images[:20]] * (N // 20 - 1) + [images[20:40]])
    path = tmp_path / "seed-0" / "gen-1" / "samples.safetensors"
    write_tensors(path, {"images": images}, {"seed": "0", "generation": "1"})
    return path


def expected(images: np.ndarray, classifier: Path) -> dict[str, float]:
    """By what the classifier says of one plane after the other, with dictionaries and sums."""
    judge = load_classifier(classifier, CPU).judge
    digits = [judge(np.ascontiguousarray(images[:, [i]])).probabilities.argmax(axis=1) for i in range(3)]
    modes = list(zip(*digits, strict=True))
    shares = [modes.count(mode) / len(modes) for mode in set(modes)]
    return {
        "modes_covered": len(set(modes)),
        "mode_kl": sum(share * math.log(share * 1_000) for share in shares),
    }


def found(records: list[dict[str, Any]]) -> dict[str, float]:
    records = [record for record in records if record["measure"] in ("modes_covered", "mode_kl")]
    assert {record["features"] for record in records} == {f"classifier-{TINY.folder}"}
    return {record["measure"]: record["value"] for record in records}


def test_a_generations_modes_come_from_the_config_to_its_file_of_measures(
    experiment: Experiment, data: Path, samples: Path, classifier: Path
) -> None:
    spec, out = experiment.measure(experiment.runs["gan"], 0, 1), samples.with_name("measures.json")
    assert spec.measures["stacked_modes"]["n"] == N
    command = ["measure", "--spec", to_json(spec), "--samples", samples, "--data", data, "--out", out]
    assert main([*map(str, command), "--judges", str(classifier / "model.safetensors")]) == 0
    records = read_json(out)
    images, _ = read_tensors(samples)
    modes = expected(images["images"], classifier)
    assert found(records) == pytest.approx(modes)
    assert modes["modes_covered"] <= 40
    assert {record["n"] for record in records} == {N, 10}


def test_the_floor_is_the_value_of_real_images(experiment: Experiment, data: Path, classifier: Path) -> None:
    records = measure_real(experiment.floor("digits"), None, data, judges={TINY.folder: classifier})
    real = real_side(None, data, N, CPU, floor=True).images
    assert found(records) == pytest.approx(expected(real, classifier))


def test_true_digits_reach_the_modes_that_their_labels_name(data: Path, classifier: Path) -> None:
    images, labels = load(data, "train")
    judge = load_classifier(classifier, CPU).judge
    planes = judge(images.reshape(-1, 1, 28, 28)).probabilities.argmax(axis=1).reshape(-1, 3)
    right = (planes == np.stack([labels // 100, labels // 10 % 10, labels % 10], axis=1)).mean()
    assert right > 0.5  # as the fixture promises of its classifier; by chance it would be 0.1


def test_planes_are_judged_once_and_kept(
    experiment: Experiment, data: Path, samples: Path, classifier: Path, judged: list[int]
) -> None:
    spec, judges = experiment.measure(experiment.runs["gan"], 0, 1), {TINY.folder: classifier}
    first = measure(spec, samples, None, None, data, judges=judges)
    assert judged[0] == 3 * N
    judged.clear()
    assert measure(spec, samples, None, None, data, judges=judges) == first
    assert not judged
    (kept,) = samples.parent.glob("features-*")
    assert kept.name == f"features-classifier-{TINY.folder}-planes.safetensors"
    assert read_tensors(kept)[0]["planes"].shape == (N, 3, 10)


@pytest.mark.parametrize("kind", ["float16", "uint8"])
def test_images_from_elsewhere_have_the_same_modes(
    kind: str,
    digits: Images,
    data: Path,
    samples: Path,
    classifier: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = read_tensors(samples)[0]["images"]
    np.save(tmp_path / "mine.npy", images if kind == "uint8" else (images / 255).astype(kind))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ArtifactError, match=r"\Aresults/classifier/mnist-\*: no trained classifier; [^\n]+\Z"
    ):
        measure_file(tmp_path / "mine.npy", digits.data, (0.0, 1.0), None, data, N)
    Path("results/classifier").mkdir(parents=True)
    Path("results/classifier", TINY.folder).symlink_to(classifier)
    records = measure_file(tmp_path / "mine.npy", digits.data, (0.0, 1.0), None, data, N)
    # A float16 is 2⁻¹² off at most: no more than one picture in a hundred changes its most probable class.
    assert found(records) == pytest.approx(expected(images, classifier), rel=0 if kind == "uint8" else 0.1)
    assert "class_entropy" not in {
        record["measure"] for record in records
    }  # without a classifier of their own
