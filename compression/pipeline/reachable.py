"""Whether a network can be compressed to what a settings file asks for: found out before hours are spent."""

from __future__ import annotations

from collections.abc import Collection

import torch

from compression.errors import RecipeError
from compression.export.folding import fold_normalisation, stored_parameters
from compression.export.variant import to_onnx
from compression.pipeline.recipe import CompressRecipe, PruningSettings
from compression.pruning.choosing import choose
from compression.pruning.groups import widths, with_widths
from compression.pruning.recurrent_layers import recurrent_layers, without_layers
from compression.quantization.bits import HALF, WIDTHS, Plan, plan_bytes, stored_bytes
from models.card import VARIANTS, VariantName
from models.crn import Crn
from models.network import StreamingNetwork

MADE = VARIANTS[1:]


def smallest_plan(network: StreamingNetwork) -> Plan:
    """The plan of fewest bytes."""
    sizes = {name: parameter.numel() for name, parameter in stored_parameters(fold_normalisation(network)).items()}
    return {name: min((*WIDTHS, HALF), key=lambda bits: stored_bytes(size, bits)) for name, size in sizes.items()}


def prune_at_random(
    network: StreamingNetwork, macs_ratio: float, parameters_ratio: float, settings: PruningSettings
) -> StreamingNetwork:
    """A network of the widths that pruning leaves, about; the weights mean nothing.

    Raises:
        ValueError: The ratios cannot be reached.
    """
    generator = torch.Generator().manual_seed(0)
    costs = {name: torch.rand(width, generator=generator).sort().values for name, width in widths(network).items()}
    return with_widths(network, choose(network, costs, macs_ratio, parameters_ratio, settings.smallest.of, settings.multiple))


def check_reachable(
    recipe: CompressRecipe,
    network: StreamingNetwork,
    pruned: StreamingNetwork | None = None,
    only: Collection[VariantName] = MADE,
) -> None:
    """Refuse what this network cannot be compressed to, by pruning a trial copy at random.

    Args:
        recipe: The settings.
        network: To be compressed.
        pruned: One that is pruned already, where there is nothing more to prune.
        only: Variants that are to be made; what the settings say of others is not looked at.

    Raises:
        RecipeError: The pruning ratios or a budget of bytes cannot be reached; the message names the entry.
    """
    budgets = recipe.quantization
    trials = [("budget", budgets.budget, network)] if "quantized" in only else []
    if {"pruned", "combined"} & set(only):
        pruned = pruned or _pruned_at_random(recipe.pruning, network)
        trials += [("combined_budget", budgets.combined_budget, pruned)] if "combined" in only else []
    whole = len(to_onnx(network, "original").SerializeToString())
    for entry, share, trial in trials:
        least = plan_bytes(trial, smallest_plan(trial))
        if least > share * whole:
            raise RecipeError(
                f"{entry} in [quantization] is too small for this network: {share:g} of {whole:,} bytes, "
                f"and the smallest plan needs {least:,}, which is {least / whole:.3f}"
            )


def _pruned_at_random(settings: PruningSettings, network: StreamingNetwork) -> StreamingNetwork:
    trial = network
    if settings.layers:
        if not isinstance(network, Crn) or settings.layers > len(recurrent_layers(network)):
            raise RecipeError(
                f"layers in [pruning] is {settings.layers}, which this network does not have: leave the entry out"
            )
        by_block = sorted(recurrent_layers(network), key=lambda layer: layer.partition(".")[2])
        trial = without_layers(network, by_block[settings.layers :])  # so about as many layers of either kind stay
    try:
        macs_ratio = min(1.0, settings.macs_ratio * network.macs_per_second() / trial.macs_per_second())
        parameters_ratio = min(1.0, settings.parameters_ratio * network.parameter_count() / trial.parameter_count())
        return prune_at_random(trial, macs_ratio, parameters_ratio, settings)
    except ValueError as error:
        raise RecipeError(f"macs_ratio or parameters_ratio in [pruning] is too small for this network: {error}") from error
