"""The ZIP file of an experiment: written, and checked."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from bigloop.artifacts import PROVENANCE_FILE, ArtifactError, file_checksum, read_json, replacing
from bigloop.config.experiment import Experiment
from bigloop.ops.archive import crate
from bigloop.ops.archive.files import gather
from bigloop.ops.survey import load
from bigloop.runtime.progress import Report
from bigloop.runtime.provenance import in_words
from bigloop.spec.options import SpecError, to_dict

CHECKSUMS = "checksums.sha256"  # a line a file, as sha256sum writes and checks them
DRAWN = "drawn.json"  # the specifications of the figures and of the page
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the time of every file: equal content gives equal bytes
PACKED = (".png", ".gif", ".mp4", ".safetensors")  # what compression hardly makes smaller
CHUNK = 2**20


def export(
    home: Path, out: Path, samples: bool = False, weights: bool = False, report: Report = lambda line: None
) -> None:
    """Write the finished experiment in a folder, such as results/quickstart, as a ZIP file.

    samples, weights: all of them, too. Raises SpecError where the experiment is not finished, and ArtifactError where a
    file is damaged or `out` cannot be written.
    """
    if out.suffix != ".zip":
        raise SpecError(f"{out}: expected the name of a ZIP file to write, such as {home.name}.zip")
    if not (home / "config.yaml").is_file():
        raise SpecError(f"{home}: no config.yaml in it; name an experiment that has run, or its folder")
    experiment = load(home / "config.yaml")
    with tempfile.TemporaryDirectory() as scratch:
        files = gather(experiment, home.parent, Path(scratch), samples, weights)
        report(f"{len(files):,} files, {sum(path.stat().st_size for path in files.values()) / 1e6:.1f} MB")
        provenance = read_json(home / "tables" / PROVENANCE_FILE)
        written: dict[str, bytes | Path] = {
            "README.md": crate.readme(experiment.name, provenance).encode(),
            "requirements.txt": requirements(provenance["packages"], provenance["software"]),
            DRAWN: specifications(experiment),
            **dict(sorted(files.items())),
        }
        sizes = {name: size_of(content) for name, content in written.items()}
        metadata, preview = crate.described(experiment.name, sizes, provenance)
        written |= {"ro-crate-metadata.json": metadata, "ro-crate-preview.html": preview}
        lines = [f"{size_of(content)[1]}  {name}\n" for name, content in written.items()]
        with replacing(out) as temporary:
            _write(temporary, written | {CHECKSUMS: "".join(lines).encode()})
    report(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


def verify(archive: Path) -> str:
    """Check every file of an archive against its checksum; returns the name of the experiment.

    Raises ArtifactError, which names each file that was altered, is missing, or does not belong there.
    """
    faults = []
    with opened(archive) as file:
        expected = checksums(archive, file)
        there = {info.filename for info in file.infolist()} - {CHECKSUMS}
        faults += [f"{name} is missing" for name in sorted(expected.keys() - there)]
        faults += [f"{name} is not in {CHECKSUMS}" for name in sorted(there - expected.keys())]
        for name in sorted(expected.keys() & there):
            try:
                with file.open(name) as content:
                    found = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
            except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, NotImplementedError):
                found = ""
            if found != expected[name]:
                faults.append(f"{name} was altered")
    if faults:
        raise ArtifactError(f"{archive}: {'; '.join(faults)}")
    return experiment_of(archive)


def checksums(archive: Path, file: zipfile.ZipFile) -> dict[str, str]:
    """What the files of an archive should be, by their names. Raises ArtifactError for what is no archive of ours."""
    try:
        lines = file.read(CHECKSUMS).decode().splitlines()
        found = {name: checksum for checksum, _, name in (line.partition("  ") for line in lines)}
    except (KeyError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"{archive}: its {CHECKSUMS} is missing or damaged; it is no archive that export wrote ({error})"
        ) from None
    for name in found:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ArtifactError(f"{archive}: {name} would lie outside of the folder that it is unpacked in")
    return found


def experiment_of(archive: Path) -> str:
    """The name of the experiment in an archive. Raises ArtifactError where it would draw what is not in it."""
    with opened(archive) as file:
        known = json.loads(file.read(DRAWN))
        name, there = str(known["experiment"]), set(file.namelist())
    for figure in known["figures"]:
        path = f"results/{name}/figures/{figure['name']}.png"
        if figure["experiment"] != name or path not in there:
            raise ArtifactError(f"{archive}: {path} is to be drawn, but is not in it")
    return name


def opened(archive: Path) -> zipfile.ZipFile:
    """An archive to read. Raises ArtifactError where there is none."""
    try:
        return zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArtifactError(f"{archive}: cannot be read ({reason})") from None


def specifications(experiment: Experiment) -> bytes:
    """What is drawn, so that it can be drawn where the user's own files, which the config may name, are not."""
    known = {
        "experiment": experiment.name,
        "figures": [to_dict(experiment.plot(name)) for name in experiment.figures],
        "explorer": to_dict(experiment.explore()) if experiment.explorer else None,
    }
    return (json.dumps(known, indent=1) + "\n").encode()


def requirements(packages: dict[str, str], made_by: dict[str, Any]) -> bytes:
    """The packages that the tables were made with, as pip reads them."""
    lines = [
        f"{name}=={version}\n" for name, version in packages.items() if name not in ("python", "bigloop")
    ]
    head = f"# Python {packages['python']}, and {in_words(made_by)}, from its own checkout or wheel\n"
    return (head + "".join(lines)).encode()


def size_of(content: bytes | Path) -> tuple[int, str]:
    """Bytes and SHA-256."""
    if isinstance(content, Path):
        return content.stat().st_size, file_checksum(content)
    return len(content), hashlib.sha256(content).hexdigest()


def _write(path: Path, files: dict[str, bytes | Path]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, LONG_AGO)
            info.external_attr = 0o644 << 16
            packed = PurePosixPath(name).suffix in PACKED
            info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            with archive.open(info, "w", force_zip64=True) as target:
                for part in _parts(content):
                    target.write(part)


def _parts(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while part := file.read(CHUNK):
            yield part
