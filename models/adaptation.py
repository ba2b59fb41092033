"""Normalisation that follows what a stream has sounded like so far.

Wu et al. normalise over the whole utterance, so their network knows how loud it is and what noise is in it, band by
band; 27 ms of signal do not say. Here running means say it, of the levels of whole hops: the signal is divided by its
own level, which its output is given back, and each normalised filter is scaled and shifted (Perez et al., AAAI 2018,
arXiv:1709.07871) by a small network that reads the running levels of the first layer's bands. Everything of it runs
once a hop and is interpolated between hops. Digital silence is not counted, so nothing adapts to a muted microphone; and
nothing is given back for it, whatever constant the filters make of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.network import layers

REFERENCE = 10 ** (-24 / 20)  # level that is taken for 1
SILENCE = 10 ** (-72 / 20) / REFERENCE  # half a hop's weight where it is no louder
FIRST, LONGEST = 2.0, 200.0  # hops over which the slow mean goes, at first and at last
RATES = (0.06, 0.3)  # of the quicker means, a hop
MEANS = 1 + len(RATES)
ONSET = 0.5  # share of the quickest level that the slow one must reach
FAINTEST = 1e-4
BLOCK = 128  # hops that are averaged at once


Controls = list[tuple[Tensor, Tensor]]  # factor and shift of each layer's filters at bounds of hops, [batch, filters, 1 + hops]


@dataclasses.dataclass(frozen=True)
class Heard:
    """How loud a signal is, hop by hop.

    Attributes:
        loudness: RMS of each hop, ``[batch, hops]``; this and all levels over the reference.
        rates: Share of each hop in the running means after it, ``[batch, means, hops]``.
        ends: Level that signals are divided by, at the end of each hop, ``[batch, hops]``.
        level: The same at every sample, ``[batch, samples]``.
        former_level: That of the samples which the network's output belongs to, 0 where these are digital silence.
        state: Parts of the next state.
    """

    loudness: Tensor
    rates: Tensor
    ends: Tensor
    level: Tensor
    former_level: Tensor
    state: dict[str, Tensor]


class Adaptation(nn.Module):
    """Level of a stream, and scales and shifts of its normalised filters.

    Args:
        filters: Of each hidden layer; the first are the bands that are listened to.
        units: Of the network between levels and scales.
        hop: Samples over which a level is taken.
        delay: Samples by which the network's output lags behind its input.
    """

    def __init__(self, filters: Sequence[int], units: int, hop: int, delay: int) -> None:
        super().__init__()
        self.filters, self.units, self.hop, self.delay = tuple(filters), units, hop, delay
        self.bands = nn.Linear(MEANS * filters[0], units)
        self.loudness = nn.Linear(1, units, bias=False)
        self.controls = layers(nn.Linear(units, 2 * width) for width in filters)
        for control in self.controls:
            nn.init.zeros_(control.weight)
            nn.init.zeros_(control.bias)

    @staticmethod
    def macs_of(filters: Sequence[int], units: int) -> int:
        """Multiplications a hop."""
        return units * (MEANS * filters[0] + 1 + 2 * sum(filters))

    @property
    def state_sizes(self) -> dict[str, int]:
        """As of a ``StreamingNetwork``."""
        past = -(-self.delay // self.hop) + 1
        return {
            "count": 1,
            "loudness": MEANS,
            "bounds": past,
            "weights": past,
            "bands": MEANS * self.filters[0],
            "units": self.units,
        }

    def silence(self, first: Tensor) -> tuple[Controls, dict[str, Tensor]]:
        """Controls under endless digital silence, and the state's parts.

        Args:
            first: The first layer's normalised output ``[1, bands, 1]``.
        """
        state = {name: first.new_zeros(1, size) for name, size in self.state_sizes.items()}
        state |= {"count": state["count"] + FIRST, "loudness": state["loudness"] + 1, "bounds": state["bounds"] + 1}
        heard = self.hear(first.new_zeros(1, self.hop), state)
        units, _ = self.units_of(first.expand(-1, -1, self.hop), heard, state)  # settled after this hop
        state["units"] = units[:, 0]
        return self._controls(units.expand(-1, 2, -1)), state

    def hear(self, audio: Tensor, state: dict[str, Tensor]) -> Heard:
        """Levels of audio ``[batch, samples]``.

        Args:
            audio: Whole hops.
            state: Parts of the state rows.
        """
        loudness = audio.unfold(1, self.hop, self.hop).square().mean(2).sqrt() / REFERENCE
        weight = loudness / (loudness + SILENCE)
        count = (state["count"] + weight.cumsum(1)).clamp(FIRST, LONGEST)
        rates = torch.stack([weight / count, *(rate * weight for rate in RATES)], dim=1)
        means = running_means(rates, state["loudness"].unsqueeze(2), loudness.unsqueeze(1))[:, :, 0]
        ends = torch.maximum(means[:, 0, 1:], ONSET * means[:, -1, 1:]).clamp(min=FAINTEST)
        bounds = torch.cat([state["bounds"], ends], dim=1)
        level = between(bounds, self.hop)
        past, weights = state["bounds"].shape[1], torch.cat([state["weights"], weight], dim=1)
        audible = torch.maximum(weights, torch.cat([weights[:, 1:], weights[:, -1:]], dim=1))  # before or after a bound
        given_back = level * between(audible * (2 - audible), self.hop)  # 1 but for what is hardly louder than silence
        following = {
            "count": count[:, -1:],
            "loudness": means[..., -1],
            "bounds": bounds[:, -past:],
            "weights": weights[:, -past:],
        }
        samples, end = audio.shape[1], level.shape[1] - self.delay
        return Heard(loudness, rates, ends, level[:, -samples:], given_back[:, end - samples : end], following)

    def listen(self, first: Tensor, heard: Heard, state: dict[str, Tensor]) -> tuple[Controls, Tensor, dict[str, Tensor]]:
        """Controls of each layer, the units that they come from, after each hop ``[batch, hops, units]``, and the next state.

        Args:
            first: The first layer's normalised output ``[batch, bands, samples]``, of a signal divided by its level.
            heard: From ``hear``.
            state: Parts of the state rows.
        """
        units, bands = self.units_of(first, heard, state)
        controls = self._controls(torch.cat([state["units"].unsqueeze(1), units], dim=1))
        return controls, units, {**heard.state, "bands": bands, "units": units[:, -1]}

    def units_of(self, first: Tensor, heard: Heard, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Units after each hop ``[batch, hops, units]``, and the bands' part of the next state; arguments as of ``listen``."""
        power = first.unfold(2, self.hop, self.hop).square().mean(3).clamp(min=FAINTEST**2)
        level = heard.ends.unsqueeze(1).log()
        before = state["bands"].view(len(first), MEANS, -1)
        means = running_means(heard.rates, before, 0.5 * power.log() + level)
        relative = (means[..., 1:] - level.unsqueeze(1)).flatten(1, 2)
        loudness = heard.loudness.clamp(min=FAINTEST).log().unsqueeze(1) - level
        units = torch.tanh(self.bands(relative.transpose(1, 2)) + self.loudness(loudness.transpose(1, 2)))
        return units, means[..., -1].flatten(1)

    def _controls(self, units: Tensor) -> Controls:
        """Factor and shift of each layer, from units at the same bounds, ``[batch, bounds, units]``."""
        pairs = (control(units).transpose(1, 2).chunk(2, dim=1) for control in self.controls)
        return [(gain.exp(), shift) for gain, shift in pairs]


