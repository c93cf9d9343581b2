"""Folders of runs, classifiers and datasets that no config refers to, and how they are deleted."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bigloop.config.experiment import Experiment
from bigloop.ops import disk
from bigloop.ops.survey import is_alive, load
from bigloop.runtime.words import size
from bigloop.spec.options import SpecError


def referenced(experiment: Experiment, results: Path) -> tuple[set[str], list[str]]:
    """Names of the folders that a config refers to, and a line for each config that cannot be understood.

    Configs are that of `experiment`, and those that the workflow wrote to results/*/config.yaml when it ran. The one
    written for `experiment` itself counts only while it is at work: what an edited config no longer refers to is free.
    Seeds and generations that a config no longer asks for stay, as long as it refers to their run.
    """
    names, faults = folder_names(experiment), []
    homes = {path.parent for kind in ("config.yaml", "floor", "tables") for path in results.glob(f"*/{kind}")}
    for config in sorted(home / "config.yaml" for home in homes):
        own = config.parent.name == experiment.name
        if own and not config.exists():
            continue
        try:
            written = folder_names(load(config))
        except SpecError as error:
            faults.append(str(error))
            continue
        folders = (results / kind / name for kind in disk.KINDS for name in written)
        if not written <= names and (not own or is_alive(results) or any(map(disk.in_use, folders))):
            names |= written
    return names, faults


def folder_names(experiment: Experiment) -> set[str]:
    """Names of an experiment's folders of runs, classifiers and datasets."""
    specs = [run.spec for run in experiment.runs.values()]
    classifiers = {spec.folder for spec in experiment.classifiers.values()}
    data = {images.folder for images in experiment.datasets.values()}
    return data.union(classifiers, *(spec.folders for spec in specs))


def show_unreferenced(experiment: Experiment, results: Path) -> list[Path]:
    """Print, and return, the folders that no config refers to: none where a config cannot be understood."""
    names, faults = referenced(experiment, results)
    for fault in faults:
        print(
            f"\n{fault}\n    Until it can be read, no folder is listed for deletion, since it may refer to any of them."
        )
    free = [] if faults else disk.unreferenced(results, names)
    if free:
        print("\nNo config refers to these folders; --remove-unreferenced deletes them:")
    for folder in free:
        print(f"  {size(disk.disk_use(folder)):>9}  {folder}")
    return free


def remove_unreferenced(folders: Sequence[Path], *, yes: bool) -> None:
    """Delete these folders; asks first, unless `yes`. Raises SpecError where there is no terminal to ask on."""
    if not folders:
        print("\nNothing to delete.")
    elif not yes and not sys.stdin.isatty():
        raise SpecError("--remove-unreferenced: no terminal to confirm on; add --yes. Nothing was deleted")
    elif yes or _confirmed():
        for folder in folders:
            print(f"{folder}: {'deleted' if disk.remove(folder) else 'now in use, kept'}")
    else:
        print("Nothing was deleted.")


def _confirmed() -> bool:
    try:
        return input("Delete them? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
