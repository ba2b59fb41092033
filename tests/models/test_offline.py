"""Whole signals through a variant, in any cuts."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.offline import OfflineEnhancer, enhance
from models.zoo import Variant, load_variant


@pytest.fixture(scope="module", params=["crn", "fcn"])
def variant(request: pytest.FixtureRequest, small_zoo: Path) -> Variant:
    return load_variant(small_zoo / request.param / "original.onnx")


def noise(channels: int, samples: int) -> np.ndarray:
    return (0.2 * np.random.default_rng(samples).standard_normal((channels, samples))).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 1500), max_size=12),
    channels=st.integers(1, 3),
    block_hops=st.integers(1, 7),
)
def test_cuts_change_nothing(variant: Variant, cuts: list[int], channels: int, block_hops: int) -> None:
    audio = noise(channels, sum(cuts))
    enhancer = OfflineEnhancer(variant, channels, block_hops)
    pieces = [enhancer.feed(piece) for piece in np.split(audio, np.cumsum(cuts)[:-1] if cuts else [], axis=1)]
    pieces.append(enhancer.flush())
    output = np.concatenate(pieces, axis=1)
    assert output.shape == audio.shape
    np.testing.assert_allclose(output, enhance(variant, audio), atol=1e-4, rtol=0)


def test_output_is_aligned_with_torch_s_offline_output(network, network_file: Path) -> None:
    import torch

    variant = load_variant(network_file)
    audio = noise(2, 5001)
    with torch.no_grad():
        expected = network(torch.from_numpy(audio)).numpy()
    np.testing.assert_allclose(enhance(variant, audio, block_hops=3), expected, atol=1e-4, rtol=0)


def test_output_never_runs_ahead_of_the_input_and_waits_for_a_block_at_most(variant: Variant) -> None:
    enhancer, taken, given = OfflineEnhancer(variant, 1, block_hops=4), 0, 0
    for _ in range(50):
        given += enhancer.feed(noise(1, 100)).shape[1]
        taken += 100
        assert taken - 4 * variant.hop - variant.delay < given <= taken


def test_after_a_flush_a_new_signal_begins(variant: Variant) -> None:
    audio, enhancer = noise(1, 1234), OfflineEnhancer(variant)
    first = np.concatenate([enhancer.feed(audio), enhancer.flush()], axis=1)
    second = np.concatenate([enhancer.feed(audio), enhancer.flush()], axis=1)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("shape", [(0,), (1,), (777,), (2, 0), (2, 777)])
def test_the_shape_is_kept(variant: Variant, shape: tuple[int, ...]) -> None:
    assert enhance(variant, np.zeros(shape, dtype=np.float32)).shape == shape


def test_another_number_of_channels_is_refused(variant: Variant) -> None:
    with pytest.raises(ValueError, match=r"\(1, 160\).*\[2, samples\]"):
        OfflineEnhancer(variant, 2).feed(np.zeros((1, 160), dtype=np.float32))
