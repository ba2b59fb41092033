"""Parameter quantization: how many bits each tensor gets, by measured sensitivity under a budget of bytes.

A plan names the bits of an index into each tensor's centroid table, 1 to 8, or 16 for half precision without a table.
Each tensor is quantized alone and the damage measured; damages of small, independent errors add up, so the best plan for
any budget lies on the lower convex hulls of damage over bytes (Shoham and Gersho 1988), and it is found by taking the steps
in the order of damage saved per byte. Bytes are those of the file that is really written, graph included.

All functions work on folded networks (``fold_normalisation``), whose parameters are the stored numbers.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from compression.errors import CompressionError
from compression.export.folding import fold_normalisation, stored_parameters
from compression.export.packing import WIDEST, Array, Codebook, codebook_bytes
from compression.export.variant import to_onnx
from compression.losses.enhancement import compressed_spectrum
from compression.quantization.kmeans import kmeans
from models.card import VariantName
from models.network import StreamingNetwork
from models.zoo import encode_state

Plan = dict[str, int]
Sensitivity = dict[str, dict[int, float]]
Measure = Callable[[StreamingNetwork], float]
HALF = 16
WIDTHS = (2, 3, 4, 5, 6, 8)
STATE_RESERVE = 32  # bytes by which the text of an initial state may grow in fine-tuning


def quantize(array: Array, bits: int, importance: Array | None = None) -> Codebook:
    """Optimal table of at most ``2 ** bits`` values, all of which float16 holds, and indices.

    Args:
        array: Any shape.
        bits: 1 to 8.
        importance: Weight of each element's squared error, positive; alike for all where None.
    """
    if not 1 <= bits <= WIDEST:
        raise ValueError(f"{bits} bits: an index has 1 to {WIDEST}")
    found = kmeans(array, 1 << bits, importance)
    return Codebook(found.centroids.astype(np.float16).astype(np.float32), found.indices)


def approximate(tensor: Tensor, bits: int) -> Tensor:
    """The tensor as a plan would store it."""
    if bits == HALF:
        return tensor.detach().half().float()
    book = quantize(tensor.detach().cpu().numpy(), bits)
    return torch.from_numpy(book.table[book.indices]).to(tensor.device)


def stored_bytes(size: int, bits: int) -> int:
    """About what a tensor costs."""
    return 2 * size if bits == HALF else codebook_bytes(size, min(1 << bits, size))


def output_distance(network: StreamingNetwork, noisy: Tensor) -> Measure:
    """How far another network's output lies from this one's: squared error of compressed spectra.

    Windows and weights are those of ``enhancement_loss``, at twice as many frames; small errors count with their energy,
    so errors of several tensors add up.

    Args:
        network: The reference.
        noisy: ``[batch, samples]``, a few seconds.
    """
    gain = 0.1 / noisy.square().mean(1, keepdim=True).sqrt().clamp(min=1e-5)

    @torch.no_grad()
    def spectra(other: StreamingNetwork) -> list[tuple[Tensor, float]]:
        output = other.eval()(noisy) * gain
        pairs = [compressed_spectrum(output, size, size // 4) for size in (512, 256)]
        return [(value, weight) for pair in pairs for value, weight in zip(pair, (35.0, 30.0), strict=True)]

    expected = spectra(network)

    def distance(other: StreamingNetwork) -> float:
        parts = zip(spectra(other), expected, strict=True)
        return sum(weight * (value - reference).square().mean().item() for (value, weight), (reference, _) in parts)

    return distance


@contextlib.contextmanager
def _replaced(parameter: Tensor, value: Tensor) -> Iterator[None]:
    kept = parameter.detach().clone()
    with torch.no_grad():
        parameter.copy_(value)
    try:
        yield
    finally:
        with torch.no_grad():
            parameter.copy_(kept)


def measure_sensitivity(
    network: StreamingNetwork,
    measure: Measure,
    widths: tuple[int, ...] = WIDTHS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sensitivity:
    """What ``measure`` rises by when one tensor alone is stored in so many bits.

    Widths that would cost a tensor as much as half precision are left out for it.

    Args:
        network: Folded; changed for the time of a measurement and then as before.
        measure: A loss, or ``output_distance``.
        widths: Of indices, to be tried.
        progress: Told the number of measurements done and needed.
    """
    base = measure(network)
    trials = {
        name: [bits for bits in widths if stored_bytes(parameter.numel(), bits) < stored_bytes(parameter.numel(), HALF)]
        + [HALF]
        for name, parameter in stored_parameters(network).items()
    }
    total, done = sum(map(len, trials.values())), 0
    sensitivity: Sensitivity = {}
    for name, parameter in stored_parameters(network).items():
        sensitivity[name] = {}
        for bits in trials[name]:
            with _replaced(parameter, approximate(parameter, bits)):
                sensitivity[name][bits] = measure(network) - base
            done += 1
            progress(done, total)
    return sensitivity


def upgrades(sizes: Mapping[str, int], sensitivity: Sensitivity) -> tuple[Plan, list[tuple[str, int]]]:
    """The smallest plan, and the steps ``(tensor, bits)`` by which it grows, those that save most per byte first.

    Args:
        sizes: Number of elements of each tensor.
        sensitivity: Damage by tensor and bits.
    """
    plan: Plan = {}
    steps: list[tuple[float, str, int]] = []
    for name, damages in sensitivity.items():
        points = sorted((stored_bytes(sizes[name], bits), damage, bits) for bits, damage in damages.items())
        hull = [points[0]]
        for cost, damage, bits in points[1:]:
            if damage >= hull[-1][1]:
                continue
            while len(hull) > 1 and _slope(hull[-2], (cost, damage)) >= _slope(hull[-2], hull[-1]):
                hull.pop()
            hull.append((cost, damage, bits))
        plan[name] = hull[0][2]
        steps += [(_slope(lower, upper), name, upper[2]) for lower, upper in itertools.pairwise(hull)]
    steps.sort(key=lambda step: (-step[0], step[1], step[2]))
    return plan, [(name, bits) for _, name, bits in steps]


def _slope(lower: tuple[int, float] | tuple[int, float, int], upper: tuple[int, float] | tuple[int, float, int]) -> float:
    """Damage saved per byte."""
    return (lower[1] - upper[1]) / (upper[0] - lower[0]) if upper[0] > lower[0] else float("inf")


def plan_bytes(network: StreamingNetwork, plan: Mapping[str, int], variant: VariantName = "quantized") -> int:
    """Bytes that the file of a plan has at most: all tables are taken to be full, and no two tensors to be equal.

    A first state that is not zero (``fcn``) is compressed text, for which a few bytes are kept in reserve.

    Raises:
        CompressionError: The plan is not one for this network.
    """
    dummy = fold_normalisation(network)
    parameters = stored_parameters(dummy)
    if set(plan) != set(parameters):
        odd = sorted(set(plan) ^ set(parameters))[0]
        raise CompressionError(f"the plan and the network differ in {odd!r}: measure the network's sensitivity again")
    patterns = np.arange(0x0400, 0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    with torch.no_grad():
        for index, (name, parameter) in enumerate(parameters.items()):
            values = min(parameter.numel(), len(patterns) if plan[name] == HALF else 1 << plan[name])
            table = patterns[97 * index % 1000 : 97 * index % 1000 + values]
            fill = np.resize(table, parameter.numel()).reshape(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(fill))
    content = to_onnx(dummy, variant).SerializeToString()
    ours, theirs = (other.initial_state(1)[0].cpu().numpy() for other in (network, dummy))
    return len(content) + len(encode_state(ours)) - len(encode_state(theirs)) + STATE_RESERVE * bool(ours.any())


def choose_plan(
    network: StreamingNetwork, sensitivity: Sensitivity, budget: int, variant: VariantName = "quantized"
) -> tuple[Plan, int]:
    """The plan of least damage whose file has at most ``budget`` bytes, and that file's bytes.

    Raises:
        CompressionError: Even the smallest plan is larger.
    """
    sizes = {name: parameter.numel() for name, parameter in stored_parameters(network).items()}
    smallest, steps = upgrades(sizes, sensitivity)

    def after(count: int) -> Plan:
        return smallest | dict(steps[:count])

    least = plan_bytes(network, smallest, variant)
    if least > budget:
        raise CompressionError(
            f"{budget} bytes are too few: the smallest plan needs {least}, raise the budget or try fewer bits"
        )
    fits, fails = 0, len(steps) + 1
    while fails - fits > 1:
        middle = (fits + fails) // 2
        fits, fails = (middle, fails) if plan_bytes(network, after(middle), variant) <= budget else (fits, middle)
    plan = after(fits)
    size = plan_bytes(network, plan, variant)
    for name, bits in steps[fits:]:  # the next step is too large, a later one may fit
        growth = stored_bytes(sizes[name], bits) - stored_bytes(sizes[name], plan[name])
        if size + growth <= budget + 100 and (trial := plan_bytes(network, plan | {name: bits}, variant)) <= budget:
            plan, size = plan | {name: bits}, trial
    return plan, size
