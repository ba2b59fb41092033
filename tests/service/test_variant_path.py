"""One variant's lanes for one stream: when output is there, and for which samples."""

from types import SimpleNamespace

import numpy as np
import pytest

from service.engine.lane import Timing
from service.live.variant_path import VariantPath

TIMING = Timing(0.001, 0.004, 2)


class HandEngine:
    """Keeps what lanes are opened with, so that a test delivers by hand."""

    def __init__(self, room=10):
        self.room, self.open_lanes = room, []

    def open(self, variant, deliver, fail):
        if len(self.open_lanes) == self.room:
            raise MemoryError
        self.open_lanes.append(deliver)
        return deliver

    def close(self, lane):
        self.open_lanes.remove(lane)


def make_path(engine, channels=2, start=0, begin=0):
    return VariantPath(engine, SimpleNamespace(delay=30), channels, start, begin, lambda: None, print)


def test_output_is_there_when_every_channel_has_it():
    engine = HandEngine()
    path = make_path(engine)
    left, right = engine.open_lanes
    left(np.arange(160, dtype=np.float32), TIMING)
    assert (path.done, path.available) == (0, 0)
    right(-np.arange(160, dtype=np.float32), TIMING)
    assert (path.done, path.available) == (160, 130)
    assert path.take(2).tolist() == [[30, 31], [-30, -31]]
    assert path.compute_seconds == 2 * 0.004 / 2


def test_what_only_warms_the_network_up_is_dropped():
    engine = HandEngine()
    path = make_path(engine, 1, start=320, begin=500)
    for _ in range(3):
        engine.open_lanes[0](path.done + np.arange(160, dtype=np.float32), TIMING)
    assert path.done == 800
    assert path.available == 800 - 30 - 500
    assert path.take(1)[0, 0] == 530  # output lags by the delay


def test_no_lane_stays_open_where_there_is_room_for_one_channel_only():
    engine = HandEngine(room=1)
    with pytest.raises(MemoryError):
        make_path(engine)
    assert engine.open_lanes == []
