"""Points to measures: every measure of a simulated generation against its known density, and the real floor.

    judge = Judge(density, measures)
    judge.records(Generated(points, history={"loss": 0.3}))
    # [{"measure": "wasserstein1", "value": 0.21, "n": 500, "k": None, "detail": ""}, …]

Generated points are compared with points of the density that are the same for all runs, and with its own values where
a measure takes them. The floor compares other points of the density with these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from bigloop.artifacts import ArtifactError
from bigloop.data.densities import Density, known_density
from bigloop.measures.records import Record, as_records, rows_of
from bigloop.metrics import MEASURES, View
from bigloop.metrics.divergences import cell_masses, cell_probabilities
from bigloop.metrics.selection import Selection
from bigloop.seeding import numpy_generator
from bigloop.spec.jobs import DensityFloorSpec
from bigloop.spec.options import Scalar

Options = Mapping[str, Scalar]
Moments = tuple[np.ndarray, np.ndarray]  # mean (d,) and covariance (d, d)
LogDensity = Callable[[np.ndarray], np.ndarray]  # points (n, d) to float64 (n,), in nats


@dataclass(frozen=True)
class Generated:
    """What there is of one replicate of a generation.

    points: (n, d), None where a model gives none; moments: mean (d,) and covariance (d, d) of a model that is a
    Gaussian; history: losses and gradient norms of its training; log_density: of a model that knows its own, or else
    None; biased: points were drawn with a sampling bias or selected, and so not from that density; selection: what all
    points were scored, and which were selected; others: points (n, d) of the other members of an ecosystem.
    """

    points: np.ndarray | None
    moments: Moments | None = None
    history: Mapping[str, float] = field(default_factory=dict)
    log_density: LogDensity | None = None
    biased: bool = False
    selection: Selection | None = None
    others: Mapping[str, np.ndarray] = field(default_factory=dict)


class Judge:
    """All measures of points against one density; what they need of the density is made once."""

    def __init__(self, density: Density, measures: Mapping[str, Options]) -> None:
        self.density, self.measures = density, measures
        self._known: dict[tuple[str, int], Any] = {}

    def records(self, generated: Generated) -> list[Record]:
        """The records of one replicate. Raises ArtifactError where a value is not finite or rows are missing."""
        return [r for name, options in self.measures.items() for r in self._compare(name, options, generated)]

    def _compare(self, name: str, options: Options, generated: Generated) -> list[Record]:
        measure, rows = MEASURES[name], rows_of(MEASURES[name], dict(options))
        if generated.points is not None and len(generated.points) < rows:
            raise ArtifactError(f"{name}: needs {rows} points, got {len(generated.points)}")
        views = [self._generated(on, options, generated, rows) for on in measure.on]
        views += [self._real(on, options, generated, rows) for on in measure.on]
        extra = measure.arguments(options)
        exact = "cells" in measure.on and _is_normal(generated)
        said = {
            k: v for k, v in options.items() if not (exact and k == "n")
        }  # of the law itself, not of n points
        return as_records(name, measure.function(*views, **extra), said)

    def _generated(self, on: View, options: Options, generated: Generated, rows: int) -> Any:
        if on == "moments":
            return generated.moments
        if on == "history":
            return generated.history
        if on == "selection":
            return generated.selection
        if on == "others":
            return {name: points[:rows].astype(np.float64) for name, points in generated.others.items()}
        if on == "cells" and _is_normal(generated):
            mean, covariance = cast(Moments, generated.moments)
            return normal_cells(mean, covariance, *self._cells(options))
        assert generated.points is not None
        if on == "cells":
            return cell_probabilities(generated.points[:rows], *self._cells(options))
        if on == "log_densities":  # of points of the density itself, which the floor is made of, its own
            known = generated.log_density or self.density.log_density
            own = None if generated.biased else known(generated.points[:rows].astype(np.float64))
            return own, known(self._points(rows))
        return generated.points[:rows].astype(np.float64)

    def _real(self, on: View, options: Options, generated: Generated, rows: int) -> Any:
        match on:
            case "moments":
                return cast(Any, self.density).mean, cast(Any, self.density).covariance
            case "history":
                return {}
            case "selection" | "others":
                return None
            case "modes":
                return self.density.modes, self.density.spread
            case "mode_weights":
                return self.density.modes, cast(Any, self.density).weights
            case "symbols":
                return cast(Any, self.density).probabilities
            case "cells":
                bins = cast(int, options["bins"])
                make = lambda: cell_masses(self.density.log_density, *self._cells(options))  # noqa: E731
                return self._once("cells", bins, make)
            case "log_densities":
                assert generated.points is not None
                own = self.density.log_density(generated.points[:rows].astype(np.float64))
                known = lambda: self.density.log_density(self._points(rows))  # noqa: E731
                return own, self._once("log_densities", rows, known)
            case _:
                return self._points(rows)

    def _points(self, rows: int) -> np.ndarray:
        return self._once("points", rows, lambda: reference(self.density, rows, floor=False))

    def _cells(self, options: Options) -> tuple[np.ndarray, np.ndarray, int]:
        return self.density.low, self.density.high, cast(int, options["bins"])

    def _once(self, what: str, size: int, make: Callable[[], Any]) -> Any:
        if (what, size) not in self._known:
            self._known[what, size] = make()
        return self._known[what, size]


def normal_cells(
    mean: np.ndarray, covariance: np.ndarray, low: np.ndarray, high: np.ndarray, bins: int
) -> np.ndarray:
    """Mass of a normal law of one dimension in each cell of `cell_probabilities`, (bins + 1,), exact."""
    from scipy.stats import norm

    edges = np.linspace(low[0], high[0], bins + 1)
    inside = np.diff(norm.cdf(edges, mean[0], np.sqrt(covariance[0, 0])))
    return np.append(inside, max(0.0, 1 - inside.sum()))


def _is_normal(generated: Generated) -> bool:
    return generated.moments is not None and len(generated.moments[0]) == 1


def reference(density: Density, rows: int, *, floor: bool) -> np.ndarray:
    """`rows` points of the density that all runs are compared with; with `floor` others, to compare with these."""
    return density.sample(rows, numpy_generator(0, rows, "reference points", int(floor)))


def measure_density(spec: DensityFloorSpec) -> list[Record]:
    """The floor: the records of points of a density against other points of it, for every measure and n of `spec`."""
    density = known_density(spec.density.name, spec.density.options)
    records = []
    for name, several in spec.measures.items():
        for options in several:
            rows = rows_of(MEASURES[name], options)
            points = reference(density, rows, floor=True)
            records += Judge(density, {name: options}).records(Generated(points))
    return records
