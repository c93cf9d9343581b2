"""Stacked digits: three pictures of another source in the planes of an image, whose class is that of the three."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from bigloop.artifacts import read_tensors
from bigloop.data import SOURCES, DataError, SourceOptions, configured, dataset, load, plane_source, source
from bigloop.data.idx import FILES, IdxImages
from bigloop.data.mnist import MNIST
from bigloop.data.stacked import StackedOptions
from bigloop.data.store import fetch
from bigloop.spec.options import SpecError
from bigloop.spec.runs import DatasetSpec, data_folder

from .test_idx import files_under, idx

ROWS = {"train": 300, "test": 40}
SPLITS = ("train", "test")


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """Pictures of noise and their labels, as LeCun's files hold them."""
    rng = np.random.default_rng(0)
    return {
        key: rng.integers(0, 256 if "images" in key else 10, size=shape, dtype=np.uint8)
        for split, n in ROWS.items()
        for key, shape in ((f"{split} images", (n, 28, 28)), (f"{split} labels", (n,)))
    }


@pytest.fixture
def root(arrays: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with these files, which are MNIST's from now on."""
    contents = {FILES[key]: idx(array) for key, array in arrays.items()}
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    counts = {split: tuple(np.bincount(arrays[f"{split} labels"], minlength=10).tolist()) for split in ROWS}
    monkeypatch.setitem(SOURCES, "mnist", IdxImages("MNIST", md5, tuple("0123456789"), counts))
    return files_under(tmp_path / "in", contents)


def planned(root: Path | None = None, **options: Any) -> DatasetSpec:
    given = options | ({"root": str(root)} if root else {})
    return configured("stacked", given, "datasets.mine")[0]


def stored(root: Path, folder: Path, **options: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and labels of both splits; as many and of the shape that were planned."""
    spec = planned(root, **options)
    place = folder / data_folder(spec)
    fetch(spec, place, root)
    found = {split: load(place, split) for split in SPLITS}
    for split, (images, labels) in found.items():
        assert images.dtype == np.uint8
        assert images.shape == (spec.rows[split], *spec.shape)
        assert labels.dtype == np.int64
    return found


def pictures(images: np.ndarray, arrays: dict[str, np.ndarray], split: str) -> np.ndarray:
    """Which picture of a split of the source each plane is, (n, 3); KeyError where it is none of them."""
    places = {picture.tobytes(): place for place, picture in enumerate(arrays[f"{split} images"])}
    assert len(places) == ROWS[split]
    return np.array([[places[plane.tobytes()] for plane in image] for image in images])


# --- planes and labels ---


@pytest.mark.parametrize("n", [None, 50, 300, 700])
def test_planes_are_pictures_of_the_same_split_and_labels_their_three_digits(
    n: int | None, root: Path, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    found = stored(root, tmp_path, n=n)
    assert {split: len(labels) for split, (_, labels) in found.items()} == {"train": n or 300, "test": 40}
    for split, (images, labels) in found.items():
        digits = arrays[f"{split} labels"].astype(int)[pictures(images, arrays, split)]
        np.testing.assert_array_equal(labels, digits @ [100, 10, 1])


@pytest.mark.parametrize("n", [100, 300])
def test_up_to_as_many_images_as_pictures_none_is_twice_in_a_plane(
    n: int, root: Path, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    drawn = pictures(stored(root, tmp_path, n=n)["train"][0], arrays, "train")
    for plane in drawn.T:
        assert len(set(plane)) == n


def test_more_images_than_pictures_are_drawn_with_replacement(
    root: Path, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    n, rows = 2 * ROWS["train"], ROWS["train"]
    drawn = pictures(stored(root, tmp_path, n=n)["train"][0], arrays, "train")
    # Of 2 rows draws, a share (1 − 1/rows)^(2 rows) ≈ e⁻² of the pictures is never among; its number has the variance
    # rows e⁻² (1 − 3 e⁻²), that of empty cells. Shuffled copies of all pictures would leave none out.
    missing = rows * np.exp(-2)
    spread = np.sqrt(missing * (1 - 3 * np.exp(-2)))
    for plane in drawn.T:
        assert abs(rows - len(set(plane)) - missing) < 4 * spread


def test_planes_are_drawn_apart(root: Path, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    drawn = pictures(stored(root, tmp_path)["train"][0], arrays, "train")
    for a, b in (
        (0, 1),
        (0, 2),
        (1, 2),
    ):  # the same picture in both: Poisson with mean 1, above 7 in 1 of 100 000
        assert (drawn[:, a] == drawn[:, b]).sum() <= 7


def test_digits_of_mnists_planes_are_independent_and_each_planes_are_those_of_mnist() -> None:
    counts = source("stacked").listing(StackedOptions(), None).counts
    for split, digits in MNIST.counts.items():
        table = np.array(counts[split]).reshape(10, 10, 10)
        for plane in range(3):
            others = tuple(axis for axis in range(3) if axis != plane)
            assert tuple(table.sum(axis=others)) == digits
            # One fixed draw of each table: of correct ones, one in a thousand has a p-value below 0.001.
            assert chi2_contingency(table.sum(axis=plane)).pvalue > 1e-3
        if split == "train":  # five images a mode and more, as the test wants it
            assert chi2_contingency(table).pvalue > 1e-3


# --- the same images everywhere ---


def test_images_are_the_same_every_time_and_fewer_are_the_first_of_more(root: Path, tmp_path: Path) -> None:
    first, second = (stored(root, tmp_path / name) for name in ("one", "two"))
    few = stored(root, tmp_path, n=20)
    for split in SPLITS:
        for a, b in zip(first[split], second[split], strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(few["train"][0], first["train"][0][:20])
    np.testing.assert_array_equal(few["test"][0], first["test"][0])


def test_the_draws_of_mnist_are_pinned() -> None:
    """A digest of how many images each mode has: another one means that stored data were made otherwise."""
    found = {}
    for n in (None, 128_000):
        counts = source("stacked").listing(StackedOptions(n=n), None).counts
        found[n] = hashlib.sha256(np.array(counts["train"], "<i8").tobytes()).hexdigest()[:16]
    assert found == {None: "467080aaab0eff65", 128_000: "857ac27aa5b664dd"}


def test_what_is_planned_is_what_is_there_also_of_chosen_modes(root: Path, tmp_path: Path) -> None:
    spec = planned(root, n=1_000)
    counts = source("stacked").listing(StackedOptions(n=1_000), root).counts["train"]
    _, labels = stored(root, tmp_path, n=1_000)["train"]
    assert Counter(labels.tolist()) == {mode: count for mode, count in enumerate(counts) if count}
    most = [spec.classes[mode] for mode in np.argsort(counts)[-2:]]
    chosen = stored(root, tmp_path, n=1_000, classes=most, splits=["train", "test"])
    assert sum(len(images) for images, _ in chosen.values()) >= sum(sorted(counts)[-2:])
    assert len(stored(root, tmp_path, n=1_000, rows=77)["train"][0]) == 77


# --- what it is ---


def test_it_is_known_before_it_is_there() -> None:
    about = dataset("stacked")
    assert (about.shape, about.rows) == ((3, 28, 28), {"train": 60_000, "test": 10_000})
    assert len(about.classes) == 1_000
    assert (about.classes[0], about.classes[7], about.classes[-1]) == ("000", "007", "999")
    assert planned(n=128_000).rows == {"train": 128_000, "test": 10_000}
    assert source("stacked").handover == "uint8"


def test_each_n_and_each_source_of_the_planes_is_a_dataset_of_its_own() -> None:
    chosen = ({}, {"n": 128_000}, {"n": 26_000}, {"of": "fashion_mnist"})
    specs = [planned(**options) for options in chosen]
    assert len({data_folder(spec) for spec in specs}) == len(specs)


def test_planes_are_pictures_of_the_source_that_they_are_made_of_and_of_no_other() -> None:
    assert plane_source("stacked") == "mnist"
    assert plane_source(planned(of="fashion_mnist")) == "fashion_mnist"
    assert not plane_source(planned(grey=True))  # three digits over each other
    assert not any(plane_source(name) for name in ("mnist", "fashion_mnist", "cifar10"))


def test_the_files_are_those_of_the_source_and_missed_as_it_misses_them(root: Path, tmp_path: Path) -> None:
    spec = planned(root)
    assert spec.files is None  # published files are no part of a dataset's name
    fetch(spec, tmp_path / "out", root)
    assert (
        read_tensors(tmp_path / "out" / "test.safetensors")[1]["source"]
        == f"files under {root}, 3 to an image"
    )
    (root / FILES["test labels"]).write_bytes(b"")
    with pytest.raises(DataError, match=rf"\A{root}/{FILES['test labels']}: not the published file [^\n]+\Z"):
        fetch(spec, tmp_path / "again", root)


def test_mnist_itself_is_as_it_was(root: Path, arrays: dict[str, np.ndarray]) -> None:
    pictures_of = source("mnist").contents(SourceOptions(), root)
    np.testing.assert_array_equal(pictures_of.take("train", np.arange(300))[:, 0], arrays["train images"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": "cifar10"}, "of: expected one of mnist, fashion_mnist, got 'cifar10'"),
        ({"of": "stacked"}, "of: expected one of mnist, fashion_mnist, got 'stacked'"),
        ({"n": 0}, "n: expected at least 1, got 0"),
        ({"n": 10**8}, "n: expected at most 10000000, got 100000000"),
        ({"n": 1.5}, "n: expected [^\n]+"),
        ({"n": 100, "rows": 200}, "rows: 200 asked for, there are 100 to train on"),
        ({"classes": ["7"]}, r"classes: no class '7' \(known: 000, 001, …, 999\)"),
        ({"planes": 3}, "planes: unknown key [^\n]+"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line_at_its_key(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=rf"\Adatasets\.mine\.{message}\Z"):
        planned(**options)
