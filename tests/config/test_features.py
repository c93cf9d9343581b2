"""`features` of a dataset or a measure: what jobs are told, what is refused, and that without it nothing changes."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bigloop.config.experiment import Experiment
from bigloop.config.schema import config_schema
from bigloop.ops.resources import measuring_memory, measuring_minutes
from bigloop.ops.unreferenced import folder_names
from bigloop.spec.jobs import FeaturesSpec, MeasureSpec
from bigloop.spec.options import SpecError, digest, parse, to_dict, to_json
from bigloop.spec.registry import declared

from ..shipped import SHIPPED

Config = dict[str, Any]
ON_FEATURES = {
    "between",
    *(
        "fid",
        "precision",
        "recall",
        "density",
        "coverage",
        "spacing",
        "intra_class_variance",
        "bins",
        "vendi",
    ),
}
LOOP = {
    "initial": {"n": 100},
    "samples": 120,
    "real": {},
    "synthetic": {"n": 100},
    "budget": {"initial": {"images": 10}, "retrain": {"images": 10}},
}


@pytest.fixture
def horses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A config on one class of CIFAR-10 and on all of it, in a working directory with a file of weights."""
    monkeypatch.chdir(tmp_path)
    Path("weights.pth").write_bytes(b"weights")
    return {
        "experiment": "horses",
        "datasets": {
            "horses": {"source": "cifar10", "classes": ["horse"], "features": {"classifier": "cifar10"}},
            "small": {"source": "cifar10", "classes": ["horse"], "size": 16, "features": "inception"},
        },
        "models": {"vae": {"family": "vae"}},
        "loops": {"full": LOOP},
        "runs": {"horses": {"dataset": "horses", "model": "vae", "loop": "full", "generations": 2}},
        "measures": {"fid": {"n": 50}, "pixels": {"n": 50}},
        "figures": {},
    }


def planned(config: Config) -> Experiment:
    return Experiment.from_config(config)


def told(config: Config, run: str = "horses") -> MeasureSpec:
    experiment = planned(config)
    return experiment.measure(experiment.runs[run], 0, 1)


def add_run(config: Config, dataset: str) -> None:
    config["runs"][dataset] = config["runs"]["horses"] | {"dataset": dataset}


# --- what jobs are told ---


def test_measures_on_features_have_the_option_and_no_others() -> None:
    assert {name for name, about in declared("measures").items() if about.on_features} == ON_FEATURES
    with_option = {
        name for name, about in declared("measures").items() if about.options.get("features", {}).get("kind")
    }
    assert with_option == ON_FEATURES


@pytest.mark.usefixtures("beside_pictures")
@pytest.mark.parametrize(
    "path",
    [path for path in SHIPPED if not re.search(r"features: (\{|inception)|stacked_modes", path.read_text())],
    ids=lambda path: path.stem,
)
def test_a_shipped_config_that_says_nothing_of_features_tells_its_jobs_nothing(path: Path) -> None:
    experiment = planned(yaml.safe_load(path.read_text()))
    for run in experiment.trained:
        job = experiment.measure(run, run.seeds[0], 1)
        assert job.features is None
        assert '"features":{' not in to_json(job)
        assert not experiment.judges([run])
    assert not experiment.lenders


def test_of_data_with_classes_the_classifier_is_the_same_said_or_not(config: Config) -> None:
    before = planned(config)
    specs = [
        to_json(job(before)) for job in (lambda e: e.measure(e.runs["vae"], 0, 1), lambda e: e.floor("mnist"))
    ]
    for features in ("classifier", {"classifier": ""}, {"classifier": "mnist"}):
        config["measures"]["fid"] = (config["measures"]["fid"] or {}) | {"features": features}
        after = planned(config)
        assert [to_json(after.measure(after.runs["vae"], 0, 1)), to_json(after.floor("mnist"))] == specs
        assert not after.lenders


def test_a_dataset_of_one_class_is_judged_by_the_classifier_of_another(horses: Config) -> None:
    experiment, job = planned(horses), told(horses)
    folder = experiment.classifiers["cifar10"].folder
    spec = FeaturesSpec("classifier", 1, {"classifier": folder})
    assert job.classifier is None
    assert job.measures["fid"] == {"n": 50, "features": f"classifier-{folder}"}
    assert "features" not in job.measures["pixels"]
    assert job.features == {f"classifier-{folder}": spec}
    assert experiment.floor("horses").features == job.features
    assert experiment.judges(experiment.trained) == [folder]
    assert parse(MeasureSpec, to_dict(job), "spec") == job


