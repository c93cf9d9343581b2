"""Figures say what images are compared on, where it is not the classifier of the data themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bigloop.figures import Material, plot
from bigloop.spec.options import parse

Make = Callable[..., Material]


def words(name: str, material: Material, **options: Any) -> str:
    """All that stands in a figure."""
    entry = plot(name)
    figure = entry.draw(material, parse(entry.Options, options, f"figures.{name}"))
    texts = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    return " ".join(texts).replace("\xa0", " ").replace("\n", " ")


def on(material: Material, run: str | None, features: str) -> Material:
    """The same material, its measures of a run, or of all, compared on these features."""
    table = material.measures
    known = (
        table["features"] if "features" in table else np.where(table["measure"] == "fid", "classifier", None)
    )
    changed = (table["measure"] == "fid") & ((table["run"] == run) | (run is None))
    table = table.assign(features=np.where(changed, features, known))
    return dataclasses.replace(material, measures=table)


@pytest.mark.parametrize("name", ["fid", "quality_diversity"])
def test_other_features_are_named(name: str, make_material: Make) -> None:
    material = make_material(generations=3, inception=False)
    other = on(material, None, "torchvision-resnet18")
    options = {"measures": ["fid"]} if name == "quality_diversity" else {}
    assert "on torchvision-resnet18" in words(name, other, **options)
    assert "classifier" not in words(name, on(material, None, "classifier"), **options)


def test_runs_on_different_features_have_both_in_the_title(make_material: Make) -> None:
    material = on(make_material(generations=3, inception=False), None, "classifier")
    mixed = words("fid", on(material, "vae", "inception-64"))
    assert "FID on inception-64 and features of the dataset's CNN" in mixed
    assert "FID on features of the dataset's CNN" in words("fid", material)
