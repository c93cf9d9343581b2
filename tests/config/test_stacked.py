"""Stacked digits in a config: which classifiers are planned for them, and where their modes cannot be counted."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bigloop.config.experiment import Experiment
from bigloop.ops.unreferenced import folder_names
from bigloop.spec.jobs import ClassifierSpec, FeaturesSpec, MeasureSpec
from bigloop.spec.options import SpecError, parse, to_dict, to_json

Config = dict[str, Any]
LOOP = {
    "initial": {"n": 100},
    "samples": 40_000,
    "real": {},
    "synthetic": {"n": 100},
    "budget": {"initial": {"images": 10}, "retrain": {"images": 10}},
}
MNIST = ClassifierSpec("mnist")
JUDGE = f"classifier-{MNIST.folder}"


@pytest.fixture
def config() -> Config:
    """A GAN on stacked digits whose modes are counted."""
    return copy.deepcopy(
        {
            "experiment": "stacked",
            "datasets": {
                "digits": {"source": "stacked", "n": 128_000},
                "clothes": {"source": "stacked", "of": "fashion_mnist"},
                "large": {"source": "stacked", "size": 32},
                "grey": {"source": "stacked", "grey": True},
            },
            "models": {"gan": {"family": "dcgan"}, "gaussian": {"family": "gaussian"}},
            "loops": {"full": LOOP},
            "runs": {"digits": run("digits")},
            "measures": {"stacked_modes": None},
            "figures": {},
        }
    )


def run(dataset: str, model: str = "gan") -> Config:
    return {"dataset": dataset, "model": model, "loop": "full", "generations": 2}


def planned(config: Config) -> Experiment:
    return Experiment.from_config(config)


# --- what jobs are told ---


def test_modes_are_counted_by_the_classifier_of_the_planes_source(config: Config) -> None:
    experiment = planned(config)
    job = experiment.measure(experiment.runs["digits"], 0, 1)
    assert job.measures == {"stacked_modes": {"n": 26_000, "features": JUDGE}}
    assert job.features == {JUDGE: FeaturesSpec("classifier", 1, {"classifier": MNIST.folder})}
    assert parse(MeasureSpec, to_dict(job), "spec") == job
    floor = experiment.floor("digits")
    assert floor.measures == {"stacked_modes": (job.measures["stacked_modes"],)}
    assert floor.features == job.features
    assert experiment.judges(experiment.trained) == [MNIST.folder]


def test_that_classifier_is_trained_and_its_data_fetched_but_not_measured(config: Config) -> None:
    experiment = planned(config)
    assert set(experiment.images) == {"digits"}
    assert set(experiment.datasets) == {"digits", "mnist"}
    assert experiment.classifiers == {"mnist": MNIST}
    assert experiment.collect().datasets == ("digits",)
    assert {"mnist", MNIST.folder} <= folder_names(experiment)


def test_n_is_at_most_what_samples_and_half_of_the_real_rows_are(config: Config) -> None:
    def n(**more: Any) -> int:
        config["datasets"]["digits"] = {"source": "stacked", **more}
        experiment = planned(config)
        return int(experiment.resolved(experiment.runs["digits"])["stacked_modes"]["n"] or 0)

    assert n() == n(n=52_000) == 26_000
    assert n(n=50_000) == 25_000
    config["measures"] = {"stacked_modes": {"n": 30_000}}
    assert n() == 30_000
    with pytest.raises(
        SpecError, match=r"\Ameasures\.stacked_modes\.n: 30000 needs two disjoint real sets of"
    ):
        n(n=50_000)


def test_each_source_of_planes_has_the_classifier_of_its_own(config: Config) -> None:
    config["classifier"] = {"width": 8}
    config["runs"] |= {"clothes": run("clothes"), "plain": run("stacked"), "mnist": run("mnist")}
    experiment = planned(config)
    folders = {name: ClassifierSpec(name, width=8).folder for name in ("mnist", "fashion_mnist")}
    assert {name: spec.folder for name, spec in experiment.classifiers.items()} == folders
    told = {name: experiment.resolved(one) for name, one in experiment.runs.items()}
    judges = {name: said["stacked_modes"]["features"] for name, said in told.items() if said}
    assert judges == {
        "digits": f"classifier-{folders['mnist']}",
        "clothes": f"classifier-{folders['fashion_mnist']}",
        "plain": f"classifier-{folders['mnist']}",
    }


def test_stacked_digits_have_a_classifier_of_a_thousand_classes_only_where_it_is_asked_for(
    config: Config,
) -> None:
    def classifiers(measures: Config, figures: Config | None = None) -> set[str]:
        return set(planned(config | {"measures": measures, "figures": figures or {}}).classifiers)

    assert classifiers({"stacked_modes": None}) == {"mnist"}
    assert classifiers({"pixels": None}) == set()
    assert classifiers({"pixels": None, "fid": {"n": 50}}) == {"digits"}
    assert classifiers({"stacked_modes": None, "classes": None}) == {"digits", "mnist"}
    assert classifiers({"fid": {"n": 50, "features": "inception"}}) == set()
    assert classifiers({"pixels": None}, {"feature_embedding": None}) == {"digits"}
    config["datasets"]["others"] = {"source": "stacked", "n": 10_000, "features": {"classifier": "digits"}}
    config["runs"] |= {"others": run("others")}
    assert classifiers({"stacked_modes": None}) == {"mnist"}
    config["datasets"]["digits"]["features"] = "inception"
    assert classifiers({"fid": {"n": 50}}) == {"digits"}  # judges the others


def test_a_place_of_the_files_is_that_of_the_planes_source_too(config: Config) -> None:
    config["datasets"]["digits"]["root"] = "idx"
    assert {name: images.root for name, images in planned(config).datasets.items()} == {
        "digits": Path("idx"),
        "mnist": Path("idx"),
    }
    del config["datasets"]["digits"]["root"]
    config["data"] = {"root": "published"}
    assert {images.root for images in planned(config).datasets.values()} == {Path("published")}


def test_counting_modes_moves_no_run_and_changes_no_other_measure(config: Config) -> None:
    config["measures"] = {"fid": {"n": 50}}
    before = planned(config)
    config["measures"] = {"fid": {"n": 50}, "stacked_modes": None}
    after = planned(config)
    assert after.runs["digits"].spec == before.runs["digits"].spec
    fid = [experiment.resolved(experiment.runs["digits"])["fid"] for experiment in (before, after)]
    assert to_json(fid[0]) == to_json(fid[1])


# --- what is refused ---

NOT_STACKED = "needs images whose colour planes are pictures of their own (source: stacked), which"
REFUSED: dict[str, tuple[Callable[[Config], object], str]] = {
    "other images": (
        lambda c: c.update(runs={"mnist": run("mnist"), "cifar": run("cifar10")}),
        f"measures.stacked_modes: {NOT_STACKED} cifar10 and mnist are not; leave it out",
    ),
    "one other dataset": (
        lambda c: c.update(runs={"mnist": run("mnist")}),
        f"measures.stacked_modes: {NOT_STACKED} mnist is not; leave it out",
    ),
    "planes laid over each other": (
        lambda c: c.update(runs={"grey": run("grey")}),
        f"measures.stacked_modes: {NOT_STACKED} grey is not; leave it out",
    ),
    "points": (
        lambda c: c.update(runs={"points": run("gaussian", "gaussian")}),
        "measures.stacked_modes: cannot be measured of any of these runs; leave it out",
    ),
    "planes of another size": (
        lambda c: c.update(runs={"large": run("large")}),
        "measures.stacked_modes: the classifier of mnist takes 28×28 pictures, the planes of large are 32×32; leave "
        "out datasets.large.size",
    ),
    "features": (
        lambda c: c.update(measures={"stacked_modes": {"features": "inception"}}),
        "measures.stacked_modes.features: unknown key",
    ),
    "test rows": (
        lambda c: c.update(measures={"stacked_modes": {"reference": "test"}}),
        "measures.stacked_modes.reference: unknown key",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_where_modes_cannot_be_counted_is_one_line(name: str, config: Config) -> None:
    change, message = REFUSED[name]
    change(config)
    with pytest.raises(SpecError) as raised:
        planned(config)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_beside_stacked_digits_other_runs_are_measured_without_it(config: Config) -> None:
    config["runs"] |= {"mnist": run("mnist"), "points": run("gaussian", "gaussian")}
    config["measures"]["variance"] = {"n": 50}
    experiment = planned(config)
    measured = {name: set(experiment.resolved(one)) for name, one in experiment.runs.items()}
    assert measured == {
        "digits": {"stacked_modes", "variance"},
        "mnist": {"variance"},
        "points": {"variance"},
    }
