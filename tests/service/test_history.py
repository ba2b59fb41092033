"""A stream's newest samples: what was added last can be read, at its position, however it was cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.audio.history import ROOM, History

KEPT = 50


def ramp(channels: int, begin: int, end: int) -> np.ndarray:
    return (10_000 * np.arange(channels)[:, None] + np.arange(begin, end)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.one_of(st.integers(0, 60), st.sampled_from([ROOM - 1, ROOM, ROOM + 1, 3 * ROOM])), max_size=40),
    channels=st.integers(1, 2),
)
def test_the_newest_samples_can_be_read_wherever_they_lie(counts, channels):
    history, end = History(channels, KEPT), 0
    for count in counts:
        before, end = end, end + count
        history.append(ramp(channels, before, end))
        assert history.end == end
        earliest = max(0, before - KEPT)  # what was kept and what has just come
        assert history.begin <= earliest
        for begin in (history.begin, earliest, before, (before + end) // 2, end):
            assert np.array_equal(history.read(begin, end), ramp(channels, begin, end))
        assert np.array_equal(history.read(earliest, before), ramp(channels, earliest, before))


def test_what_was_read_stays_as_it_was():
    history = History(1, KEPT)
    history.append(ramp(1, 0, 40))
    read = history.read(0, 40)
    for begin in range(40, 40 + 4 * ROOM, 40):
        history.append(ramp(1, begin, begin + 40))
    assert np.array_equal(read, ramp(1, 0, 40))


def test_what_is_not_there_cannot_be_read():
    history = History(1, KEPT)
    history.append(ramp(1, 0, KEPT + ROOM))
    history.append(ramp(1, KEPT + ROOM, KEPT + ROOM + 1))
    for begin, end in ((0, 10), (ROOM + KEPT, ROOM + KEPT + 2), (ROOM + 20, ROOM + 10)):
        with pytest.raises(ValueError, match=f"samples {begin} to {end} asked for, {ROOM} to {ROOM + KEPT + 1} there"):
            history.read(begin, end)
