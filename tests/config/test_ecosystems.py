"""Ecosystems in a config: a run for each member, and what cannot be meant."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigloop.config.experiment import Experiment
from bigloop.loops import apportioned
from bigloop.spec.generations import TrainSpec
from bigloop.spec.options import SpecError

BUDGET = {"initial": {"epochs": 1}, "retrain": {"epochs": 1}}
CONFIG: dict[str, Any] = {
    "experiment": "pairs",
    "models": {
        "vae": {"family": "vae"},
        "gaussian": {"family": "gaussian"},
        "moments": {"family": "gaussian", "draws": "moments"},
    },
    "loops": {
        "images": {"initial": {"n": 600}, "samples": 600, "synthetic": {"n": 600}, "budget": BUDGET},
        "points": {
            "initial": {"n": 60},
            "samples": 60,
            "synthetic": {"n": 60},
            "real": {"fresh": 20},
            "budget": BUDGET,
        },
    },
    "ecosystems": {
        "pair": {
            "members": {name: {"model": "vae", "loop": "images"} for name in "ab"},
            "shares": [[0.5, 0.5], [0, 1]],
        },
        "three": {
            "members": {name: {"model": "gaussian", "loop": "points"} for name in "abc"},
            "shares": [[1, 0, 0], [0.5, 0.5, 0], [0.2, 0.3, 0.5]],
        },
    },
    "runs": {
        "digits": {"dataset": "mnist", "ecosystem": "pair", "generations": 3, "label": "Two VAEs"},
        "line": {"dataset": "gaussian", "ecosystem": "three", "generations": 4, "seeds": 2},
    },
    "measures": {"variance": None, "between": None},
    "figures": {},
}


@pytest.fixture
def config() -> dict[str, Any]:
    return copy.deepcopy(CONFIG)


def test_every_member_is_a_run_and_knows_the_others(config: dict[str, Any]) -> None:
    runs = Experiment.from_config(config).runs
    assert list(runs) == ["digits-a", "digits-b", "line-a", "line-b", "line-c"]
    assert runs["digits-b"].label == "Two VAEs: b"
    assert runs["digits-b"].siblings == ("digits-a", "digits-b")
    assert runs["digits-b"].spec.shares == (0, 1)
    assert runs["line-c"].spec.member == 2
    assert runs["line-a"].spec.folder == runs["line-c"].spec.folder
    assert runs["digits-a"].spec.folder != runs["digits-b"].spec.folder


def test_a_share_changes_the_folder_and_a_name_does_not(config: dict[str, Any]) -> None:
    before = Experiment.from_config(config).runs
    config["runs"]["two"] = config["runs"].pop("digits")
    config["ecosystems"]["three"]["shares"][2] = [0.2, 0.2, 0.6]
    after = Experiment.from_config(config).runs
    assert after["two-a"].spec.folder == before["digits-a"].spec.folder
    assert after["line-a"].spec.folder != before["line-a"].spec.folder
    assert after["line-a"].spec.first.folder == before["line-a"].spec.first.folder


@settings(deadline=None, max_examples=40)
@given(
    matrix=st.lists(st.tuples(*[st.integers(1, 4)] * 3), min_size=3, max_size=3),
    edge=st.sampled_from(range(9)),
)
def test_exactly_the_members_generations_that_an_edge_leads_to_are_made_anew(
    matrix: list[tuple[int, ...]], edge: int
) -> None:
    """A first model depends on no edge; all that follows is of one ecosystem, which has another digest."""
    config = copy.deepcopy(CONFIG)
    config["runs"]["digits"]["ecosystem"] = "many"
    shares = [[part / sum(row) for part in row] for row in matrix]
    other = copy.deepcopy(shares)
    row = other[edge // 3]
    row[edge % 3] += 0.5
    other[edge // 3] = [part / sum(row) for part in row]
    found = []
    for given_shares in (shares, other, shares):
        members = {name: {"model": "vae", "loop": "images"} for name in "abc"}
        config["ecosystems"]["many"] = {"members": members, "shares": given_shares}
        found.append([run.spec for run in Experiment.from_config(config).runs.values() if run.images])
    before, after, again = found
    assert [spec.folder for spec in before] == [spec.folder for spec in again]
    for member, (one, two) in enumerate(zip(before, after, strict=True)):
        assert one.first.folder == two.first.folder
        assert one.folder != two.folder
        same = TrainSpec.of(one, 0, 2) == TrainSpec.of(two, 0, 2)
        assert same == (member != edge // 3)  # others' jobs are the same, of other inputs
        assert TrainSpec.of(one, 0, 2).sources == [(0, 1), (1, 1), (2, 1)]
    firsts = {spec.first.folder for spec in before}
    assert len(firsts) == 3  # alike, and three models


def test_members_are_simulated_together_with_measures_of_each(config: dict[str, Any]) -> None:
    config["models"]["kernels"] = {"family": "kde"}
    config["ecosystems"]["three"]["members"]["b"]["model"] = "kernels"
    config["measures"]["moments"] = None
    experiment = Experiment.from_config(config)
    jobs = [
        experiment.simulate(experiment.runs[name], experiment.runs[name].blocks()[0])
        for name in ("line-a", "line-b", "line-c")
    ]
    assert jobs[0] == jobs[1] == jobs[2]
    assert [sorted(measures) for measures in jobs[0].of_members] == [
        ["between", "moments", "variance"],
        ["between", "variance"],
        ["between", "moments", "variance"],
    ]


def put(path: str, value: Any) -> Any:
    def change(config: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        for key in parents:
            config = config[int(key)] if isinstance(config, list) else config[key]
        config[int(last) if isinstance(config, list) else last] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("runs/digits/ecosystem", "trio"), "runs.digits.ecosystem: no ecosystem named 'trio'"),
        (put("runs/digits/model", "vae"), "runs.digits.model: has no place beside ecosystem"),
        (put("runs/digits/loop", "images"), "runs.digits.loop: has no place beside ecosystem"),
        (put("ecosystems/pair/shares", [[1, 0]]), "ecosystems.pair.shares: has 1 rows"),
        (put("ecosystems/pair/shares/0", [1.0]), "ecosystems.pair.shares.0: has 1 numbers"),
        (
            put("ecosystems/pair/shares/1", [0.5, 0.6]),
            "ecosystems.pair.shares.1: expected numbers of 0 or more",
        ),
        (put("ecosystems/pair/shares/1", [-0.5, 1.5]), "ecosystems.pair.shares.1: expected numbers"),
        (put("ecosystems/pair/members", {}), "ecosystems.pair.members: is empty"),
        (put("ecosystems/pair/members/a/model", "gan"), "runs.digits-a.model: no model named 'gan'"),
        (put("ecosystems/pair/members/a/width", 2), "ecosystems.pair.members.a.width: unknown key"),
        (put("ecosystems/three/members/a/model", "moments"), "either all or none draw moments"),
        (put("loops/images/samples", 500), "loops.images.synthetic: 600 rows requested"),
        (
            put("runs/digits-a", {"dataset": "mnist", "model": "vae", "loop": "images", "generations": 1}),
            "second run",
        ),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(config: dict[str, Any], change: Any, said: str) -> None:
    change(config)
    with pytest.raises(SpecError) as error:
        Experiment.from_config(config)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_between_needs_an_ecosystem(config: dict[str, Any]) -> None:
    config["runs"] = {"alone": {"dataset": "mnist", "model": "vae", "loop": "images", "generations": 1}}
    with pytest.raises(
        SpecError, match=r"measures\.between: tells how far members of an ecosystem are apart"
    ):
        Experiment.from_config(config)


@pytest.mark.parametrize(
    ("rows", "shares", "counts"),
    [
        (10, (0.5, 0.5), [5, 5]),
        (11, (0.5, 0.5), [6, 5]),
        (10, (1 / 3, 1 / 3, 1 / 3), [4, 3, 3]),
        (7, (0.1, 0.2, 0.7), [1, 1, 5]),
        (0, (0.5, 0.5), [0, 0]),
        (3, (0, 1), [0, 3]),
    ],
)
def test_rows_are_apportioned_by_largest_remainders(
    rows: int, shares: tuple[float, ...], counts: list[int]
) -> None:
    assert apportioned(rows, shares) == counts
    assert sum(counts) == rows
