"""A trained network as one self-contained ONNX file with its card, checked against torch before it is kept."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from compression.errors import ExportError
from compression.export.crn import CrnGraph
from compression.export.fcn import write_fcn
from compression.export.folding import fold_normalisation
from compression.export.graph import Graph
from compression.export.packing import PackedGraph
from compression.pipeline.stage_record import fingerprint
from models.card import VARIANTS, CardError, VariantCard, VariantName, load_card
from models.crn import Crn
from models.fcn import Fcn
from models.network import StreamingNetwork
from models.zoo import FORMAT, encode_state, session_options

TOLERANCE = 1e-4


def to_onnx(network: StreamingNetwork, variant: VariantName) -> onnx.ModelProto:
    """The network with its metadata; normalisation is folded, so it must be trained already.

    ``original`` holds its weights in float32. Other variants hold each tensor in the fewest bytes that lose nothing, so
    one with few distinct values becomes a table and packed indices.
    """
    network = network.eval()
    graph = Graph() if variant == "original" else PackedGraph()
    match fold_normalisation(network):
        case Crn() as crn:
            CrnGraph(crn, graph).write()
        case Fcn() as fcn:
            write_fcn(fcn, graph)
    metadata = {
        "format": FORMAT,
        "family": network.family,
        "variant": variant,
        "sample_rate": network.sample_rate,
        "hop": network.hop,
        "window": network.window,
        "delay": network.delay,
        "latency": network.latency_samples,
        "state_size": network.state_size,
        "initial_state": encode_state(network.initial_state(1)[0].numpy()),
        "codebook_bits": graph.codebook_bits,
    }
    inputs: dict[str, list[Any]] = {"audio": ["b", "s"], "state": ["b", network.state_size]}
    outputs: dict[str, list[Any]] = {"enhanced": ["b", "s"], "next_state": ["b", network.state_size]}
    return graph.model(inputs, outputs, {key: str(value) for key, value in metadata.items()})


def check_against_torch(network: StreamingNetwork, content: bytes, frames: int = 200, seed: int = 0) -> float:
    """Difference between ONNX Runtime and torch over random frames, states and batch sizes.

    The first steps begin from random states, the following ones carry each side's own. Of the audio the largest difference
    counts, of a step's states the root mean square: a few units of a trained recurrent layer multiply float32 rounding
    a thousandfold, in torch as much as here, while a wrong number anywhere shows in many.

    Raises:
        ExportError: The difference is above 1e-4.
    """
    session = onnxruntime.InferenceSession(content, session_options(), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(seed)
    worst, done = 0.0, 0
    while done < frames:
        batch = int(torch.randint(1, 6, (1,), generator=generator))
        state = network.initial_state(batch) + 0.3 * torch.randn(batch, network.state_size, generator=generator).clamp(-2, 2)
        mirrored = state.numpy()
        for _ in range(4):
            hops = int(torch.randint(1, 5, (1,), generator=generator))
            level = 0.25 * 10 ** (-2 * torch.rand(batch, 1, generator=generator))  # noise within full scale
            audio = level * torch.randn(batch, hops * network.hop, generator=generator)
            with torch.no_grad():
                expected, state = network.step(audio, state)
            enhanced, mirrored = session.run(None, {"audio": audio.numpy(), "state": mirrored})
            states = np.sqrt(np.square(mirrored - state.numpy()).mean())
            worst = float(np.max([worst, np.abs(enhanced - expected.numpy()).max(), states]))  # Python's max would lose a NaN
            done += batch * hops
    if not worst <= TOLERANCE:
        raise ExportError(f"ONNX and torch differ by {worst:.2e}, more than {TOLERANCE:.0e}: the export is wrong")
    return worst


def export(
    network: StreamingNetwork,
    variant: VariantName,
    folder: Path,
    training: dict[str, Any],
    compression: dict[str, Any],
    licence: str | None = None,
) -> VariantCard:
    """Write ``<variant>.onnx`` and ``<variant>.json`` into the family's folder.

    Args:
        network: Trained, in float32, on the CPU.
        variant: Name of the variant.
        folder: The zoo; a folder for the family is made in it.
        training: How the network was trained, for the card.
        compression: How it was compressed, for the card; that of ``original`` gets its network's fingerprint.
        licence: For the card; None for that of ``original``, or as in ``write_variant``.

    Raises:
        ExportError: The graph does not compute what the network computes, or there is no ``original`` to compare with.
    """
    target = folder / network.family / f"{variant}.onnx"
    original = target.with_name("original.onnx")
    if variant != "original" and not original.exists():
        raise ExportError(f"{original} is missing, and sizes are compared with it: export `original` first")
    if variant == "original":
        return write_variant(network, variant, target, None, training, compression | {"network": fingerprint(network)}, licence)
    parent = _card_beside(original)
    licence = parent.licence if licence is None and parent else licence
    return write_variant(network, variant, target, original.stat().st_size, training, compression, licence)


def write_variant(
    network: StreamingNetwork,
    variant: VariantName,
    target: Path,
    whole: int | None,
    training: dict[str, Any],
    compression: dict[str, Any],
    licence: str | None = None,
) -> VariantCard:
    """Write a variant to any path that ends in ``.onnx``, and its card beside it; ``export`` does so in a zoo.

    Args:
        network: Trained, in float32, on the CPU.
        variant: What its metadata and card call it.
        target: The file; folders are made.
        whole: Bytes of ``original``; None where this is the original.
        training: How the network was trained, for the card.
        compression: How it was compressed, for the card.
        licence: For the card; None for what the card of the same file says where it is there already, else nothing.

    Raises:
        ExportError: The graph does not compute what the network computes.
    """
    content = to_onnx(network, variant).SerializeToString()
    check_against_torch(network, content)
    target.parent.mkdir(parents=True, exist_ok=True)
    sha256, former = hashlib.sha256(content).hexdigest(), _card_beside(target)
    if licence is None:
        licence = former.licence if former and former.sha256 == sha256 else ""
    card = VariantCard(
        model=network.family,
        variant=variant,
        sha256=sha256,
        bytes=len(content),
        size_ratio=1.0 if whole is None else len(content) / whole,
        parameters=network.parameter_count(),
        macs_per_second=network.macs_per_second(),
        algorithmic_latency_ms=network.latency_samples / network.sample_rate * 1000,
        training=training,
        compression=compression,
        licence=licence,
    )
    target.write_bytes(content)
    card.save(target.with_suffix(".json"))
    return card


def made_of_another(folder: Path, original: VariantCard) -> list[VariantCard]:
    """Cards of the variants in a zoo that were made of another ``original`` of this family."""
    cards = (_card_beside(folder / original.model / f"{variant}.onnx") for variant in VARIANTS[1:])
    return [card for card in cards if card and not card.made_of(original)]


def _card_beside(path: Path) -> VariantCard | None:
    """The card of a variant's file; None where it is missing or damaged."""
    try:
        return load_card(path.with_suffix(".json"))
    except CardError:
        return None
