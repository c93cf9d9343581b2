"""What a config says of a loop's selections: parsed, and followed to the classifier that they look through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bigloop.config.datasets import Images
from bigloop.loops.scores import OF_IMAGES, OF_POINTS, OF_REAL
from bigloop.spec.faults import named, shown
from bigloop.spec.jobs import ClassifierSpec
from bigloop.spec.loops import LoopSpec
from bigloop.spec.options import SpecError, option, parse, to_dict, without
from bigloop.spec.registry import declared
from bigloop.spec.runs import ModelSpec
from bigloop.spec.selection import ScoreSpec, SelectSpec

WAYS = ("best_of", "choice_of", "top", "above")
OF_CLASSIFIER = {"probabilities", "features", "real_features"}  # views of images that need it

Given = without(SelectSpec, "by", "classifier")


@dataclass(frozen=True)
class Entry(Given):  # type: ignore[valid-type, misc]
    """What stands at a loop's keys `select` and `filter`."""

    by: str | dict[str, Any] | tuple[dict[str, Any], ...] | None = option(
        None,
        "a score, or {score: NAME, …} with its options; or a list of such, each with a `share` of the choices",
        kind="scores",
    )


@dataclass(frozen=True)
class Shared:
    """What stands beside the options of a score."""

    share: float = option(1.0, "its part of the choices, beside those of the others", above=0, maximum=10**6)


def select_of(given: Any, where: str) -> SelectSpec | None:
    """The selection at a key of a config, as far as it is known before the run is; None where there is none."""
    if given is None or given is False:
        return None
    entry: Any = parse(Entry, given, where)
    ways = [name for name in WAYS if getattr(entry, name) is not None]
    if len(ways) != 1:
        raise SpecError(
            f"{where}: expected one of the keys {', '.join(WAYS)}, got {', '.join(ways) or 'none'}"
        )
    for key, way in (("temperature", "choice_of"), ("accuracy", "above")):
        if getattr(entry, key) != 1 and ways != [way]:
            raise SpecError(f"{where}.{key}: has no effect without {way}")
    if entry.by is None:
        raise SpecError(f"{where}.by: missing")
    several = entry.by if isinstance(entry.by, tuple) else (entry.by,)
    if not several:
        raise SpecError(f"{where}.by: is empty, expected at least 1 entry")
    by = tuple(_score(one, f"{where}.by" + f".{i}" * (len(several) > 1)) for i, one in enumerate(several))
    return SelectSpec(by, **{name: value for name, value in vars(entry).items() if name != "by"})


def _score(given: Any, where: str) -> ScoreSpec:
    known = declared("scores")
    entry = {"score": given} if isinstance(given, str) else dict(given)
    name = entry.pop("score", None)
    if name is None:
        raise SpecError(f"{where}.score: missing")
    if not isinstance(name, str) or name not in known:
        raise SpecError(f"{where}: unknown score {shown(name)} (known: {', '.join(map(named, known))})")
    shared: Any = parse(Shared, {key: entry.pop(key) for key in list(entry) if key == "share"}, where)
    about = known[name]
    return ScoreSpec(name, about.revision, to_dict(parse(about.Options, entry, where)), shared.share)


def settled(
    loop: LoopSpec,
    model: ModelSpec,
    images: Images | None,
    judge: Callable[[Images], ClassifierSpec],
    where: str,
) -> LoopSpec:
    """The loop of a run with the classifier that its selections look through.

    Raises SpecError where a score of them cannot be taken of what the run generates, or of its real rows.
    """
    select = _seen(loop.select, model, images, judge, f"{where}.select")
    return replace(loop, select=select, filter=_seen(loop.filter, None, images, judge, f"{where}.filter"))


def _seen(
    select: SelectSpec | None,
    model: ModelSpec | None,
    images: Images | None,
    judge: Callable[[Images], ClassifierSpec],
    where: str,
) -> SelectSpec | None:
    """A selection with its classifier; of real rows without a model."""
    if select is None:
        return None
    needed: set[str] = set()
    for score in select.by:
        views = set(declared("scores")[score.name].on)
        needed |= views
        if missing := _missing(views, model, images):
            raise SpecError(f"{where}.by: {score.name} {missing}")
    if not images or not needed & OF_CLASSIFIER:
        return select
    return replace(select, classifier=judge(images).folder)


def _missing(views: set[str], model: ModelSpec | None, images: Images | None) -> str:
    """Why a score cannot be taken, in words; empty where it can."""
    if beyond := views - (OF_IMAGES if images else OF_POINTS):
        known = "of points of a known density" if images else "of images"
        return f"looks at {' and '.join(sorted(beyond))}, which there is {known} alone"
    if images and views & OF_CLASSIFIER and not images.about.labelled:
        return f"needs a classifier, and {images.name} has fewer than two classes"
    if model is None:
        beyond = views - OF_REAL
        return f"looks at {' and '.join(sorted(beyond))}, which real rows do not have" if beyond else ""
    about = declared("families")[model.family]
    if "critic" in views and not about.has_critic:
        return f"needs a critic, and {model.family} has none"
    if "own_density" in views and not about.has_log_density:
        return f"needs a family that knows its own density, and {model.family} does not"
    return ""
