"""A finished experiment as one file: packed, checked, and drawn again where there is nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

import bigloop
from bigloop.__main__ import main
from bigloop.artifacts import ArtifactError
from bigloop.ops.archive.pack import export, verify
from bigloop.ops.archive.rebuild import rebuild
from bigloop.spec.options import SpecError

from .conftest import Workplace

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def archive(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("archive") / "smoke.zip"
    export(finished / "results" / "smoke", out)
    return out


def altered(archive: Path, out: Path, name: str, content: bytes | None) -> Path:
    """A copy of an archive in which one file is another, or missing."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            if info.filename != name:
                new.writestr(info, old.read(info.filename))
        if content is not None:
            new.writestr(name, content)
    return out


@pytest.mark.parametrize("experiment", ["smoke", "smoke-loops", "smoke-known"])
def test_figures_and_page_are_drawn_again_from_the_file_alone(
    experiment: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    fixtures = {"smoke": "finished", "smoke-loops": "finished_loops", "smoke-known": "finished_known"}
    home = request.getfixturevalue(fixtures[experiment]) / "results" / experiment
    export(home, tmp_path / "it.zip")
    said: list[str] = []
    assert rebuild(tmp_path / "it.zip", tmp_path / "out", said.append) == []
    drawn = [path for kind in ("png", "pdf", "gif") for path in (home / "figures").glob(f"*.{kind}")]
    assert said[-1].startswith(f"{len(drawn) + 1} of {len(drawn) + 1} files are, byte for byte,")
    assert {path.name for path in (tmp_path / "out" / "results").iterdir()} <= {
        *(experiment, "data", "runs", "classifier")
    }
    assert not list((tmp_path / "out").rglob("samples.safetensors"))
    assert not list((tmp_path / "out" / "results" / "runs").rglob("model.safetensors"))
    assert not list((tmp_path / "out").rglob("train.safetensors"))
    study = bigloop.open(tmp_path / "out" / "results" / experiment)
    assert study.measures.equals(bigloop.open(home).measures)


def test_the_same_experiment_gives_the_same_file(archive: Path, finished: Path, tmp_path: Path) -> None:
    export(finished / "results" / "smoke", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


def test_samples_and_weights_are_in_it_where_they_are_asked_for(
    archive: Path, finished: Path, tmp_path: Path
) -> None:
    export(finished / "results" / "smoke", tmp_path / "all.zip", samples=True, weights=True)
    assert verify(tmp_path / "all.zip") == "smoke"
    with zipfile.ZipFile(archive) as small, zipfile.ZipFile(tmp_path / "all.zip") as large:
        more = {name.rsplit("/", 1)[-1] for name in set(large.namelist()) - set(small.namelist())}
        samples = [name for name in large.namelist() if name.endswith("samples.safetensors")]
    kinds = {"samples.safetensors", "model.safetensors", "rows.safetensors", "history.csv"}
    assert kinds <= more
    assert len(samples) == 10  # two WGANs of two generations, and two seeds of three of the VAE


def test_a_changed_byte_is_found_and_named(archive: Path, tmp_path: Path) -> None:
    assert verify(archive) == "smoke"
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        info = file.getinfo("results/smoke/figures/fid.png")
    start = (
        info.header_offset + 30 + len(info.filename) + 20
    )  # within the data: its header is 30 bytes and the name
    content[start + 500] ^= 1
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"bad\.zip: results/smoke/figures/fid\.png was altered$"):
        verify(tmp_path / "bad.zip")
    with pytest.raises(ArtifactError, match=r"fid\.png was altered"):
        rebuild(tmp_path / "bad.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_was_edited_is_missing_or_does_not_belong_there_is_named(
    archive: Path, tmp_path: Path
) -> None:
    table = "results/smoke/tables/verdicts.csv"
    for name, content, words in (
        (table, b"run,verdict\nvae,stable\n", rf"{table} was altered"),
        (table, None, rf"{table} is missing"),
        ("results/smoke/tables/mine.csv", b"1\n", r"mine\.csv is not in checksums\.sha256"),
        ("checksums.sha256", None, r"its checksums\.sha256 is missing or damaged"),
        ("checksums.sha256", b"00  ../../etc/passwd\n", r"\.\./\.\./etc/passwd would lie outside"),
    ):
        with pytest.raises(ArtifactError, match=words):
            verify(altered(archive, tmp_path / "bad.zip", name, content))
    (tmp_path / "no.zip").write_text("no archive")
    with pytest.raises(ArtifactError, match=r"no\.zip: cannot be read"):
        verify(tmp_path / "no.zip")


def test_a_figure_that_comes_out_otherwise_is_named(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With checksums that were made to fit, too: what is in the tables is what is drawn."""
    path = "results/smoke/figures/fid.png"
    with zipfile.ZipFile(archive) as file:
        sums = file.read("checksums.sha256").decode().splitlines()
        other = file.read("results/smoke/figures/losses.png")
    lines = [f"{hashlib.sha256(other).hexdigest()}  {path}" if line.endswith(path) else line for line in sums]
    bad = altered(archive, tmp_path / "step.zip", path, other)
    bad = altered(bad, tmp_path / "bad.zip", "checksums.sha256", ("\n".join(lines) + "\n").encode())
    assert main(["rebuild", str(bad), str(tmp_path / "out")]) == 1
    assert f"not as in the archive: {path}" in capsys.readouterr().err


def test_it_says_what_it_is(archive: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        graph = {
            entity["@id"]: entity for entity in json.loads(file.read("ro-crate-metadata.json"))["@graph"]
        }
        names = set(file.namelist())
        needed = file.read("requirements.txt").decode()
    assert graph["ro-crate-metadata.json"]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    run, tool = graph["#run"], graph["#bigloop"]
    assert run["object"] == {"@id": "results/smoke/config.yaml"}
    assert run["instrument"] == {"@id": "#bigloop"}
    assert {"@id": "results/smoke/tables/measures.csv"} in run["result"]
    assert tool["softwareVersion"].startswith(bigloop.__version__)
    files = {name for name, entity in graph.items() if entity["@type"] == "File"}
    own = {"checksums.sha256", "ro-crate-metadata.json", "ro-crate-preview.html"}
    assert files == names - own
    assert f"numpy=={np.__version__}" in needed.splitlines()


def test_what_cannot_be_exported_says_why(workplace: Workplace, tmp_path: Path) -> None:
    home = workplace.directory / "results" / "smoke"
    with pytest.raises(SpecError, match=r"expected the name of a ZIP file to write, such as smoke\.zip"):
        export(home, tmp_path / "smoke.tar")
    with pytest.raises(SpecError, match=r"no config\.yaml in it; name an experiment that has run"):
        export(tmp_path, tmp_path / "smoke.zip")
    (home / "figures" / "fid.png").unlink()
    with pytest.raises(SpecError, match=r"figures/fid\.png is missing; finish the experiment first"):
        export(home, tmp_path / "smoke.zip")
    shutil.rmtree(home / "tables")
    with pytest.raises(SpecError, match=r"tables/measures\.csv is missing"):
        export(home, tmp_path / "smoke.zip")


def test_a_folder_that_holds_something_is_left_alone(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    with pytest.raises(SpecError, match=r"full: holds something already"):
        rebuild(archive, tmp_path / "full")
