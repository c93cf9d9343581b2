"""Datasets in a config: what they are called, what their folders are called, and what they cannot give."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from bigloop.config.experiment import Experiment
from bigloop.spec.generations import SampleSpec, TrainSpec
from bigloop.spec.options import SpecError

Config = dict[str, Any]
REPOSITORY = Path(__file__).resolve().parents[2]
LOOP = {
    "initial": {"n": 10},
    "samples": 12,
    "real": {},
    "synthetic": {"n": 10},
    "budget": {"initial": {"images": 10}, "retrain": {"images": 10}},
}


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A config on a folder of 40 small pictures of two classes, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("red", "blue"):
        Path("squares", name).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (16, 16), name).save(Path("squares", name, f"{number}.png"))
    return {
        "experiment": "pictures",
        "datasets": {
            "squares": {"source": "images", "root": "squares", "labels": "folders"},
            "plain": {"source": "images", "root": "squares", "grey": True},
            "few": {"source": "cifar10", "classes": ["horse"], "splits": ["train", "test"]},
        },
        "models": {
            "vae": {"family": "vae"},
            "wgan": {"family": "wgan_gp"},
            "ddpm": {"family": "ddpm", "patch": 2},
        },
        "loops": copy.deepcopy({"synthetic": LOOP, "biased": LOOP | {"bias": 0.5}}),
        "runs": {"squares": run("squares", "vae"), "plain": run("plain", "ddpm")},
        "measures": {"fid": None, "pixels": None},
        "figures": {},
    }


def run(dataset: str, model: str, loop: str = "synthetic") -> Config:
    return {"dataset": dataset, "model": model, "loop": loop, "generations": 2}


def planned(config: Config) -> Experiment:
    return Experiment.from_config(config)


def test_folders_are_named_by_source_and_digest_and_never_by_the_configs_name(pictures: Config) -> None:
    experiment = planned(pictures)
    names = {experiment.images[name].folder for name in ("squares", "plain")}
    assert len(names) == 2
    assert all(name.startswith("images-") for name in names)
    pictures["datasets"]["renamed"] = pictures["datasets"].pop("squares")
    pictures["runs"]["squares"]["dataset"] = "renamed"
    renamed = planned(pictures)
    assert renamed.images["renamed"].folder == experiment.images["squares"].folder
    assert renamed.runs["squares"].spec.folder == experiment.runs["squares"].spec.folder
    assert renamed.runs["squares"].spec.folder.startswith("vae-images-")


def test_rows_shape_and_classes_are_known_when_planning(pictures: Config) -> None:
    pictures["runs"]["horses"] = run("few", "vae")
    about = {name: images.about for name, images in planned(pictures).images.items()}
    assert about["squares"].rows == {"train": 36, "test": 4}
    assert about["squares"].classes == ("blue", "red")
    assert (about["plain"].shape, about["plain"].classes) == ((1, 16, 16), ())
    assert (about["few"].rows, about["few"].classes) == ({"train": 5_400, "test": 600}, ("horse",))


def test_data_with_fewer_than_two_classes_get_no_classifier_and_no_measure_that_needs_one(
    pictures: Config,
) -> None:
    pictures["runs"]["horses"] = run("few", "vae")
    experiment = planned(pictures)
    assert set(experiment.classifiers) == {"squares"}
    measured = {name: set(experiment.resolved(run)) for name, run in experiment.runs.items()}
    assert measured == {"squares": {"fid", "pixels"}, "plain": {"pixels"}, "horses": {"pixels"}}
    assert experiment.floor("plain").classifier is None
    assert experiment.measure(experiment.runs["plain"], 0, 1).classifier is None


def test_a_loop_hands_over_bytes_on_colour_sources_and_floats_on_the_grey_ones(pictures: Config) -> None:
    pictures["loops"]["exact"] = LOOP | {"handover": "float16"}
    pictures["runs"] |= {"exact": run("squares", "vae", "exact"), "digits": run("mnist", "vae")}
    runs = planned(pictures).runs
    told = {name: SampleSpec.of(one.spec, 0, 2).handover for name, one in runs.items()}
    assert told == {"squares": "uint8", "plain": "uint8", "exact": None, "digits": None}
    assert runs["exact"].spec.folder != runs["squares"].spec.folder
    assert TrainSpec.of(runs["exact"].spec, 0, 1) == TrainSpec.of(runs["squares"].spec, 0, 1)
    pictures["runs"] = {"digits": run("mnist", "vae"), "same": run("mnist", "vae", "exact")}
    same = planned(pictures).runs
    assert same["digits"].spec.folder == same["same"].spec.folder  # said or not, it is the same science


def test_a_root_for_published_files_is_that_of_every_dataset_without_its_own(pictures: Config) -> None:
    pictures["data"] = {"root": "/data/published"}
    pictures["runs"] |= {"horses": run("few", "vae"), "digits": run("mnist", "vae")}
    roots = {name: images.root for name, images in planned(pictures).images.items()}
    published = Path("/data/published")
    assert roots == {
        "squares": Path("squares"),
        "plain": Path("squares"),
        "few": published,
        "mnist": published,
    }


def remove(config: Config, *runs: str) -> None:
    for name in runs:
        del config["runs"][name]


BROKEN: dict[str, tuple[Callable[[Config], object], str]] = {
    "a measure that no dataset has the classes for": (
        lambda c: remove(c, "squares"),
        "measures.fid: needs two classes or more, and plain have fewer; leave it out",
    ),
    "a figure that no dataset has the classes for": (
        lambda c: (
            remove(c, "squares"),
            c.update(measures={"pixels": None}, figures={"class_frequencies": None}),
        ),
        "figures.class_frequencies: shows classes, which needs two classes or more, and plain have fewer; leave this",
    ),
    "a shape that a family cannot make": (
        lambda c: (
            c["datasets"]["squares"].update(size=30),
            c["runs"].update(squares=run("squares", "wgan")),
        ),
        "runs.squares.model: wgan_gp makes images whose sides are multiples of 4, at least 12; those of squares are 30",
    ),
    "a shape that is too small for four halvings": (
        lambda c: (
            c["models"].update(dcgan={"family": "dcgan"}),
            c["runs"].update(squares=run("squares", "dcgan")),
        ),
        "runs.squares.model: dcgan makes images whose sides are multiples of 4, at least 20; those of squares are 16",
    ),
    "snapshots that nobody takes": (
        lambda c: c.update(figures={"fixed_latents": None}),
        "figures.fixed_latents: shows snapshots; set storage.snapshots to the epochs between two, or leave this",
    ),
    "steps that no family records": (
        lambda c: c.update(figures={"gradient_norms": None}),
        "figures.gradient_norms: no run's family records its steps; leave this figure out",
    ),
    "snapshots of less than none": (
        lambda c: c.update(storage={"snapshots": -1}),
        "storage.snapshots: expected at least 0, got -1",
    ),
    "patches that do not tile": (
        lambda c: (c["models"]["ddpm"].update(patch=3),),
        "runs.plain.model: ddpm makes images whose sides are multiples of 3 (patch), at least 4; those of plain are 16",
    ),
    "guidance without classes": (
        lambda c: c["runs"]["plain"].update(loop="biased"),
        "loops.biased.bias: ddpm is biased by guidance towards classes, but plain has fewer than two; set it to 1",
    ),
    "a class that is not there": (
        lambda c: c["datasets"]["squares"].update(classes=["pink"]),
        "datasets.squares.classes: no class 'pink' (known: blue, red)",
    ),
    "a source that is not there": (
        lambda c: c["datasets"]["squares"].update(source="gallery"),
        "datasets.squares.source: unknown dataset 'gallery' (known: mnist, ",
    ),
    "no source": (lambda c: c["datasets"]["squares"].pop("source"), "datasets.squares.source: missing"),
    "the name of a source": (
        lambda c: c["datasets"].update(mnist={"source": "mnist"}),
        "datasets.mnist: is the name of a registered source of images; choose another",
    ),
    "a source of the user's files without any": (
        lambda c: c["runs"]["squares"].update(dataset="images"),
        "dataset images.root: missing; set it to the folder with the pictures",
    ),
    "more rows than there are": (
        lambda c: c["loops"]["synthetic"].update(initial={"n": 99}),
        "loops.synthetic.initial.n: 99 rows requested, but the dataset has 36",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_a_dataset_cannot_give_is_one_line_at_planning(name: str, pictures: Config) -> None:
    change, message = BROKEN[name]
    change(pictures)
    with pytest.raises(SpecError) as raised:
        planned(pictures)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_figures_of_a_trainings_course_are_planned_where_there_is_something_to_show(pictures: Config) -> None:
    pictures["datasets"]["squares"]["size"] = 32
    pictures["models"]["dcgan"] = {"family": "dcgan", "width": 2}
    pictures["runs"]["squares"] = run("squares", "dcgan")
    without = planned(pictures)
    pictures["storage"] = {"snapshots": 2.5}
    pictures["figures"] = {"fixed_latents": {"epochs": [0, 5]}, "gradient_norms": {"generation": 2}}
    experiment = planned(pictures)
    assert set(experiment.figures) == {"fixed_latents", "gradient_norms"}
    for name, one in experiment.runs.items():  # snapshots are no science
        assert one.spec == without.runs[name].spec


def test_points_are_not_handed_over_in_bytes(pictures: Config) -> None:
    pictures["models"]["gaussian"] = {"family": "gaussian"}
    pictures["loops"]["exact"] = LOOP | {"handover": "uint8"}
    pictures["runs"] = {"points": run("gaussian", "gaussian", "exact")}
    pictures["measures"] = {"moments": None}
    with pytest.raises(
        SpecError, match=r"\Aloops\.exact\.handover: gaussian is of points, which are never rounded\Z"
    ):
        planned(pictures)


def test_the_shipped_experiment_of_three_datasets_stores_each_apart() -> None:
    config = yaml.safe_load((REPOSITORY / "workflow" / "experiments" / "datasets-small.yaml").read_text())
    images = planned(config).images
    assert {name: one.about.source for name, one in images.items()} == {
        "digits": "mnist",
        "clothes": "fashion_mnist",
        "pictures": "cifar10",
    }
    assert len({one.folder for one in images.values()}) == 3