def test_the_dataset_that_lends_its_classifier_is_fetched_and_not_measured(horses: Config) -> None:
    experiment = planned(horses)
    assert set(experiment.images) == {"horses"}
    assert set(experiment.datasets) == {"horses", "cifar10"}
    assert experiment.collect().datasets == ("horses",)
    assert {"cifar10", experiment.classifiers["cifar10"].folder} <= folder_names(experiment)
    horses["measures"]["fid"]["features"] = "inception"
    assert set(planned(horses).datasets) == {"horses"}  # nobody asks for that classifier any more


def test_another_classifier_is_another_job_and_no_run_moves(horses: Config) -> None:
    before, run = told(horses), planned(horses).runs["horses"].spec.folder
    horses["classifier"] = {"width": 8}
    assert told(horses).features != before.features
    horses["measures"]["fid"]["features"] = {"torchvision": "resnet18"}
    assert planned(horses).runs["horses"].spec.folder == run
    horses["datasets"]["horses"].pop("features")
    assert planned(horses).runs["horses"].spec.folder == run


def test_a_measure_says_otherwise_than_its_dataset(horses: Config) -> None:
    add_run(horses, "small")
    horses["measures"]["recall"] = {
        "n": 50,
        "features": {"torchvision": "resnet18", "weights": "weights.pth"},
    }
    checksum = hashlib.sha256(b"weights").hexdigest()
    name = f"torchvision-resnet18-{checksum[:8]}"
    for run in ("horses", "small"):
        job = told(horses, run)
        assert job.measures["recall"]["features"] == name
        assert (job.features or {})[name].weights == checksum
    assert told(horses, "small").measures["fid"]["features"] == "inception-2048"


def test_other_contents_of_the_file_of_weights_are_another_job(horses: Config) -> None:
    horses["datasets"]["horses"]["features"] = {"inception": 64, "weights": "weights.pth"}
    before = told(horses)
    Path("weights.pth").write_bytes(b"other weights")
    assert told(horses) != before
    assert told(horses).measures["fid"]["features"] != before.measures["fid"]["features"]


def test_names_tell_options_and_weights_apart() -> None:
    specs = [
        FeaturesSpec("inception", 1, {"inception": 64, "weights": ""}),
        FeaturesSpec("inception", 1, {"inception": 64, "weights": "", "truncate": True}),
        FeaturesSpec("inception", 1, {"inception": 64, "weights": "file"}, "0123456789abcdef"),
        FeaturesSpec("inception", 1, {"inception": 192, "weights": ""}),
        FeaturesSpec("mine", 1, {"mine": "group/network", "weights": ""}),
    ]
    names = [spec.name for spec in specs]
    cut = f"inception-64-{digest({'truncate': True})}"
    assert names == ["inception-64", cut, "inception-64-01234567", "inception-192", "mine-group_network"]


def test_data_without_classes_are_measured_on_other_features_and_need_no_classifier(horses: Config) -> None:
    horses["datasets"]["horses"]["features"] = "inception"
    horses["measures"] |= {
        name: {"n": 20} for name in ON_FEATURES - {"fid", "intra_class_variance", "between"}
    }
    experiment, job = planned(horses), told(horses)
    assert not experiment.classifiers
    assert set(job.measures) == {*horses["measures"]}
    assert set(job.features or {}) == {"inception-2048"}


def test_points_of_a_known_density_are_compared_as_they_are(horses: Config) -> None:
    horses["models"]["gaussian"] = {"family": "gaussian"}
    horses["runs"]["points"] = {"dataset": "gaussian", "model": "gaussian", "loop": "full", "generations": 2}
    horses["measures"]["fid"]["features"] = "inception"
    experiment = planned(horses)
    assert experiment.resolved(experiment.runs["points"])["fid"] == {"n": 50}
    assert experiment.resolved(experiment.runs["horses"])["fid"]["features"] == "inception-2048"


def test_a_figure_shows_the_features_of_the_dataset_whatever_a_measure_is_told(horses: Config) -> None:
    horses["figures"] = {"feature_embedding": None, "losses": None}
    horses["measures"] = {"pixels": {"n": 50}, "fid": {"n": 50, "features": "inception"}}
    experiment = planned(horses)
    lender, plot = experiment.classifiers["cifar10"].folder, experiment.plot("feature_embedding")
    assert plot.classifiers is None
    assert plot.features == {"horses": FeaturesSpec("classifier", 1, {"classifier": lender})}
    assert experiment.shown_by("feature_embedding") == [lender]
    assert set(experiment.datasets) == {"horses", "cifar10"}
    assert experiment.shown_by("losses") == []
    assert to_dict(experiment.plot("losses")).keys() == {"experiment", "name", "figure", "options"}

    horses["runs"]["horses"]["dataset"] = "cifar10"
    experiment = planned(horses)
    assert experiment.plot("feature_embedding").classifiers == {"cifar10": lender}
    assert experiment.shown_by("feature_embedding") == [lender]

    horses["datasets"] = {"horses": {"source": "cifar10", "classes": ["horse"]}}
    horses["runs"]["horses"]["dataset"] = "horses"
    with pytest.raises(
        SpecError, match=r"figures.feature_embedding: shows features, and horses has none; give"
    ):
        planned(horses)


