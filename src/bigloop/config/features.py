"""What a config says that images are compared on, of a dataset or of a measure: parsed, and followed to its files.

    compared = Compared.of(config, datasets, root)
    compared.on("fid", datasets["horses"])      # "classifier-cifar10-9f8e7d6c"

Raises SpecError, in one line, for whatever a key `features` cannot be. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import Any

from bigloop.artifacts import file_checksum
from bigloop.config.datasets import Images, images_named
from bigloop.config.declared import Classifier, Config
from bigloop.data import SOURCES
from bigloop.spec.faults import named, shown
from bigloop.spec.jobs import OWN, ClassifierSpec, FeaturesSpec
from bigloop.spec.options import Scalar, SpecError, parse, to_dict
from bigloop.spec.registry import declared


@dataclass(frozen=True)
class Asked:
    """A registered kind of features with its options, and where in the config it stands."""

    kind: str
    options: dict[str, Scalar]
    where: str

    @property
    def lender(self) -> str:
        """The dataset whose classifier is asked for; empty for the data's own, and for other kinds of features."""
        return str(self.options[self.kind]) if declared("features")[self.kind].trained_here else ""

    @property
    def own(self) -> bool:
        """Whether it asks for the classifier of the data themselves."""
        return declared("features")[self.kind].trained_here and not self.lender


def asked(given: Any, where: str) -> Asked | None:
    """What a key `features` that stands at `where` asks for; None where it is not given.

    It is the name of a kind, or a mapping in which that name is the key of what is chosen, beside other options. Raises
    SpecError.
    """
    if given is None:
        return None
    kinds = declared("features")
    if isinstance(given, Mapping):
        found = [key for key in given if key in kinds]
        if len(found) != 1:
            raise SpecError(f"{where}: expected one of the keys {', '.join(kinds)}, got {shown(dict(given))}")
        kind, options = found[0], dict(given)
    elif not isinstance(given, str):
        raise SpecError(f"{where}: expected string or object, got {shown(given)}")
    elif given in kinds:
        kind, options = given, {}
    else:
        raise SpecError(f"{where}: unknown kind of features {shown(given)} (known: {', '.join(kinds)})")
    return Asked(kind, to_dict(parse(kinds[kind].Options, options, where)), where)


