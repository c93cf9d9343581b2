"""What a paper publishes is drawn beside the run that names it, where it is measured alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.lines import Line2D

from bigloop.analysis import published
from bigloop.figures import Material, plot

pytestmark = pytest.mark.long


def circles(material: Material, features: str, name: str = "wasserstein1") -> tuple[list[Line2D], list[str]]:
    """The published values in a figure of the VAE that names them, and the entries of its legend."""
    runs = material.runs.assign(published=np.where(material.runs["family"] == "vae", "knutsen2025/vae", ""))
    measured = dataclasses.replace(material, runs=runs, measures=material.measures.assign(features=features))
    fig = plot(name).draw(measured, plot(name).Options())
    lines = [line for ax in fig.axes for line in ax.lines if str(line.get_gid()).startswith("published:")]
    return lines, [text.get_text() for text in fig.legends[0].get_texts()]


def test_published_values_are_circles_up_to_the_last_generation_drawn(
    make_material: Callable[..., Material],
) -> None:
    (line,), entries = circles(make_material(generations=6), "pixels")
    values = published.values("knutsen2025/vae")
    values = values[(values["measure"] == "wasserstein1") & (values["generation"] <= 6)]
    np.testing.assert_array_equal(line.get_xdata(), range(1, 7))
    np.testing.assert_array_equal(line.get_ydata(), values["value"])
    assert line.get_gid() == "published:vae"
    assert entries.count("as published") == 1


@pytest.mark.parametrize(("features", "name"), [("classifier", "wasserstein1"), ("classifier", "fid")])
def test_what_is_measured_otherwise_is_not_drawn(
    features: str, name: str, make_material: Callable[..., Material]
) -> None:
    lines, entries = circles(make_material(generations=6, inception=False), features, name)
    assert not lines
    assert "as published" not in entries
