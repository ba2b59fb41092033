"""The networks themselves: their sizes, their configuration, and the fast convolution."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from models.convolution import convolve
from models.crn import Crn, CrnConfig, FullbandLayer
from models.fcn import TAPS, Fcn, FcnConfig, filterbank


def test_fcn_has_the_paper_s_number_of_parameters() -> None:
    network = Fcn()
    statistics = sum(norm.running_mean.numel() + norm.running_var.numel() for norm in network.norms)
    assert network.parameter_count() == 300_931
    assert network.parameter_count() + statistics == 301_351


def test_fcn_costs_its_weights_times_the_rate() -> None:
    weights = 30 * TAPS + 6 * 30 * 30 * TAPS + 30 * TAPS
    assert Fcn().macs_per_second() == weights * 16000


@pytest.mark.parametrize("samples", [1000, 1024, 2000, 5003])
def test_fft_convolution_equals_the_direct_one_with_its_gradients(samples: int) -> None:
    generator = torch.Generator().manual_seed(samples)
    x = torch.randn(2, 3, samples, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, TAPS, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, generator=generator, dtype=torch.float64)
    fast, direct = convolve(x, weight, bias), functional.conv1d(x, weight, bias)
    torch.testing.assert_close(fast, direct)
    upstream = torch.randn(direct.shape, generator=generator, dtype=torch.float64)
    for one, other in zip(
        torch.autograd.grad(fast, (x, weight), upstream), torch.autograd.grad(direct, (x, weight), upstream), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_convolution_in_bfloat16_is_that_in_float32_within_its_precision() -> None:
    generator = torch.Generator().manual_seed(1)
    x, weight = torch.randn(2, 3, 4000, generator=generator), torch.randn(4, 3, TAPS, generator=generator) / TAPS**0.5
    with torch.autocast("cpu", torch.bfloat16):
        coarse = convolve(x, weight, None)
    assert coarse.dtype == torch.bfloat16
    torch.testing.assert_close(coarse.float(), convolve(x, weight, None), atol=0.05, rtol=0.01)


@pytest.mark.parametrize(("control_units", "memory_units"), [(0, 0), (5, 0), (5, 6)])
def test_fcn_state_before_the_first_sample_is_endless_silence(control_units: int, memory_units: int) -> None:
    torch.manual_seed(1)
    network = Fcn(FcnConfig((3, 4, 3, 4, 3), control_units, memory_units)).eval()
    start = network.initial_state(1)
    with torch.no_grad():
        _, later = network.step(torch.zeros(1, 4 * network.hop), start)
    torch.testing.assert_close(later, start)


def test_the_bands_of_an_untrained_fcn_add_up_to_the_signal() -> None:
    impulse = functional.one_hot(torch.tensor(TAPS // 2), TAPS).float()
    for count in (1, 4, 15):
        torch.testing.assert_close(filterbank(count).sum(0), impulse, atol=1e-6, rtol=0)


@pytest.mark.parametrize("control_units", [0, 5])
@pytest.mark.parametrize("filters", [(30,) * 7, (2, 7, 3)])
def test_an_untrained_fcn_passes_sound_with_a_spectrum_like_speech_on(filters: tuple[int, ...], control_units: int) -> None:
    torch.manual_seed(1)
    white = torch.randn(2, 4000)
    audio = 0.05 * functional.avg_pool1d(white, 16, 1)
    with torch.no_grad():
        error = (Fcn(FcnConfig(filters, control_units)).eval()(audio) - audio)[:, 300:-300]
    assert error.square().mean() < 0.05 * audio.square().mean()


@pytest.mark.parametrize(("hop", "bins_per_band"), [(0, 4), (160, 32), (100, 4)])
def test_a_crn_whose_bands_do_not_fill_its_spectrum_is_refused(hop: int, bins_per_band: int) -> None:
    with pytest.raises(ValueError, match="hop must be a multiple of twice the bins_per_band"):
        CrnConfig(hop=hop, bins_per_band=bins_per_band)


@pytest.mark.parametrize("bins_per_band", [0, 1])
def test_a_crn_whose_bands_are_single_bins_is_refused(bins_per_band: int) -> None:
    with pytest.raises(ValueError, match="bins_per_band must be at least 2"):
        CrnConfig(hop=160, bins_per_band=bins_per_band)


def test_crn_starts_near_the_identity_on_its_mask() -> None:
    network = Crn(CrnConfig(4, 4, (4,), (4,), 1))
    assert network.mask.bias is not None
    assert network.mask.bias.tolist() == [1.0, 0.0] * 4


def test_convolutions_along_frequency_keep_their_weights_in_channels_last() -> None:
    convs = [module for module in Crn().modules() if isinstance(module, nn.Conv2d)]
    assert convs
    assert all(conv.weight.is_contiguous(memory_format=torch.channels_last) for conv in convs)


@pytest.mark.parametrize(
    ("config", "arguments", "message"),
    [
        (CrnConfig, {"channels": 0}, "at least 1"),
        (CrnConfig, {"subband_units": (4,), "fullband_units": (4, 4)}, "same number of blocks"),
        (FcnConfig, {"filters": ()}, "at least one filter"),
        (FcnConfig, {"filters": (3, 0)}, "at least one filter"),
        (FcnConfig, {"control_units": -1}, "must not be negative"),
        (FcnConfig, {"control_units": 4, "memory_units": -1}, "must not be negative"),
        (FcnConfig, {"memory_units": 4}, "need control_units"),
        (FcnConfig, {"filters": (4,) * 4, "control_units": 4, "memory_units": 4}, "at least five hidden layers"),
    ],
)
def test_widths_that_make_no_network_are_refused(config, arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        config(**arguments)


@pytest.mark.parametrize("level", [0.1, 1.0, 1e3])
def test_a_fullband_gru_reads_the_same_level_whatever_comes_in(level: float) -> None:
    torch.manual_seed(1)
    layer = FullbandLayer(5, 8, 12).train()
    read, passed = [], []
    layer.gru.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    layer.expand.register_forward_pre_hook(lambda module, inputs: passed.append(inputs[0]))
    x = level * torch.randn(40, 3, 5, 8)
    added = layer(x, torch.zeros(3, 12))[0] - x
    assert read[0].std().item() == pytest.approx(1, rel=0.1)
    assert (passed[0] - read[0]).std() > 0.1  # what the GRU says is heard beside what passes it by
    assert added.std().item() == pytest.approx(1, rel=0.1)
