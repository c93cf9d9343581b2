"""What a config says that images are compared on, of a dataset or of a measure: parsed, and followed to its files.

    compared = Compared.of(config, datasets, root)
    compared.on("fid", datasets["horses"])      # "classifier-cifar10-9f8e7d6c"

Raises SpecError, in one line, for whatever a key `features` cannot be. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import Any

from bigloop.artifacts import file_checksum
from bigloop.config.datasets import Images, images_named
from bigloop.config.declared import Classifier, Config
from bigloop.data import SOURCES, plane_source
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


def classifier_spec(config: Config, images: Images) -> ClassifierSpec:
    """The classifier of a dataset with classes, as a config says."""
    own = _said(((config.datasets or {}).get(images.name) or {}).get("classifier"), images.name)
    return _with(images, vars(config.classifier or Classifier()), own)


def _with(images: Images, options: Mapping[str, Any], own: Mapping[str, Any]) -> ClassifierSpec:
    """The classifier of a dataset, with options of all classifiers, or its own in their place."""
    return ClassifierSpec(images.data, **{**options, **own})


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

    known: the config's datasets by name; used: those that some run learns, likewise. classifier: options of the
    classifiers; classifiers: by dataset, those that it has instead.
    """

    datasets: Mapping[str, Asked]
    measures: dict[str, Asked]
    known: Mapping[str, Images]
    used: Mapping[str, Images]
    classifier: Mapping[str, Any]
    classifiers: Mapping[str, Mapping[str, Any]]
    root: Path | None

    @classmethod
    def of(
        cls, config: Config, known: Mapping[str, Images], used: Mapping[str, Images], root: Path | None
    ) -> Compared:
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
            used,
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

    def told(self, measure: str, images: Images) -> dict[str, Scalar]:
        """The option that says what a measure looks through at images of a dataset; none where it is their own
        classifier."""
        about = declared("measures")[measure]
        if about.on_planes:
            return {"features": self.of_planes(images).name}
        on = self.on(measure, images) if about.on_features else OWN
        return {} if on == OWN else {"features": on}

    def classifier_of(self, images: Images) -> ClassifierSpec:
        """The classifier of a dataset with classes."""
        return _with(images, self.classifier, self.classifiers.get(images.name, {}))

    @cached_property
    def specs(self) -> dict[str, FeaturesSpec]:
        """All features that are asked for, by name, but those of the classifier of the data themselves."""
        planes = [self.of_planes(images) for images in self.used.values() if plane_source(images.data)]
        return {spec.name: spec for spec in (*map(self._spec, self._others), *planes)}

    def of_planes(self, images: Images) -> FeaturesSpec:
        """The classifier that judges each colour plane of these images alone, where it is a picture of its source."""
        return self._classifier(_plane_lender(images))

    def lenders(self, measures: Sequence[str | None]) -> dict[str, Images]:
        """The datasets beside those that runs learn whose classifiers judge these, or the colour planes of these, in
        one of the measures, or (None) in a figure.

        Raises SpecError where one is to judge images that it cannot.
        """
        for one, images in product(self.measures.values(), self.used.values()):
            self.check(one, images)
        names = {name for images in self.used.values() for name in self._seen(measures, images)}
        lending = (one for one in self._others if one.lender and self._names[one.where] in names)
        found = {one.lender: self._lender(one) for one in lending}
        for measure in measures:
            if measure and declared("measures")[measure].on_planes:
                found |= self._plane_lenders(measure)
        return {name: lender for name, lender in found.items() if name not in self.used}

    def trained(
        self, measures: Sequence[str | None], lenders: Mapping[str, Images]
    ) -> dict[str, ClassifierSpec]:
        """The classifiers that are trained, by the names of their datasets: of all these with classes.

        One of stacked pictures would have as many classes as there are modes: only where something asks for it.
        """
        needed = any(measure and declared("measures")[measure].needs_classes for measure in measures)
        others = {name for images in self.used.values() for name in self._seen(measures, images)}

        def asked(images: Images) -> bool:
            return needed or OWN in self._seen(measures, images) or self._classifier(images).name in others

        return {
            name: self.classifier_of(images)
            for name, images in {**self.used, **lenders}.items()
            if images.about.labelled and (name in lenders or not plane_source(images.data) or asked(images))
        }

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

    def _seen(self, measures: Sequence[str | None], images: Images) -> set[str]:
        """The names of all that these measures, or (None) a figure, compare images of a dataset on."""
        on_features = (name for name in measures if name is None or declared("measures")[name].on_features)
        return {self.on(name, images) for name in on_features}

    def _plane_lenders(self, measure: str) -> dict[str, Images]:
        """The datasets whose classifiers judge colour planes in a measure."""
        found = {}
        for images in self.used.values():
            if not plane_source(images.data):
                continue
            lender = _plane_lender(images)
            taken, planes = ("×".join(map(str, one.about.shape[1:])) for one in (lender, images))
            if taken != planes:
                raise SpecError(
                    f"measures.{measure}: the classifier of {lender.name} takes {taken} pictures, the planes of "
                    f"{images.name} are {planes}; leave out datasets.{images.name}.size"
                )
            found[lender.name] = lender
        return found

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

    def _classifier(self, images: Images) -> FeaturesSpec:
        """The classifier of a dataset, as others may be compared on it."""
        revision = declared("features")[OWN].revision
        return FeaturesSpec(OWN, revision, {OWN: self.classifier_of(images).folder})


def _plane_lender(images: Images) -> Images:
    """The source of which each colour plane is a picture, whose files lie where those of the images do."""
    name = plane_source(images.data)
    return Images(name, name, images.root)


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
