"""Which of its samples a generation hands on, or which real rows a loop has: curation, verification, filtering.

rows = selected(spec, score, labels, generator, n)               # int64, sorted
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bigloop.loops.scores import SCORES
from bigloop.spec.options import SpecError, parse
from bigloop.spec.selection import ScoreSpec, SelectSpec

See = Callable[
    [str, Mapping[str, Any]], Any
]  # the name of a view and the options of a score → what it is computed on


def scores(spec: SelectSpec, see: See) -> np.ndarray:
    """What each score of a selection says of all samples, float64 (scores, n)."""
    return np.stack([_score(one, see) for one in spec.by])


def _score(spec: ScoreSpec, see: See) -> np.ndarray:
    score = SCORES[spec.name]
    if score.revision != spec.revision:
        raise SpecError(
            f"{spec.name}: revision {spec.revision} requested, but the code is at {score.revision}"
        )
    options = vars(parse(score.Options, spec.options, spec.name))
    given = {key: value for key, value in options.items() if key != "real" or "real_features" not in score.on}
    values = np.asarray(score.function(*(see(view, options) for view in score.on), **given), dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise SpecError(f"{spec.name}: expected a finite number for each sample, got {values.shape}")
    return values


def selected(
    spec: SelectSpec, values: np.ndarray, labels: np.ndarray | None, generator: np.random.Generator
) -> np.ndarray:
    """The rows that are selected, int64 (m,), sorted; of n samples with these scores, (scores, n).

    Of labelled samples, those among which one is chosen are of the same class, as far as the classes' numbers allow: as
    when somebody is shown several answers to one question. Where there are several scores, chance says which of them
    chooses where. Raises SpecError where none is selected.
    """
    rows = chosen_rows(spec, values, labels, generator)
    if not len(rows):
        raise SpecError("select: selects none of the samples; lower above, or raise samples")
    return rows


def chosen_rows(
    spec: SelectSpec, values: np.ndarray, labels: np.ndarray | None, generator: np.random.Generator
) -> np.ndarray:
    """Likewise; maybe none."""
    n = values.shape[1]
    group = spec.best_of or spec.choice_of or 1
    order = np.arange(n) if labels is None or group == 1 else np.argsort(labels, kind="stable")
    groups = order[: n // group * group].reshape(-1, group)
    if len(spec.by) > 1:
        groups = generator.permutation(groups)
    chosen, start = [], 0
    for part, of_one in zip(spec.parts(len(groups)), values, strict=True):
        mine = groups[start : start + part]
        chosen.append(_of(spec, mine, of_one[mine], generator))
        start += part
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _of(
    spec: SelectSpec, groups: np.ndarray, values: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Rows of groups (g, K), by values of the same shape."""
    if spec.above is not None:
        right = generator.random(len(groups)) < spec.accuracy
        return groups[(values[:, 0] >= spec.above) == right, 0]
    if spec.top is not None:
        most = int(spec.top * len(groups) + 1e-9)
        return groups[np.argsort(-values[:, 0], kind="stable")[:most], 0]
    if spec.choice_of:  # the largest of values and Gumbel noise is chosen as the softmax says
        values = values / spec.temperature + generator.gumbel(size=values.shape)
    return groups[np.arange(len(groups)), values.argmax(axis=1)]
