"""Datasets as data: what is planned is what is stored, whatever the source, and what is wrong is named in one line."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from bigloop.artifacts import read_tensors
from bigloop.data import SOURCES, DataError, configured, dataset, load, store
from bigloop.data.cifar10 import ARCHIVE, BYTES, CIFAR10, FILES, FOLDER, CifarArchive
from bigloop.data.store import check_files, fetch
from bigloop.spec.options import SpecError, parse, to_dict
from bigloop.spec.runs import DatasetSpec, data_folder

COLOURS = {"red": (250, 0, 0), "green": (0, 250, 0), "blue": (0, 0, 250)}


def planned(source: str, **options: Any) -> tuple[DatasetSpec, Path | None]:
    return configured(
        source, {k: str(v) if isinstance(v, Path) else v for k, v in options.items()}, "datasets.mine"
    )


def stored(spec: DatasetSpec, root: Path | None, folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and labels of both splits, as `fetch` leaves them; as many and of the shape that were planned."""
    place = folder / data_folder(spec)
    fetch(spec, place, root)
    found = {split: load(place, split) for split in ("train", "test")}
    for split, (images, labels) in found.items():
        assert images.dtype == np.uint8
        assert images.shape == (spec.rows[split], *spec.shape)
        assert labels.shape == (spec.rows[split],)
        assert not len(labels) or labels.max() < max(1, len(spec.classes))
    return found


def pictures(
    root: Path, many: Mapping[str, int], size: tuple[int, int] = (16, 16), suffix: str = "png"
) -> Path:
    """Folders of pictures, one for each class, each picture of the class's colour with a number in its corner."""
    for name, n in many.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(n):
            picture = Image.new("RGB", size, COLOURS[Path(name).name])
            picture.putpixel((0, 0), (number, number, number))
            picture.save(
                root / name / f"{number}.{suffix}", **({"lossless": True} if suffix == "webp" else {})
            )
    return root


def colours_of(images: np.ndarray) -> list[str]:
    """The class of each picture, by its brightest channel."""
    return [list(COLOURS)[i] for i in images[:, :, -1, -1].argmax(axis=1)]


# --- folders of pictures ---


def test_sub_folders_are_classes_and_the_labels_are_those_of_the_pictures(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"red": 12, "blue": 20, "green": 8})
    spec, where = planned("images", root=root, labels="folders")
    assert spec.classes == ("blue", "green", "red")
    assert spec.rows == {"train": 36, "test": 4}
    found = stored(spec, where, tmp_path)
    assert sum(len(images) for images, _ in found.values()) == 40
    for images, labels in found.values():
        assert colours_of(images) == [spec.classes[label] for label in labels]
    corners = {(*image[:, -1, -1], image[0, 0, 0]) for images, _ in found.values() for image in images}
    assert len(corners) == 40  # each picture once, none in both splits


def test_the_first_pictures_are_of_several_classes(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"red": 30, "blue": 30, "green": 30})
    spec, where = planned("images", root=root, labels="folders")
    labels = stored(spec, where, tmp_path)["train"][1]
    assert set(labels[:20]) == {
        0,
        1,
        2,
    }  # by chance alone, one would be missing with probability 3 (2/3)^20 = 0.1 %


def test_folders_train_and_test_are_the_splits(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"train/red": 9, "train/blue": 6, "test/red": 3, "test/blue": 2})
    spec, where = planned("images", root=root, labels="folders")
    assert spec.rows == {"train": 15, "test": 5}
    found = stored(spec, where, tmp_path)
    assert sorted(colours_of(found["test"][0])) == ["blue"] * 2 + ["red"] * 3
    both, _ = planned("images", root=root, labels="folders", splits=["train", "test"])
    assert both.rows == {"train": 18, "test": 2}  # 20 in all, of which a tenth is held out


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg", "PNG"])
def test_pictures_of_every_kind_are_read(suffix: str, tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"red": 10}, suffix=suffix)
    spec, where = planned("images", root=root / "red")
    assert (spec.classes, spec.labelled) == ((), False)
    images, labels = stored(spec, where, tmp_path)["train"]
    assert colours_of(images) == ["red"] * 9
    assert not labels.any()


