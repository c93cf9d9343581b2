"""Summaries of steps against the numbers themselves: nothing is left out, and the table stays small."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import torch

from bigloop.training.checkpoint import pack, unpack
from bigloop.training.summaries import ROWS, Summaries

CPU = torch.device("cpu")


def values(step: int) -> dict[str, torch.Tensor]:
    """What a step is summed up by, its numbers all different."""
    return {"loss": torch.tensor(float(np.sin(step))), "norm": torch.tensor(10.0 ** (step % 7))}


def followed(summaries: Summaries, first: int, last: int, steps: int) -> None:
    """Steps from first to before last of a training, as a step loop makes them."""
    for step in range(first, last):
        summaries.upto(step)
        summaries.add(values(step))
    if last == steps:
        summaries.upto(last, end=True)


@pytest.mark.parametrize("steps", [1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS, 3 * ROWS + 70])
def test_every_step_is_in_one_row_and_rows_are_few(steps: int) -> None:
    summaries = Summaries(steps, CPU)
    followed(summaries, 0, steps, steps)
    table, every = summaries.table(), -(-steps // ROWS)
    assert len(table) == -(-steps // every) <= ROWS
    assert list(table["step"]) == [min(steps, (k + 1) * every) for k in range(len(table))]
    for name in ("loss", "norm"):
        each = np.array([values(step)[name].item() for step in range(steps)])
        parts = [each[k * every : (k + 1) * every] for k in range(len(table))]
        for column, of in (("", np.mean), ("_least", np.min), ("_most", np.max)):
            np.testing.assert_allclose(table[name + column], [of(part) for part in parts], rtol=1e-6)


@pytest.mark.parametrize("stopped", [1, 2, 3, 700, 1_499, 1_500])
def test_one_that_was_saved_and_loaded_goes_on_bit_identical(stopped: int) -> None:
    steps = 3 * ROWS
    whole, first, second = (Summaries(steps, CPU) for _ in range(3))
    followed(whole, 0, steps, steps)
    for step in range(stopped):
        first.upto(step)
        first.add(values(step))
    second.load_state_dict(unpack(*pack(first.state_dict())))
    followed(second, stopped, steps, steps)
    pd.testing.assert_frame_equal(second.table(), whole.table(), check_exact=True)


def test_sums_stay_where_they_are() -> None:
    summaries = Summaries(10 * ROWS, CPU)
    places = set()
    for step in range(25):
        summaries.upto(step)
        summaries.add(values(step))
        kept = (summaries.sums, summaries.least, summaries.most)
        places.add(tuple(part["loss"].data_ptr() for part in kept))
    assert len(summaries.table()) == 2
    assert len(places) == 1


def test_the_end_of_a_training_is_summed_up_once() -> None:
    summaries = Summaries(4, CPU)
    followed(summaries, 0, 4, 4)
    summaries.upto(4, end=True)
    assert list(summaries.table()["step"]) == [1, 2, 3, 4]


def test_a_written_table_has_the_very_numbers() -> None:
    summaries = Summaries(5, CPU)
    followed(summaries, 0, 5, 5)
    text = summaries.table().to_csv(index=False)
    table = pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(["loss", "norm"], np.float32))
    assert list(table["loss"]) == [np.float32(values(step)["loss"].item()) for step in range(5)]
    assert len(text) < 5 * 80
