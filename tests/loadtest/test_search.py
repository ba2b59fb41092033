"""The search for the largest number of streams."""

import pytest

from loadtest.search import find_maximum


@pytest.mark.parametrize("start", [1, 8, 100])
@pytest.mark.parametrize("truth", [0, 1, 2, 7, 8, 9, 63, 64, 99, 500])
def test_it_finds_the_truth_in_few_steps(start, truth):
    tried = []

    def passes(streams):
        tried.append(streams)
        return streams <= truth

    assert find_maximum(passes, start, 500, precision=0) == truth
    assert len(tried) == len(set(tried)) <= 20


def test_it_stops_within_its_precision():
    tried = []
    found = find_maximum(lambda streams: tried.append(streams) or streams <= 1000, 8, 2000, precision=0.02)
    assert 980 <= found <= 1000
    assert len(tried) <= 14


def test_it_never_goes_beyond_the_ceiling():
    tried = []
    assert find_maximum(lambda streams: tried.append(streams) or True, 8, 50) == 50
    assert max(tried) == 50


def test_it_goes_on_from_what_has_passed():
    tried = []
    assert find_maximum(lambda streams: tried.append(streams) or streams <= 120, 8, 500, 0, known=100) == 120
    assert min(tried) > 100