def test_pictures_are_scaled_to_cover_the_square_and_cropped_at_the_centre(tmp_path: Path) -> None:
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 200  # the middle third
    tall = np.ascontiguousarray(wide.transpose(1, 0, 2))
    for number in range(5):
        Image.fromarray(wide).save(tmp_path / f"wide-{number}.png")
        Image.fromarray(tall).save(tmp_path / f"tall-{number}.png")
    spec, where = planned("images", root=tmp_path, size=8)
    for images, _ in stored(spec, where, tmp_path / "out").values():
        assert (images == 200).all()
    larger, where = planned("images", root=tmp_path, size=32)
    assert stored(larger, where, tmp_path / "out")["train"][0].mean() == pytest.approx(
        200, abs=10
    )  # soft edges


def test_a_turned_photograph_stands_upright(tmp_path: Path) -> None:
    lying = np.zeros((6, 12, 3), np.uint8)
    lying[:, :6] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    for number in range(2):
        Image.fromarray(lying).save(tmp_path / f"{number}.png", exif=exif)
    spec, where = planned("images", root=tmp_path)
    assert spec.shape == (3, 12, 6)
    images, _ = stored(spec, where, tmp_path / "out")["train"]
    assert images[0, 0, :6].all()
    assert not images[0, 0, 6:].any()


def test_grey_is_the_luminance(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"red": 3, "green": 3})
    spec, where = planned("images", root=root, grey=True)
    images, _ = stored(spec, where, tmp_path)["train"]
    assert spec.shape == (1, 16, 16)
    # ITU-R 601: 0.299 R + 0.587 G + 0.114 B
    assert {int(image[0, -1, -1]) for image in images} == {round(0.299 * 250), round(0.587 * 250)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["pink"]}, r"classes: no class 'pink' \(known: blue, red\)"),
        ({"classes": ["red", "red"]}, "classes: red, red contains a class twice"),
        ({"rows": 99}, "rows: 99 asked for, there are 18 to train on"),
        ({"splits": ["test"]}, r"splits: no split 'test' \(there are: train\)"),
        ({"splits": []}, r"splits: expected each once, got \[\]"),
        ({"splits": ["train", "train"]}, "splits: expected each once, got .+"),
        ({"size": 2}, "size: expected at least 4, got 2"),
        ({"colour": True}, "colour: unknown key .+"),
        ({"root": None}, "root: missing; set it to the folder with the pictures"),
        ({"root": "/no/where"}, "root: /no/where: no such folder"),
        ({"root": "x" * 300}, r"root: '?x+[^\n]* cannot be read \(File name too long\)"),
        ({"root": "a\0b"}, r"root: 'a\\x00b' contains the character 0, [^\n]+"),
        ({"labels": "names"}, "labels: expected one of none, folders, got 'names'"),
    ],
)
def test_what_a_folder_does_not_have_is_one_line_at_its_key(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    root = pictures(tmp_path / "in", {"red": 10, "blue": 10})
    with pytest.raises(SpecError, match=rf"\Adatasets\.mine\.{message}\Z"):
        planned("images", **{"root": root, "labels": "folders", **change})


def test_too_few_pictures_are_named_at_planning(tmp_path: Path) -> None:
    with pytest.raises(
        SpecError, match=r"\Adatasets\.mine\.root: [^\n]+: no pictures under it \(\.png, [^\n]+\)\Z"
    ):
        planned("images", root=tmp_path)
    pictures(tmp_path, {"red": 1})
    with pytest.raises(SpecError, match=r"\Adatasets\.mine\.root: holds 1 pictures [^\n]+ too few\Z"):
        planned("images", root=tmp_path)
    (tmp_path / "stray.png").write_bytes((tmp_path / "red" / "0.png").read_bytes())
    with pytest.raises(SpecError, match=r"stray\.png: is not in a sub-folder"):
        planned("images", root=tmp_path, labels="folders")


def test_a_damaged_picture_is_named_and_nothing_is_stored(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"red": 10})
    path = root / "red" / "4.png"
    path.write_bytes(path.read_bytes()[:60])  # its header is whole: planning cannot know
    spec, where = planned("images", root=root)
    with pytest.raises(DataError, match=rf"\A{re.escape(str(path))}: damaged, or not a picture \([^\n]+\Z"):
        fetch(spec, tmp_path / "out", where)
    assert not list(tmp_path.glob("out/*.safetensors"))


