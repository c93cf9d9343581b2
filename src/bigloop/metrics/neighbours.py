"""Nearest neighbours: which generated images lie among the real ones, and the other way round.

precision, recall, density and coverage draw a closed ball (≤) around every row of one set, through the row's
k-th nearest other row of the same set, and ask which rows of the other set it holds.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK = 1_000  # rows at a time: the distances held at once are a few times this × the other set's rows


def precision(generated: np.ndarray, real: np.ndarray, k: int = 5) -> float:
    """Share of generated rows that lie in the ball of at least one real row, in [0, 1].

    generated: shape (n, d), real: shape (m, d), any floats, computed in float64 (Kynkäänniemi et al. 2019,
    eq. 1 and 2). Raises ValueError where a set has fewer than k + 1 rows.
    """
    return sum(int(inside.any(axis=1).sum()) for inside in _in_balls(generated, real, k)) / len(generated)


def recall(generated: np.ndarray, real: np.ndarray, k: int = 5) -> float:
    """Share of real rows that lie in the ball of at least one generated row: `precision`, sides exchanged."""
    return precision(real, generated, k)


def density(generated: np.ndarray, real: np.ndarray, k: int = 5) -> float:
    """Number of real balls that a generated row lies in, on average, over k; may exceed 1.

    Shapes and errors as for `precision` (Naeem et al. 2020; their code's balls are open, <. With ≤ a set
    without ties has density (k + 1) / k against itself, with < it has 1).
    """
    return sum(int(inside.sum()) for inside in _in_balls(generated, real, k)) / (k * len(generated))


def coverage(generated: np.ndarray, real: np.ndarray, k: int = 5) -> float:
    """Share of real balls that hold at least one generated row, in [0, 1].

    Shapes and errors as for `precision` (Naeem et al. 2020; their code's balls are open, <).
    """
    covered = np.zeros(len(real), dtype=bool)
    for inside in _in_balls(generated, real, k):
        covered |= inside.any(axis=0)
    return float(covered.mean())


def nearest(generated: np.ndarray, real: np.ndarray) -> float:
    """Mean over generated rows of the Euclidean distance to the nearest real row, in the unit of the data.

    generated: shape (n, …), real: shape (m, …), flattened to vectors. With all training images as `real`,
    memorising shows as a value far below that of held-out real images (the floor), 0 for exact copies. Blur
    lowers it, too: only sharp images with a low value are copies. Raises ValueError where a set is empty.
    """
    _require_rows(1, generated, real)
    x = np.asarray(generated, dtype=np.float64).reshape(len(generated), -1)
    shortest = np.full(len(x), np.inf)
    for rows in _blocks(len(real)):
        y = np.asarray(real[rows], dtype=np.float64).reshape(-1, x.shape[1])
        # The matrix product is fast, but rounded: it only finds the pair (‖x‖² is the same for all of a row).
        candidates = (np.square(y).sum(axis=1) - 2 * (x @ y.T)).argmin(axis=1)
        shortest = np.minimum(shortest, np.linalg.norm(x - y[candidates], axis=1))
    return float(shortest.mean())


def _in_balls(points: np.ndarray, centres: np.ndarray, k: int) -> Iterator[np.ndarray]:
    """Which points lie in which centre's ball: bool (≤ BLOCK, m), block after block of the points."""
    _require_rows(k + 1, points, centres)
    x, y = np.asarray(points, dtype=np.float64), np.asarray(centres, dtype=np.float64)
    radii = _radii(y, k)
    for rows in _blocks(len(x)):
        yield _distances(x[rows], y) <= radii


def _radii(points: np.ndarray, k: int) -> np.ndarray:
    radii = np.empty(len(points))
    for rows in _blocks(len(points)):
        distances = _distances(points[rows], points)
        distances.partition(k, axis=1)  # in place; one of the k + 1 smallest is the row itself, at 0
        radii[rows] = distances[:, k]
    return radii


def _distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import cdist  # here, not above: planning a workflow need not wait for it

    # By direct differences: equal pairs of rows give equal floats, so that ≤ is exact. A matrix product's
    # rounding depends on where a row stands, and grows with the features' offset.
    return cdist(x, y)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, n, BLOCK))


def _require_rows(least: int, *sets: np.ndarray) -> None:
    for rows in map(len, sets):
        if rows < least:
            raise ValueError(f"neighbours: expected n ≥ {least} rows in each set, got {rows}")
