"""Nearest neighbours: which generated images lie among real ones, and vice versa.

precision, recall, density and coverage draw a closed ball (≤) around every row of one set, through the row's
k-th nearest other row of the same set, and ask which rows of the other set it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bigloop.metrics import FeatureComparisonOptions, FeaturesOptions, Measure
from bigloop.spec.options import option

BLOCK = 500  # rows at a time: the distances held at once are a few times this × the other set's rows
MANY = 0.1  # share of a row from which picking the columns costs more than it saves


def ball_radii(points: np.ndarray, k: int = 5) -> np.ndarray:
    """Distance of each row to its k-th nearest other row, shape (n,), of points (n, d).

    Raises ValueError where there are fewer than k + 1 rows.
    """
    _require_rows(k + 1, points)
    x = np.ascontiguousarray(points, dtype=np.float64)
    radii = np.empty(len(x))
    for start, squares, error in _rounded_squares(x, x):
        reach = np.partition(squares, k, axis=1)[:, k, None]  # of the k + 1 smallest, one is the row itself
        for i, candidates in _chosen(~(squares > reach + 2 * error)):
            distances = _distances(x[start + i, None], x[candidates])[0]
            radii[start + i] = np.partition(distances, k)[k]
    return radii


def precision(
    generated: np.ndarray, real: np.ndarray, k: int = 5, of_real: np.ndarray | None = None
) -> float:
    """Share of generated rows that lie in the ball of at least one real row, in [0, 1].

    generated: shape (n, d), real: shape (m, d), any floats, computed in float64 (Kynkäänniemi et al. 2019,
    eq. 1 and 2). of_real: `ball_radii(real, k)`, where they are known. Raises ValueError where a set has fewer
    than k + 1 rows.
    """
    blocks = _in_balls(generated, real, k, of_real)
    return sum(int(inside.any(axis=1).sum()) for inside in blocks) / len(generated)


def recall(generated: np.ndarray, real: np.ndarray, k: int = 5) -> float:
    """Share of real rows that lie in the ball of at least one generated row: `precision`, sides exchanged."""
    return precision(real, generated, k)


def density(generated: np.ndarray, real: np.ndarray, k: int = 5, of_real: np.ndarray | None = None) -> float:
    """Number of real balls that a generated row lies in, on average, over k; may exceed 1.

    Arguments and errors as for `precision` (Naeem et al. 2020; their code's balls are open, <. With ≤ a set
    without ties has density (k + 1) / k against itself, with < it has 1).
    """
    return sum(int(inside.sum()) for inside in _in_balls(generated, real, k, of_real)) / (k * len(generated))


def coverage(generated: np.ndarray, real: np.ndarray, k: int = 5, of_real: np.ndarray | None = None) -> float:
    """Share of real balls that hold at least one generated row, in [0, 1].

    Arguments and errors as for `precision` (Naeem et al. 2020; their code's balls are open, <).
    """
    covered = np.zeros(len(real), dtype=bool)
    for inside in _in_balls(generated, real, k, of_real):
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


def spacing(generated: np.ndarray, real: np.ndarray) -> float:
    """How far apart generated rows lie, in their own scale: whether a quarter of them has a twin.

    The lower quartile of the distance to the nearest other row, over the root mean square distance of two rows, of
    features (n, d); 0 where a quarter of the rows are copies, or all are one. Dimming or blurring all images draws both
    together and leaves their ratio. Falls with n: compare values of equal n only. The real side is not used: the floor
    is its own value. Raises ValueError for fewer than two rows.
    """
    nearest_other = ball_radii(generated, k=1)
    between = float(np.sqrt(2 * np.asarray(generated, np.float64).var(axis=0, ddof=1).sum()))
    return float(np.quantile(nearest_other, 0.25)) / between if between > 0 else 0.0


def _in_balls(
    points: np.ndarray, centres: np.ndarray, k: int, radii: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Which points lie in which centre's ball: bool (≤ BLOCK, m), block after block of the points."""
    _require_rows(k + 1, points, centres)
    x, y = (np.ascontiguousarray(rows, dtype=np.float64) for rows in (points, centres))
    if radii is None:
        radii = ball_radii(y, k)
    for start, squares, error in _rounded_squares(x, y):
        beyond = np.subtract(squares, np.square(radii), out=squares)
        inside = beyond < 0
        for i, doubtful in _chosen(~(np.abs(beyond, out=beyond) > error)):
            inside[i, doubtful] = _distances(x[start + i, None], y[doubtful])[0] <= radii[doubtful]
        yield inside


def _rounded_squares(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """All ‖x_i − y_j‖²: blocks of (first row's number, squares (≤ BLOCK, m), their error (≤ BLOCK, 1)).

    By ‖x‖² + ‖y‖² − 2 x·y, one matrix product: fast, but rounded. The squares of `_distances` lie within the error.
    """
    middle = y.mean(axis=0)  # the error grows with the norms
    y = y - middle
    y_norms = np.square(y).sum(axis=1)
    # Norms, products and the sums in `_distances` are of d terms, each off by half an ulp: (2 d + 10) ulps in all.
    share = 4 * (y.shape[1] + 8) * np.finfo(np.float64).eps
    for rows in _blocks(len(x)):
        centred = x[rows] - middle
        norms = np.square(centred).sum(axis=1)[:, None]
        squares = centred @ (-2 * y).T
        squares += norms
        squares += y_norms
        yield rows.start, squares, share * (norms + y_norms.max())


def _chosen(pairs: np.ndarray) -> Iterator[tuple[int, np.ndarray | slice]]:
    """The rows of bool (r, m) `pairs` that hold any, each with its columns: all of them where they are many."""
    for i in np.flatnonzero(pairs.any(axis=1)):
        yield int(i), slice(None) if pairs[i].mean() > MANY else pairs[i]  # of a slice nothing is copied


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


@dataclass(frozen=True)
class NeighbourOptions(FeatureComparisonOptions):
    """Options of precision, recall, density and coverage."""

    k: int = option(5, "radius of a ball: distance to the k-th nearest other row", minimum=1)


PRECISION = Measure(
    precision, ("features",), limit=10_000, Options=NeighbourOptions, of_real=ball_radii, power=2.0
)
RECALL = Measure(recall, ("features",), limit=10_000, Options=NeighbourOptions, power=2.0)
DENSITY = Measure(
    density, ("features",), limit=10_000, Options=NeighbourOptions, of_real=ball_radii, power=2.0
)
COVERAGE = Measure(
    coverage, ("features",), limit=10_000, Options=NeighbourOptions, of_real=ball_radii, power=2.0
)
SPACING = Measure(spacing, ("features",), limit=10_000, Options=FeaturesOptions, power=2.0)
NEAREST = Measure(nearest, ("images",), limit=1_000, against="training", power=2.0)
