"""What theory, or a sampler with a perfect network, makes of the comparison that was made of measured values, in words.

beside(change, [(run, rows)], found)
# "sampler alone, perfect network: 0.186 → 0.0193, 93 % of the change"

A sampler of finitely many steps changes the variance of what it learnt by itself. What it explains of a change is not
the loop's, and stands wherever such a change is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from bigloop.analysis.theory import MADE, VARIANCES, theory, variances_of, words_of_theory
from bigloop.analysis.trends import Change, grid, number

Find = Callable[..., Change]


def beside(find: Find, measured: Sequence[tuple[Mapping[str, Any], pd.DataFrame]], found: Change) -> str:
    """What `find` makes of the values that are expected where it `found` a change of measured ones; "" if unknown.

    measured: of the run whose trend it is, or of the two that differ, the row of the runs table without its empty
    columns, and the rows of one measure. Expected values are taken in the generations that all seeds of the run have,
    so that like is set beside like. What share of the change they are is said where the change is clear. Of a measure
    that theory does not know, it is said what the sampler does to the variance.
    """
    known, words = [], []
    for run, rows in measured:
        measure = str(rows["measure"].iloc[0])
        if theory(run, measure, 1) is None:
            return "; ".join(dict.fromkeys(filter(None, (of_variance(*each) for each in measured))))
        generations = grid(rows).columns.to_numpy(int)
        values = theory(run, measure, max(generations, default=0))
        assert values is not None
        known.append(pd.DataFrame({"seed": 0, "generation": generations, "value": values[generations - 1]}))
        words.append(words_of_theory(run))
    alone, trend = find(*known), len(measured) == 1
    first, last = number(alone.first), number(alone.last)
    ends = f"{first} → {last}" if trend else f"{last} against {first}"
    share = ""
    if found.sign != "not clear":
        share = f", {100 * alone.value / found.value:.0f} % of the {'change' if trend else 'difference'}"
    return f"{' and '.join(dict.fromkeys(words))}: {ends}{share}"


def of_variance(run: Mapping[str, Any], rows: pd.DataFrame) -> str:
    """What the sampler of a model of images does to the total variance by itself, beside a measure of which theory says
    nothing; "" where it is not known."""
    if run.get("family") not in MADE or VARIANCES not in run:
        return ""
    generations = grid(rows).columns.to_numpy(int)
    values = theory(run, "variance", max(generations, default=0))
    if values is None or not len(generations):
        return ""
    real = sum(variance * directions for variance, directions in variances_of(run))
    return f"sampler alone: {number(values[generations[-1] - 1] / real)} of the real variance"
