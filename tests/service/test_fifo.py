"""A queue of samples: what goes in comes out once, in order, however it is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.audio.fifo import SampleFifo


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["put", "take", "skip"]), st.integers(0, 30)), max_size=40),
    channels=st.integers(1, 3),
)
def test_samples_come_out_in_order(steps, channels):
    fifo, put, taken = SampleFifo(channels), 0, 0
    lines = 1000 * np.arange(channels, dtype=np.float32)[:, None]
    for step, count in steps:
        if step == "put":
            fifo.append(lines + np.arange(put, put + count, dtype=np.float32))
            put += count
        else:
            count = min(count, len(fifo))
            if step == "skip":
                fifo.skip(count)
            else:
                assert np.array_equal(fifo.take(count), lines + np.arange(taken, taken + count))
            taken += count
        assert len(fifo) == put - taken


def test_more_than_is_there_cannot_be_taken_and_nothing_is_lost():
    fifo = SampleFifo(1)
    fifo.append(np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match="4 samples asked for, 3 there"):
        fifo.take(4)
    with pytest.raises(ValueError, match="4 samples to be skipped, 3 there"):
        fifo.skip(4)
    assert len(fifo) == 3


def test_taking_nothing_keeps_the_number_of_channels():
    assert SampleFifo(2).take(0).shape == (2, 0)


def test_only_what_is_joined_is_copied():
    fifo, whole, cut = SampleFifo(1), np.zeros((1, 4), np.float32), np.zeros((1, 4), np.float32)
    fifo.append(whole)
    fifo.append(cut)
    fifo.append(whole)
    assert fifo.take(4) is whole
    assert np.shares_memory(fifo.take(2), cut)
    joined = fifo.take(6)
    assert not np.shares_memory(joined, cut)
    assert not np.shares_memory(joined, whole)
    assert len(fifo) == 0
