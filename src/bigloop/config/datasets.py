"""The datasets of images that an experiment's runs learn: configured ones by their names, and sources by theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigloop.data import SOURCES, configured, dataset, source
from bigloop.data.densities import DENSITIES
from bigloop.spec.loops import Handover
from bigloop.spec.options import SpecError, to_json
from bigloop.spec.runs import Data, DatasetSpec, data_folder


@dataclass(frozen=True)
class Images:
    """A dataset by the name that the config gives it: what it is, and where the user's files of it lie."""

    name: str
    data: Data
    root: Path | None

    @property
    def about(self) -> DatasetSpec:
        """Its shape, rows and classes."""
        return dataset(self.data)

    @property
    def argument(self) -> str:
        """What the verb `fetch` is told: a source's name, or the whole spec as JSON."""
        return self.data if isinstance(self.data, str) else to_json(self.data)

    @property
    def folder(self) -> str:
        """Name of its folder under results/data."""
        return data_folder(self.data)


def images_of(name: str, of: str, given: Mapping[Any, Any], root: Path | None) -> Images:
    """The dataset that an entry of the config's section `datasets` describes: of a source, with these options.

    root: where published files lie, if the entry names no place of its own.
    """
    where = f"datasets.{name}"
    if name in SOURCES or name in DENSITIES:
        kind = "source of images" if name in SOURCES else "density"
        raise SpecError(f"{where}: is the name of a registered {kind}; choose another")
    spec, own = configured(of, given, where)
    return Images(name, spec, own or (None if spec.files else root))


def images_named(name: str, known: Mapping[str, Images], root: Path | None, where: str) -> Images:
    """The dataset that a run names: a configured one, or all of a source; raises SpecError for an unknown one."""
    if name in known:
        return known[name]
    if name not in SOURCES:
        names = ", ".join([*known, *SOURCES])
        densities = ", ".join(DENSITIES)
        raise SpecError(
            f"{where}.dataset: unknown dataset {name!r} (known: {names}); or a density: {densities}"
        )
    dataset(name)  # says so where the source's files are the user's, and have to be named under `datasets`
    return Images(name, name, root)


def handed_over(given: Handover | None, images: Images) -> Handover | None:
    """The precision in which samples are passed on, None for float16: as given, or else as the source says."""
    precision = given or source(images.about.source).handover
    return None if precision == "float16" else precision