def test_runs_that_are_not_chosen_need_no_features(horses: Config) -> None:
    horses["models"]["gaussian"] = {"family": "gaussian"}
    horses["runs"]["points"] = {"dataset": "gaussian", "model": "gaussian", "loop": "full", "generations": 2}
    horses["measures"]["fid"]["features"] = {"torchvision": "resnet18"}
    horses["only"] = "points"
    assert planned(horses).measures["fid"] == {"n": 50}


def test_jobs_with_networks_of_their_own_ask_for_more(horses: Config) -> None:
    plain = {"fid": {"n": 5_000}}
    looking = {"fid": {"n": 5_000, "features": "inception-2048"}}
    assert measuring_minutes(plain) == 20
    assert measuring_minutes(looking) > 40
    features = 5_000 * 2_048 * 8 / 1e6
    assert measuring_memory(looking, "cifar10") > measuring_memory(plain, "cifar10") + features


# --- classifiers of their own options ---


def test_a_dataset_may_have_a_classifier_of_other_options_than_the_rest(horses: Config) -> None:
    horses["classifier"] = {"width": 8, "epochs": 2}
    horses["datasets"]["colours"] = {"source": "cifar10", "classifier": {"network": "resnet", "epochs": 9}}
    horses["datasets"]["horses"]["features"] = {"classifier": "colours"}
    for dataset in ("colours", "mnist"):
        add_run(horses, dataset)
    classifiers = planned(horses).classifiers
    assert set(classifiers) == {"colours", "mnist"}  # horses have no classes
    colours, mnist = classifiers["colours"], classifiers["mnist"]
    assert (colours.network, colours.width, colours.epochs) == ("resnet", 8, 9)
    assert (mnist.network, mnist.width, mnist.epochs) == ("cnn", 8, 2)
    assert told(horses).measures["fid"]["features"] == f"classifier-{colours.folder}"


def test_another_classifier_of_the_same_images_is_not_their_own(horses: Config) -> None:
    horses["datasets"] = {
        "small": {"source": "cifar10", "classifier": {"width": 2}, "features": {"classifier": "twin"}},
        "twin": {"source": "cifar10"},
    }
    del horses["runs"]["horses"]
    horses["runs"]["small"] = {"dataset": "small", "model": "vae", "loop": "full", "generations": 2}
    assert "features" in told(horses, "small").measures["fid"]
    horses["datasets"]["small"]["classifier"] = {"width": 32}  # the default
    assert "features" not in told(horses, "small").measures["fid"]


def test_what_a_dataset_says_of_its_classifier_is_checked(horses: Config) -> None:
    horses["datasets"]["horses"]["classifier"] = {"epochs": 2}
    words = (
        r"^datasets\.horses\.classifier: horses has fewer than two classes, and so no classifier of its own$"
    )
    with pytest.raises(SpecError, match=words):
        planned(horses)
    horses["datasets"]["horses"]["classifier"] = {"network": "vit"}
    with pytest.raises(SpecError, match=r"^datasets\.horses\.classifier\.network: .*cnn.*resnet"):
        planned(horses)


# --- what is refused ---

