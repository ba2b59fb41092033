"""From a trained ``original`` to the variants ``pruned``, ``quantized`` and ``combined`` of its family.

Pruning may begin with whole recurrent layers, and goes in rounds, each a measurement of what can be spared, a removal, in which
those that stay take over what they can, and a training against the original's output; then comes a longer training.
Quantization measures each tensor's sensitivity, chooses bits under a budget of bytes and trains the centroids.
``combined`` is the one after the other. Every step is a stage with a folder of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import onnx

from compression.errors import CompressionError
from compression.export.folding import fold_normalisation
from compression.export.packing import byte_account
from compression.export.variant import export, to_onnx
from compression.pipeline.pruning_stages import prune_in_rounds
from compression.pipeline.recipe import CompressRecipe
from compression.pipeline.stage_record import Record, fingerprint, save_record
from compression.pipeline.stages import Outcome, Stage, Workshop, run_stage
from compression.pruning.groups import widths
from compression.quantization.bits import choose_plan, measure_sensitivity, output_distance
from compression.quantization.sharing import fine_tunable, settled
from compression.training.checkpoint import training_facts
from compression.training.progress import say, ticker
from models.card import VARIANTS, VariantCard, VariantName, load_card
from models.network import StreamingNetwork

SENSITIVITY_SEED = 13
MADE = VARIANTS[1:]


def prepare_original(network: StreamingNetwork, training: dict[str, Any], zoo: Path, licence: str | None = None) -> int:
    """Bytes of the zoo's ``original``, which is written where it is missing.

    Raises:
        CompressionError: The one in the zoo is another network.
    """
    path = zoo / network.family / "original.onnx"
    if not path.exists():
        return export(network, "original", zoo, training, {}, licence).bytes
    content = path.read_bytes()
    try:
        same = onnx.load_model_from_string(content).graph == to_onnx(network, "original").graph
    except Exception:  # protobuf's own kinds
        same = False
    if not same:
        raise CompressionError(
            f"{path} is not of this checkpoint: write it with `quietwire export --zoo {zoo}` or use another --zoo"
        )
    return len(content)


def make_variants(
    shop: Workshop,
    recipe: CompressRecipe,
    zoo: Path,
    training: dict[str, Any],
    only: Collection[str] = MADE,
    licence: str | None = None,
) -> list[VariantCard]:
    """Do all stages that are left and write the variants' files and cards.

    Args:
        shop: What the stages share.
        recipe: The settings, already found to be reachable.
        zoo: Where the variants go.
        training: How ``original`` was trained, for the cards.
        only: Which variants to make.
        licence: For the cards; None for that of ``original``.

    Raises:
        CompressionError: A folder of the run is of another network or of other settings, or a budget is too small.
        CheckpointError: A file of the run is damaged.
        StoppedError: Ctrl-C, or the time is up.
    """
    whole = prepare_original(shop.original, training, zoo, licence)
    cards, rounds = [], []
    if {"pruned", "combined"} & set(only):
        rounds = prune_in_rounds(shop, recipe)
    for variant in MADE:
        if variant not in only:
            continue
        stages = rounds if variant != "quantized" else []
        if variant != "pruned":
            parent = stages[-1].network if stages else shop.original
            stages = [*stages, run_stage(shop, quantization_stage(shop, recipe, variant, parent, whole))]
        cards.append(_write(shop, variant, stages, zoo, training, licence))
    return cards


def quantization_stage(
    shop: Workshop, recipe: CompressRecipe, variant: VariantName, parent: StreamingNetwork, whole: int
) -> Stage:
    """The stage that makes ``quantized`` or ``combined``, whose file has at most its share of ``whole`` bytes."""
    settings, training = recipe.quantization, recipe.centroid_training
    share = settings.budget if variant == "quantized" else settings.combined_budget

    def plan() -> Record:
        folded = fold_normalisation(parent)
        noisy, _ = shop.batches(training, settings.sensitivity_seconds)(SENSITIVITY_SEED, 0)
        distance, tick = output_distance(folded, noisy), ticker(f"{variant}: measuring sensitivity")
        sensitivity = measure_sensitivity(folded, distance, progress=tick)
        bits, size = choose_plan(folded, sensitivity, int(share * whole), variant)
        say(f"{variant}: at most {size:,} bytes ({size / whole:.2%}), of a budget of {int(share * whole):,}")
        return {"bits": bits, "bytes": size, "sensitivity": sensitivity}

    def apply(plan: Record) -> StreamingNetwork:
        return fine_tunable(parent, plan["bits"])

    measured = {"share": share, "sensitivity_seconds": settings.sensitivity_seconds, "original_bytes": whole}
    return Stage(variant, parent, {"quantization": measured}, training, plan, apply, settled)


def _write(
    shop: Workshop,
    variant: VariantName,
    stages: list[Outcome],
    zoo: Path,
    training: dict[str, Any],
    licence: str | None,
) -> VariantCard:
    """The variant's file and card; left as they are where this outcome is already in them."""
    last = stages[-1]
    path = zoo / shop.original.family / f"{variant}.onnx"
    content = to_onnx(last.network, variant).SerializeToString()
    if path.exists() and path.with_suffix(".json").exists() and path.read_bytes() == content:
        card = load_card(path.with_suffix(".json"))
        if card.compression.get("network") == fingerprint(last.network):
            if licence not in (None, card.licence):
                card = card.model_copy(update={"licence": licence})
                card.save(path.with_suffix(".json"))
            return card
    made = how_made(shop.original, stages, content)
    if shop.pruned_from is not None and variant != "quantized":
        made["pruned_from"] = training_facts(shop.pruned_from)
    card = export(last.network, variant, zoo, training, made, licence)
    save_record(last.path, last.record | {"file": {"bytes": card.bytes, "sha256": card.sha256}})
    say(f"{variant}: {card.bytes:,} bytes, {card.size_ratio:.2%} of original, in {path}")
    return card


def how_made(original: StreamingNetwork, stages: Sequence[Outcome], content: bytes) -> dict[str, Any]:
    """What a card says of the compression.

    Args:
        original: What it began with.
        stages: All that was done, in order.
        content: The variant's file.
    """
    last = stages[-1]
    made: dict[str, Any] = {
        "original": fingerprint(original),
        "network": fingerprint(last.network),
        "stages": [{key: stage.record[key] for key in ("stage", "settings", "losses", "figures")} for stage in stages],
        "widths": widths(last.network),
        "ratios": last.record["sizes"],
        "bytes": dataclasses.asdict(byte_account(content)),
    }
    if "bits" in last.record["plan"]:
        made["bits"] = last.record["plan"]["bits"]
    return made