@dataclass(frozen=True)
class Compared:
    """What images are compared on, by what a config says of datasets and of measures; the measure's word goes first.

    known: the config's datasets by name. classifier: options of the classifiers; classifiers: by dataset, those that it
    has instead.
    """

    datasets: Mapping[str, Asked]
    measures: dict[str, Asked]
    known: Mapping[str, Images]
    classifier: Mapping[str, Any]
    classifiers: Mapping[str, Mapping[str, Any]]
    root: Path | None

    @classmethod
    def of(cls, config: Config, known: Mapping[str, Images], root: Path | None) -> Compared:
        """As a config says; raises SpecError for what cannot be, also of datasets that no run learns."""
        measured = {
            name: asked(entry.get("features"), f"measures.{name}.features")
            for name, entry in config.measures.items()
            if entry and name in declared("measures") and declared("measures")[name].on_features
        }
        given = {
            name: asked(entry.get("features"), f"datasets.{name}.features")
            for name, entry in (config.datasets or {}).items()
        }
        compared = cls(
            {name: one for name, one in given.items() if one},
            {name: one for name, one in measured.items() if one},
            known,
            vars(config.classifier or Classifier()),
            {name: _said(entry.get("classifier"), name) for name, entry in (config.datasets or {}).items()},
            root,
        )
        for name, one in compared.datasets.items():
            compared.check(one, known[name])
            if compared._own(one, known[name]) and not known[name].about.labelled:
                raise SpecError(
                    f"{one.where}: {_unlabelled(name)}; write {{classifier: DATASET}} for another's"
                )
        for name, options in compared.classifiers.items():
            if options and not known[name].about.labelled:
                raise SpecError(f"datasets.{name}.classifier: {_unlabelled(name)}")
        compared.specs  # noqa: B018  # whatever is wrong with one is said now
        return compared

    def on(self, measure: str | None, images: Images) -> str:
        """The name of what a measure, or None for a figure, compares images of a dataset on; OWN for the classifier of
        these themselves."""
        one = (self.measures.get(measure) if measure else None) or self.datasets.get(images.name)
        return OWN if one is None or self._own(one, images) else self._names[one.where]

    def classifier_of(self, images: Images) -> ClassifierSpec:
        """The classifier of a dataset with classes."""
        return ClassifierSpec(images.data, **{**self.classifier, **self.classifiers.get(images.name, {})})

    @cached_property
    def specs(self) -> dict[str, FeaturesSpec]:
        """All features that are asked for, by name, but those of the classifier of the data themselves."""
        return {spec.name: spec for spec in map(self._spec, self._others)}

    def lenders(self, measures: Iterable[str | None], used: Mapping[str, Images]) -> dict[str, Images]:
        """The datasets beside those `used` whose classifiers judge these in one of the measures, or (None) in a figure.

        Raises SpecError where one is to judge images that it cannot.
        """
        for one, images in product(self.measures.values(), used.values()):
            self.check(one, images)
        on_features = [name for name in measures if name is None or declared("measures")[name].on_features]
        names = {self.on(name, images) for name, images in product(on_features, used.values())}
        lending = (one for one in self._others if one.lender and self._names[one.where] in names)
        return {one.lender: self._lender(one) for one in lending if one.lender not in used}

    def check(self, given: Asked, judged: Images) -> None:
        """Raise SpecError where another dataset's classifier is asked for that cannot judge these images."""
        if not given.lender or self._own(given, judged):
            return
        lender, where = self._lender(given), f"{given.where}.{given.kind}"
        if not lender.about.labelled:
            raise SpecError(f"{where}: {_unlabelled(lender.name)}")
        taken, other = ("×".join(map(str, one.about.shape)) for one in (lender, judged))
        if taken != other:
            raise SpecError(
                f"{where}: the classifier of {lender.name} takes {taken} images, those of {judged.name} are {other}"
            )

    @property
    def _others(self) -> list[Asked]:
        return [one for one in (*self.datasets.values(), *self.measures.values()) if not one.own]

    @cached_property
    def _names(self) -> dict[str, str]:
        """By where it is asked for, the name of what is asked for."""
        return {one.where: self._spec(one).name for one in self._others}

    def _own(self, given: Asked, images: Images) -> bool:
        return given.own or bool(
            given.lender and self.classifier_of(self._lender(given)) == self.classifier_of(images)
        )

    def _lender(self, given: Asked) -> Images:
        name = given.lender
        if name not in self.known and name not in SOURCES:
            there = ", ".join([*self.known, *SOURCES])
            raise SpecError(f"{given.where}.{given.kind}: unknown dataset {shown(name)} (known: {there})")
        return images_named(name, self.known, self.root, given.where)

    def _spec(self, given: Asked) -> FeaturesSpec:
        options, weights = dict(given.options), None
        if given.lender:
            options[given.kind] = self.classifier_of(self._lender(given)).folder
        elif path := options.get("weights"):
            weights = _checksum(str(path), f"{given.where}.weights")
        return FeaturesSpec(given.kind, declared("features")[given.kind].revision, options, weights)


def _unlabelled(dataset: str) -> str:
    return f"{dataset} has fewer than two classes, and so no classifier of its own"


def _said(given: Mapping[str, Any] | None, dataset: str) -> dict[str, Any]:
    """What an entry of the config's datasets says of its classifier."""
    options = vars(parse(Classifier, given or {}, f"datasets.{dataset}.classifier"))
    return {name: options[name] for name in given or {}}


def _checksum(name: str, where: str) -> str:
    path = Path(name)
    try:
        found = path.stat()
        return _checksum_of(path, found.st_size, found.st_mtime_ns)
    except (OSError, ValueError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise SpecError(f"{where}: {named(name)}: {reason}") from None


@lru_cache
def _checksum_of(path: Path, size: int, changed: int) -> str:
    """The SHA-256 of a file, computed again where its size or its time has changed."""
    return file_checksum(path)
