"""The step loop: full batches, fair passes, honest history, and no silent NaN."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bigloop.runtime.progress import Progress
from bigloop.runtime.signals import DivergedError
from bigloop.training.loop import Batches, LearningRate, Tally, gradient_norm, run, taken


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batches(rows: torch.Tensor, size: int, seed: int = 0) -> Iterator[torch.Tensor]:
    return (taken([rows], chosen)[0] for chosen in Batches(len(rows), size, seeded(seed)))


@given(n=st.integers(1, 40), batch=st.integers(1, 50), passes=st.integers(1, 3), seed=st.integers(0, 99))
@settings(deadline=None)
def test_batches_are_full_and_whole_passes_show_every_row_equally_often(
    n: int, batch: int, passes: int, seed: int
) -> None:
    steps = passes * math.lcm(n, batch) // batch
    seen = list(islice(batches(torch.arange(n), batch, seed), steps))
    assert [len(rows) for rows in seen] == [batch] * steps
    assert Counter(torch.cat(seen).tolist()) == dict.fromkeys(range(n), steps * batch // n)


@given(n=st.integers(2, 40), batch=st.integers(1, 50), steps=st.integers(1, 30))
@settings(deadline=None)
def test_within_any_number_of_steps_rows_are_seen_equally_often_up_to_one(
    n: int, batch: int, steps: int
) -> None:
    seen = torch.cat(list(islice(batches(torch.arange(n), batch), steps)))
    counts = torch.bincount(seen, minlength=n)
    assert counts.max() - counts.min() <= 1


def test_labels_stay_with_their_rows() -> None:
    rows, labels = torch.arange(30), torch.arange(30) + 100
    for chosen in islice(Batches(len(rows), 7, seeded()), 20):
        some, theirs = taken([rows, labels], chosen)
        assert torch.equal(some + 100, theirs)


def test_each_pass_has_its_own_order_and_each_seed_its_own_passes() -> None:
    def orders(seed: int) -> list[list[int]]:
        return [rows.tolist() for rows in islice(batches(torch.arange(50), 50, seed), 2)]

    first, second = orders(0)
    assert first != second
    assert orders(0) == [first, second]
    assert orders(1)[0] != first


def test_float16_rows_come_out_as_float32_of_the_same_values() -> None:
    rows = torch.rand(8, 1, 2, 2, generator=seeded()).half()
    batch = next(batches(rows, 8))
    assert batch.dtype == torch.float32
    assert torch.equal(batch.flatten(1).sort(dim=0).values, rows.float().flatten(1).sort(dim=0).values)


def counting_step() -> tuple[list[int], object]:
    """A step whose loss is the number of the step: 1, 2, 3, …"""
    calls: list[int] = []

    def step(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        calls.append(len(batch))
        return {"loss": torch.tensor(float(len(calls))), "loss_half": torch.tensor(len(calls) / 2)}

    return calls, step


def test_history_has_a_row_an_epoch_with_mean_losses_and_a_last_row_for_the_rest() -> None:
    calls, step = counting_step()
    history = run(step, torch.zeros(40, 1), batch_size=10, steps=10, generator=seeded())
    assert calls == [10] * 10
    assert [row["epoch"] for row in history] == [1, 2, 2.5]
    assert [row["step"] for row in history] == [4, 8, 10]
    assert [row["loss"] for row in history] == [2.5, 6.5, 9.5]
    assert [row["loss_half"] for row in history] == [1.25, 3.25, 4.75]
    assert all(row["seconds"] >= 0 for row in history)


def test_a_loss_that_only_some_steps_have_counts_as_nothing_in_the_others() -> None:
    done = iter(range(8))

    def step(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        lazy = {"r1": torch.tensor(12.0)} if next(done) % 4 == 0 else {}
        return {"loss": torch.tensor(1.0), **lazy}

    history = run(step, torch.zeros(16, 1), batch_size=4, steps=8, generator=seeded())
    assert [(row["loss"], row["r1"]) for row in history] == [(1.0, 3.0), (1.0, 3.0)]


def test_an_epoch_of_fewer_rows_than_a_batch_is_one_step() -> None:
    calls, step = counting_step()
    history = run(step, torch.zeros(3, 1), batch_size=64, steps=2, generator=seeded())
    assert calls == [64, 64]
    assert [row["epoch"] for row in history] == [1, 2]


def test_gradient_norms_are_means_over_every_tenth_step() -> None:
    weight = torch.zeros(2, requires_grad=True)
    norms = iter(range(20))

    def step(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        weight.grad = torch.tensor([0.6, 0.8]) * next(norms)
        return {"loss": torch.zeros(())}

    history = run(
        step, torch.zeros(20, 1), batch_size=1, steps=20, generator=seeded(), parameters={"critic": [weight]}
    )
    assert [row["gradient_norm_critic"] for row in history] == pytest.approx([(0 + 10) / 2])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_the_training_and_is_named(value: float) -> None:
    def step(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        return {"loss": torch.tensor(1.0), "loss_kl": torch.tensor(value)}

    with pytest.raises(DivergedError, match=rf"\Aloss_kl became {value} by step 4: training diverged\Z"):
        run(step, torch.zeros(8, 1), batch_size=2, steps=100, generator=seeded())


def test_a_loss_that_was_not_finite_once_in_an_epoch_is_found() -> None:
    losses = iter([1.0, math.nan, 1.0, 1.0])

    def step(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        return {"loss": torch.tensor(next(losses))}

    with pytest.raises(DivergedError, match="loss became nan"):
        run(step, torch.zeros(8, 1), batch_size=2, steps=4, generator=seeded())


def test_the_end_is_reported_with_losses_and_rate() -> None:
    lines: list[str | Progress] = []
    _, step = counting_step()
    run(step, torch.zeros(40, 1), batch_size=10, steps=8, generator=seeded(), report=lines.append)
    (line,) = map(str, lines)
    assert line.startswith("epoch 2.0/2.0  loss 8, loss_half 4  ")
    assert line.endswith("images/s  done in 0 s")


def test_the_gradient_norm_is_that_of_all_gradients_in_one_vector() -> None:
    tensors = [torch.zeros(3, 2, requires_grad=True), torch.zeros(4, requires_grad=True)]
    tensors[0].grad, tensors[1].grad = torch.full((3, 2), 2.0), torch.full((4,), 5.0)
    untouched = torch.zeros(9, requires_grad=True)
    assert gradient_norm([*tensors, untouched]).item() == pytest.approx(math.sqrt(6 * 4 + 4 * 25))


def test_the_learning_rate_is_set_before_each_step_whatever_an_optimiser_brings_along() -> None:
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=77.0)
    seen: list[float] = []

    def step(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        seen.append(optimizer.param_groups[0]["lr"])
        return {"loss": torch.zeros(())}

    rate = LearningRate([optimizer], lambda done: 0.5 if done < 2 else 1 / (1 + done))
    run(step, torch.zeros(4, 1), batch_size=1, steps=4, generator=seeded(), before=rate)
    assert seen == [0.5, 0.5, 1 / 3, 1 / 4]


def test_a_tally_adds_up_where_its_sums_are() -> None:
    tally = Tally()
    tally.add({"loss": torch.tensor(1.0)})
    place = tally.sums["loss"].data_ptr()
    for value in (2.0, 4.0):
        tally.count()
        tally.add({"loss": torch.tensor(value)})
    tally.count()
    tally.close_epoch(3)
    tally.add({"loss": torch.tensor(5.0)})
    assert tally.history[0]["loss"] == pytest.approx(7 / 3)
    assert tally.sums["loss"].item() == 5.0
    assert tally.sums["loss"].data_ptr() == place
