"""Where loops end up, and in how many real rows of a single fit that is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bigloop.analysis.ends import (
    effective_sample_size,
    ends_of,
    in_effective_samples,
    last_values,
    single_fits,
)

Make = Callable[..., Any]
SIZES = (20, 50, 100, 400)


@pytest.fixture
def swept(make_run: Make, make_tables: Make) -> Any:
    """Loops with 100 fresh rows at the distance of a single fit on 200 for λ = 1, on 50 for λ = 0.5, ± 10 % by seed.

    Single fits on n rows are at a distance of 3 n^-½ on average.
    """
    runs = [make_run(f"single-{n}", generations=1, **{"loop.initial.n": n}) for n in SIZES]
    distances = {f"single-{n}": 3 * n**-0.5 for n in SIZES}
    for bias, worth in ((1.0, 200), (0.5, 50)):
        name = f"loop-{bias:g}"
        runs.append(make_run(name, generations=2, **{"loop.bias": bias, "loop.real.fresh": 100}))
        distances[name] = 3 * worth**-0.5
    values = {
        (name, "distance"): [[d * (1 + s)] * (1 if "single" in name else 2) for s in (-0.1, 0.0, 0.1)]
        for name, d in distances.items()
    }
    return make_tables(runs, values)


def test_last_values_are_means_of_the_last_measured_generations_of_each_seed(
    make_run: Make, make_tables: Make
) -> None:
    values = [[1.0, 2.0, 3.0, None, 5.0], [11.0, 12.0, 13.0, None, 15.0]]
    given = make_tables([make_run("a")], {("a", "sd"): values})
    assert last_values(given, "a", "sd").tolist() == [5.0, 15.0]
    assert last_values(given, "a", "sd", 2).tolist() == [4.0, 14.0]
    assert last_values(given, "a", "sd", 9).tolist() == [2.75, 12.75]
    assert last_values(given, "a", "other").tolist() == []


def test_an_end_is_a_mean_over_seeds_with_one_standard_error_each_way(swept: Any) -> None:
    one, half = ends_of(swept, "distance", "loop.real.fresh", "loop.bias", with_fresh_data=True)
    for end, bias, worth in ((one, 1.0, 200), (half, 0.5, 50)):
        mean = 3 * worth**-0.5
        assert (end.run, end.x, end.by, end.seeds) == (f"loop-{bias:g}", 100.0, bias, 3)
        assert end.mean == pytest.approx(mean, rel=1e-12)
        error = 0.1 * mean / math.sqrt(3)  # the sample deviation of -0.1, 0, 0.1 is 0.1
        assert (end.low, end.high) == pytest.approx((mean - error, mean + error), rel=1e-12)


def test_one_seed_has_no_error_bar(make_run: Make, make_tables: Make) -> None:
    (end,) = ends_of(make_tables([make_run("a")], {("a", "sd"): [[2.0]]}), "sd", "loop.bias")
    assert end.low == end.mean == end.high == 2.0


def test_runs_without_the_measure_or_a_number_to_stand_at_have_no_end(swept: Any) -> None:
    for measure, x in (("other", "loop.bias"), ("distance", "model.depth"), ("distance", "loop.start")):
        with pytest.raises(ValueError, match=rf"no run has {measure}, {x}"):
            ends_of(swept, measure, x)
    singles = replace(swept, runs=swept.runs[swept.runs["generations"] == 1])
    with pytest.raises(ValueError, match=r"loop\.real\.fresh and several generations"):
        ends_of(singles, "distance", "loop.initial.n", with_fresh_data=True)


def test_a_loop_is_worth_the_rows_of_the_single_fit_that_comes_as_near(swept: Any) -> None:
    ends = ends_of(swept, "distance", "loop.bias", with_fresh_data=True)
    error = 0.1 / math.sqrt(3)
    for end, worth in zip(in_effective_samples(swept, ends, "distance"), (2.0, 0.5), strict=True):
        assert end.mean == pytest.approx(worth, rel=1e-10)
        # n_e goes with the inverse square of the distance
        assert end.low == pytest.approx(worth / (1 + error) ** 2, rel=1e-10)
        assert end.high == pytest.approx(worth / (1 - error) ** 2, rel=1e-10)


@pytest.mark.parametrize("key", ["family", "dataset"])
def test_single_fits_are_those_of_one_family_and_dataset_alone(swept: Any, key: str) -> None:
    sizes, distances = single_fits(swept, "gaussian", "gaussian", "distance")
    assert sizes.tolist() == list(SIZES)
    np.testing.assert_allclose(distances, 3 * sizes**-0.5, rtol=1e-12)
    other = swept.runs["run"].str.startswith("single") & (swept.runs["loop.initial.n"] > 20)
    runs = swept.runs.assign(**{key: swept.runs[key].mask(other, "other")})
    with pytest.raises(ValueError, match=r"gaussian on gaussian needs two runs .* got 1"):
        single_fits(replace(swept, runs=runs), "gaussian", "gaussian", "distance")


@pytest.mark.parametrize("n", [5, 20, 33, 100, 399.5, 2000])
def test_effective_sample_size_inverts_a_power_law_within_and_beyond_its_table(n: float) -> None:
    sizes = np.array([100, 20, 400, 50])
    found = effective_sample_size(3 * n**-0.5, sizes, 3 * sizes**-0.5)
    assert found == pytest.approx(n, rel=1e-12)  # a power law is a line in log-log: rounding alone


def test_effective_sample_size_lies_between_the_sizes_that_are_nearest() -> None:
    sizes, distances = np.array([10, 100, 1000]), np.array([1.0, 0.5, 0.4])
    # halfway in log distance is halfway in log size
    assert effective_sample_size(math.sqrt(0.5 * 0.4), sizes, distances) == pytest.approx(10**2.5, rel=1e-12)
    rises = np.array([1.0, 0.5, 0.6])
    assert effective_sample_size(0.55, sizes, rises) == pytest.approx(
        10 ** (1 + math.log(1 / 0.55) / math.log(2)), rel=1e-12
    )
    with pytest.raises(ValueError, match="do not improve from 100 to 1000 rows"):
        effective_sample_size(0.3, sizes, rises)
    for bad in (([10], [1.0]), ([10, 10], [1.0, 0.5]), ([10, 20], [1.0, 0.0])):
        with pytest.raises(ValueError, match="two or more sizes"), np.errstate(divide="ignore"):
            effective_sample_size(0.3, np.array(bad[0]), np.array(bad[1]))