def modulate(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """Scale and shift by values that are interpolated between hops.

    Args:
        x: ``[batch, channels, samples]``, whole hops.
        gain: Factors at the bounds of the hops, ``[batch, channels, 1 + hops]``.
        shift: What is added, likewise.
    """
    y: Tensor = _Modulation.apply(x, gain, shift)  # type: ignore[no-untyped-call]
    return y


class _Modulation(torch.autograd.Function):
    """The gradient of the bounds is one product with the ramps, where torch's own one goes over all samples four times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(x, gain)
        hop = x.shape[-1] // (gain.shape[-1] - 1)
        return torch.addcmul(between(shift, hop), x.to(gain.dtype), between(gain, hop))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (gradient,) = gradients
        x, gain = ctx.saved_tensors
        hop = x.shape[-1] // (gain.shape[-1] - 1)
        of_input = (gradient * between(gain, hop)).to(x.dtype)
        return of_input, _of_bounds(gradient * x, hop), _of_bounds(gradient, hop)


def _of_bounds(gradient: Tensor, hop: int) -> Tensor:
    """Gradient of the bounds from that of the samples between them."""
    ramp = _ramp(hop, gradient)
    shares = gradient.reshape(*gradient.shape[:-1], -1, hop) @ torch.stack([1 - ramp, ramp], dim=1)
    return functional.pad(shares[..., 0], (0, 1)) + functional.pad(shares[..., 1], (1, 0))


def between(bounds: Tensor, hop: int) -> Tensor:
    """Values at the bounds of hops ``[..., 1 + hops]`` at every sample between them, ``[..., hops * hop]``."""
    lower, upper = bounds[..., :-1, None], bounds[..., 1:, None]
    return torch.add(lower, (upper - lower) * _ramp(hop, bounds)).flatten(-2)  # a third of torch.lerp's time


def _ramp(hop: int, like: Tensor) -> Tensor:
    return torch.arange(1, hop + 1, device=like.device, dtype=like.dtype) / hop


def running_means(rates: Tensor, before: Tensor, values: Tensor) -> Tensor:
    """Means that take ``rate`` of each new value and keep ``1 - rate`` of what they were.

    Args:
        rates: ``[batch, means, hops]``, below 1.
        before: The means so far, ``[batch, means, channels]``.
        values: ``[batch, channels, hops]``, or ``[batch, 1, hops]`` for one channel.

    Returns:
        ``[batch, means, channels, hops + 1]``, the first of them ``before``.
    """
    found = [before.unsqueeze(3)]
    for start in range(0, rates.shape[2], BLOCK):
        share = rates[..., start : start + BLOCK]
        kept = torch.log1p(-share).cumsum(2)
        table = torch.exp((kept.unsqueeze(3) - kept.unsqueeze(2)).clamp(max=0)) * share.unsqueeze(2)
        table = torch.cat([kept.exp().unsqueeze(3), table.tril()], dim=3)  # [batch, means, hops, 1 + hops]
        new = values[..., start : start + BLOCK].unsqueeze(1).expand(-1, rates.shape[1], -1, -1)
        found.append(torch.cat([found[-1][..., -1:], new], dim=3) @ table.transpose(2, 3))
    return torch.cat(found, dim=3)
