"""Files are replaced whole or not at all, and one that is not what it was is found when it is read."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bigloop.artifacts import (
    ArtifactError,
    checksum_at,
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
        assert tensors[name].shape == tensor.shape
        np.testing.assert_array_equal(tensors[name], tensor)


def test_the_checksum_is_of_arrays_words_and_address(tmp_path: Path) -> None:
    path = tmp_path / "gen-1" / "a.safetensors"
    first = write_tensors(path, TENSORS, {"seed": "0"})
    assert write_tensors(path, dict(reversed(TENSORS.items())), {"seed": "0"}) == first
    others = [
        write_tensors(path, TENSORS, {"seed": "1"}),
        write_tensors(path.with_name("b.safetensors"), TENSORS, {"seed": "0"}),
        write_tensors(path, {**TENSORS, "labels": np.array([7, 9])}, {"seed": "0"}),
        write_tensors(path, {**TENSORS, "labels": np.array([[7, 8]])}, {"seed": "0"}),
    ]
    assert len({first, *others}) == 5
    assert checksum_at(path, TENSORS, {"seed": "0"}) == first


def test_memory_layout_is_not_content(tmp_path: Path) -> None:
    array, path = np.arange(12.0).reshape(3, 4), tmp_path / "a.safetensors"
    plain = write_tensors(path, {"x": array}, {})
    assert write_tensors(path, {"x": np.asfortranarray(array)}, {}) == plain
    np.testing.assert_array_equal(read_tensors(path)[0]["x"], array)


def test_every_single_flipped_bit_of_a_file_is_found(file: Path) -> None:
    sound = file.read_bytes()
    for position in range(len(sound)):
        for bit in range(8):
            damaged = bytearray(sound)
            damaged[position] ^= 1 << bit
            file.write_bytes(damaged)
            with pytest.raises(ArtifactError) as found:
                read_tensors(file)
            assert re.fullmatch(names_the_file(file), str(found.value))


@pytest.mark.parametrize("name", ["v.json", "v.csv"])
def test_every_single_flipped_bit_of_a_sealed_file_or_its_seal_is_found(name: str, tmp_path: Path) -> None:
    path = tmp_path / "quickstart" / "tables" / name
    values = pd.DataFrame({"value": [1.5, 2.25], "n": [10, 20]})
    write, read = (write_table, read_table) if name == "v.csv" else (write_json, read_json)
    write(path, values if name == "v.csv" else values.to_dict("records"))
    for part in (path, path.with_name(f"{name}.sha256")):
        sound = part.read_bytes()
        for position in range(len(sound) - (part != path)):  # the seal's last byte is its line's end
            for bit in range(8):
                damaged = bytearray(sound)
                damaged[position] ^= 1 << bit
                part.write_bytes(damaged)
                with pytest.raises(ArtifactError) as found:
                    read(path)
                assert re.fullmatch(names_the_file(path), str(found.value))
        part.write_bytes(sound)
    read(path)


def test_a_seal_is_a_line_that_sha256sum_checks(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "quickstart" / "tables" / "measures.csv"
    write_table(path, pd.DataFrame({"value": [1.5]}))
    seal = path.with_name("measures.csv.sha256")
    done = subprocess.run(["sha256sum", "--check", str(seal)], cwd=tmp_path / "runs", capture_output=True)
    assert done.returncode == 0


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
def test_a_file_in_anothers_place_is_refused(file: Path, tmp_path: Path, other: str) -> None:
    moved = tmp_path / other / file.name
    moved.parent.mkdir(parents=True)
    shutil.copy(file, moved)
    with pytest.raises(ArtifactError, match=names_the_file(moved)):
        read_tensors(moved)


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
    assert sorted(tmp_path.iterdir()) == [path, path.with_name("measures.json.sha256")]


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


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np, pandas as pd
from bigloop.artifacts import ArtifactError, write_json, write_table, write_tensors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # the kernel refuses to write more, in the middle of a file
here = Path(sys.argv[1])
values = np.arange(100_000.0)
for name, write in {
    "a.safetensors": lambda path: write_tensors(path, {"x": values}, {}),
    "b.json": lambda path: write_json(path, values.tolist()),
    "c.csv": lambda path: write_table(path, pd.DataFrame({"x": values})),
}.items():
    try:
        write(here / name)
    except ArtifactError as error:
        print(error)
"""


def test_a_disk_that_is_full_in_the_middle_of_a_write_leaves_the_old_file_and_no_half_one(
    tmp_path: Path,
) -> None:
    write_tensors(tmp_path / "a.safetensors", TENSORS, HEADER)
    write_json(tmp_path / "b.json", [1])
    write_table(tmp_path / "c.csv", pd.DataFrame({"x": [1]}))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(printed) == 3
    for line, name in zip(printed, ("a.safetensors", "b.json", "c.csv"), strict=True):
        assert re.fullmatch(rf"{re.escape(str(tmp_path / name))}: cannot be written \(.*\); .* kept", line)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    read_tensors(tmp_path / "a.safetensors")
    assert read_json(tmp_path / "b.json") == [1]
