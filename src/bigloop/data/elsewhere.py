"""The files that generations from elsewhere are imported from, and whether they are still what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bigloop.artifacts import ArtifactError, file_checksum, read_json
from bigloop.spec.options import SpecError

CHANGED = "changed since the workflow was planned; run the same command again"
RECORD = "import.json"  # beside imported samples: what they were imported from


def foreign_file(path: Path, planned: int | None) -> dict[str, Any]:
    """Name, time and SHA-256 of a file from elsewhere; raises ArtifactError where it has not the planned bytes."""
    try:
        about = path.stat()
        if planned not in (None, about.st_size):
            raise ArtifactError(f"{path}: {CHANGED}")
        return {"name": str(path), "time": about.st_mtime_ns, "sha256": file_checksum(path)}
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from None


def check_unchanged(file: Path, folder: Path) -> None:
    """Raise SpecError where a file's content is another than when it was imported into a generation's `folder`.

    A file of another size is imported again. The content is read again only where the file's time has changed.
    """
    try:
        known = read_json(folder / (RECORD if (folder / RECORD).is_file() else "model.json"))
        before, spec = known["file"], known["spec"]
        now = file.stat()
    except (ArtifactError, KeyError, TypeError, OSError):  # not imported yet, or to be imported again
        return
    changed = now.st_size == spec["file_bytes"] and now.st_mtime_ns != before["time"]
    if changed and file_checksum(file) != before["sha256"]:
        raise SpecError(
            f"{file}: its content has changed since it was imported, under the same name and size; "
            f"restore the file, or delete {folder} to import it again"
        )
