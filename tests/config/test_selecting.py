"""Selection and opposition in a config: what a change of them makes anew, and what they need."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigloop.config.experiment import Experiment
from bigloop.spec.generations import SampleSpec, TrainSpec
from bigloop.spec.options import SpecError, to_json

BUDGET = {"initial": {"epochs": 1}, "retrain": {"epochs": 1}}
CONFIG: dict[str, Any] = {
    "experiment": "chosen",
    "models": {"vae": {"family": "vae"}, "wgan": {"family": "wgan_gp"}, "gaussian": {"family": "gaussian"}},
    "loops": {
        "plain": {"initial": {"n": 600}, "samples": 2400, "synthetic": {"n": 600}, "budget": BUDGET},
    },
    "runs": {"a": {"dataset": "mnist", "model": "vae", "loop": "plain", "generations": 3}},
    "measures": {"fid": None},
    "figures": {},
}
Change = dict[str, Any]


def planned(loop: Change | None = None, run: Change | None = None, **more: Any) -> Experiment:
    config = copy.deepcopy(CONFIG) | more
    config["loops"]["plain"] |= loop or {}
    config["runs"]["a"] |= run or {}
    return Experiment.from_config(config)


def jobs(experiment: Experiment) -> list[str]:
    """Params of what is trained and sampled."""
    spec = experiment.runs["a"].spec
    return [to_json(job.of(spec, 0, t)) for t in (1, 2, 3) for job in (TrainSpec, SampleSpec)]


BEST = {"select": {"by": "confidence", "best_of": 4}}


@pytest.mark.parametrize(
    "other", [{"by": "confidence", "best_of": 3}, {"by": "mean", "best_of": 4}, {"by": "mean", "top": 0.5}]
)
def test_another_selection_is_another_lineage_from_the_same_first_model(other: Change) -> None:
    plain, one, two = planned(), planned(BEST), planned({"select": other})
    specs = [experiment.runs["a"].spec for experiment in (plain, one, two)]
    assert len({spec.folder for spec in specs}) == 3
    assert len({spec.first.folder for spec in specs}) == 1
    assert jobs(one) == jobs(plain)  # what is selected comes to them as a file


def test_no_selection_is_the_loop_without_the_key() -> None:
    for nothing in (None, False):
        assert planned({"select": nothing}).runs["a"].spec == planned().runs["a"].spec


def test_another_classifier_selects_otherwise() -> None:
    one, two = planned(BEST), planned(BEST, classifier={"width": 4})
    assert one.runs["a"].spec.folder != two.runs["a"].spec.folder
    by_pixels = {"select": {"by": "mean", "best_of": 4}}
    assert (
        planned(by_pixels).runs["a"].spec.folder
        == planned(by_pixels, classifier={"width": 4}).runs["a"].spec.folder
    )


def test_what_is_measured_of_a_selection_moves_no_folder() -> None:
    every, chosen = planned(BEST), planned(BEST, {"measured": "selected"})
    assert every.runs["a"].spec == chosen.runs["a"].spec
    assert every.measure(every.runs["a"], 0, 1) != chosen.measure(chosen.runs["a"], 0, 1)
    assert chosen.resolved(chosen.runs["a"])["fid"]["n"] == 600
    assert every.resolved(every.runs["a"])["fid"]["n"] == 2400


CLEAR = {"filter": {"by": "confidence", "top": 0.5}}


def test_another_filter_is_another_first_model() -> None:
    plain, one, two = planned(), planned(CLEAR), planned({"filter": {"by": "mean", "top": 0.5}})
    specs = [experiment.runs["a"].spec for experiment in (plain, one, two)]
    assert len({spec.folder for spec in specs}) == len({spec.first.folder for spec in specs}) == 3
    assert planned({"filter": None}).runs["a"].spec == plain.runs["a"].spec
    assert [TrainSpec.of(specs[1], 0, t).filtered for t in (1, 2)] == [
        True,
        False,
    ]  # no real rows in the second
    real = planned(CLEAR | {"real": {"fixed": 600}}).runs["a"].spec
    assert TrainSpec.of(real, 0, 2).filtered


def test_weights_from_elsewhere_know_nothing_of_a_filter(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"weights")
    run = {"weights": str(file)}
    plain, one = (planned(loop, run).runs["a"].spec for loop in ({}, CLEAR))
    assert plain.first == one.first
    assert plain.folder != one.folder
    assert one.filter_folder is None  # no later generation has real rows
    real = [
        planned(f | {"real": {"fixed": 600}}, run).runs["a"].spec
        for f in (CLEAR, {"filter": {"by": "mean", "top": 0.5}})
    ]
    assert [spec.filter_folder for spec in real] == [spec.folder for spec in real]  # each of its own
    assert real[0].first == real[1].first


SCORES = st.sampled_from(
    [
        None,
        {"by": "confidence", "best_of": 2},
        {"by": "mean", "best_of": 2},
        {"by": "mean", "top": 0.5},
        {"by": "mean", "above": 0.1},
        {"by": "mean", "above": 0.1, "accuracy": 0.9},
        {"by": [{"score": "mean"}, {"score": "confidence"}], "best_of": 2},
        {"by": [{"score": "mean"}, {"score": "confidence", "share": 2}], "best_of": 2},
    ]
)


@settings(deadline=None, max_examples=60)
@given(one=st.tuples(SCORES, SCORES), two=st.tuples(SCORES, SCORES))
def test_exactly_what_a_score_decides_is_made_anew(one: Any, two: Any) -> None:
    specs = [planned({"select": s, "filter": f}).runs["a"].spec for s, f in (one, two)]
    assert (specs[0].folder == specs[1].folder) == (one == two)
    assert (specs[0].first.folder == specs[1].first.folder) == (one[1] == two[1])  # the filter alone


AGAINST = {"against": {"way": "weights", "strength": 0.5, "samples": 100, "budget": {"epochs": 1}}}


def test_what_is_held_against_a_model_changes_its_samples_and_not_its_training() -> None:
    plain, one = jobs(planned()), jobs(planned(AGAINST))
    trainings, samplings = slice(0, None, 2), slice(1, None, 2)
    assert plain[trainings] == one[trainings]
    assert all(a != b for a, b in zip(plain[samplings], one[samplings], strict=True))


def test_the_strength_of_what_is_held_against_a_model_is_swept() -> None:
    runs = planned(AGAINST, {"over": [{"against.strength": [0.25, 2.0]}]}).runs
    assert list(runs) == ["a-strength0.25", "a-strength2"]
    assert [run.label for run in runs.values()] == ["a, ω = 0.25", "a, ω = 2"]
    assert [run.spec.looped.against.strength for run in runs.values()] == [0.25, 2.0]
    assert len({run.spec.first.folder for run in runs.values()}) == 1


@pytest.mark.parametrize(
    ("loop", "run", "said"),
    [
        (
            {"select": {"by": "critic", "top": 0.5}},
            {},
            "select.by: critic needs a critic, and vae has none",
        ),
        ({"select": {"by": "density", "top": 0.5}}, {}, "which there is of points of a known density alone"),
        (BEST, {"dataset": "gaussian", "model": "gaussian"}, "which there is of images alone"),
        ({"select": {"by": "mean", "best_of": 5}}, {}, "generates 2400 and hands on 480"),
        (
            {"filter": {"by": "critic", "top": 0.5}},
            {},
            "filter.by: critic looks at critic, which real rows do",
        ),
        ({"filter": {"by": "nearest_real", "top": 0.5}}, {}, "which real rows do not have"),
        (
            {"filter": {"by": "mean", "top": 0.005}},
            {},
            "loops.plain.initial.n: 600 rows requested, but its filter leaves 300",
        ),
        (
            BEST,
            {"over": [{"select.by": ["mean", {"score": "mean"}]}]},
            "over.0.select.by: expected numbers or words, got {'score': 'mean'}",
        ),
        ({}, {"measured": "selected"}, "runs.a.measured: selected: the run has no loop with a key select"),
        (
            {"against": AGAINST["against"] | {"way": "scores"}},
            {},
            "loops.plain.against.way: scores: vae cannot",
        ),
        ({"against": AGAINST["against"] | {"strength": 0}}, {}, "loops.plain.against.strength: expected"),
        ({"against": {"way": "scores"}}, {}, "loops.plain.against"),
        (AGAINST, {"dataset": "gaussian", "model": "gaussian"}, "weights: gaussian cannot; use one of vae"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(loop: Change, run: Change, said: str) -> None:
    with pytest.raises(SpecError) as error:
        planned(loop, run)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
