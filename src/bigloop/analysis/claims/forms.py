"""The forms that most claims have: where a measure goes, where it lies beside another run's, that it settles, that a
loss tells it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import Literal

import pandas as pd

from bigloop.analysis.claims.evidence import (
    Evidence,
    Mask,
    Tables,
    Test,
    Way,
    compare,
    moves,
    stays,
    trend,
)
from bigloop.analysis.claims.runs import both, loop, pairs
from bigloop.analysis.ranks import LEAST, joined, rank_correlation
from bigloop.analysis.trends import Change, change, difference

TELLS = 0.5  # of a loss: its rank correlation with a measure of quality, over generations
SETTLED = 5  # generations: the least whose later half has the three of a trend


def goes(measure: str, way: Way, mask: Mask) -> Test:
    """A measure goes up or down over the generations of these runs."""
    return lambda tables: [trend(tables, run, measure, way) for run in tables.like(mask)]


def lies(
    measure: str, way: Way, left: Mask, right: Mask, *but: str, over: Literal["last", "all"] = "last"
) -> Test:
    """A measure of runs on the left lies above ("up") or below those on the right that differ in the columns `but`."""
    find, answer = partial(difference, over=over), partial(moves, way=way)
    return lambda tables: [
        compare(tables, pair, measure, find, answer, 1) for pair in pairs(tables, left, right, *but)
    ]


def settles(mask: Mask, measure: str = "fid", *, may_fall: bool = True) -> Test:
    """A measure does not rise over the later half of the generations, nor fall, unless it may."""

    def later(rows: pd.DataFrame) -> Change:
        return change(rows[rows["generation"] > rows["generation"].max() / 2])

    answer = partial(stays, may_fall=may_fall)
    return lambda tables: [
        compare(tables, (run,), measure, later, answer, SETTLED) for run in tables.like(mask)
    ]


def tells(loss: str, measure: str, mask: Mask, *, does: bool = True) -> Test:
    """A loss tells a measure: over the generations of a run, their rank correlation is above TELLS; or it does not."""

    def test(tables: Tables) -> Iterable[Evidence]:
        for run in tables.like(mask):
            sides = [tables.rows.get((run, name)) for name in (loss, measure)]
            missing = [name for name, rows in zip((loss, measure), sides, strict=True) if rows is None]
            if missing:
                why = f"{missing[0]} not measured"
                yield Evidence(f"{run}: no {missing[0]}", None, math.nan, (run,), why)
                continue
            found = rank_correlation(joined(*(rows for rows in sides if rows is not None)))
            text = f"{run}: {loss} and {measure}, {found}"
            why = "" if found.interval else f"fewer than two seeds with {LEAST} generations"
            agrees, p = ((found.rho > TELLS) == does, found.p(TELLS)) if not why else (None, math.nan)
            yield Evidence(text, agrees, p, (run,), why)

    return test


def forgets_its_start(measure: str) -> Test:
    """A measure of loops with fresh data ends up the same, whatever the rows of generation 1."""

    def test(tables: Tables) -> Iterable[Evidence]:
        mask = both(loop("fresh data", biased=None), lambda run: run.get("generations", 2) > 1)
        for pair in pairs(tables, mask, mask, "loop.initial.n"):
            small, large = (tables.runs[run]["loop.initial.n"] for run in pair)
            if small < large and any((run, measure) in tables.rows for run in pair):
                yield compare(tables, pair, measure, difference, stays, SETTLED)

    return test
