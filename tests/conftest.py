"""Material that several tests share: speech-like sounds, small networks with random weights, and a zoo of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import quietwire as quietwire  # lets `compression` be found on Python 3.14

# Tests run side by side and their networks are small: more threads in each would only get in each other's way.
for _name, _value in {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}.items():
    os.environ.setdefault(_name, _value)

if TYPE_CHECKING:
    from models.network import StreamingNetwork


def _voice(seconds: float, seed: int = 0, rate: int = 16000) -> np.ndarray:
    """Syllables of a gliding voice: harmonics under formants, with pauses; peak 0.5."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = 110 + 60 * random.random() + 25 * np.sin(2 * np.pi * 0.7 * time + random.random())
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    formants = 500 + 250 * np.sin(2 * np.pi * 1.3 * time), 1700 + 500 * np.sin(2 * np.pi * 0.9 * time + 1)
    voice = np.zeros_like(time)
    for harmonic in range(1, 25):
        gain = sum(np.exp(-(((harmonic * pitch - formant) / 250) ** 2)) for formant in formants) + 0.03
        voice += gain * np.sin(harmonic * phase + harmonic)
    syllables = np.clip(1.6 * np.sin(2 * np.pi * 2.1 * time + seed) + 0.3, 0, 1)
    voice = voice * syllables + 0.05 * syllables * random.standard_normal(len(time))
    return (0.5 * voice / np.abs(voice).max()).astype(np.float32)


@pytest.fixture(scope="session")
def voice() -> Callable[..., np.ndarray]:
    """``voice(seconds, seed=0, rate=16000)``: speech-like audio ``[samples]`` with a peak of 0.5."""
    return _voice


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory, voice: Callable[..., np.ndarray]) -> Path:
    """A folder with ``speech`` of two speakers and a ``noise``; to be read only."""
    import soundfile

    folder = tmp_path_factory.mktemp("recordings")
    (folder / "noise").mkdir()
    hiss = 0.05 * np.random.default_rng(1).standard_normal(32000).astype(np.float32)
    soundfile.write(folder / "noise/hiss.wav", hiss, 16000)
    for index, name in enumerate(("anna", "bert")):
        (folder / "speech" / name).mkdir(parents=True)
        soundfile.write(folder / f"speech/{name}/1.flac", 0.5 * voice(2, index), 16000)
    return folder


def _random_network(family: str, **more: object) -> StreamingNetwork:
    import torch
    from torch import nn

    from compression.training.recipe import build_network
    from models.gate import Gate

    torch.set_num_threads(1)
    sizes = {
        "crn": {"channels": 6, "subband_channels": 8, "subband_units": [7, 5], "fullband_units": [9, 4], "depth": 1},
        "fcn": {"filters": [4, 3, 5]},
    }
    torch.manual_seed(5)
    network = build_network({"family": family, **sizes[family], **more})
    for module in network.modules():
        if isinstance(module, Gate):
            nn.init.uniform_(module.shares, 0.3, 0.7)  # untrained, it lets nothing through
        if isinstance(module, nn.Conv1d):
            module.reset_parameters()
        if isinstance(module, nn.Linear) and family == "fcn":
            module.weight.data.normal_(std=0.1)  # untrained, it would control nothing
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "crn": ("crn", {}),
    "crn of 16 ms": ("crn", {"hop": 256, "bins_per_band": 8}),
    "fcn": ("fcn", {}),
    "adaptive fcn": ("fcn", {"control_units": 6}),
    "fcn with a memory": ("fcn", {"filters": [4, 3, 5, 3, 4], "control_units": 6, "memory_units": 5}),
}


@pytest.fixture(scope="session", params=list(KINDS))
def network(request: pytest.FixtureRequest) -> StreamingNetwork:
    """A small network of each family, with random weights and normalisation statistics, in evaluation mode."""
    family, more = KINDS[request.param]
    return _random_network(family, **more)


@pytest.fixture(scope="session")
def network_file(network: StreamingNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``network`` as an ONNX file; to be read only."""
    from compression.export.variant import export

    folder = tmp_path_factory.mktemp("network")
    export(network, "original", folder, {"steps": 0}, {})
    return folder / network.family / "original.onnx"


@pytest.fixture(scope="session")
def small_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small ``original`` of each family; to be read only."""
    from compression.export.variant import export

    folder = tmp_path_factory.mktemp("zoo")
    for family in ("crn", "fcn"):
        export(_random_network(family), "original", folder, {"steps": 0}, {})
    return folder
