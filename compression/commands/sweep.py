"""The command `quietwire sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compression.commands.options import (
    PROCESSORS,
    CacheOption,
    FromOption,
    MinutesOption,
    MixersOption,
    NoiseOption,
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


def sweep(
    settings: Annotated[Path, typer.Argument(help="As for `quietwire compress`, with a table `sweep`; a TOML file.")],
    source: FromOption,
    out: Annotated[Path, typer.Option(help="Folder for the points, for `quietwire report --sweep`.")],
    speech: SpeechOption = None,
    noise: NoiseOption = None,
    pairs: PairsOption = None,
    rooms: RoomsOption = None,
    valid_speech: ValidSpeechOption = None,
    valid_noise: ValidNoiseOption = None,
    valid_pairs: ValidPairsOption = None,
    valid_share: ValidShareOption = 0.05,
    run: RunOption = None,
    minutes: MinutesOption = None,
    threads: ThreadsOption = PROCESSORS,
    mixers: MixersOption = 0,
    cache: CacheOption = None,
) -> None:
    """Make many variants of a trained network, from gently to harshly compressed, to see what each saving costs.

    Centroids alone, whole units removed and, for fcn, the paper's kernel pruning with and without centroids. Ctrl-C and
    SIGTERM save; the same command goes on, and points that are in the folder already are skipped.
    """
    require_extra()
    import torch

    from compression.data.sources import Sources
    from compression.pipeline.recipe import load_compress_recipe
    from compression.pipeline.stages import StoppedError
    from compression.pipeline.sweep import make_sweep
    from compression.pipeline.sweep_points import check_sweep, sweep_points
    from compression.pipeline.workshop import open_workshop
    from compression.report.files import prepare_folder
    from compression.training.checkpoint import load_network, trained_residual, training_facts

    torch.set_num_threads(threads)
    recipe, original, facts = load_compress_recipe(settings), load_network(source), training_facts(source)
    check_sweep(recipe, original)
    prepare_folder(out)
    training = Sources(speech, noise, pairs, cache, rooms)
    validation = Sources(valid_speech, valid_noise, valid_pairs, cache and cache / "valid")
    folder = run or Path("runs") / settings.stem
    kept = trained_residual(facts)
    shop = open_workshop(original, recipe.mixing, training, validation, valid_share, folder, minutes, mixers, kept=kept)
    try:
        cards = make_sweep(shop, sweep_points(shop, recipe), out, facts)
    except StoppedError as stop:
        typer.echo(f"{stop}; the same command goes on")
        return
    typer.echo(f"{out}: {len(cards)} points, {min(c.bytes for c in cards):,} to {max(c.bytes for c in cards):,} bytes")
