"""Streaming equals offline: in any cuts, beside any other streams, for torch and for the exported graph."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.network import StreamingNetwork
from models.zoo import load_variant

STREAMS = 4
TICKS = st.lists(st.tuples(st.sets(st.integers(0, STREAMS - 1), min_size=1), st.integers(1, 4)), min_size=1, max_size=12)


def play(step, initial, ticks, audio, hop):
    """Step the streams that each tick names, as one batch in random order; gives each one's output and length."""
    rows = np.tile(initial, (STREAMS, 1))
    outputs, position = [[] for _ in range(STREAMS)], [0] * STREAMS
    for members, hops in ticks:
        members = list(members)
        batch = np.stack([audio[m, position[m] : position[m] + hops * hop] for m in members])
        enhanced, rows[members] = step(batch, rows[members])
        for member, row in zip(members, enhanced, strict=True):
            outputs[member].append(row)
            position[member] += hops * hop
    return [np.concatenate(pieces) if pieces else np.empty(0, np.float32) for pieces in outputs]


def offline(network, audio):
    with torch.no_grad():
        return network(torch.from_numpy(audio)[None])[0].numpy()


def check(network, step, initial, ticks, seed):
    random = np.random.default_rng(seed)
    levels = 10 ** -random.uniform(0, 2, (STREAMS, 1))
    audio = (levels * random.standard_normal((STREAMS, 4 * 12 * network.hop))).astype(np.float32)
    for row, output in zip(audio, play(step, initial, ticks, audio, network.hop), strict=True):
        heard = len(output) - network.delay
        if heard > 0:
            whole = offline(network, row[: len(output)])[:heard]
            np.testing.assert_allclose(output[network.delay :], whole, atol=1e-4, rtol=0)


@settings(max_examples=12, deadline=None)
@given(ticks=TICKS, seed=st.integers(0, 99))
def test_torch_streams_like_offline(network: StreamingNetwork, ticks, seed) -> None:
    def step(audio, state):
        with torch.no_grad():
            enhanced, following = network.step(torch.from_numpy(audio), torch.from_numpy(state))
        return enhanced.numpy(), following.numpy()

    check(network, step, network.initial_state(1).numpy(), ticks, seed)


@settings(max_examples=12, deadline=None)
@given(ticks=TICKS, seed=st.integers(0, 99))
def test_onnx_streams_like_torch_offline(network: StreamingNetwork, network_file: Path, ticks, seed) -> None:
    variant = load_variant(network_file)
    check(network, variant.step, variant.initial_state, ticks, seed)


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 1000])
def test_offline_output_has_the_shape_of_its_input(network: StreamingNetwork, samples: int) -> None:
    audio = torch.randn(2, samples)
    with torch.no_grad():
        assert network(audio).shape == audio.shape


def test_no_output_depends_on_input_past_the_claimed_latency(network: StreamingNetwork) -> None:
    """Output m needs input up to m + latency - 1 at most: all of it for a transform, the delay alone for convolutions."""
    audio = 0.3 * torch.randn(1, 2400, generator=torch.Generator().manual_seed(1))
    needed = network.latency_samples if network.window > network.hop else network.delay
    reaches = []
    for changed in range(1280, 1280 + network.hop, 3):
        other = audio.clone()
        other[0, changed:] = 0.7
        with torch.no_grad():
            difference = (network(other) - network(audio)).abs()[0] > 1e-6
        reaches.append(changed - int(difference.nonzero()[0]))
    assert max(reaches) < network.latency_samples
    assert max(reaches) > needed - network.hop // 32  # a transform's window ends in weights near 0


def test_fcn_looks_ahead_27_samples_a_layer() -> None:
    from models.fcn import Fcn, FcnConfig

    torch.manual_seed(0)
    network = Fcn(FcnConfig((3,) * 7)).double().eval()
    for conv in network.convs:
        torch.nn.init.uniform_(conv.weight, 0.5, 1)  # no weight at the rim is near zero
        conv.weight.data /= conv.weight.data.sum((1, 2), keepdim=True)
    audio = torch.zeros(1, 480, dtype=torch.float64)  # too short for the transform, which rounds everywhere
    other = audio.clone()
    other[0, 240] = 1.0
    with torch.no_grad():
        changed = (network(other) - network(audio)).ne(0)[0].nonzero()
    assert network.delay == 216
    assert (int(changed[0]), int(changed[-1])) == (240 - 216, 240 + 216)
