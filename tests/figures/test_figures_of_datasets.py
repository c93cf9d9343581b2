"""Two datasets in one figure: each run has the classes, the real images and the baseline of its own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from bigloop.figures import Material, plot
from bigloop.spec.options import parse

Make = Callable[..., Material]
CLOTHES = ("boot", "bag", "coat")


def drawn(name: str, material: Material):
    entry = plot(name)
    return entry.draw(material, parse(entry.Options, {}, f"figures.{name}"))


@pytest.fixture
def two(make_material: Make) -> Material:
    """Run vae learns mnist, run setup1 coloured clothes of three classes, whose real images are all red."""
    material = make_material(generations=2, runs={"vae": ("vae", "VAE"), "setup1": ("wgan_gp", "WGAN")})
    rng = np.random.default_rng(0)
    runs = material.runs.assign(dataset=["mnist", "clothes"])
    measures = material.measures
    real = measures["run"] == "real"
    own = measures.assign(dataset=np.where(measures["run"] == "setup1", "clothes", "mnist"))
    other = own[real].assign(dataset="clothes", value=own.loc[real, "value"] * 0.9)
    table = pd.concat([own, other], ignore_index=True)
    few = (table["measure"] != "class_frequency") | (table["dataset"] != "clothes")
    few |= table["detail"].isin([str(c) for c in range(len(CLOTHES))])
    red = np.zeros((25, 3, 16, 16))
    red[:, 0] = 1
    images = {
        cell: array if cell[0] == "vae" else rng.random((25, 3, 16, 16))
        for cell, array in material.images.items()
    }
    return dataclasses.replace(
        material,
        runs=runs,
        measures=table[few],
        critics=material.critics[material.critics["generator_run"] == "setup1"],
        images=images,
        real=material.real | {"clothes": red},
        classes=material.classes | {"clothes": CLOTHES},
    )


def pictures_of(fig) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for ax in fig.axes for image in ax.images]


@pytest.mark.parametrize("name", ["samples", "strips", "collapse"])
def test_each_run_stands_beside_real_images_of_its_own_dataset_in_colour(name: str, two: Material) -> None:
    pictures = [p for p in pictures_of(drawn(name, two)) if p.ndim == 3]
    grey = [p for p in pictures if (p == p[..., :1]).all()]
    red = [
        p
        for p in pictures
        if (p[..., 0] == 1).all() and set(np.unique(p[..., 1])) <= {0.0, 1.0} and (p == 0).any()
    ]
    assert len(red) == 1  # the real clothes
    assert len(grey) == 3  # real digits and two generations of them
    assert len(pictures) == 6


def test_class_frequencies_have_the_names_of_each_dataset(two: Material) -> None:
    fig = drawn("class_frequencies", two)
    names = [[label.get_text() for label in ax.get_yticklabels()] for ax in fig.axes[:2]]
    assert names == [list("0123456789"), list(CLOTHES)]


def test_shares_of_two_classes_are_not_shown_on_a_scale_beyond_1(two: Material) -> None:
    material = dataclasses.replace(two, classes=two.classes | {"clothes": CLOTHES[:2]})
    assert drawn("class_frequencies", material).axes[-1].get_ylim()[1] <= 1


def test_collapse_has_a_line_for_each_number_of_classes(two: Material) -> None:
    fig = drawn("collapse", two)
    lines = {line.get_label(): line for ax in fig.axes for line in ax.lines}
    for k in (10, 3):
        line = lines[f"all {k} classes equally often (ln {k})"]
        assert line.get_ydata()[0] == pytest.approx(math.log(k))


def test_an_embedding_has_a_plane_for_each_dataset(two: Material) -> None:
    fig = drawn("embedding", two)
    limits = [ax.get_xlim() for ax in fig.axes if ax.collections]
    assert len(set(limits[:2])) == 1  # one run
    assert limits[0] != limits[2]  # the other run learns other data
    backgrounds = [np.asarray(ax.collections[0].get_offsets()) for ax in fig.axes if ax.collections]
    np.testing.assert_array_equal(backgrounds[0], backgrounds[1])
    assert not np.array_equal(backgrounds[0], backgrounds[2])


def test_critic_matrices_say_where_two_runs_have_no_data_in_common(make_material: Make) -> None:
    material = make_material(generations=2)
    runs = material.runs.assign(dataset=["clothes", "mnist", "mnist"])
    critics = material.critics[material.critics["generator_run"] != "vae"]
    lone = material.critics.assign(critic_run="vae", generator_run="vae").drop_duplicates(
        ["critic_generation", "generator_generation", "seed"]
    )
    fig = drawn(
        "critic_matrices", dataclasses.replace(material, runs=runs, critics=pd.concat([lone, critics]))
    )
    words = [text.get_text() for ax in fig.axes for text in ax.texts]
    assert words.count("other data") == 4
    assert sum(bool(ax.images) for ax in fig.axes) == 5


def test_the_baselines_of_two_datasets_can_be_told_apart(two: Material) -> None:
    (ax, *_) = drawn("fid", two).axes
    floors = {line.get_label(): line for line in ax.lines if str(line.get_label()).startswith("real vs real")}
    assert set(floors) == {"real vs real (mnist)", "real vs real (clothes)"}
    assert len({str(line._unscaled_dash_pattern) for line in floors.values()}) == 2
