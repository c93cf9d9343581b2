"""Whether runs have the values that a paper publishes: equivalence, not the mere absence of a difference.

    as_published("knutsen2025")     # a claim for each measure that the paper publishes values of

A run names what it is held against, `published: PAPER/RUN`. Compared are the generations that both have, where measure,
n, features and reference are the same.

tolerance       SAME, a quarter, of the range that the published values cover in these generations. It has neither unit
                nor origin (a Wasserstein distance between samples is above 0 by a floor that depends on n), and no run
                that stays at one value is within it: that misses an end of the range by twice as much or more.
as published    The largest difference of a seed, one number for each, is surely within the tolerance: by a t-test over
                seeds, since the generations of a lineage depend on one another.
not             In some generation the seeds' mean is surely off by more than the tolerance: by trends.difference, in
                which the seeds' spread stands for that of the paper's one lineage, too; p times the generations.

With one seed the error is unknown, and neither is said.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd

from bigloop.analysis import published
from bigloop.analysis import verdicts as rule
from bigloop.analysis.claims.evidence import SAME, Evidence, Tables, Test
from bigloop.analysis.trends import Change, difference, grid, in_seeds, number


def as_published(paper: str) -> list[tuple[str, str, Test]]:
    """Names, sentences and tests of the claims that a paper's published values make, one a measure."""
    return [
        (
            f"{measure.replace('_', '-')}-as-published",
            f"In every generation {measure} is as published, within a quarter of the range that it covers "
            f"(fig{'s' if len(figures) > 1 else ''}. {', '.join(figures)}).",
            partial(_test, paper=paper, measure=measure),
        )
        for measure, figures in published.measures(paper).items()
    ]


def _test(tables: Tables, paper: str, measure: str) -> list[Evidence]:
    names = {run: str(row.get("published", "")) for run, row in tables.runs.items()}
    return [
        replicates(tables, run, name, measure)
        for run, name in names.items()
        if name.startswith(f"{paper}/") and measure in set(published.values(name)["measure"])
    ]


def replicates(tables: Tables, run: str, name: str, measure: str) -> Evidence:
    """Evidence from the differences of a run's values from those that are published as `name`."""
    rows = tables.rows.get((run, measure))
    if rows is None:
        return Evidence(f"{run}: no {measure}", None, math.nan, (run,), f"{measure} not measured")
    theirs = published.alike(name, rows).set_index("generation")["value"]
    if theirs.empty:
        why = f"{measure} is published for another n, features or reference"
        return Evidence(f"{run}: {measure} measured otherwise than {name}", None, math.nan, (run,), why)
    own = grid(rows)
    common = own.columns.intersection(theirs.index)
    if len(common) < rule.GENERATIONS:
        why = f"fewer than {rule.GENERATIONS} generations in common"
        return Evidence(f"{run}: {measure} beside {name}", None, math.nan, (run,), why)
    apart = (own[common] - theirs[common]).abs().to_numpy(float)  # (seeds, generations)
    tolerance = SAME * float(np.ptp(theirs[common]))
    largest = _mean(apart.max(axis=1), tuple(common))
    interval = f" [{', '.join(number(end) for end in largest.interval)}]" if len(own) > 1 else ""
    text = (
        f"{run}: {measure} differs from {name} by {number(largest.value)}{interval} at most and by "
        f"{number(float(apart.mean()))} on average, tolerance {number(tolerance)} "
        f"({len(common)} of {len(theirs)} generations, {in_seeds(len(own))})"
    )
    if len(own) == 1:
        return Evidence(text, None, math.nan, (run,), "one seed: the error is unknown")
    if largest.value < tolerance:
        return Evidence(text, True, largest.p(tolerance), (run,))
    off = (own[common].mean() - theirs[common]).abs() > tolerance
    found = [_off(rows, theirs, int(t), tolerance) for t in common[off[common]]]
    if not found:
        return Evidence(text, False, 1.0, (run,), "single seeds are off by more than the tolerance")
    return Evidence(text, False, min(1.0, len(common) * min(found)), (run,))


def _off(rows: pd.DataFrame, theirs: pd.Series, generation: int, tolerance: float) -> float:
    """How probable so large a difference in this generation is if the true one is the tolerance."""
    one = pd.DataFrame({"seed": [0], "generation": [generation], "value": [theirs[generation]]})
    found = difference(rows[rows["generation"] == generation], one)
    return found.p(math.copysign(tolerance, found.value))


def _mean(values: np.ndarray, generations: tuple[float, ...]) -> Change:
    """The mean of a number for each seed, (seeds,), with its standard error."""
    mean, seeds = float(values.mean()), len(values)
    error = float(values.std(ddof=1)) / math.sqrt(seeds) if seeds > 1 else math.nan
    return Change(mean, error, seeds - 1, 0.0, mean, seeds, generations)
