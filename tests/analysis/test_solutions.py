"""Seeds that found the same Gaussian are told from those that found another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bigloop.analysis.solutions import first_generation, solutions

Make = Callable[..., Any]


def fitted(make_run: Make, make_tables: Make, means: list[float], sds: list[float]) -> Any:
    """Generation 1 of a seed for each mean, and a second one that no solution looks at."""
    values = {
        ("a", name): [[value, 99.0] for value in found] for name, found in (("mean", means), ("sd", sds))
    }
    return make_tables([make_run("a")], values)


def test_solutions_are_joined_by_chains_of_seeds_and_not_across_a_gap(
    make_run: Make, make_tables: Make
) -> None:
    # of sd 1: steps of 0.4 sd join, and one of 1.8 does not
    given = fitted(make_run, make_tables, [0.0, 3.0, 0.8, 0.4, 1.2], [1.0] * 5)
    found = [(s.run, s.mean, s.sd, s.share) for s in solutions(given, "a")]
    assert found == [("a", pytest.approx(0.6), 1.0, 0.8), ("a", 3.0, 1.0, 0.2)]


def test_fits_of_different_widths_are_two_solutions(make_run: Make, make_tables: Make) -> None:
    given = fitted(make_run, make_tables, [0.0, 0.0], [0.5, 2.0])
    assert [s.sd for s in solutions(given, "a")] == [0.5, 2.0]


def test_the_first_generation_alone_counts(make_run: Make, make_tables: Make) -> None:
    given = fitted(make_run, make_tables, [0.0, 3.0], [1.0, 1.0])
    assert first_generation(given, "a", "mean").to_dict() == {0: 0.0, 1: 3.0}
    assert first_generation(given, "a", "other").empty
