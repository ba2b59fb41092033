"""Comparing received audio with the single stream's."""

import numpy as np
import pytest

from loadtest.check import BLOCK, AudioCheck, Reference, find

TAIL = 480
REFERENCE = np.random.default_rng(0).integers(-9000, 9000, 5 * BLOCK).astype(np.int16)


def check(audio, size=640, tolerance=1e-3):
    one = AudioCheck(Reference(REFERENCE, TAIL), tolerance)
    data = memoryview(audio.astype("<i2").tobytes())
    for start in range(0, len(data), size):
        one.add(data[start : start + size])
    one.finish()
    return one


@pytest.mark.parametrize("size", [2, 7, 640, 100_000])
def test_the_same_audio_passes_however_it_is_cut(size):
    one = check(REFERENCE[: 3 * BLOCK], size)
    assert (one.fault, one.deviation) == (None, 0.0)
    assert (one.received, one.compared) == (6 * BLOCK, 3 * BLOCK - TAIL)


def test_the_tail_is_not_compared():
    audio = REFERENCE[: 3 * BLOCK].copy()
    audio[-TAIL:] = 0
    assert check(audio).fault is None
    audio[-TAIL - 1] += 3277
    assert check(audio).deviation == pytest.approx(0.1, abs=1e-4)


def test_one_wrong_sample_is_found_and_measured():
    audio = REFERENCE[: 3 * BLOCK].copy()
    audio[BLOCK + 5] += 328
    one = check(audio)
    assert one.deviation == pytest.approx(0.01, abs=1e-4)
    assert "not what a single stream receives" in one.fault


def test_differences_within_the_tolerance_pass():
    one = check(REFERENCE[: 3 * BLOCK] + 2)
    assert one.fault is None
    assert one.deviation == 2 / 32768


@pytest.mark.parametrize(("at", "count"), [(10, 160), (BLOCK + 6000, 320), (2 * BLOCK - 3, 1)])
def test_missing_audio_is_told_from_wrong_audio(at, count):
    assert f"comes {count} samples too early" in check(np.delete(REFERENCE, range(at, at + count))).fault


@pytest.mark.parametrize(("at", "count"), [(10, 160), (BLOCK + 6000, 320)])
def test_doubled_audio_is_told_from_wrong_audio(at, count):
    audio = np.insert(REFERENCE, at, REFERENCE[at : at + count])[: 4 * BLOCK]
    assert f"comes {count} samples too late" in check(audio).fault


def test_what_is_longer_than_the_single_stream_is_only_counted():
    one = check(np.concatenate([REFERENCE, np.zeros(3 * BLOCK, np.int16)]))
    assert (one.fault, one.compared, one.received) == (None, 5 * BLOCK, 16 * BLOCK)


def test_a_loud_neighbour_does_not_mislead_the_search():
    around = np.concatenate([30_000 * np.ones(500, np.int16), REFERENCE[:1000]])
    assert find(REFERENCE[100:300], around, 0.0) == 600
    assert find(np.zeros(10, np.int16), around, 0.0) is None