WRONG: dict[str, tuple[Any, str]] = {
    "an unknown kind": (
        "inceptoin",
        ": unknown kind of features 'inceptoin' (known: classifier, inception, torch",
    ),
    "an unknown network": ({"torchvision": "resnet19"}, ".torchvision: expected one of alexnet, "),
    "no network": ("torchvision", ".torchvision: missing"),
    "an unknown layer": ({"inception": 100}, ".inception: expected one of 64, 192, 768, 2048, got 100"),
    "a missing file": ({"inception": 64, "weights": "nowhere.pth"}, ".weights: nowhere.pth: no such file"),
    "a folder for a file": ({"inception": 64, "weights": "."}, ".weights: .: cannot be read"),
    "an unknown option": ({"inception": 64, "widht": 2}, ".widht: unknown key"),
    "two kinds": (
        {"inception": 64, "classifier": "cifar10"},
        ": expected one of the keys classifier, inception",
    ),
    "no kind": ({}, ": expected one of the keys classifier, inception, torchvision"),
    "a number": (64, ": expected string"),
    "a list": (["inception"], ": expected string or object, got"),
    "an unknown dataset": (
        {"classifier": "svhn"},
        ".classifier: unknown dataset 'svhn' (known: horses, small, mnist",
    ),
    "a dataset without classes": (
        {"classifier": "small"},
        ".classifier: small has fewer than two classes, and so no classifier of its own",
    ),
    "a dataset of another shape": (
        {"classifier": "mnist"},
        ".classifier: the classifier of mnist takes 1×28×28 images, those of horses are 3×32×32",
    ),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("place", ["datasets.horses", "measures.fid"])
def test_what_cannot_be_is_one_line_that_names_the_key(name: str, place: str, horses: Config) -> None:
    given, words = WRONG[name]
    section, entry = place.split(".")
    horses[section][entry]["features"] = given
    with pytest.raises(SpecError) as raised:
        planned(horses)
    assert str(raised.value).startswith(f"{place}.features{words}")
    assert "\n" not in str(raised.value)


def test_data_without_classes_have_no_classifier_of_their_own(horses: Config) -> None:
    for own in ("classifier", {"classifier": "horses"}):
        horses["datasets"]["horses"]["features"] = own
        with pytest.raises(
            SpecError, match=r"^datasets\.horses\.features: horses has fewer than two classes, and"
        ):
            planned(horses)
    del horses["datasets"]["horses"]["features"]
    words = r"^measures\.fid: needs two classes or more, and horses have fewer; leave it out, or give other `features`$"
    with pytest.raises(SpecError, match=words):
        planned(horses)
    horses["measures"] = {"intra_class_variance": {"features": "inception"}}
    words = (
        r"^measures\.intra_class_variance: needs two classes or more, and horses have fewer; leave it out$"
    )
    with pytest.raises(SpecError, match=words):
        planned(horses)


def test_a_dataset_that_no_run_learns_is_checked_too(horses: Config) -> None:
    horses["datasets"]["small"]["features"] = {"classifier": "cifar10"}
    with pytest.raises(
        SpecError, match=r"^datasets\.small\.features\.classifier: .* takes 3×32×32 images, those"
    ):
        planned(horses)


def test_two_names_for_one_run_cannot_have_different_features(horses: Config) -> None:
    horses["datasets"]["same"] = horses["datasets"]["horses"] | {"features": "inception"}
    add_run(horses, "same")
    words = r"^datasets\.same\.features: run same is the same as run horses on horses, whose images [^\n]*$"
    with pytest.raises(SpecError, match=words):
        planned(horses)
    horses["measures"]["fid"]["features"] = "inception"  # then both are measured alike
    assert len({run.spec.folder for run in planned(horses).trained}) == 1


def test_a_source_cannot_have_an_option_that_every_dataset_has(
    horses: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = declared("sources")["cifar10"]
    with_option = dataclasses.replace(about, options={**about.options, "features": about.options["grey"]})
    monkeypatch.setitem(declared("sources"), "cifar10", with_option)
    with pytest.raises(
        SpecError, match=r"^datasets\.horses: cifar10 has an option 'features', a key that every"
    ):
        planned(horses)


def test_points_alone_have_no_features(horses: Config) -> None:
    horses["models"]["gaussian"] = {"family": "gaussian"}
    horses["runs"] = {
        "points": {"dataset": "gaussian", "model": "gaussian", "loop": "full", "generations": 2}
    }
    horses["measures"] = {"fid": {"n": 50, "features": "inception"}}
    with pytest.raises(
        SpecError, match=r"^measures\.fid\.features: only images are compared on features[^\n]*$"
    ):
        planned(horses)


def test_other_measures_have_no_such_option(horses: Config) -> None:
    horses["measures"]["pixels"]["features"] = "inception"
    with pytest.raises(SpecError, match=r"^measures\.pixels\.features: unknown key"):
        planned(horses)


# --- editors ---


@pytest.mark.parametrize(
    "features", ["inception", {"classifier": "cifar10"}, {"torchvision": "resnet18"}, None]
)
def test_editors_take_what_planning_takes(features: Any, horses: Config) -> None:
    horses["datasets"]["horses"]["features"] = horses["measures"]["fid"]["features"] = features
    jsonschema.Draft202012Validator(config_schema()).validate(horses)


@pytest.mark.parametrize(
    "name", [n for n, (_, words) in WRONG.items() if "file" not in n and "dataset" not in n]
)
@pytest.mark.parametrize("place", ["datasets.horses", "measures.fid"])
def test_editors_see_what_is_wrong(name: str, place: str, horses: Config) -> None:
    section, entry = place.split(".")
    broken = copy.deepcopy(horses)
    broken[section][entry]["features"] = WRONG[name][0]
    validator = jsonschema.Draft202012Validator(config_schema())
    assert not list(validator.iter_errors(horses))
    assert list(validator.iter_errors(broken))
