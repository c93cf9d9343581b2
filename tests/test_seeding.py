"""One address, one stream; another address, another stream."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bigloop.seeding import default_generator, numpy_generator, torch_generator

ADDRESSES = st.tuples(
    st.integers(0, 2**31), st.integers(0, 1000), st.sampled_from(["weights", "training"]), st.integers(0, 50)
)


@given(ADDRESSES, ADDRESSES)
@settings(deadline=None)
def test_streams_are_equal_just_where_their_addresses_are(first: tuple, second: tuple) -> None:
    numbers = [numpy_generator(*address).random(4).tolist() for address in (first, second)]
    tensors = [torch.rand(4, generator=torch_generator(*address)).tolist() for address in (first, second)]
    assert (numbers[0] == numbers[1]) == (first == second)
    assert (tensors[0] == tensors[1]) == (first == second)


def test_streams_of_different_addresses_are_uncorrelated() -> None:
    n = 20_000
    first, second = numpy_generator(0, 1, "weights"), numpy_generator(0, 2, "weights")
    correlation = np.corrcoef(first.random(n), second.random(n))[0, 1]
    assert abs(correlation) < 4 / np.sqrt(n)  # its standard deviation is 1/√n


def test_the_default_stream_is_seeded_inside_the_block_and_untouched_after_it() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    drawn = []
    for _ in range(2):
        with default_generator(torch_generator(0, 0, "dropout")):
            drawn.append(torch.rand(3))
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(torch.rand(3), expected)
