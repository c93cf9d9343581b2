"""Counted symbols: temperature and top-p by hand, and samples that are as frequent as the model says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from bigloop.data.densities import known_density
from bigloop.models.points.counting import Counting, sharpened
from bigloop.models.points.stacked import Streams
from bigloop.spec.loops import Budget
from bigloop.spec.options import parse

ROWS = torch.tensor([[0, 0, 0, 1, 1, 3], [2, 2, 2, 2, 2, 2]], dtype=torch.float64)[..., None]


def fitted(**options: float) -> Counting:
    streams = Streams([np.random.default_rng(seed) for seed in range(2)])
    model = Counting.fresh(
        parse(Counting.Options, options, "counting"), 1, streams, known_density("zipf", {"symbols": 4})
    )
    model.fit(ROWS, Budget(epochs=1), streams)
    return model


def test_it_learns_the_shares_of_the_symbols() -> None:
    assert fitted().probabilities.tolist() == [[1 / 2, 1 / 3, 0, 1 / 6], [0, 0, 1, 0]]
    smoothed = fitted(smoothing=0.5).probabilities
    assert smoothed[0].tolist() == pytest.approx([3.5 / 8, 2.5 / 8, 0.5 / 8, 1.5 / 8])


def test_temperature_and_top_p() -> None:
    p = torch.tensor([[0.4, 0.1, 0.3, 0.2]], dtype=torch.float64)
    squared = np.square(p[0].numpy())
    assert sharpened(p, 0.5)[0].tolist() == pytest.approx(list(squared / squared.sum()))
    assert sharpened(p, 0)[0].tolist() == [1, 0, 0, 0]
    assert sharpened(p, 1e-3)[0].tolist() == pytest.approx([1, 0, 0, 0])  # 0.4^1000 is 0 in float64
    assert sharpened(p, 1, 0.7)[0].tolist() == pytest.approx([0.4 / 0.7, 0, 0.3 / 0.7, 0])
    assert sharpened(p, 1, 0.71)[0].tolist() == pytest.approx([0.4 / 0.9, 0, 0.3 / 0.9, 0.2 / 0.9])
    assert sharpened(p, 1, 1e-6)[0].tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("bias", [1.0, 0.5])
def test_samples_are_as_frequent_as_the_model_says(bias: float) -> None:
    model, streams = fitted(), Streams([np.random.default_rng(7), np.random.default_rng(8)])
    points = model.sample(20_000, bias, streams)
    assert points.shape == (2, 20_000, 1)
    assert (points[1] == 2).all()
    expected = 20_000 * sharpened(model.probabilities, bias)[0].numpy()
    counts = np.bincount(points[0, :, 0].long().numpy(), minlength=4)
    assert counts[2] == 0
    there = expected > 0
    assert ((counts - expected)[there] ** 2 / expected[there]).sum() < chi2(2).isf(1e-4)
