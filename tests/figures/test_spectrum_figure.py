"""The figure `spectrum`, of images with a stripe that grows from generation to generation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import ndimage

from bigloop.figures import Material, plot
from bigloop.figures.spectrum import ratio_map
from bigloop.metrics.spectrum import spectrum

SIDE, STRIPE = 32, 8  # periods of the stripe


def pictures(seed: int, stripe: float = 0.0, n: int = 100) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, (n, 1, SIDE, SIDE))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 0.5, 0.5), mode="wrap")
    return 0.5 + 0.2 * smooth + stripe * np.cos(2 * np.pi * STRIPE * np.arange(SIDE) / SIDE)


def material(runs: tuple[str, ...] = ("a", "b"), generations: int = 5) -> Material:
    real, rows, images = pictures(0), [], {}
    every = [("real", 0, pictures(1))]
    every += [(run, t, pictures(10 + t, 0.02 * t)) for run in runs for t in range(1, 1 + generations)]
    for run, generation, drawn in every:
        if run != "real":
            images[run, generation] = drawn
        for name, value, detail in spectrum(drawn, real):
            about = {"run": run, "seed": 0, "generation": generation, "dataset": "d", "n": 100}
            rows.append(about | {"measure": name, "value": value, "detail": detail})
    table = pd.DataFrame([{"run": run, "dataset": "d", "label": f"run {run}"} for run in runs])
    return Material(pd.DataFrame(rows), table, pd.DataFrame(), images, {"d": real}, {"d": ()})


def drawn(given: Material, **options: object) -> Figure:
    entry = plot("spectrum")
    return entry.draw(given, entry.Options(**options))


def test_a_row_a_run_shows_curves_their_ratios_and_maps() -> None:
    fig = drawn(material())
    left, right, *maps = fig.axes[:6]
    assert [line.get_label() for line in left.lines] == [
        "real images",
        *(f"generation {t}" for t in (1, 2, 4, 5)),
    ]
    assert [ax.get_title(loc="center") for ax in maps] == ["gen. 1", "gen. 2", "gen. 4", "gen. 5"]
    assert len(fig.axes) == 2 * 6 + 1  # and a colour bar
    ratio = right.lines[-1].get_ydata()
    assert np.argmax(ratio) == STRIPE - 1
    assert ratio[STRIPE - 1] > 1.5
    assert np.delete(ratio, STRIPE - 1) == pytest.approx(1, abs=0.25)


def test_a_map_is_brightest_at_the_stripe_and_says_nothing_of_brightness() -> None:
    found = ratio_map(material(), "a", 5)
    middle = SIDE // 2
    assert found[middle, middle] == 0
    places = {tuple(place) for place in np.argwhere(found > 0.9 * found.max())}
    assert places == {(middle, middle - STRIPE), (middle, middle + STRIPE)}


def test_maps_can_be_left_out_and_are_where_there_are_no_images() -> None:
    given = material()
    assert len(drawn(given, maps=False).axes) == 4
    assert len(drawn(dataclasses.replace(given, images={})).axes) == 4
    assert len(drawn(given, generations=(2, 3)).axes) == 2 * 4 + 1
    with pytest.raises(ValueError, match="power"):
        drawn(dataclasses.replace(given, measures=given.measures[given.measures["measure"] != "power"]))
