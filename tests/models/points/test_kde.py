"""Kernel density estimation against scipy's, row by row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm

from bigloop.models.points.kde import KDE
from bigloop.models.points.stacked import Streams
from bigloop.spec.loops import Budget
from bigloop.spec.options import SpecError, parse


def fitted(rows: torch.Tensor, **options: Any) -> KDE:
    streams = Streams([np.random.default_rng(seed) for seed in range(len(rows))])
    model = KDE.fresh(parse(KDE.Options, options, "kde"), rows.shape[2], streams)
    model.fit(rows, Budget(epochs=1), streams)
    return model


@pytest.mark.parametrize("bandwidth", [None, 0.3])
def test_its_density_is_the_mean_of_its_kernels(bandwidth: float | None) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2, 40, 2)) * np.array([1.0, 3.0])
    points = rng.normal(size=(2, 7, 2)) * 2
    model = fitted(torch.from_numpy(rows), bandwidth=bandwidth)
    found = model.log_density(torch.from_numpy(points))
    for replicate in range(2):
        scott = rows[replicate].std(axis=0, ddof=1) * 40 ** (-1 / 6)
        scale = scott if bandwidth is None else np.full(2, bandwidth)
        kernels = norm.pdf(points[replicate][:, None], rows[replicate][None], scale).prod(axis=2)
        assert found[replicate].numpy() == pytest.approx(np.log(kernels.mean(axis=1)))


@pytest.mark.parametrize("bias", [1.0, 0.25, 0.0])
def test_samples_are_rows_with_noise_of_the_kernel(bias: float) -> None:
    rows = torch.tensor([[[0.0], [100.0], [200.0]]], dtype=torch.float64)
    model = fitted(rows, bandwidth=2.0)
    points = model.sample(30_000, bias, Streams([np.random.default_rng(3)]))[0, :, 0].numpy()
    nearest = np.round(points / 100) * 100
    assert np.bincount((nearest / 100).astype(int)) / 30_000 == pytest.approx([1 / 3] * 3, abs=0.012)
    assert (points - nearest).std() == pytest.approx(2 * math.sqrt(bias), rel=0.02)


def test_one_row_is_refused() -> None:
    with pytest.raises(SpecError, match="two or more rows"):
        fitted(torch.zeros(1, 1, 2, dtype=torch.float64))
