"""Selection: how many rows, which, and that nothing else plays a part in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from bigloop.config.selection import select_of
from bigloop.loops.scores import SCORES, class_reward, confidence, nearest_real, quadratic
from bigloop.loops.selection import scores, selected
from bigloop.seeding import numpy_generator
from bigloop.spec.options import SpecError, parse, to_json
from bigloop.spec.selection import SelectSpec


def spec_of(**given: Any) -> SelectSpec:
    spec = select_of({"by": "mean", **given}, "select")
    assert spec
    return spec


def chosen(
    spec: SelectSpec, values: np.ndarray, labels: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    return selected(spec, np.atleast_2d(values), labels, numpy_generator(seed, 1, "selection"))


WAYS = st.one_of(
    st.fixed_dictionaries({"best_of": st.integers(2, 9)}),
    st.fixed_dictionaries({"choice_of": st.integers(2, 9), "temperature": st.floats(0.01, 100)}),
    st.fixed_dictionaries({"top": st.floats(0.05, 1)}),
)
BY = st.lists(st.floats(0.1, 10), min_size=1, max_size=3)


@settings(deadline=None, max_examples=200)
@given(way=WAYS, shares=BY, n=st.integers(20, 120), seed=st.integers(0, 99), labelled=st.booleans())
def test_as_many_rows_as_planned_each_once_and_the_same_again(
    way: dict[str, Any], shares: list[float], n: int, seed: int, labelled: bool
) -> None:
    spec = spec_of(**way, by=[{"score": "mean", "share": share} for share in shares])
    values = np.random.default_rng(seed).normal(size=(len(shares), n))
    labels = np.arange(n) % 3 if labelled else None
    if not spec.kept(n):
        with pytest.raises(SpecError, match="selects none"):
            chosen(spec, values, labels, seed)
        return
    rows = chosen(spec, values, labels, seed)
    assert len(rows) == spec.kept(n)
    assert (np.diff(rows) > 0).all()
    assert rows.min() >= 0
    assert rows.max() < n
    assert np.array_equal(rows, chosen(spec, values, labels, seed))
    assert parse(SelectSpec, __import__("json").loads(to_json(spec)), "select") == spec


def test_the_best_of_four_is_the_best_of_each_four() -> None:
    values = np.random.default_rng(0).normal(size=102)  # two are left over
    assert chosen(spec_of(best_of=4), values).tolist() == [
        4 * g + int(values[4 * g : 4 * g + 4].argmax()) for g in range(25)
    ]


def test_of_labelled_samples_one_is_chosen_among_its_like() -> None:
    labels = np.arange(120) % 3
    values = labels + np.random.default_rng(0).random(120)  # class 2 has all the highest scores
    rows = chosen(spec_of(best_of=4), values, labels)
    assert np.bincount(labels[rows]).tolist() == [10, 10, 10]
    assert (labels[chosen(spec_of(top=0.25), values, labels)] == 2).all()  # of all samples, whatever they are


def test_a_choice_is_in_proportion_to_the_exponential() -> None:
    values, n = np.tile([0.0, 1.0, 2.0], 20_000), 20_000
    for temperature in (1.0, 0.5):
        rows = chosen(spec_of(choice_of=3, temperature=temperature), values)
        expected = np.exp(np.array([0.0, 1.0, 2.0]) / temperature)
        expected *= n / expected.sum()
        counts = np.bincount(rows % 3, minlength=3)
        assert ((counts - expected) ** 2 / expected).sum() < chi2(2).isf(1e-4)


def test_a_verifier_errs_as_often_as_it_says() -> None:
    values = np.linspace(-1, 1, 20_000)
    rows = chosen(spec_of(above=0.5, accuracy=0.9), values)
    kept = np.isin(np.arange(20_000), rows)
    assert kept[values >= 0.5].mean() == pytest.approx(0.9, abs=0.02)
    assert kept[values < 0.5].mean() == pytest.approx(0.1, abs=0.02)
    assert np.array_equal(chosen(spec_of(above=0.5), values), np.flatnonzero(values >= 0.5))


def test_shares_are_of_the_choices() -> None:
    values = np.stack([np.tile([1.0, 0.0], 500), np.tile([0.0, 1.0], 500)])
    by = [{"score": "mean", "share": 3}, {"score": "mean"}]
    rows = chosen(spec_of(best_of=2, by=by), values)
    assert (rows % 2 == 0).sum() == 375
    assert spec_of(best_of=2, by=by).parts(500) == [375, 125]


def test_the_scores() -> None:
    points = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert quadratic(points, scale=5.0).tolist() == [0, -0.5]
    assert quadratic(points, centre=(3.0, 4.0)).tolist() == [-12.5, 0]
    probabilities = np.array([[0.7, 0.3], [0.4, 0.6]], np.float32)
    assert confidence(probabilities, None) == pytest.approx([0.7, 0.6])
    assert confidence(probabilities, np.array([1, 1])) == pytest.approx([0.3, 0.6])
    assert class_reward(probabilities, (2.0, -1.0)) == pytest.approx([1.1, 0.2])
    assert class_reward(probabilities, (0.0, 1.0, 5.0)) == pytest.approx([0.3, 0.6])
    rng = np.random.default_rng(0)
    mine, real = rng.normal(size=(20, 3)), rng.normal(size=(30, 3))
    slow = [-min(float(np.linalg.norm(x - y)) for y in real) for x in mine]
    assert nearest_real(mine, real) == pytest.approx(slow)


def test_a_score_that_is_not_a_number_each_is_refused() -> None:
    spec = spec_of(best_of=2)
    for rows in (np.full((4, 2), np.nan), np.full((4, 2), np.inf)):
        with pytest.raises(SpecError, match="mean: expected a finite number for each sample"):
            scores(spec, lambda view, options, rows=rows: rows)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"by": "mean"}, r"select: expected one of the keys best_of, choice_of, top, above, got none"),
        ({"by": "mean", "best_of": 2, "top": 0.5}, r"got best_of, top"),
        ({"best_of": 2}, r"select.by: missing"),
        ({"by": [], "best_of": 2}, r"select.by: is empty"),
        ({"by": "beauty", "best_of": 2}, r"select.by: unknown score 'beauty' \(known: quadratic, mean"),
        ({"by": {"scale": 2}, "best_of": 2}, r"select.by.score: missing"),
        ({"by": {"score": "quadratic", "width": 2}, "best_of": 2}, r"select.by.width: unknown key"),
        ({"by": {"score": "quadratic", "scale": 0}, "best_of": 2}, r"select.by.scale: expected"),
        ({"by": [{"score": "mean", "share": 0}], "best_of": 2}, r"select.by.share: expected"),
        (
            {"by": "mean", "best_of": 2, "temperature": 2},
            r"select.temperature: has no effect without choice_of",
        ),
        ({"by": "mean", "top": 0.5, "accuracy": 0.9}, r"select.accuracy: has no effect without above"),
        ({"by": "mean", "best_of": 1}, r"select.best_of: expected"),
        ({"by": 3, "best_of": 2}, r"select.by"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said) as error:
        select_of(given, "select")
    assert "\n" not in str(error.value)


def test_every_score_says_what_it_sees() -> None:
    assert all(score.on for score in SCORES.values())
