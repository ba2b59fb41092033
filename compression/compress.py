"""From a trained ``original`` to the variants ``pruned``, ``quantized`` and ``combined`` of its family.

Pruning may begin with whole recurrent layers, and goes in rounds, each a measurement of importance, a removal, in which
those that stay take over what they can, and a training against the original's output; then comes a longer training.
Quantization measures each tensor's sensitivity, chooses bits under a budget of bytes and trains the centroids.
``combined`` is the one after the other. Every step is a stage with a folder of its own.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, cast

import onnx
import torch
from torch import Tensor

from compression.checkpoint import load_network, training_facts
from compression.compress_recipe import CompressRecipe, PruningSettings
from compression.errors import CompressionError
from compression.export import export, to_onnx
from compression.folding import fold_normalisation
from compression.groups import shrink, widths
from compression.losses import enhancement_loss
from compression.packing import byte_account
from compression.pruning import choose, importance
from compression.quantization import choose_plan, measure_sensitivity, output_distance
from compression.recipe import TrainingSettings
from compression.recurrent_layers import least_important, without_layers
from compression.sharing import fine_tunable, settled
from compression.stages import Outcome, Record, Stage, Workshop, fingerprint, run_stage, save_record, say
from compression.standing_in import Moments, best_kept, hand_over, measure_moments
from models.card import VARIANTS, VariantCard, VariantName, load_card
from models.crn import Crn
from models.network import StreamingNetwork

IMPORTANCE_SEED = 11
SENSITIVITY_SEED = 13
MADE = VARIANTS[1:]


def prepare_original(network: StreamingNetwork, training: dict[str, Any], zoo: Path) -> int:
    """Bytes of the zoo's ``original``, which is written where it is missing.

    Raises:
        CompressionError: The one in the zoo is another network.
    """
    path = zoo / network.family / "original.onnx"
    if not path.exists():
        return export(network, "original", zoo, training, {}).bytes
    content = path.read_bytes()
    try:
        same = onnx.load_model_from_string(content).graph == to_onnx(network, "original").graph
    except Exception:  # protobuf's own kinds
        same = False
    if not same:
        raise CompressionError(f"{path} is not of this checkpoint: write it with `quietwire export` or use another --zoo")
    return len(content)


def make_variants(
    shop: Workshop, recipe: CompressRecipe, zoo: Path, training: dict[str, Any], only: Collection[str] = MADE
) -> list[VariantCard]:
    """Do all stages that are left and write the variants' files and cards.

    Args:
        shop: What the stages share.
        recipe: The settings, already found to be reachable.
        zoo: Where the variants go.
        training: How ``original`` was trained, for the cards.
        only: Which variants to make.

    Raises:
        CompressionError: A folder of the run is of another network or of other settings, or a budget is too small.
        CheckpointError: A file of the run is damaged.
        StoppedError: Ctrl-C, or the time is up.
    """
    whole = prepare_original(shop.original, training, zoo)
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
        cards.append(_write(shop, variant, stages, zoo, training))
    return cards


def prune_in_rounds(shop: Workshop, recipe: CompressRecipe) -> list[Outcome]:
    """Layers, then all rounds, then the final training; the last outcome is the pruned network.

    Raises:
        CompressionError: The pruned network to go on from is of another family.
    """
    settings, done, network = recipe.pruning, list[Outcome](), shop.original
    if shop.pruned_from is not None:
        network, family = load_network(shop.pruned_from), shop.original.family
        if network.family != family:
            raise CompressionError(
                f"{shop.pruned_from} holds a network of the family {network.family}: name a pruned one of {family}"
            )
        return [run_stage(shop, final_stage(network, recipe.final_training))]
    if settings.layers:
        done.append(run_stage(shop, layers_stage(shop, settings, recipe.round_training)))
        network = done[-1].network
    for index, (macs_ratio, parameters_ratio) in enumerate(settings.targets(), 1):
        name, last = f"pruned/round-{index}", index == settings.rounds
        ratios = macs_ratio, parameters_ratio
        multiple = settings.multiple if last else 1
        done.append(run_stage(shop, pruning_stage(shop, settings, recipe.round_training, name, network, ratios, multiple)))
        network = done[-1].network
    return [*done, run_stage(shop, final_stage(network, recipe.final_training))]


def final_stage(network: StreamingNetwork, training: TrainingSettings) -> Stage:
    """The stage that trains what is left."""
    return Stage("pruned/final", network, {}, training, dict, lambda plan: copy.deepcopy(network))


def layers_stage(shop: Workshop, settings: PruningSettings, training: TrainingSettings) -> Stage:
    """The stage that removes the original's least important recurrent layers; the rounds' training follows."""
    original = cast("Crn", shop.original)

    def plan() -> Record:
        lessons = shop.lessons(training)
        drawn = [lessons(IMPORTANCE_SEED, batch) for batch in range(settings.importance_batches)]

        def loss(network: Crn) -> float:
            with torch.no_grad():
                parts = [
                    enhancement_loss(network(noisy), noisy, clean, training.loss_weights, example, training.distillation)
                    for noisy, clean, example in drawn
                ]
            return torch.stack(parts).mean().item()

        return {"removed": least_important(original, loss, settings.layers)}

    def apply(plan: Record) -> StreamingNetwork:
        return without_layers(original, plan["removed"])

    known = {"pruning": dataclasses.asdict(settings)}
    return Stage("pruned/layers", original, known, training, plan, apply, trained=False)


def pruning_stage(
    shop: Workshop,
    settings: PruningSettings,
    training: TrainingSettings,
    name: str,
    parent: StreamingNetwork,
    ratios: tuple[float, float],
    multiple: int,
    trained: bool = True,
) -> Stage:
    """The stage that measures importance, removes units and trains what is left.

    Args:
        shop: What the stages share.
        settings: Of the whole pruning; part of what the stage is known by.
        training: Of this stage; also the batches and the loss for importance.
        name: Of the stage.
        parent: What is pruned.
        ratios: Shares of the multiplications and parameters of ``original`` that stay, at most.
        multiple: Widths end as multiples of this.
        trained: Whether a training follows.
    """
    original = shop.original
    macs_ratio = min(1.0, ratios[0] * original.macs_per_second() / parent.macs_per_second())
    parameters_ratio = min(1.0, ratios[1] * original.parameter_count() / parent.parameter_count())

    def plan() -> Record:
        lessons, tick = shop.lessons(training), ticker(f"{name}: measuring importance")

        def loss(network: StreamingNetwork, batch: int) -> Tensor:
            noisy, clean, example = lessons(IMPORTANCE_SEED, batch)
            tick(batch, settings.importance_batches)
            estimate = network(noisy)
            return enhancement_loss(estimate, noisy, clean, training.loss_weights, example, training.distillation)

        scores = importance(copy.deepcopy(parent), loss, settings.importance_batches)
        sizes = choose(parent, scores, macs_ratio, parameters_ratio, settings.smallest.of, multiple)
        kept = best_kept(parent, moments(), sizes)
        return {"kept": {width: indices.tolist() for width, indices in kept.items()}}

    def apply(plan: Record) -> StreamingNetwork:
        kept = {width: torch.tensor(indices) for width, indices in plan["kept"].items()}
        return shrink(hand_over(parent, moments(), kept), kept)

    @functools.cache
    def moments() -> Moments:
        batches, tick = shop.batches(training), ticker(f"{name}: measuring what can stand in")
        heard = (batches(IMPORTANCE_SEED, batch)[0] for batch in range(settings.importance_batches))
        return measure_moments(parent, (tick(n, settings.importance_batches) or x for n, x in enumerate(heard)))

    return Stage(name, parent, {"pruning": dataclasses.asdict(settings)}, training, plan, apply, trained=trained)


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


def _write(shop: Workshop, variant: VariantName, stages: list[Outcome], zoo: Path, training: dict[str, Any]) -> VariantCard:
    """The variant's file and card; left as they are where this outcome is already in them."""
    last = stages[-1]
    path = zoo / shop.original.family / f"{variant}.onnx"
    content = to_onnx(last.network, variant).SerializeToString()
    if path.exists() and path.with_suffix(".json").exists() and path.read_bytes() == content:
        card = load_card(path.with_suffix(".json"))
        if card.compression.get("network") == fingerprint(last.network):
            return card
    made = how_made(shop.original, stages, content)
    if shop.pruned_from is not None and variant != "quantized":
        made["pruned_from"] = training_facts(shop.pruned_from)
    card = export(last.network, variant, zoo, training, made)
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


def ticker(label: str) -> Callable[[int, int], None]:
    """A function of ``(done, total)`` that prints a line with the time left every ten seconds."""
    start = time.monotonic()
    shown = [start]

    def tick(done: int, total: int) -> None:
        now = time.monotonic()
        if done and now - shown[0] >= 10:
            shown[0] = now
            say(f"{label}: {done} of {total}, {(now - start) / done * (total - done) / 60:.1f} min left")

    return tick
