"""The datasets of images that an experiment's runs learn: configured ones by their names, and sources by theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigloop.data import SOURCES, configured, dataset, source
from bigloop.data.densities import DENSITIES
from bigloop.models import FAMILIES
from bigloop.spec.options import SpecError, to_json
from bigloop.spec.runs import Data, DatasetSpec, Handover, LoopSpec, ModelSpec, data_folder


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


def configured_images(section: Mapping[str, Any], root: Path | None) -> dict[str, Images]:
    """The datasets of the config's section `datasets`; root: where published files lie, for those that name no own."""
    found = {}
    for name, given in section.items():
        where = f"datasets.{name}"
        if name in SOURCES or name in DENSITIES:
            raise SpecError(f"{where}: {name} is the name of a registered {kind_of(name)}; choose another")
        spec, own = configured(given, where)
        found[name] = Images(name, spec, own or (None if spec.files else root))
    return found


def kind_of(name: str) -> str:
    """Whether a registered name is that of a source of images or of a density."""
    return "source" if name in SOURCES else "density"


def images_named(name: str, known: Mapping[str, Images], root: Path | None, where: str) -> Images:
    """The dataset that a run names; raises SpecError for an unknown one."""
    if name in known:
        return known[name]
    if name not in SOURCES:
        names = ", ".join([*known, *SOURCES])
        raise SpecError(
            f"{where}: unknown dataset {name!r} (known: {names}); or a density: {', '.join(DENSITIES)}"
        )
    dataset(name)  # whose files must be named under `datasets`, if they are the user's
    return Images(name, name, root)


def check_images(model: ModelSpec, loop: LoopSpec, images: Images, where: str, at_loop: str) -> None:
    """Raise SpecError where a family cannot make a dataset's images, or lacks the classes that its bias needs."""
    about, entry = images.about, FAMILIES[model.family]
    options = model.options | (model.sampler or {})
    if reason := entry.refuses(about.shape, options):
        height, width = about.shape[1:]
        raise SpecError(f"{where}.model: {model.family} {reason}; {images.name} has {height}×{width}")
    if entry.conditional and loop.bias != 1 and not about.labelled:
        raise SpecError(
            f"{at_loop}.bias: {model.family} is biased by guidance towards classes, and {images.name} has "
            f"{len(about.classes) or 'none'}; give 1"
        )


def handed_over(loop: LoopSpec, images: Images) -> Handover | None:
    """The precision in which samples are passed on, None for float16: as the loop says, or the source."""
    precision = loop.handover or source(images.about.source).handover
    return None if precision == "float16" else precision
