"""The command `quietwire compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compression.commands.options import (
    OUT_ZOO,
    PROCESSORS,
    CacheOption,
    FromOption,
    LicenceOption,
    MinutesOption,
    MixersOption,
    NoiseOption,
    OutZooOption,
    PairsOption,
    RoomsOption,
    RunOption,
    SpeechOption,
    ThreadsOption,
    ValidNoiseOption,
    ValidPairsOption,
    ValidShareOption,
    ValidSpeechOption,
    require_extra,
)
from models.card import VARIANTS

MADE = VARIANTS[1:]


def compress(
    settings: Annotated[Path, typer.Argument(help="What goes, how many bytes may stay, how to train; a TOML file.")],
    source: FromOption,
    speech: SpeechOption = None,
    noise: NoiseOption = None,
    pairs: PairsOption = None,
    rooms: RoomsOption = None,
    valid_speech: ValidSpeechOption = None,
    valid_noise: ValidNoiseOption = None,
    valid_pairs: ValidPairsOption = None,
    valid_share: ValidShareOption = 0.05,
    run: RunOption = None,
    pruned_from: Annotated[
        Path | None,
        typer.Option(metavar="CHECKPOINT", help="A pruned network to train on, such as a run's pruned/final/best.pt."),
    ] = None,
    only: Annotated[str, typer.Option(help="Variants to make, separated by commas.")] = ",".join(MADE),
    minutes: MinutesOption = None,
    threads: ThreadsOption = PROCESSORS,
    mixers: MixersOption = 0,
    cache: CacheOption = None,
    zoo: OutZooOption = OUT_ZOO,
    licence: LicenceOption = None,
) -> None:
    """Make the variants `pruned`, `quantized` and `combined` of a trained network.

    Ctrl-C and SIGTERM save; the same command goes on. The run's folder holds a folder for every stage, and a finished one
    is skipped.
    """
    require_extra()
    if unknown := set(only.split(",")) - set(MADE):
        raise typer.BadParameter(f"{min(unknown)!r} is not one of {', '.join(MADE)}", param_hint="--only")
    import torch

    from compression.data.sources import Sources
    from compression.pipeline.compress import make_variants
    from compression.pipeline.reachable import check_reachable
    from compression.pipeline.recipe import load_compress_recipe
    from compression.pipeline.stages import StoppedError
    from compression.pipeline.workshop import open_workshop
    from compression.training.checkpoint import load_network, trained_residual, training_facts

    torch.set_num_threads(threads)
    recipe, original, facts = load_compress_recipe(settings), load_network(source), training_facts(source)
    pruned = load_network(pruned_from) if pruned_from else None
    wanted = [variant for variant in MADE if variant in only.split(",")]
    check_reachable(recipe, original, pruned if pruned and pruned.family == original.family else None, wanted)
    training = Sources(speech, noise, pairs, cache, rooms)
    validation = Sources(valid_speech, valid_noise, valid_pairs, cache and cache / "valid")
    folder = run or Path("runs") / settings.stem
    shop = open_workshop(
        original,
        recipe.mixing,
        training,
        validation,
        valid_share,
        folder,
        minutes,
        mixers,
        pruned_from,
        trained_residual(facts),
    )
    try:
        cards = make_variants(shop, recipe, zoo, facts, wanted, licence)
    except StoppedError as stop:
        typer.echo(f"{stop}; the same command goes on")
        return
    for card in cards:
        typer.echo(f"{zoo / card.model / card.variant}.onnx: {card.bytes:,} bytes, {card.size_ratio:.2%} of original")
