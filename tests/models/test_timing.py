"""Time of a step, of networks that take a known time by a clock that nothing else moves."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from models.card import VariantCard
from models.timing import chunk_hops, real_time_factor, step_seconds
from models.zoo import Variant

CARD = VariantCard(
    model="crn",
    variant="original",
    sha256="0" * 64,
    bytes=1,
    size_ratio=1,
    parameters=1,
    macs_per_second=1,
    algorithmic_latency_ms=20,
)


class Sleeper:
    """A session that takes 4 ms a step, every tenth 6 ms, gives its input back and counts steps in the state."""

    def __init__(self) -> None:
        self.shapes: set[tuple[int, ...]] = set()
        self.last = 0.0
        self.now = 0.0

    def run(self, _: None, feeds: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        self.shapes.add(feeds["audio"].shape)
        self.last = float(feeds["state"].max())
        self.now += 0.006 if self.last % 10 == 9 else 0.004
        return feeds["audio"], feeds["state"] + 1


@pytest.fixture
def sleeper(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Variant]:
    """``sleeper(hop=160)``: a variant by whose steps alone time goes on."""
    session = Sleeper()
    monkeypatch.setattr("models.timing.time", SimpleNamespace(perf_counter=lambda: session.now))

    def make(hop: int = 160) -> Variant:
        return Variant(CARD, 16000, hop, 0, np.zeros(3, dtype=np.float32), session)  # type: ignore[arg-type]

    return make


def test_the_real_time_factor_is_the_time_of_a_20_ms_chunk_of_one_stream_over_20_ms(sleeper: Callable[..., Variant]) -> None:
    variant = sleeper()
    assert real_time_factor(variant, 0.5) == pytest.approx(0.2)
    assert variant.session.shapes == {(1, 320)}


def test_steps_carry_the_state_and_there_are_twenty_at_least(sleeper: Callable[..., Variant]) -> None:
    variant = sleeper()
    median, high = step_seconds(variant, 3, 2, 0.0)
    assert variant.session.shapes == {(3, 320)}
    assert variant.session.last == 19
    assert median == pytest.approx(0.004)
    assert high == pytest.approx(0.006, rel=0.1)


@pytest.mark.parametrize(("hop", "milliseconds", "hops"), [(160, 20, 2), (320, 20, 1), (640, 20, 1), (160, 100, 10)])
def test_chunks_are_whole_hops_and_one_at_least(
    sleeper: Callable[..., Variant], hop: int, milliseconds: int, hops: int
) -> None:
    assert chunk_hops(sleeper(hop), milliseconds) == hops
