"""The stages that make ``pruned``: whole recurrent layers, rounds of removal and training, the final training, the polish."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Iterator
from typing import cast

import torch

from compression.data.batches import Aimed
from compression.errors import CompressionError
from compression.losses.enhancement import enhancement_loss
from compression.pipeline.recipe import CompressRecipe, PruningSettings
from compression.pipeline.stage_record import Record
from compression.pipeline.stages import Outcome, Stage, Workshop, run_stage
from compression.pruning.choosing import choose
from compression.pruning.compensation import Moments, compensate, measure_moments, rank
from compression.pruning.groups import shrink
from compression.pruning.layer_merging import merged
from compression.pruning.recurrent_layers import cheapest_changes, with_changes
from compression.quantization.sharing import fine_tunable, settled
from compression.training.checkpoint import load_network
from compression.training.progress import ticker
from compression.training.recipe import TrainingSettings
from models.crn import Crn
from models.network import StreamingNetwork

IMPORTANCE_SEED = 11


def prune_in_rounds(shop: Workshop, recipe: CompressRecipe) -> list[Outcome]:
    """Layers, then all rounds, then the last trainings; the last outcome is the pruned network.

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
        return _train_last(shop, recipe, network)
    if settings.layers:
        done.append(run_stage(shop, layers_stage(shop, settings, recipe.round_training)))
        network = done[-1].network
    for index, (macs_ratio, parameters_ratio) in enumerate(settings.targets(), 1):
        name, last = f"pruned/round-{index}", index == settings.rounds
        ratios = macs_ratio, parameters_ratio
        multiple = settings.multiple if last else 1
        done.append(run_stage(shop, pruning_stage(shop, settings, recipe.round_training, name, network, ratios, multiple)))
        network = done[-1].network
    return [*done, *_train_last(shop, recipe, network)]


def _train_last(shop: Workshop, recipe: CompressRecipe, network: StreamingNetwork) -> list[Outcome]:
    done = [run_stage(shop, final_stage(network, recipe.final_training))]
    if recipe.polish_training is not None:
        done.append(run_stage(shop, polish_stage(done[-1].network, recipe.polish_training)))
    return done


def final_stage(network: StreamingNetwork, training: TrainingSettings) -> Stage:
    """The stage that trains what is left."""
    return Stage("pruned/final", network, {}, training, dict, lambda plan: copy.deepcopy(network))


def polish_stage(network: StreamingNetwork, training: TrainingSettings) -> Stage:
    """The stage that trains what the file stores, normalisation folded, each tensor over a power of 2 near its size.

    Its checkpoints hold a network that cannot be trained on as others are: `--pruned-from` goes on from the stage before.
    """
    finish = functools.partial(settled, half=False)
    return Stage("pruned/polish", network, {}, training, dict, lambda plan: fine_tunable(network, {}), finish)


def layers_stage(shop: Workshop, settings: PruningSettings, training: TrainingSettings) -> Stage:
    """The stage that removes the original's least important recurrent layers, or merges them; the rounds' training follows."""
    original = cast("Crn", shop.original)

    def merge(network: Crn, first: str, second: str) -> Crn:
        return merged(network, first, second, heard())

    @functools.cache
    def heard() -> list[torch.Tensor]:
        return list(_heard(shop, training, settings))

    def plan() -> Record:
        lessons = Aimed(shop.lessons(training), training.kept)
        drawn = [lessons(IMPORTANCE_SEED, batch) for batch in range(settings.importance_batches)]

        def loss(network: Crn) -> float:
            with torch.no_grad():
                parts = [
                    enhancement_loss(network(noisy), noisy, clean, training.loss_weights, *targets, share=training.distillation)
                    for noisy, clean, *targets in drawn
                ]
            return torch.stack(parts).mean().item()

        return {"changes": cheapest_changes(original, loss, settings.layers, merge)}

    def apply(plan: Record) -> StreamingNetwork:
        return with_changes(original, plan["changes"], merge)

    known = {"pruning": dataclasses.asdict(settings)}
    return Stage("pruned/layers", original, known, training, plan, apply, trained=False)


def _heard(shop: Workshop, training: TrainingSettings, settings: PruningSettings) -> Iterator[torch.Tensor]:
    """The mixtures over which is measured what layers and units do."""
    batches = shop.batches(training)
    return (batches(IMPORTANCE_SEED, batch)[0] for batch in range(settings.importance_batches))


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
    """The stage that measures what units are worth, removes some and trains what is left.

    Args:
        shop: What the stages share.
        settings: Of the whole pruning; part of what the stage is known by.
        training: Of this stage; what is measured is measured over such batches.
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
        ranking = rank(parent, moments())
        costs = {width: ranked.costs for width, ranked in ranking.items()}
        sizes = choose(parent, costs, macs_ratio, parameters_ratio, settings.smallest.of, multiple)
        return {"kept": {width: ranked.kept(sizes[width]).tolist() for width, ranked in ranking.items()}}

    def apply(plan: Record) -> StreamingNetwork:
        kept = {width: torch.tensor(indices) for width, indices in plan["kept"].items()}
        return shrink(compensate(parent, moments(), kept), kept)

    @functools.cache
    def moments() -> Moments:
        tick, heard = ticker(f"{name}: measuring what can stand in"), _heard(shop, training, settings)
        return measure_moments(parent, (tick(n, settings.importance_batches) or x for n, x in enumerate(heard)))

    return Stage(name, parent, {"pruning": dataclasses.asdict(settings)}, training, plan, apply, trained=trained)