def test_pictures_of_several_sizes_are_named_where_no_size_is_asked_for(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"red": 10})
    Image.new("RGB", (16, 20)).save(root / "red" / "4.png")
    spec, where = planned("images", root=root)
    with pytest.raises(DataError, match=r"\A[^\n]+ pictures differ in size; [^\n]+ size [^\n]+\Z"):
        fetch(spec, tmp_path / "out", where)
    spec, where = planned("images", root=root, size=16)
    stored(spec, where, tmp_path)


# --- who a dataset is ---


def test_other_files_under_the_same_name_and_root_are_another_dataset(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"red": 10, "blue": 10})
    first, _ = planned("images", root=root)
    assert planned("images", root=root)[0] == first
    Image.new("RGB", (16, 16)).save(root / "red" / "one-more.png")
    second, _ = planned("images", root=root)
    assert data_folder(first) != data_folder(second)
    moved = root.rename(tmp_path / "moved")
    assert planned("images", root=moved)[0] == second  # where files lie does not matter


def test_a_dataset_comes_through_json_as_it_was(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"red": 10, "blue": 10})
    for spec in (
        planned("images", root=root, labels="folders")[0],
        planned("mnist", rows=100, classes=["3", "8"])[0],
    ):
        assert parse(DatasetSpec, to_dict(spec), "dataset") == spec


def test_a_file_whose_content_changes_behind_its_name_stops_with_one_line(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"red": 10, "blue": 10}, suffix="webp")
    spec, where = planned("images", root=root)
    place = tmp_path / data_folder(spec)
    stored(spec, where, tmp_path)
    check_files(spec, place, where)
    path = root / "red" / "3.webp"
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    message = rf"\A{re.escape(str(path))}: its content has changed since it was stored [^\n]+\Z"
    with pytest.raises(SpecError, match=message):
        check_files(spec, place, where)
    with pytest.raises(DataError, match=message):
        fetch(spec, place, where)
    path.write_bytes(sound)  # put back: another time, the same content
    check_files(spec, place, where)
    fetch(spec, place, where)


def test_what_is_stored_says_what_it_is(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"red": 10})
    spec, where = planned("images", root=root)
    stored(spec, where, tmp_path)
    headers = [read_tensors(tmp_path / data_folder(spec) / f"{s}.safetensors")[1] for s in ("train", "test")]
    assert headers[0]["contents"] == headers[1]["contents"]
    assert headers[0]["source"] == f"10 pictures under {root}"


def test_files_that_changed_since_planning_are_not_stored(tmp_path: Path) -> None:
    root = pictures(tmp_path / "in", {"red": 10})
    spec, where = planned("images", root=root)
    (root / "red" / "9.png").unlink()
    with pytest.raises(DataError, match=r"\A[^\n]+ were planned; the files have changed meanwhile: [^\n]+\Z"):
        fetch(spec, tmp_path / "out", where)


def test_more_images_than_memory_holds_are_refused_with_the_figure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(store, "spare_memory", lambda: 10**9)
    spec, _ = planned("fashion_mnist", size=256)
    assert spec.rows["train"] + spec.rows["test"] == 70_000
    # 70 000 · 256² bytes are 4.6 GB, three times in memory
    with pytest.raises(
        DataError, match=r"\Afashion_mnist: 70,000 images [^\n]+ 13\.8 GB [^\n]+ 1\.0 GB are free; "
    ):
        fetch(spec, tmp_path / "out", None)


# --- arrays ---


def save_arrays(path: Path, **arrays: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, arrays["images"])
    elif path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        safetensors.numpy.save_file(arrays, path)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
@pytest.mark.parametrize("layout", ["hw", "chw", "hwc"])
def test_arrays_of_every_layout_and_file_are_stored_as_bytes(
    suffix: str, layout: str, tmp_path: Path
) -> None:
    truth = (
        np.random.default_rng(0).integers(0, 256, (20, 1 if layout == "hw" else 3, 12, 16)).astype(np.uint8)
    )
    floats = (truth / 127.5 - 1).astype(np.float32)
    array = {"hw": floats[:, 0], "chw": floats, "hwc": np.ascontiguousarray(floats.transpose(0, 2, 3, 1))}[
        layout
    ]
    root = save_arrays(tmp_path / f"mine{suffix}", images=array)
    spec, where = planned("arrays", root=root, range=[-1, 1])
    assert spec.shape == truth.shape[1:]
    found = stored(spec, where, tmp_path)
    every = np.concatenate([images for images, _ in found.values()])
    assert {image.tobytes() for image in every} == {image.tobytes() for image in truth}


