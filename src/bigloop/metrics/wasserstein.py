"""Exact Wasserstein-1 distance between two sets of points, and its debiased companion."""

from __future__ import annotations

import warnings

import numpy as np

NO_LIMIT = 100_000_000  # network-simplex iterations; POT's default stops early from about 5 000 points on


def wasserstein1(x: np.ndarray, y: np.ndarray) -> float:
    """Wasserstein-1 distance with Euclidean ground cost between the empirical measures of x and y.

    x: shape (n, …), y: shape (m, …), flattened to vectors; the same unit as the data. Exact (optimal
    transport by network simplex); raises RuntimeError should the solver not finish. Knutsen et al. 2025, eq. 2.
    """
    import ot  # here, not above: seconds that planning a workflow need not pay

    cost = euclidean_distances(_flat(x), _flat(y))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a solver that gives up says so in a warning only
        try:
            return float(ot.emd2([], [], cost, numItermax=NO_LIMIT))
        except UserWarning as warning:
            raise RuntimeError(f"wasserstein1: {warning}") from None


def wasserstein1_excess(generated: np.ndarray, real: np.ndarray) -> float:
    """W(G, R) − ½ W(G, G′) − ½ W(R, R′) with G, G′ and R, R′ the halves of `generated` and `real`.

    generated, real: shape (2n, …). At finite n the plain distance has a floor that is lower for less varied
    sets, so that blur is rewarded; each side's own distance takes that away. 0 in expectation for equal
    laws (it may come out slightly negative), and above 0 for different ones as n grows.
    """
    g, g_other = np.array_split(generated, 2)
    r, r_other = np.array_split(real, 2)
    return wasserstein1(g, r) - 0.5 * wasserstein1(g, g_other) - 0.5 * wasserstein1(r, r_other)


def euclidean_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """All distances ‖x_i − y_j‖₂, shape (n, m), of float64 points (n, d) and (m, d).

    By ‖x‖² + ‖y‖² − 2 x·y, one matrix product: ten times as fast as pair by pair, and exact to about
    1e-7 ‖x‖ where two points coincide, far better elsewhere.
    """
    squares = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)[None, :] - 2 * (x @ y.T)
    return np.sqrt(squares.clip(min=0), out=squares)


def _flat(points: np.ndarray) -> np.ndarray:
    return np.asarray(points, dtype=np.float64).reshape(len(points), -1)
