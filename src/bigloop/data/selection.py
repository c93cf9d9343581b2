"""What is chosen of a source: classes, splits and rows; at planning as numbers, at `fetch` as rows.

Both go by the counts of a Listing alone, and by seeds, so that the rows stored are as many as were planned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bigloop.data import Listing, SourceOptions
from bigloop.seeding import numpy_generator
from bigloop.spec.options import SpecError

MOST_NAMED = 100  # classes that a message lists one by one
HELD_OUT = 10  # one row in so many is for testing, where the source has no test split


def totals(listing: Listing, options: SourceOptions) -> tuple[tuple[str, ...], dict[str, int]]:
    """Names of the chosen classes, and the rows of the splits "train" and "test".

    Raises SpecError, which begins with the key, for a class or a split that is not there, or too few rows.
    """
    classes = listing.classes
    for name in options.classes:
        if name not in classes:
            names = classes if len(classes) <= MOST_NAMED else (*classes[:2], "…", classes[-1])
            known = f"known: {', '.join(names)}" if classes else "this dataset has none"
            raise SpecError(f"classes: no class {name!r} ({known})")
    if len(set(options.classes)) < len(options.classes):
        raise SpecError(f"classes: {', '.join(options.classes)} contains a class twice")
    if not options.splits or len(set(options.splits)) < len(options.splits):
        raise SpecError(f"splits: expected each once, got {list(options.splits)}")
    for split in options.splits:
        if split not in listing.counts:
            raise SpecError(f"splits: no split {split!r} (there are: {', '.join(listing.counts)})")
    chosen = options.classes or classes
    indices = [classes.index(name) for name in chosen]
    counts = {
        split: sum(several[i] for i in indices) if classes else sum(several)
        for split, several in listing.counts.items()
    }
    pool = sum(counts[split] for split in options.splits)
    held = "test" not in counts or "test" in options.splits
    test = max(1, pool // HELD_OUT) if held else counts["test"]
    train = pool - test if held else pool
    if train < 1 or test < 1:
        raise SpecError(
            f"root: holds {pool} pictures to train on and {0 if held else test} to test on; too few"
        )
    if options.rows and options.rows > train:
        raise SpecError(f"rows: {options.rows} asked for, there are {train} to train on")
    return chosen, {name: min(n, options.rows or n) for name, n in (("train", train), ("test", test))}


def select(
    labels: Mapping[str, np.ndarray], classes: Sequence[int] | None, options: SourceOptions
) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Of the splits "train" and "test", what they are made of: (the source's split, rows of it, int64 (k,)).

    labels: of each of the source's splits, (n,). classes: the labels that are taken; None: all.
    """
    there = {
        split: np.arange(len(all_)) if classes is None else np.flatnonzero(np.isin(all_, classes))
        for split, all_ in labels.items()
    }
    train: list[tuple[str, np.ndarray]] = [(split, there[split]) for split in options.splits]
    if "test" not in there or "test" in options.splits:
        pool = sum(len(rows) for _, rows in train)
        order = numpy_generator(0, 0, "held-out rows").permutation(pool)
        held = max(1, pool // HELD_OUT)
        train, test = _only(train, order[held:]), _only(train, order[:held])
    else:
        test = [("test", there["test"])]
    return {name: _some(parts, options.rows, name) for name, parts in (("train", train), ("test", test))}


def _some(parts: list[tuple[str, np.ndarray]], rows: int | None, name: str) -> list[tuple[str, np.ndarray]]:
    n = sum(len(part) for _, part in parts)
    if rows is None or rows >= n:
        return parts
    return _only(parts, numpy_generator(0, 0, f"rows of the {name} split").permutation(n)[:rows])


def _only(parts: list[tuple[str, np.ndarray]], places: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Of the rows of all parts together, those at these places, in their order."""
    wanted = np.zeros(sum(len(rows) for _, rows in parts), bool)
    wanted[places] = True
    ends = np.cumsum([len(rows) for _, rows in parts])[:-1]
    return [(split, rows[w]) for (split, rows), w in zip(parts, np.split(wanted, ends), strict=True)]
