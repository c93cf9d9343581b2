"""Which rows a generation trains on: real ones distinct and stable, synthetic ones as many as asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bigloop.loops import RULES, Composition, Rule, check, compose, compose_endless, follow
from bigloop.spec.generations import TrainSpec
from bigloop.spec.loops import Budget, Budgets, Initial, LoopSpec, Real, RuleSpec, Synthetic
from bigloop.spec.options import SpecError, option, to_json
from bigloop.spec.runs import ModelSpec, RunSpec

MODEL = ModelSpec("vae", 1, {})
BUDGET = Budgets(Budget(epochs=1.0), Budget(epochs=1.0))
ROWS = 200  # of the real training set


def loop_spec(
    initial: int = 40, samples: int = 60, real: Real | None = None, synthetic: Synthetic | None = None
) -> LoopSpec:
    return LoopSpec(Initial(initial), samples, real or Real(), synthetic or Synthetic(n=30), BUDGET)


def rows_of(loop: LoopSpec, generation: int, seed: int = 0, train_rows: int = ROWS) -> Composition:
    available = dict.fromkeys(range(1, generation), loop.samples)
    return compose(TrainSpec.of(RunSpec("mnist", MODEL, loop), seed, generation), train_rows, available)


SYNTHETIC = st.one_of(
    st.builds(Synthetic, n=st.integers(0, 60), from_=st.one_of(st.integers(1, 4), st.just("all"))),
    st.builds(Synthetic, ratio=st.floats(0, 2), from_=st.one_of(st.integers(1, 4), st.just("all"))),
)
LOOPS = st.builds(
    loop_spec,
    initial=st.integers(1, 60),
    samples=st.integers(1, 80),
    real=st.builds(Real, fixed=st.integers(0, 60), fresh=st.integers(0, 30), reuse=st.booleans()),
    synthetic=SYNTHETIC,
)
GENERATIONS = st.integers(2, 6)


def assume_valid(loop: LoopSpec, generations: int) -> None:
    try:
        check(loop, generations, ROWS, "loops.any")
    except SpecError:
        assume(False)


@given(n=st.integers(1, ROWS), seed=st.integers(0, 2**32))
@settings(deadline=None)
def test_generation_1_trains_on_distinct_real_rows_alone(n: int, seed: int) -> None:
    composition = rows_of(loop_spec(initial=n), 1, seed)
    assert len(composition) == len(set(composition.real)) == n
    assert set(composition.real) <= set(range(ROWS))
    assert composition.synthetic == {}


@given(loop=LOOPS, generation=GENERATIONS)
@settings(deadline=None)
def test_every_training_set_is_as_large_as_its_loop_says(loop: LoopSpec, generation: int) -> None:
    assume_valid(loop, generation)
    composition = rows_of(loop, generation)
    real = loop.real.fixed + loop.real.fresh
    wanted = loop.synthetic.rows(real)
    assert len(composition.real) == real
    if loop.synthetic.from_ == "all":
        assert sum(map(len, composition.synthetic.values())) == wanted * (generation - 1)
    else:
        assert sum(map(len, composition.synthetic.values())) == wanted


@given(loop=LOOPS, generation=GENERATIONS)
@settings(deadline=None)
def test_synthetic_rows_exist_are_distinct_and_of_the_generations_asked_for(
    loop: LoopSpec, generation: int
) -> None:
    assume_valid(loop, generation)
    composition = rows_of(loop, generation)
    oldest = 1 if loop.synthetic.from_ == "all" else generation - loop.synthetic.from_
    for source, rows in composition.synthetic.items():
        assert max(1, oldest) <= source < generation
        assert len(set(rows)) == len(rows)
        assert set(rows) <= set(range(loop.samples))


@given(loop=LOOPS, generation=GENERATIONS)
@settings(deadline=None)
def test_fixed_rows_are_of_generation_1_and_the_same_in_every_generation(
    loop: LoopSpec, generation: int
) -> None:
    assume_valid(loop, generation)
    fixed = rows_of(loop, generation).real[: loop.real.fixed]
    assert set(fixed) <= set(rows_of(loop, 1).real)
    np.testing.assert_array_equal(fixed, rows_of(loop, 2).real[: loop.real.fixed])


@given(loop=LOOPS, generations=GENERATIONS)
@settings(deadline=None)
def test_fresh_rows_are_disjoint_from_all_that_earlier_generations_saw(
    loop: LoopSpec, generations: int
) -> None:
    loop = replace(loop, real=replace(loop.real, reuse=False))
    assume_valid(loop, generations)
    seen = set(rows_of(loop, 1).real)
    for generation in range(2, generations + 1):
        fresh = rows_of(loop, generation).real[loop.real.fixed :]
        assert len(set(fresh)) == loop.real.fresh
        assert seen.isdisjoint(fresh)
        seen |= set(fresh)


def test_with_reuse_fresh_rows_start_over_when_all_were_used() -> None:
    loop = loop_spec(initial=100, real=Real(fresh=50, reuse=True))
    check(loop, 20, ROWS, "loops.any")
    np.testing.assert_array_equal(rows_of(loop, 4).real, rows_of(loop, 1).real[:50])
    assert len(set(rows_of(loop, 20).real)) == 50


@given(loop=LOOPS, generation=GENERATIONS, seed=st.integers(0, 2**32))
@settings(deadline=None)
def test_a_composition_depends_on_its_spec_alone(loop: LoopSpec, generation: int, seed: int) -> None:
    assume_valid(loop, generation)
    first = rows_of(loop, generation, seed)
    rows_of(loop, generation + 1, seed + 1)
    second = rows_of(loop, generation, seed)
    np.testing.assert_array_equal(first.real, second.real)
    assert first.synthetic.keys() == second.synthetic.keys()
    for source, rows in first.synthetic.items():
        np.testing.assert_array_equal(rows, second.synthetic[source])


def test_seeds_choose_other_rows_and_generations_other_synthetic_ones() -> None:
    loop = loop_spec()
    assert set(rows_of(loop, 1, seed=0).real) != set(rows_of(loop, 1, seed=1).real)
    assert set(rows_of(loop, 2, seed=0).synthetic[1]) != set(rows_of(loop, 2, seed=1).synthetic[1])
    assert set(rows_of(loop, 2).synthetic[1]) != set(rows_of(loop, 3).synthetic[2])


def test_rows_from_the_last_k_generations_are_drawn_from_each_in_proportion() -> None:
    loop = loop_spec(samples=2_000, synthetic=Synthetic(n=1_500, from_=3))
    counts = [len(rows) for rows in rows_of(loop, 6).synthetic.values()]
    assert sum(counts) == 1_500
    sd = np.sqrt(1_500 * (1 / 3) * (2 / 3) * (1 - 1_500 / 6_000))  # hypergeometric
    assert all(abs(count - 500) < 4 * sd for count in counts)


def test_before_k_generations_exist_rows_come_from_those_that_do() -> None:
    loop = loop_spec(synthetic=Synthetic(n=30, from_=5))
    assert [list(rows_of(loop, t).synthetic) for t in (2, 3, 8)] == [[1], [1, 2], [3, 4, 5, 6, 7]]


def test_from_all_takes_n_rows_of_each_earlier_generation() -> None:
    loop = loop_spec(synthetic=Synthetic(n=30, from_="all"))
    assert {g: len(rows) for g, rows in rows_of(loop, 4).synthetic.items()} == {1: 30, 2: 30, 3: 30}


@pytest.mark.parametrize(
    ("ratio", "expected"), [(0.0, 0), (0.29, 29), (0.5, 50), (0.57, 57), (0.999, 99), (1.0, 100), (2.0, 200)]
)
def test_a_ratio_is_of_the_real_rows_rounded_down(ratio: float, expected: int) -> None:
    loop = loop_spec(
        initial=100, samples=200, real=Real(fixed=60, fresh=40), synthetic=Synthetic(ratio=ratio)
    )
    assert sum(map(len, rows_of(loop, 2).synthetic.values())) == expected


@pytest.mark.parametrize("nothing", [Synthetic(), Synthetic(n=0), Synthetic(ratio=0.0)])
def test_without_synthetic_rows_a_generation_needs_no_earlier_one(nothing: Synthetic) -> None:
    loop = loop_spec(real=Real(fixed=40), synthetic=nothing)
    assert list(nothing.sources(5)) == []
    assert rows_of(loop, 5).synthetic == {}


@pytest.mark.parametrize(
    ("loop", "generations", "message"),
    [
        (loop_spec(initial=201), 1, "loops.any.initial.n: 201 rows requested, but the dataset has 200"),
        (loop_spec(real=Real(fixed=41)), 2, "loops.any.real.fixed: 41 rows, but generation 1 has only 40"),
        (
            loop_spec(real=Real(fresh=81)),
            3,
            "loops.any.real.fresh: 3 generations need 202 distinct real rows",
        ),
        (loop_spec(real=Real(fresh=201, reuse=True)), 2, "loops.any.real.fresh: 201 rows per generation"),
        (loop_spec(synthetic=Synthetic()), 2, "loops.any: later generations would train on nothing"),
        (loop_spec(synthetic=Synthetic(ratio=1.0)), 2, "loops.any: later generations would train on nothing"),
        (
            loop_spec(synthetic=Synthetic(n=61)),
            2,
            "loops.any.synthetic: 61 rows requested, but each generation generates 60",
        ),
        (
            loop_spec(real=Real(fixed=40), synthetic=Synthetic(ratio=1.6)),
            2,
            "loops.any.synthetic: 64 rows requested, but each generation generates 60",
        ),
    ],
)
def test_rows_that_do_not_exist_are_refused_by_key(loop: LoopSpec, generations: int, message: str) -> None:
    with pytest.raises(SpecError, match=rf"\A{message}[^\n]*\Z"):
        check(loop, generations, ROWS, "loops.any")


def test_loops_at_their_limits_are_accepted() -> None:
    for loop, generations in (
        (loop_spec(initial=200), 9),
        (loop_spec(real=Real(fixed=40)), 9),
        (loop_spec(real=Real(fresh=80)), 3),
        (loop_spec(real=Real(fresh=81)), 2),
        (loop_spec(synthetic=Synthetic()), 1),
        (loop_spec(synthetic=Synthetic(n=60)), 9),
    ):
        check(loop, generations, ROWS, "loops.any")
        assert len(rows_of(loop, generations)) > 0


# --- rules ---


@dataclass(frozen=True)
class Keep:
    """Options of a rule that keeps so many rows of each kind."""

    rows: int = option(3, "rows that stay", minimum=0)


def keep(composition: Composition, options: Keep, seed: int, generation: int, generator) -> Composition:  # type: ignore[no-untyped-def]
    order = {g: generator.permutation(rows)[: options.rows] for g, rows in composition.synthetic.items()}
    return Composition(composition.real[: options.rows], order)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> LoopSpec:
    """A loop with a rule that keeps three rows of each kind."""
    monkeypatch.setitem(RULES, "keep", Rule(keep, Keep, revision=2))
    loop = loop_spec(real=Real(fixed=20, fresh=10), synthetic=Synthetic(n=30, from_=2))
    return replace(loop, rules=(RuleSpec("keep", 2, {"rows": 3}),))


def test_a_rule_changes_what_later_generations_train_on_and_not_the_first(kept: LoopSpec) -> None:
    plain = replace(kept, rules=())
    assert np.array_equal(rows_of(kept, 1).real, rows_of(plain, 1).real)
    later, before = rows_of(kept, 4), rows_of(plain, 4)
    assert np.array_equal(later.real, before.real[:3])
    assert later.synthetic.keys() == before.synthetic.keys() == {2, 3}
    assert all(
        len(rows) == 3 and set(rows) <= set(before.synthetic[g]) for g, rows in later.synthetic.items()
    )


def test_a_rule_draws_alike_for_a_seed_and_generation_and_else_differently(kept: LoopSpec) -> None:
    drawn = [rows_of(kept, g, seed).synthetic[3].tolist() for seed, g in ((0, 4), (0, 4), (0, 5), (1, 4))]
    assert drawn[0] == drawn[1]
    assert drawn[0] not in drawn[2:]


def test_a_simulation_follows_the_same_rules_on_rows_without_end(kept: LoopSpec) -> None:
    there = dict.fromkeys((1, 2, 3), kept.samples)
    ruled, plain = (compose_endless(loop, 0, 4, there) for loop in (kept, replace(kept, rules=())))
    assert np.array_equal(ruled.real, plain.real[:3])
    assert {g: rows.tolist() for g, rows in ruled.synthetic.items()} == {
        g: rows.tolist() for g, rows in rows_of(kept, 4).synthetic.items()
    }
    assert plain.real.tolist() == [*range(20), *range(60, 70)]  # fixed ones, and those of generation 4


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (RuleSpec("keep", 1, {"rows": 3}), r"\Akeep: revision 1 requested, but the code is at 2\Z"),
        (RuleSpec("keep", 2, {"rows": 0}), r"\Akeep: left generation 3 no rows, or asks for samples that"),
        (RuleSpec("keep", 2, {"rows": -1}), r"\Akeep\.rows: expected at least 0, got -1\Z"),
        (RuleSpec("kept", 2, {}), r"\Arule: unknown rule 'kept'"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_one_line(kept: LoopSpec, rule: RuleSpec, line: str) -> None:
    with pytest.raises(SpecError, match=line):
        rows_of(replace(kept, rules=(rule,)), 3)


def test_a_rule_moves_a_run_and_no_rule_moves_none(kept: LoopSpec) -> None:
    ruled, plain = (RunSpec("mnist", MODEL, loop) for loop in (kept, replace(kept, rules=())))
    assert ruled.folder != plain.folder
    assert ruled.first == plain.first
    assert "rules" not in to_json(plain)
    assert "rules" not in to_json(TrainSpec.of(plain, 0, 2))


@given(
    real=st.integers(0, 30),
    synthetic=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    n=st.integers(1, 150),
    share=st.one_of(st.none(), st.floats(0, 1)),
)
def test_a_pool_loses_and_doubles_no_row(
    real: int, synthetic: list[int], n: int, share: float | None
) -> None:
    there = Composition(
        np.arange(100, 100 + real), {g: np.arange(rows) for g, rows in enumerate(synthetic, 1)}
    )
    spec = RuleSpec("pool", 1, {"n": n} | ({} if share is None else {"real": share}))
    drawn = follow([spec], there, 0, 5)
    most = min(n, len(there))
    assert np.isin(drawn.real, there.real).all()
    for rows, of in (
        (drawn.real, there.real),
        *((drawn.synthetic[g], there.synthetic[g]) for g in drawn.synthetic),
    ):
        assert len(np.unique(rows)) == len(rows)
        assert np.isin(rows, of).all()
    if share is None:
        assert len(drawn) == most
    else:
        assert len(drawn.real) == min(real, round(share * most))
        assert len(drawn) - len(drawn.real) == min(len(there) - real, most - len(drawn.real))
