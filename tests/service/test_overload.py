"""When streams have to go, and which."""

from service.engine.overload import LAG_SECONDS, Overload

LATE = 2 * LAG_SECONDS


class Stream:
    closed = None

    def fail(self, error):
        self.closed = error.code


def streams(count):
    return [Stream() for _ in range(count)]


def closed(some):
    return [index for index, stream in enumerate(some) if stream.closed == "overloaded"]


def test_an_overload_that_passes_closes_nothing():
    overload, live = Overload(patience=2), streams(40)
    for now, lag in ((0, LATE), (1.9, LATE), (2, 0), (2.1, LATE), (4, LATE)):
        assert overload.check(lag, live, now) == 0
    assert not closed(live)


def test_an_overload_that_lasts_closes_the_newest_a_few_at_a_time():
    overload, live = Overload(patience=2), streams(40)
    assert [overload.check(LATE, live, now) for now in (0, 1, 2)] == [0, 0, 2]
    assert closed(live) == [38, 39]
    left = live[:38]
    assert [overload.check(LATE, left, now) for now in (3, 3.9, 4)] == [0, 0, 2]
    assert closed(live) == [36, 37, 38, 39]


def test_the_last_stream_stays():
    overload, live = Overload(patience=0), streams(2)
    assert overload.check(LATE, live, 0) == 1
    assert closed(live) == [1]
    assert [overload.check(LATE, live[:1], now) for now in (1, 2, 3)] == [0, 0, 0]
    assert closed(live) == [1]
