"""What may be deleted: what no config names, nobody uses, and nothing else shares."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

import pytest

from bigloop.artifacts import ArtifactError
from bigloop.ops.disk import disk_use, in_use, remove, unreferenced, use
from bigloop.runtime.words import size

RUN, OTHER = "vae-mnist-0123abcd", "vae-mnist-89abcdef"


def age(folder: Path, seconds: float = 3600) -> None:
    """Let all of a folder have changed so many seconds ago."""
    then = time.time() - seconds
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (then, then), follow_symlinks=False)


def made(folder: Path) -> Path:
    """A folder of a run, an hour old, with 1,000 bytes of samples and a log."""
    generation = folder / "seed-0" / "gen-1"
    generation.mkdir(parents=True)
    (generation / "samples.safetensors").write_bytes(bytes(1_000))
    (generation / "train.log").touch()
    age(folder)
    return folder


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """The lock that a worker has on its log."""
    times = file.stat().st_atime, file.stat().st_mtime
    with file.open("ab") as opened:
        flock(opened, LOCK_EX)
        os.utime(file, times)
        yield


def test_disk_use_is_that_of_the_files_and_not_of_what_links_lead_to(tmp_path: Path) -> None:
    folder, elsewhere = made(tmp_path / RUN), made(tmp_path / OTHER)
    assert disk_use(folder) == 1_000
    (folder / "seed-0" / "gen-1" / "model.json").write_bytes(bytes(24))
    assert disk_use(folder) == 1_024
    (folder / "link").symlink_to(elsewhere)
    assert 1_024 < disk_use(folder) < 1_024 + 500  # the link itself has the length of its path
    assert disk_use(tmp_path / "missing") == 0


def test_features_that_can_be_computed_again_are_counted_apart(tmp_path: Path) -> None:
    for name, taken in (("samples", 500), ("features-inception-2048", 300), ("featureless", 20)):
        path = tmp_path / "seed-0" / "gen-1" / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(taken))
    assert use(tmp_path) == (820, 300)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_951, "1.0 MB"),
        (1.25e9, "1.2 GB"),
        (3e15, "3000.0 TB"),
    ],
)
def test_sizes_read_as_people_say_them(number: float, words: str) -> None:
    assert size(number) == words


def test_only_folders_that_bigloop_named_and_no_config_refers_to_are_unreferenced(tmp_path: Path) -> None:
    made(tmp_path / "runs" / RUN)
    free = [made(tmp_path / "classifier" / "mnist-00000000"), made(tmp_path / "runs" / OTHER)]
    made(tmp_path / "runs" / "my-own-notes")
    assert sorted(unreferenced(tmp_path, {RUN})) == sorted(free)
    assert unreferenced(tmp_path / "nothing-here", {RUN}) == []


def test_what_is_locked_or_changed_a_moment_ago_is_in_use(tmp_path: Path) -> None:
    folder = made(tmp_path / "runs" / RUN)
    generation = folder / "seed-0" / "gen-1"
    assert unreferenced(tmp_path, ()) == [folder]
    with locked(generation / "train.log"):
        assert in_use(folder)
        assert unreferenced(tmp_path, ()) == []
        assert not remove(folder)
        assert folder.is_dir()
    assert not in_use(folder)
    (generation / "model.json").touch()
    assert in_use(folder)
    assert not remove(folder)
    age(folder, 59)
    assert in_use(folder)
    age(folder, 61)
    assert remove(folder)
    assert not folder.exists()


def test_links_are_never_followed_when_deleting(tmp_path: Path) -> None:
    shared = made(tmp_path / "shared" / RUN)
    folder = made(tmp_path / "results" / "runs" / OTHER)
    (folder / "seed-1").symlink_to(shared / "seed-0")
    (tmp_path / "results" / "runs" / RUN).symlink_to(shared)
    age(tmp_path / "results")  # the links, too
    assert unreferenced(tmp_path / "results", ()) == [folder]
    assert remove(folder)
    assert not folder.exists()
    assert disk_use(shared) == 1_000


def test_a_linked_place_of_runs_may_be_shared_and_is_left_alone(tmp_path: Path) -> None:
    made(tmp_path / "shared" / RUN)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "runs").symlink_to(tmp_path / "shared")
    assert unreferenced(tmp_path / "results", ()) == []


def test_results_that_are_linked_as_a_whole_are_looked_through(tmp_path: Path) -> None:
    made(tmp_path / "moved" / "runs" / RUN)
    (tmp_path / "results").symlink_to(tmp_path / "moved")
    assert unreferenced(tmp_path / "results", ()) == [tmp_path / "results" / "runs" / RUN]


def test_what_cannot_be_deleted_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / RUN)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path / "seed-0"))

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(ArtifactError, match=r"seed-0: cannot be deleted \(Permission denied\)\Z"):
        remove(folder)
