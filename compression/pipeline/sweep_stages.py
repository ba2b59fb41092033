"""The stages of a sweep that `quietwire compress` does not have: the paper's kernel pruning, and k centroids for all tensors.

Soft pruning goes in rounds. In each the rule zeroes kernels and the network is trained again without a mask, so that a
kernel may grow back; after the last round the rule is applied once more, for good.
"""

from __future__ import annotations

import copy
from typing import cast

import torch

from compression.pipeline.stage_record import Record
from compression.pipeline.stages import Outcome, Stage, Workshop, run_stage
from compression.pipeline.sweep_settings import SweepSettings, shortened
from compression.pruning.kernels import surviving, zero
from compression.quantization.sharing import share_uniformly
from compression.training.recipe import TrainingSettings
from models.fcn import Fcn
from models.network import StreamingNetwork


def prune_softly(
    shop: Workshop, settings: SweepSettings, training: TrainingSettings, name: str, threshold: float
) -> tuple[Outcome, ...]:
    """All rounds and the final zeroing; the last outcome is the network whose sparse kernels are zero.

    Args:
        shop: What the stages share; its original is an ``fcn``.
        settings: How many rounds of how many steps.
        training: To be shortened to these steps.
        name: Of the folder of these stages.
        threshold: θ.

    Raises:
        StoppedError: Ctrl-C, or the time is up.
    """
    network, done = shop.original, list[Outcome]()
    steps = shortened(training, settings.soft_steps)
    for index in range(1, settings.soft_rounds + 1) if settings.soft_steps else ():
        done.append(run_stage(shop, kernel_stage(network, steps, f"{name}/round-{index}", threshold)))
        network = done[-1].network
    return (*done, run_stage(shop, kernel_stage(network, training, f"{name}/final", threshold, trained=False)))


def kernel_stage(
    parent: StreamingNetwork, training: TrainingSettings, name: str, threshold: float, trained: bool = True
) -> Stage:
    """The stage that zeroes kernels by the paper's rule and, where asked for, trains all weights again."""
    network = cast("Fcn", parent)

    def plan() -> Record:  # a row of digits for each filter: 1 where the kernel of an input channel stays
        rows = (layer.int().tolist() for layer in surviving(network, threshold))
        return {"kept": [["".join(map(str, row)) for row in layer] for layer in rows]}

    def apply(plan: Record) -> StreamingNetwork:
        pruned = copy.deepcopy(network)
        zero(pruned, [torch.tensor([[digit == "1" for digit in row] for row in layer]) for layer in plan["kept"]])
        return pruned

    return Stage(name, parent, {"pruning": {"theta": threshold}}, training, plan, apply, trained=trained)


def sharing_stage(
    parent: StreamingNetwork, training: TrainingSettings, name: str, centroids: int, keep_zeros: bool = False
) -> Stage:
    """The stage, without training, that gives every tensor ``centroids`` values; zeroed kernels may stay zero."""

    def apply(plan: Record) -> StreamingNetwork:
        return share_uniformly(parent, centroids, keep_zeros)

    return Stage(name, parent, {"quantization": {"k": centroids}}, training, dict, apply, trained=False)