def test_labels_in_a_file_are_the_classes(tmp_path: Path) -> None:
    labels = np.arange(40) % 4
    images = np.broadcast_to(labels[:, None, None].astype(np.uint8), (40, 8, 8)).copy()
    root = save_arrays(tmp_path / "mine.npz", images=images, labels=labels)
    spec, where = planned("arrays", root=root)
    assert spec.classes == ("0", "1", "2", "3")
    for found, numbers in stored(spec, where, tmp_path).values():
        np.testing.assert_array_equal(found[:, 0, 0, 0], numbers)
    two, where = planned("arrays", root=root, classes=["3", "1"])
    assert two.rows == {"train": 18, "test": 2}
    for found, numbers in stored(two, where, tmp_path).values():
        np.testing.assert_array_equal(found[:, 0, 0, 0], np.array([3, 1])[numbers])


def test_two_files_are_two_splits(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for split, n in (("train", 12), ("test", 4)):
        save_arrays(tmp_path / "in" / f"{split}.npy", images=np.zeros((n, 8, 8), np.uint8))
    spec, where = planned("arrays", root=tmp_path / "in")
    assert spec.rows == {"train": 12, "test": 4}
    stored(spec, where, tmp_path)
    save_arrays(tmp_path / "in" / "test.npy", images=np.zeros((4, 8, 9), np.uint8))
    with pytest.raises(
        SpecError, match=r"\Adatasets\.mine\.root: [^\n]+test\.npy: images of \(1, 8, 9\), but [^\n]+\Z"
    ):
        planned("arrays", root=tmp_path / "in")


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"images": np.zeros((9, 8))}, {}, r"root: [^\n]+ an array of shape \(9, 8\), expected [^\n]+"),
        (
            {"images": np.zeros((9, 8, 8)), "labels": np.zeros(8, int)},
            {},
            r"root: [^\n]+ expected 9 whole numbers [^\n]+",
        ),
        (
            {"a": np.zeros((9, 8, 8)), "b": np.zeros(9)},
            {},
            r"root: [^\n]+: holds a, b; expected one array, [^\n]+",
        ),
        (
            {"images": np.zeros((9, 8, 8))},
            {"range": [1, 0]},
            r"range: expected black and white, as \[0, 1\], [^\n]+",
        ),
        (
            {"images": np.zeros((9, 8, 8))},
            {"range": [1]},
            r"range: expected black and white, as \[0, 1\], [^\n]+",
        ),
    ],
)
def test_arrays_that_are_no_images_are_named_at_planning(
    arrays: dict[str, np.ndarray], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    root = save_arrays(tmp_path / "mine.npz", **arrays)
    with pytest.raises(SpecError, match=rf"\Adatasets\.mine\.{message}\Z"):
        planned("arrays", root=root, **options)


def test_pixels_outside_the_stated_range_and_pickles_are_refused(tmp_path: Path) -> None:
    spec, where = planned(
        "arrays", root=save_arrays(tmp_path / "mine.npy", images=np.full((20, 8, 8), 255.0))
    )
    with pytest.raises(
        DataError, match=r"\A[^\n]+ are outside the given range 0 … 1; set it as range: [^\n]+\Z"
    ):
        fetch(spec, tmp_path / "out", where)
    np.save(tmp_path / "bad.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(SpecError, match=r"\Adatasets\.mine\.root: [^\n]+bad\.npy: cannot be read [^\n]+\Z"):
        planned("arrays", root=tmp_path / "bad.npy")


# --- published archives ---


@pytest.fixture(scope="module")
def rows() -> dict[str, np.ndarray]:
    """Rows in CIFAR-10's layout, by file: a label, then the planes of red, green and blue."""
    rng = np.random.default_rng(0)
    files = [*FILES["train"], *FILES["test"]]
    return {
        name: np.column_stack([np.arange(10), rng.integers(0, 256, (10, BYTES - 1))]).astype(np.uint8)
        for name in files
    }


@pytest.fixture(scope="module")
def archive(rows: dict[str, np.ndarray]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, array in rows.items():
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size = array.nbytes
            tar.addfile(member, io.BytesIO(array.tobytes()))
    return content.getvalue()


@pytest.fixture
def tiny_cifar(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> CifarArchive:
    """CIFAR-10 with 50 + 10 pictures, whose archive is the one of these tests."""
    md5 = hashlib.md5(archive).hexdigest()
    source = replace(CIFAR10, md5=md5, counts={"train": (5,) * 10, "test": (1,) * 10})
    monkeypatch.setitem(SOURCES, "tiny_cifar", source)
    return source


def test_cifars_planes_are_red_green_and_blue(
    tiny_cifar: CifarArchive, archive: bytes, rows: dict[str, np.ndarray], tmp_path: Path
) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / ARCHIVE).write_bytes(archive)
    for root in (tmp_path / "deep", tmp_path / "deep" / "er" / ARCHIVE):
        spec, where = planned("tiny_cifar", root=root)
        images, labels = stored(spec, where, tmp_path)["train"]
        all_rows = np.concatenate([rows[name] for name in FILES["train"]])
        np.testing.assert_array_equal(labels, all_rows[:, 0])
        for channel in range(3):
            plane = all_rows[:, 1 + 1024 * channel : 1 + 1024 * (channel + 1)].reshape(-1, 32, 32)
            np.testing.assert_array_equal(images[:, channel], plane)


def test_classes_and_splits_of_cifar_are_chosen(
    tiny_cifar: CifarArchive, archive: bytes, tmp_path: Path
) -> None:
    (tmp_path / ARCHIVE).write_bytes(archive)
    spec, where = planned(
        "tiny_cifar", root=tmp_path, classes=["horse", "cat"], splits=["train", "test"], size=16
    )
    assert (spec.classes, spec.shape) == (("horse", "cat"), (3, 16, 16))
    assert spec.rows == {"train": 11, "test": 1}
    stored(spec, where, tmp_path)
    one, where = planned("tiny_cifar", root=tmp_path, classes=["horse"], splits=["train", "test"], grey=True)
    assert not one.labelled
    stored(one, where, tmp_path)


def test_an_archive_of_another_md5_is_named_and_refused(archive: bytes, tmp_path: Path) -> None:
    path = tmp_path / ARCHIVE
    path.write_bytes(archive)
    spec, where = planned("cifar10", root=tmp_path)
    md5 = hashlib.md5(archive).hexdigest()
    published = "c32a1d4ab5d03f1284b67883e8d87530"
    message = (
        rf"\A{re.escape(str(path))}: not the published file \(MD5 {md5}, expected {published}\); [^\n]+\Z"
    )
    with pytest.raises(DataError, match=message):
        fetch(spec, tmp_path / "out", where)


def test_the_archive_of_pickles_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"\x80\x04.")
    spec, where = planned("cifar10", root=tmp_path)
    with pytest.raises(
        DataError, match=rf"no file {ARCHIVE} under it; cifar-10-python\.tar\.gz is not read, [^\n]+\Z"
    ):
        fetch(spec, tmp_path / "out", where)


def test_cifar_is_known_before_it_is_there() -> None:
    about = dataset("cifar10")
    assert (about.shape, about.rows) == ((3, 32, 32), {"train": 50_000, "test": 10_000})
    assert about.classes[7] == "horse"
    horses = planned("cifar10", classes=["horse"], splits=["train", "test"])[0]
    assert horses.rows == {"train": 5_400, "test": 600}


# --- what is chosen ---


def test_a_choice_of_mnist_is_of_its_own_rows_and_labels(mnist: Path, tmp_path: Path) -> None:
    class Stored:
        """MNIST as it lies in the tests' cache."""

        Options, revision, handover, about = SOURCES["mnist"].Options, 1, "float16", ""
        listing = SOURCES["mnist"].listing

        def contents(self, options: Any, root: Path | None) -> Any:
            from bigloop.data import Contents

            both = {split: load(mnist, split) for split in ("train", "test")}
            labels = {split: labels for split, (_, labels) in both.items()}
            return Contents(labels, lambda split, rows: both[split][0][rows], "the cache")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCES, "stored_mnist", Stored())
        spec, where = planned("stored_mnist", classes=["8", "3"], rows=500)
        assert spec.rows == {"train": 500, "test": 500}
        images, labels = stored(spec, where, tmp_path)["train"]
    originals, numbers = load(mnist, "train")
    known = {image.tobytes(): number for image, number in zip(originals, numbers, strict=True)}
    assert [known[image.tobytes()] for image in images] == [(8, 3)[label] for label in labels]
    assert len({image.tobytes() for image in images}) == 500
