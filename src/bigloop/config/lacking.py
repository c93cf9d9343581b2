"""What a config's measures and figures need and its runs do not have, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigloop.spec.jobs import OWN
from bigloop.spec.registry import declared

if TYPE_CHECKING:
    from bigloop.config.experiment import Experiment


def has_features(experiment: Experiment, dataset: str) -> bool:
    """Whether images of a dataset can be compared on features."""
    return (
        dataset in experiment.classifiers or experiment.compared.on(None, experiment.images[dataset]) != OWN
    )


def unmeasurable(experiment: Experiment, name: str) -> str:
    """Why a measure cannot be taken of any run, in words."""
    about = declared("measures")[name]
    if "others" in about.on:
        return "tells how far members of an ecosystem are apart, and no run is of one"
    if "selection" in about.on:
        return "tells what a loop selects, and no run has a loop with a key select"
    if about.needs_critic:
        return "needs a critic, and no run has one"
    if about.on_planes and experiment.images:
        names = f"{' and '.join(experiment.images)} {'is' if len(experiment.images) == 1 else 'are'}"
        return (
            f"needs images whose colour planes are pictures of their own (source: stacked), which {names} not"
        )
    if about.of_images and (about.needs_classes or about.on_features) and experiment.images:
        return f"needs two classes or more, and {' and '.join(experiment.images)} have fewer"
    return "cannot be measured of any of these runs"


def missing(experiment: Experiment, figure: str) -> str:
    """What a figure shows and this experiment lacks, in words; empty where nothing is missing."""
    needs = set(declared("figures")[experiment.kinds[figure]].needs)
    for what, there in (
        ("images", experiment.trained),
        ("points", experiment.simulated),
        ("curves", experiment.simulated),
    ):
        if what in needs and not there:
            return f"shows {what}, but no run has any; leave this figure out"
    trained = [declared("families")[run.spec.model.family] for run in experiment.trained if run.spec.loop]
    if "snapshots" in needs and not any(family.takes_snapshots for family in trained):
        return "no run's family takes snapshots; leave this figure out"
    if "snapshots" in needs and not experiment.storage.snapshots:
        return "shows snapshots; set storage.snapshots to the epochs between two, or leave this figure out"
    if "steps" in needs and not any(family.records_steps for family in trained):
        return "no run's family records its steps; leave this figure out"
    bare = [name for name in experiment.images if not has_features(experiment, name)]
    if "features" in needs and bare:
        return f"shows features, and {bare[0]} has none; give datasets.{bare[0]}.features, or leave this figure out"
    if "losses" in needs and not any(run.spec.loop for run in experiment.runs.values()):
        return "no run is trained here; leave this figure out"
    if "critics" in needs and not any(run.has_critic for run in experiment.runs.values()):
        return "no run has a critic; leave this figure out"
    unmeasured = sorted(needs & declared("measures").keys() - experiment.measures.keys())
    if unmeasured and not experiment.measures_any(unmeasured[0]):
        return (
            f"shows {unmeasured[0]}, which {unmeasurable(experiment, unmeasured[0])}; leave this figure out"
        )
    return f"needs measures.{unmeasured[0]}; add it, or leave this figure out" if unmeasured else ""
