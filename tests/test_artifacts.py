"""Files are replaced whole or not at all, and one that is not what it was is found when it is read."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigloop.artifacts import (
    ArtifactError,
    link,
    read_json,
    read_table,
    read_tensors,
    replacing,
    write_json,
    write_table,
    write_tensors,
)

TENSORS = {
    "images": np.arange(24, dtype=np.float16).reshape(2, 3, 4),
    "labels": np.array([7, 8], np.int64),
    "count": np.array(3, np.uint8),
}
HEADER = {"seed": "0", "generation": "3"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "vae-mnist" / "seed-0" / "gen-3" / "samples.safetensors"
    write_tensors(path, TENSORS, HEADER)
    return path


def names_the_file(path: Path) -> str:
    """A pattern for one line that begins with the path."""
    return rf"\A{re.escape(str(path))}: [^\n]+\Z"


def test_arrays_and_header_come_back_bit_for_bit(file: Path) -> None:
    tensors, header = read_tensors(file)
    assert header.items() >= HEADER.items()
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        np.testing.assert_array_equal(tensors[name], tensor)


def test_the_checksum_is_of_the_content_and_not_of_its_place_or_header(tmp_path: Path) -> None:
    first = write_tensors(tmp_path / "a.safetensors", TENSORS, {"seed": "0"})
    same = write_tensors(tmp_path / "b.safetensors", dict(reversed(TENSORS.items())), {"seed": "1"})
    other = write_tensors(tmp_path / "c.safetensors", {**TENSORS, "labels": np.array([7, 9])}, {"seed": "0"})
    turned = write_tensors(tmp_path / "d.safetensors", {**TENSORS, "labels": np.array([[7, 8]])}, {})
    assert first == same
    assert len({first, other, turned}) == 3


def test_memory_layout_is_not_content(tmp_path: Path) -> None:
    array = np.arange(12.0).reshape(3, 4)
    plain = write_tensors(tmp_path / "a.safetensors", {"x": array}, {})
    assert write_tensors(tmp_path / "b.safetensors", {"x": np.asfortranarray(array)}, {}) == plain
    np.testing.assert_array_equal(read_tensors(tmp_path / "b.safetensors")[0]["x"], array)


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_never_gives_other_arrays(file: Path, position: float, bit: int) -> None:
    sound = file.read_bytes()
    damaged = bytearray(sound)
    damaged[int(position * len(sound))] ^= 1 << bit
    file.write_bytes(damaged)
    try:
        tensors, _ = read_tensors(file)
    except ArtifactError as error:
        assert re.fullmatch(names_the_file(file), str(error))  # noqa: PT017
    else:  # a letter of the header, which the checksum of the arrays leaves out
        assert {name: tensor.tobytes() for name, tensor in tensors.items()} == {
            name: tensor.tobytes() for name, tensor in TENSORS.items()
        }
    finally:
        file.write_bytes(sound)


def test_a_flipped_bit_in_the_data_is_found(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=names_the_file(file)):
        read_tensors(file)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_or_empty_file_is_found(file: Path, kept: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ArtifactError, match=names_the_file(file)):
        read_tensors(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=names_the_file(tmp_path / "no.safetensors")):
        read_tensors(tmp_path / "no.safetensors")


def test_a_safetensors_file_of_another_maker_is_refused(tmp_path: Path) -> None:
    import safetensors.numpy

    safetensors.numpy.save_file({"x": np.zeros(2)}, str(tmp_path / "x.safetensors"))
    with pytest.raises(ArtifactError, match=names_the_file(tmp_path / "x.safetensors")):
        read_tensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    "other", ["vae-mnist/seed-0/gen-4", "vae-mnist/seed-1/gen-3", "wgan-mnist/seed-0/gen-3"]
)
def test_a_file_in_anothers_place_is_refused_unless_asked_for(file: Path, tmp_path: Path, other: str) -> None:
    moved = tmp_path / other / file.name
    moved.parent.mkdir(parents=True)
    shutil.copy(file, moved)
    with pytest.raises(ArtifactError, match=names_the_file(moved)):
        read_tensors(moved)
    assert read_tensors(moved, anywhere=True)[0].keys() == TENSORS.keys()


def test_a_whole_results_folder_may_be_moved(file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "vae-mnist").rename(tmp_path / "elsewhere" / "vae-mnist")
    read_tensors(tmp_path / "elsewhere" / file.relative_to(tmp_path))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_until_a_write_ends_the_old_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    write_json(tmp_path / "ours", [])
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "by").write_text("a file")
    with pytest.raises(ArtifactError, match=names_the_file(tmp_path / "taken")):
        write_json(tmp_path / "taken", {})
    with pytest.raises(ArtifactError, match=r"taken/by"):
        write_json(tmp_path / "taken" / "by" / "below.json", {})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_is_not_a_number_and_keeps_the_old_file(tmp_path: Path, value: float) -> None:
    path = tmp_path / "measures.json"
    write_json(path, {"fid": 1.0})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"fid": value})
    assert read_json(path) == {"fid": 1.0}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b'{"fid": 1.', b"\xff\xfe\x00"], ids=["empty", "cut", "binary"])
def test_json_that_is_broken_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "measures.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=names_the_file(path)):
        read_json(path)
    with pytest.raises(ArtifactError, match=names_the_file(tmp_path / "no.json")):
        read_json(tmp_path / "no.json")


def test_floats_survive_json_and_tables_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=20_000) * 10.0 ** rng.integers(-300, 300, 20_000)
    write_json(tmp_path / "v.json", values.tolist())
    write_table(tmp_path / "v.csv", pd.DataFrame({"value": values}))
    assert read_json(tmp_path / "v.json") == values.tolist()
    assert read_table(tmp_path / "v.csv")["value"].tolist() == values.tolist()


@pytest.mark.parametrize("content", [b"", b'a,b\n1,2\n1,2,3,4\n"'], ids=["empty", "ragged"])
def test_a_table_that_is_broken_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "measures.csv"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=names_the_file(path)):
        read_table(path)
    with pytest.raises(ArtifactError, match=names_the_file(tmp_path / "no.csv")):
        read_table(tmp_path / "no.csv")


def test_a_link_is_relative_and_replaces_another(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    place = tmp_path / "experiment" / "runs" / "vae"
    link(place, tmp_path / "runs" / "old")
    link(place, tmp_path / "runs" / "new")
    link(place, tmp_path / "runs" / "new")
    assert not place.readlink().is_absolute()
    assert place.resolve() == tmp_path / "runs" / "new"
    assert list(place.parent.iterdir()) == [place]


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    header = {word: word for word in ("spec", "seed", "generation", "model", "family")}
    tensors = {name: np.arange(3.0) for name in ("images", "labels", "weights")}
    written = set()
    for _ in range(
        20
    ):  # safetensors orders a map at random: twenty times the same order would be no accident
        path = tmp_path / "runs" / "seed-0" / "gen-1" / "samples.safetensors"
        write_tensors(path, tensors, header)
        written.add(path.read_bytes())
    assert len(written) == 1
