"""Which of its samples a generation hands on, or which real rows there are: by what score, and how many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bigloop.spec.options import option

MOST_CANDIDATES = 10**6  # of which one is chosen


@dataclass(frozen=True)
class ScoreSpec:
    """A registered score, the revision of its code, its options, and the share of the choices that it makes."""

    name: str
    revision: int
    options: dict[str, Any]
    share: float = option(1.0, neutral=1.0)


@dataclass(frozen=True)
class SelectSpec:
    """Selection between sampling and training, or of real rows. One of best_of, choice_of, top and above says how.

    by: the scores; where there are several, each chooses among samples of its own. classifier: folder of the one that
    scores look through, None where none does.
    """

    by: tuple[ScoreSpec, ...]
    best_of: int | None = option(
        None, "of every K samples, the one with the highest score", minimum=2, maximum=MOST_CANDIDATES
    )
    choice_of: int | None = option(
        None,
        "of every K samples one, chosen with probabilities in proportion to exp(score / temperature): of two, the "
        "choice of Bradley and Terry (1952)",
        minimum=2,
        maximum=MOST_CANDIDATES,
    )
    top: float | None = option(
        None, "this share of the samples, those with the highest scores", above=0, maximum=1
    )
    above: float | None = option(None, "all samples whose score is at least this")
    temperature: float = option(
        1.0, "with choice_of: towards 0 always the best, large: anyone", above=0, neutral=1.0
    )
    accuracy: float = option(
        1.0,
        "with above: probability that the verifier judges rightly whether a score is at least that",
        minimum=0,
        maximum=1,
        neutral=1.0,
    )
    classifier: str | None = None

    def parts(self, groups: int) -> list[int]:
        """How many of so many groups of samples each score chooses from: all of them, as equally as the shares say."""
        total, upto, ends = sum(score.share for score in self.by), 0.0, [0]
        for score in self.by:
            upto += score.share
            ends.append(round(groups * min(1.0, upto / total)))
        return [end - start for start, end in pairwise(ends)]

    def kept(self, samples: int) -> int | None:
        """How many of so many samples are selected; None where only their scores tell."""
        if self.above is not None:
            return None
        if self.top is not None:
            return sum(int(self.top * part + 1e-9) for part in self.parts(samples))
        return samples // (self.best_of or self.choice_of or 1)

    def candidates(self, rows: int) -> int:
        """Of how many samples at least so many are selected, if that is known, else `rows`."""
        if self.above is not None:
            return rows
        found = math.ceil(rows * (self.best_of or self.choice_of or 1) / (self.top or 1))
        while (self.kept(found) or 0) < rows:
            found += 1
        return found
