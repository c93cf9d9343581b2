"""Samples that another program generated become a generation's, whatever the file they come in."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from bigloop.artifacts import ArtifactError, file_checksum, read_json, read_tensors
from bigloop.data import DataError
from bigloop.data.elsewhere import check_unchanged
from bigloop.generation.elsewhere import import_samples
from bigloop.generation.sample import read_samples, recall_samples
from bigloop.generation.store import fresh_model, prune
from bigloop.generation.train import import_weights
from bigloop.models import resolve
from bigloop.runtime.progress import quiet
from bigloop.spec.generations import ImportSpec, TrainSpec
from bigloop.spec.options import SpecError
from bigloop.training.devices import default_device

BYTES = np.random.default_rng(0).integers(0, 256, (1_200, 28, 28), np.uint8)
FLOATS = (BYTES / 255).astype(np.float32)


def written(path: Path, **arrays: np.ndarray) -> Path:
    """A file with these arrays, in the format that its name says."""
    if path.suffix == ".npy":
        np.save(path, arrays["images"])
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        safetensors.numpy.save_file({k: np.ascontiguousarray(a) for k, a in arrays.items()}, path)
    return path


def imported(file: Path, out: Path, **more: Any) -> dict[str, np.ndarray]:
    """The samples of a generation that was imported from a file."""
    spec = replace(ImportSpec("mnist", 0, 3, file.stat().st_size), **more)
    import_samples(spec, file, out)
    return read_samples(out / "samples.safetensors", 0, 3)[0]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "generated-mnist-00000000" / "seed-0" / "gen-3"


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_bytes_stay_bytes_in_every_format(suffix: str, tmp_path: Path, out: Path) -> None:
    rows = imported(written(tmp_path / f"theirs{suffix}", images=BYTES), out, black_white=(-1.0, 1.0))
    np.testing.assert_array_equal(rows["images"], BYTES[:, None])
    assert rows["images"].dtype == np.uint8


@pytest.mark.parametrize("black_white", [None, (-1.0, 1.0), (0.0, 255.0)])
def test_a_stated_range_is_mapped_to_0_and_1_and_nothing_is_clipped(
    black_white: tuple[float, float] | None, tmp_path: Path, out: Path
) -> None:
    low, high = black_white or (0.0, 1.0)
    overshooting = FLOATS[..., None] * 1.2
    file = written(tmp_path / "theirs.npz", images=low + (high - low) * overshooting)
    images = imported(file, out, black_white=black_white)["images"]
    assert (images.dtype, images.shape) == (np.float16, (1_200, 1, 28, 28))
    # float16 has 11 bits: half a unit of the last of them, at most 1.2, and float32's rounding of 0 … 306.
    np.testing.assert_allclose(images, overshooting.transpose(0, 3, 1, 2), atol=2**-11 + 1e-6)


def test_a_range_that_cannot_be_is_one_line_that_says_where_it_is_set(tmp_path: Path, out: Path) -> None:
    file = written(tmp_path / "theirs.npy", images=FLOATS * 255)
    with pytest.raises(DataError, match=rf"\A{re.escape(str(file))}: [^\n]*; set it as range: [^\n]*\Z"):
        imported(file, out)
    assert not out.exists()


def test_preview_and_record_belong_to_the_samples(tmp_path: Path, out: Path) -> None:
    file = written(tmp_path / "theirs.npz", images=BYTES, labels=np.arange(1_200) % 10)
    rows = imported(file, out, samples=1_100)
    assert (len(rows["images"]), rows["labels"].dtype) == (1_100, np.int64)
    generation, recalled, checksum, _ = recall_samples(out / "preview.safetensors", 0, quiet)
    assert generation == 3
    np.testing.assert_array_equal(recalled["labels"], rows["labels"])
    record = read_json(out / "import.json")
    assert record["sha256"] == checksum
    assert record["file"]["sha256"] == file_checksum(file)
    assert len(read_tensors(out / "preview.safetensors")[0]["images"]) == 1_000


def test_samples_that_no_model_can_draw_again_are_never_deleted(tmp_path: Path, out: Path) -> None:
    imported(written(tmp_path / "theirs.npy", images=BYTES), out)
    (out / "measures.json").touch()
    prune(out.parent, [3], (), 0)
    assert (out / "samples.safetensors").is_file()
    (out / "samples.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"no model is there to draw it again; delete preview"):
        recall_samples(out / "preview.safetensors", 0, quiet)


@pytest.mark.parametrize(
    ("arrays", "more", "words"),
    [
        ({"images": BYTES}, {"samples": 1_201}, "holds 1200 images, but the run's samples are 1201"),
        ({"images": BYTES}, {"file_bytes": 5}, "changed since the workflow was planned"),
        ({"images": BYTES[:, :27]}, {}, "images of shape"),
        ({"images": BYTES, "labels": np.full(1_200, 10)}, {}, "labels of shape"),
        ({"images": BYTES, "labels": np.zeros(5, int)}, {}, "labels of shape"),
        ({"images": BYTES[:0]}, {}, "contains no images"),
    ],
    ids=["few", "size", "shape", "classes", "labels", "none"],
)
def test_a_file_that_does_not_fit_is_one_line_that_names_it(
    arrays: dict[str, np.ndarray], more: dict[str, Any], words: str, tmp_path: Path, out: Path
) -> None:
    file = written(tmp_path / "theirs.npz", **arrays)
    with pytest.raises((ArtifactError, DataError), match=rf"\A{re.escape(str(file))}: {words}[^\n]*\Z"):
        imported(file, out, **more)
    assert not out.exists()


def test_a_file_whose_content_changed_under_its_name_and_size_is_found(tmp_path: Path, out: Path) -> None:
    file = written(tmp_path / "theirs.npy", images=BYTES)
    imported(file, out)
    os.utime(file, ns=(1, 1))
    check_unchanged(file, out)  # touched, not changed
    written(file, images=255 - BYTES)
    with pytest.raises(
        SpecError, match=rf"\A{re.escape(str(file))}: its content has changed since it was imported"
    ):
        check_unchanged(file, out)
    written(file, images=BYTES[:5])  # of another size it is imported again
    check_unchanged(file, out)
    check_unchanged(file, out.with_name("gen-4"))  # not imported yet


def test_the_hash_of_a_lineages_weights_is_in_the_record(small_mnist: Path, tmp_path: Path) -> None:
    spec = TrainSpec("mnist", resolve("wgan_gp", {"width": 2, "latent": 8}, "model"), 0, 7)
    file = tmp_path / "gen-7.safetensors"
    safetensors.numpy.save_file(fresh_model(spec, default_device()).state()[0], file)
    out = tmp_path / "run" / "seed-0" / "gen-7"
    import_weights(replace(spec, file_bytes=file.stat().st_size), file, small_mnist, out, quiet)
    record = read_json(out / "model.json")
    assert record["inputs"]["weights"] == record["file"]["sha256"] == file_checksum(file)
    assert record["spec"]["generation"] == 7
    assert "weights" not in record["spec"]
