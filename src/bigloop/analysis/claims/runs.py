"""Which runs a claim speaks of, and which two of them may be compared.

A mask takes a row of the runs table: its columns are those of the spec, such as `loop.bias` and `model.width`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from bigloop.analysis.claims.evidence import Mask, Run, Tables
from bigloop.analysis.loops import kind_of_loop

EXTRAS = {  # what a loop has beside rows and a start, by the column that says so
    "select": "loop.select.by",
    "filter": "loop.filter.by",
    "rules": "loop.rules",
    "against": "loop.against.way",
    "ecosystem": "member",
}


def loop(
    *kinds: str,
    biased: bool | None = False,
    start: str | None = "scratch",
    extras: tuple[str, ...] = (),
    **values: tuple[object, ...],
) -> Mask:
    """Loops of these kinds, with or without sampling bias or both (None), from scratch or from earlier weights or both
    (None), with these `extras` alone, and as `among` says."""
    within = among(**values)

    def mask(run: Run) -> bool:
        bias = biased is None or (run.get("loop.bias", 1) < 1) == biased
        right = bias and kind_of_loop(run) in kinds and start in (None, run.get("loop.start", "scratch"))
        has = {name for name, column in EXTRAS.items() if column in run}
        return right and has == set(extras) and within(run)

    return mask


def among(**among: tuple[object, ...]) -> Mask:
    """Runs with these values in the columns, or in the model's options, of these names."""
    return lambda run: all(run.get(key, run.get(f"model.{key}")) in values for key, values in among.items())


def both(left: Mask, right: Mask) -> Mask:
    """Runs that both masks take."""
    return lambda run: left(run) and right(run)


def mixed(most: float, *others: str) -> Mask:
    """Continued loops that keep real rows, with at most so many synthetic ones for each; others: more kinds of loop."""
    mask = loop("synthetic augmentation", *others, biased=None, start="continue")
    return lambda run: mask(run) and run.get("loop.real.fixed", 0) > 0 and ratio(run) <= most


def ratio(run: Run) -> float:
    """Synthetic rows for each real row that is kept: the λ of Bertrand et al. 2024."""
    return float(run.get("loop.synthetic.ratio", run.get("loop.synthetic.n", 0) / run["loop.real.fixed"]))


def same_but(run: Run, *but: str) -> frozenset[tuple[str, str]]:
    """What determines a run, without the columns that begin with one of `but`: equal for runs that may be compared."""
    kept = (c for c in run if c in ("family", "dataset", "weights") or c.startswith(("model.", "loop.")))
    return frozenset((column, str(run[column])) for column in kept if not column.startswith(but))


def groups(tables: Tables, mask: Mask, *but: str) -> list[list[str]]:
    """The runs of a mask, by what is the same but for some columns."""
    found: dict[frozenset[tuple[str, str]], list[str]] = {}
    for run in tables.like(mask):
        found.setdefault(same_but(tables.runs[run], *but), []).append(run)
    return list(found.values())


def pairs(tables: Tables, left: Mask, right: Mask, *but: str) -> Iterable[tuple[str, str]]:
    """Pairs of a run on the left and one on the right that are the same but for some columns."""
    for a, b in product(tables.like(left), tables.like(right)):
        if same_but(tables.runs[a], *but) == same_but(tables.runs[b], *but):
            yield a, b


MIX = ("loop.real.", "loop.synthetic.")  # the columns that say what later generations train on
GAUSSIAN = ("gaussian",)
