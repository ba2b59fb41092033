"""Which points a sweep has, and how each is made: lazily, so that nothing is done for a point that is there already."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from compression.errors import RecipeError
from compression.pipeline.pruning_stages import pruning_stage
from compression.pipeline.reachable import prune_at_random
from compression.pipeline.recipe import CompressRecipe, PruningSettings
from compression.pipeline.stages import Outcome, Workshop, run_stage
from compression.pipeline.sweep_settings import SweepSettings, shortened
from compression.pipeline.sweep_stages import prune_softly, sharing_stage
from compression.pruning.kernels import paper_ratio, remaining
from models.card import VariantName
from models.fcn import Fcn
from models.network import StreamingNetwork

UNTRAINED_COST = 12  # what measuring and writing a point takes, in steps of training, about
Facts = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Point:
    """A variant that a sweep makes.

    Attributes:
        name: Of its file.
        variant: What it is in the words of the service.
        settings: All that decides about it beside the original, as JSON values.
        cost: About how long it takes, in steps of training.
        make: Does the stages that are left; the last outcome is the point's.
        facts: What its card says of a network beside that, by which the report names it.
    """

    name: str
    variant: VariantName
    settings: dict[str, Any]
    cost: int
    make: Callable[[], tuple[Outcome, ...]]
    facts: Callable[[StreamingNetwork], Facts]


def sweep_points(shop: Workshop, recipe: CompressRecipe) -> list[Point]:
    """All points of a settings file, the quickest kind first.

    Raises:
        RecipeError: The file has no table ``[sweep]``, or one that does not suit the network.
    """
    settings = check_sweep(recipe, shop.original)
    return [*_shared(shop, recipe, settings), *_narrowed(shop, recipe, settings), *_by_kernels(shop, recipe, settings)]


def check_sweep(recipe: CompressRecipe, network: StreamingNetwork) -> SweepSettings:
    """The settings of the sweep, where this network can be brought to all its points.

    Raises:
        RecipeError: It cannot, or the file has no table ``[sweep]``.
    """
    settings = recipe.sweep
    if settings is None:
        raise RecipeError("the settings have no table [sweep]: add one, if an empty one, which stands for the usual points")
    if settings.thresholds and not isinstance(network, Fcn):
        raise RecipeError(f"thresholds in [sweep] are for fcn, and this is {network.family}: write thresholds = []")
    if settings.macs_ratios:
        least = min(settings.macs_ratios)
        try:
            prune_at_random(network, least, 1.0, recipe.pruning)
        except ValueError as error:
            raise RecipeError(f"{least:g} of macs_ratios in [sweep] is too small for this network: {error}") from error
    return settings


def _shared(shop: Workshop, recipe: CompressRecipe, settings: SweepSettings) -> list[Point]:
    """k centroids for every tensor of the original."""

    def point(centroids: int) -> Point:
        name = f"quantized-k{centroids}"

        def make() -> tuple[Outcome, ...]:
            return (run_stage(shop, sharing_stage(shop.original, recipe.round_training, f"sweep/{name}", centroids)),)

        def facts(network: StreamingNetwork) -> Facts:
            return {"k": centroids, "paper_ratio": paper_ratio(1.0, centroids)}

        return Point(name, "quantized", {"k": centroids}, UNTRAINED_COST, make, facts)

    return [point(centroids) for centroids in settings.centroids]


def _narrowed(shop: Workshop, recipe: CompressRecipe, settings: SweepSettings) -> list[Point]:
    """Whole units removed; each point goes on from the one before, as the rounds of `quietwire compress` do."""
    ratios, common = sorted(settings.macs_ratios, reverse=True), recipe.pruning
    training = shortened(recipe.round_training, settings.steps)

    @functools.cache
    def outcomes(index: int) -> tuple[Outcome, ...]:
        before = outcomes(index - 1) if index else ()
        parent = before[-1].network if before else shop.original
        pruning = PruningSettings(1, ratios[index], 1.0, common.multiple, common.importance_batches, smallest=common.smallest)
        name, targets = f"sweep/{_narrowed_name(ratios[index])}", (ratios[index], 1.0)
        stage = pruning_stage(shop, pruning, training, name, parent, targets, common.multiple, trained=settings.steps > 0)
        return (*before, run_stage(shop, stage))

    def point(index: int) -> Point:
        known = {
            "macs_ratios": ratios[: index + 1],
            "multiple": common.multiple,
            "importance_batches": common.importance_batches,
            "smallest": dataclasses.asdict(common.smallest),
            "training": {**dataclasses.asdict(training), "steps": settings.steps},
            "mixing": dataclasses.asdict(shop.mixing),
        }
        cost = UNTRAINED_COST + common.importance_batches + settings.steps
        return Point(
            _narrowed_name(ratios[index]),
            "pruned",
            known,
            cost,
            lambda: outcomes(index),
            lambda network: {"macs_ratio": ratios[index]},
        )

    return [point(index) for index in range(len(ratios))]


def _narrowed_name(ratio: float) -> str:
    return f"pruned-macs{ratio:g}"


def _by_kernels(shop: Workshop, recipe: CompressRecipe, settings: SweepSettings) -> list[Point]:
    """The paper's rule, alone and with k centroids for the kernels that are left."""
    training = shortened(recipe.round_training, settings.soft_steps)
    known = {
        "soft_rounds": settings.soft_rounds,
        "training": {**dataclasses.asdict(training), "steps": settings.soft_steps},
        "mixing": dataclasses.asdict(shop.mixing),
    }

    @functools.cache
    def pruned(threshold: float) -> tuple[Outcome, ...]:
        return prune_softly(shop, settings, recipe.round_training, f"sweep/pruned-theta{threshold:g}", threshold)

    def point(threshold: float, centroids: int | None) -> Point:
        name = f"pruned-theta{threshold:g}" if centroids is None else f"combined-theta{threshold:g}-k{centroids}"

        def make() -> tuple[Outcome, ...]:
            before = pruned(threshold)
            if centroids is None:
                return before
            parent = before[-1].network
            stage = sharing_stage(parent, recipe.round_training, f"sweep/{name}", centroids, keep_zeros=True)
            return (*before, run_stage(shop, stage))

        def facts(network: StreamingNetwork) -> Facts:
            assert isinstance(network, Fcn)
            left, whole = remaining(network)
            chosen = {"theta": threshold} if centroids is None else {"theta": threshold, "k": centroids}
            return {**chosen, "kept_ratio": left / whole, "paper_ratio": paper_ratio(left / whole, centroids)}

        chosen = {"theta": threshold, "k": centroids, **known}
        cost = UNTRAINED_COST + (settings.soft_rounds * (UNTRAINED_COST + settings.soft_steps) if centroids is None else 0)
        return Point(name, "pruned" if centroids is None else "combined", chosen, cost, make, facts)

    return [point(theta, k) for theta in settings.thresholds for k in (None, *settings.combined_centroids)]
