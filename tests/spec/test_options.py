"""Specs are parsed strictly, survive JSON unchanged, and have one digest however they are spelled."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bigloop.spec.generations import SampleSpec, TrainSpec
from bigloop.spec.hints import schema_of
from bigloop.spec.jobs import ClassifierSpec, PlotSpec
from bigloop.spec.loops import Budget, Budgets, Initial, LoopSpec, Real, Synthetic
from bigloop.spec.options import SpecError, digest, option, parse, to_dict, to_json
from bigloop.spec.registry import declared
from bigloop.spec.runs import ModelSpec, RunSpec

FINITE = st.floats(allow_nan=False, allow_infinity=False)
BUDGETS = st.one_of(
    st.builds(Budget, epochs=st.floats(1e-6, 1e6)), st.builds(Budget, images=st.integers(1, 10**9))
)
RUNS = st.builds(
    RunSpec,
    dataset=st.sampled_from(["mnist", "fashion_mnist"]),
    model=st.builds(
        ModelSpec,
        family=st.sampled_from(["vae", "wgan_gp"]),
        revision=st.integers(1, 9),
        options=st.dictionaries(
            st.text(min_size=1), st.one_of(st.booleans(), st.integers(), FINITE, st.text())
        ),
    ),
    loop=st.builds(
        LoopSpec,
        initial=st.builds(Initial, st.integers(1, 60_000)),
        samples=st.integers(1, 60_000),
        real=st.builds(Real, st.integers(0, 9), st.integers(0, 9), st.booleans()),
        synthetic=st.one_of(
            st.builds(Synthetic, n=st.integers(0, 9), from_=st.one_of(st.integers(1, 9), st.just("all"))),
            st.builds(Synthetic, ratio=st.floats(0, 9)),
        ),
        budget=st.builds(Budgets, BUDGETS, BUDGETS),
        bias=st.floats(0, 1),
    ),
)


@dataclass(frozen=True)
class Inner:
    share: float = option(0.5, "a share", minimum=0, below=1)


@dataclass(frozen=True)
class Outer:
    """One field of each kind that specs use."""

    count: int = option(description="a count", minimum=1)
    rate: float = option(1e-3, "a rate", above=0)
    kind: Literal["a", "b"] = option("a", "a kind")
    on: bool = option(False, "a switch")
    inner: Inner = Inner()
    ks: tuple[int, ...] = ()
    maybe: int | None = option(None, "none or a count", minimum=1)


@given(run=RUNS, seed=st.integers(0, 2**40), generation=st.integers(1, 500))
@settings(deadline=None)
def test_every_job_comes_back_from_its_json_unchanged(run: RunSpec, seed: int, generation: int) -> None:
    for spec in (run, run.first, TrainSpec.of(run, seed, generation), SampleSpec.of(run, seed, generation)):
        back = parse(type(spec), json.loads(to_json(spec)), "spec")
        assert back == spec
        assert to_json(back) == to_json(spec)


@given(RUNS)
@settings(deadline=None)
def test_the_digest_does_not_depend_on_the_order_of_keys(run: RunSpec) -> None:
    def backwards(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: backwards(v) for k, v in reversed(value.items())}
        return value

    assert digest(parse(RunSpec, backwards(to_dict(run)), "run")) == digest(run)


def test_the_digest_does_not_depend_on_how_a_number_is_spelled() -> None:
    def loop(n: Any, bias: Any, epochs: Any) -> str:
        budget = {"epochs": epochs}
        given = {"initial": {"n": n}, "samples": n, "real": {}, "synthetic": {"n": n}, "bias": bias}
        return digest(parse(LoopSpec, {**given, "budget": {"initial": budget, "retrain": budget}}, "loop"))

    assert loop(100, 1, 5) == loop(100.0, 1.0, 5.0) == loop(int("100"), 10 / 10, 5e0)
    assert loop(100, 1, 5) != loop(101, 1, 5)


def test_a_digest_is_the_same_on_every_machine() -> None:
    assert digest({"b": 1.0, "a": [1, 0.1, None]}) == "7981b742"  # sha256sum of {"a":[1,0.1,null],"b":1.0}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_json_of_a_number_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json({"rate": value})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "spec: expected object, got []"),
        (None, "spec: expected object, got nothing"),
        ({}, "spec.count: missing"),
        (
            {"count": 1, "cuont": 1},
            "spec.cuont: unknown key (known: count, rate, kind, on, inner, ks, maybe)",
        ),
        ({"count": 0}, "spec.count: expected at least 1, got 0"),
        ({"count": 1.5}, "spec.count: expected integer, got 1.5"),
        ({"count": "1"}, "spec.count: expected integer, got '1' (a word in YAML; write 1)"),
        ({"count": True}, "spec.count: expected integer, got True"),
        ({"count": None}, "spec.count: expected integer, got nothing"),
        ({"count": math.nan}, "spec.count: expected integer, got nan"),
        ({"count": math.inf}, "spec.count: expected integer, got inf"),
        ({"count": 1, "rate": 0}, "spec.rate: expected above 0, got 0"),
        (
            {"count": 1, "rate": "1e-4"},
            "spec.rate: expected number, got '1e-4' (a word in YAML; write 1.0e-4)",
        ),
        ({"count": 1, "rate": "fast"}, "spec.rate: expected number, got 'fast'"),
        ({"count": 1, "rate": "nan"}, "spec.rate: expected number, got 'nan'"),
        ({"count": 1, "rate": math.nan}, "spec.rate: expected number, got nan"),
        ({"count": 1, "rate": math.inf}, "spec.rate: expected number, got inf"),
        ({"count": 1, "rate": False}, "spec.rate: expected number, got False"),
        ({"count": 1, "kind": "c"}, "spec.kind: expected one of a, b, got 'c'"),
        ({"count": 1, "kind": ["a"]}, "spec.kind: expected one of a, b, got ['a']"),
        ({"count": 1, "on": 1}, "spec.on: expected boolean, got 1"),
        ({"count": 1, "inner": 3}, "spec.inner: expected object, got 3"),
        ({"count": 1, "inner": {"share": 1}}, "spec.inner.share: expected below 1, got 1"),
        ({"count": 1, "inner": {"shar": 1}}, "spec.inner.shar: unknown key (known: share)"),
        ({"count": 1, "ks": 3}, "spec.ks: expected list, got 3"),
        ({"count": 1, "ks": [1, "x"]}, "spec.ks.1: expected integer, got 'x'"),
        ({"count": 1, "maybe": 0}, "spec.maybe: expected at least 1, got 0"),
    ],
)
def test_a_fault_is_one_line_that_names_the_key(given: Any, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse(Outer, given, "spec")
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("synthetic", {"n": 1, "ratio": 1}, "loop.synthetic: give n or ratio, not both"),
        (
            "synthetic",
            {"n": 1, "from": 0},
            "loop.synthetic.from: expected integer of at least 1 or all, got 0",
        ),
        (
            "synthetic",
            {"n": 1, "from": "some"},
            "loop.synthetic.from: expected integer of at least 1 or all, got 'some'",
        ),
        (
            "budget",
            {"initial": {}, "retrain": {"epochs": 1}},
            "loop.budget.initial: is empty, give epochs or images",
        ),
        (
            "budget",
            {"initial": {"images": 1}, "retrain": {"images": 1, "epochs": 1}},
            "loop.budget.retrain: give only one of",
        ),
        ("start", "warm", "loop.start: expected one of scratch, continue, got 'warm'"),
    ],
)
def test_a_fault_between_keys_is_named_by_its_place(key: str, value: Any, message: str) -> None:
    loop = {"initial": {"n": 1}, "samples": 1, "real": {}, "synthetic": {}}
    loop["budget"] = {"initial": {"epochs": 1}, "retrain": {"epochs": 1}}
    with pytest.raises(SpecError, match=rf"\A{re.escape(message)}[^\n]*\Z"):
        parse(LoopSpec, {**loop, key: value}, "loop")


def test_a_first_generation_does_not_know_the_later_ones() -> None:
    budget = Budget(epochs=1.0)
    one = LoopSpec(Initial(10), 20, Real(), Synthetic(n=5), Budgets(budget, budget), bias=0.5)
    two = LoopSpec(Initial(10), 30, Real(fixed=3), Synthetic(ratio=2.0), Budgets(budget, Budget(images=9)))
    model = ModelSpec("vae", 1, {"latent": 2})
    first, second = RunSpec("mnist", model, one), RunSpec("mnist", model, two)
    assert first.folder != second.folder
    assert TrainSpec.of(first, 0, 1) == TrainSpec.of(second, 0, 1)
    assert first.model_folder(1) == second.model_folder(1) == first.first.folder
    assert first.model_folder(2) == first.folder
    assert TrainSpec.of(first, 0, 2) != TrainSpec.of(second, 0, 2)


def test_folders_are_named_by_family_dataset_and_digest() -> None:
    budget = Budget(images=1)
    loop = LoopSpec(Initial(1), 1, Real(), Synthetic(), Budgets(budget, budget))
    run = RunSpec("mnist", ModelSpec("vae", 1, {}), loop)
    assert re.fullmatch(r"vae-mnist-[0-9a-f]{8}", run.folder)
    assert run.folder == f"vae-mnist-{digest(run)}"
    assert re.fullmatch(r"mnist-[0-9a-f]{8}", ClassifierSpec("mnist").folder)


@given(rows=st.integers(1, 10**6), batch=st.integers(1, 512), epochs=st.floats(0.01, 100))
def test_a_budget_is_spent_to_the_nearest_step_and_at_least_one(rows: int, batch: int, epochs: float) -> None:
    steps = Budget(epochs=epochs).steps(rows, batch)
    assert steps >= 1
    assert steps == 1 or abs(steps * batch - epochs * rows) <= batch / 2 * (1 + 1e-9)
    assert Budget(images=rows).steps(7, batch) == max(1, round(rows / batch))


def test_fields_that_are_none_are_left_out_of_json() -> None:
    assert to_dict(Budget(images=3)) == {"images": 3}
    train = TrainSpec("mnist", ModelSpec("vae", 1, {}), 0, 1, Initial(1), Budget(images=3))
    assert {"real", "synthetic", "start"}.isdisjoint(to_dict(train))
    assert to_dict(SampleSpec(0, 1, 5)) == {"seed": 0, "generation": 1, "n": 5, "bias": 1.0}


def test_options_of_a_figure_pass_through_as_they_are() -> None:
    options = {"generations": [1, 5], "side": 4}
    assert (
        parse(
            PlotSpec, {"experiment": "e", "name": "n", "figure": "samples", "options": options}, "spec"
        ).options
        == options
    )


def test_a_schema_says_what_parse_checks() -> None:
    @dataclass(frozen=True)
    class Options:
        rate: float = option(1e-3, "a rate", above=0, below=1)
        kind: Literal["a", "b"] = option("a", "a kind")
        name: str = "no option: not in the schema"

    assert schema_of(Options) == {
        "rate": {
            "type": "number",
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 1,
            "default": 1e-3,
            "description": "a rate",
        },
        "kind": {"enum": ["a", "b"], "default": "a", "description": "a kind"},
    }


def test_an_option_that_is_new_leaves_the_old_digests_as_they_were() -> None:
    @dataclass(frozen=True)
    class Old:
        width: int = option(3, "a width")

    @dataclass(frozen=True)
    class New(Old):
        depth: int = option(1, "layers", neutral=1)

    assert digest(New(4)) == digest(Old(4))
    assert digest(New(4, 2)) != digest(Old(4))
    for new in (New(4), New(4, 2)):
        assert parse(New, to_dict(new), "spec") == new


def test_an_option_that_would_change_what_old_configs_mean_is_refused() -> None:
    with pytest.raises(ValueError, match="old configs would change"):
        option(2, "layers", neutral=1)


def test_an_option_that_may_not_exceed_another_is_held_to_it_where_that_counts() -> None:
    @dataclass(frozen=True)
    class Options:
        steps: int = option(5, "all steps", minimum=1)
        taken: int = option(3, "of them", minimum=1, at_most="steps", where={"sampler": "some"})
        sampler: Literal["all", "some"] = option("some", "which")

    assert parse(Options, {"taken": 9, "sampler": "all"}, "model").taken == 9
    with pytest.raises(SpecError, match=r"\Amodel\.taken: expected at most steps, 5, got 9\Z"):
        parse(Options, {"taken": 9}, "model")


def test_a_count_that_declares_no_upper_bound_has_one() -> None:
    with pytest.raises(SpecError, match=r"\Aspec\.count: expected at most 1000000, got 1000001\Z"):
        parse(Outer, {"count": 1_000_001}, "spec")


@pytest.mark.parametrize(
    ("word", "hint"),
    [("1e-4", "1.0e-4"), ("2.5E3", "2.5e+3"), ("-1e9", "-1.0e+9"), ("0.5", "0.5"), ("1.25e-4", "1.25e-4")],
)
def test_a_hint_is_the_same_number_as_yaml_reads_it(word: str, hint: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse(Outer, {"count": 1, "rate": word}, "spec")
    assert str(raised.value).endswith(f"(a word in YAML; write {hint})")
    assert yaml.safe_load(hint) == float(word)


@pytest.mark.parametrize("family", declared("families"))
def test_what_an_option_is_set_to_is_what_jobs_get(family: str) -> None:
    """A value that JSON leaves out comes back as the default: it has to be that."""
    Options = declared("families")[family].Options
    for f in dataclasses.fields(Options):
        if "neutral" in f.metadata:
            assert f.metadata["neutral"] == f.default, f.name
    asked = [name for name, about in declared("families")[family].options.items() if "None" in about["type"]]
    for name in asked:
        chosen = parse(Options, {name: None}, family)
        assert getattr(parse(Options, to_dict(chosen), family), name) is None, name
