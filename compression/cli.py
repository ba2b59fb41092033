"""The offline commands of `quietwire`: `train`, `export`, `compress`, `sweep`, `checkpoint`, `evaluate`,
`conditions`, `report` and `picture`.

torch and the other packages of the extra ``compression`` are imported when a command runs, so that `quietwire --help`
works without them.
"""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compression.commands.compress import compress
from compression.commands.conditions import conditions
from compression.commands.options import (
    OUT_ZOO,
    PROCESSORS,
    CacheOption,
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
    ZooOption,
    progress_bar,
    require_extra,
    system_path,
    torch_device,
)
from compression.commands.report import report
from compression.commands.sweep import sweep
from compression.errors import (
    CheckpointError,
    CompressionError,
    CorpusError,
    EvaluationError,
    ExportError,
    ExtraMissingError,
    RecipeError,
)
from models.card import CardError, load_card
from models.zoo import SHIPPED, ZooError

if TYPE_CHECKING:
    from compression.data.batches import Batches
    from compression.training.recipe import TrainingSettings

USER_ERRORS: tuple[type[Exception], ...] = (
    CardError,
    CheckpointError,
    CompressionError,
    CorpusError,
    EvaluationError,
    ExportError,
    ExtraMissingError,
    RecipeError,
    ZooError,
)


def register(app: typer.Typer) -> None:
    """Add the offline commands to an application."""
    for command in (train, export, compress, sweep, checkpoint, evaluate, conditions, report, picture):
        app.command()(command)


def train(
    recipe: Annotated[Path, typer.Argument(help="Settings of the network, the run and the mixtures, a TOML file.")],
    speech: SpeechOption = None,
    noise: NoiseOption = None,
    pairs: PairsOption = None,
    rooms: RoomsOption = None,
    valid_speech: ValidSpeechOption = None,
    valid_noise: ValidNoiseOption = None,
    valid_pairs: ValidPairsOption = None,
    valid_share: ValidShareOption = 0.05,
    run: RunOption = None,
    resume_from: Annotated[Path | None, typer.Option(help="Checkpoint whose weights a new run begins with.")] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="CHECKPOINT", help="A trained network, of either family, whose output is a second target."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Length of the run, for the recipe's.")] = None,
    minutes: MinutesOption = None,
    threads: ThreadsOption = PROCESSORS,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    mixers: MixersOption = 0,
    cache: CacheOption = None,
) -> None:
    """Train a network from clean speech and noise, or from noisy and clean pairs.

    Ctrl-C and SIGTERM save; the same command goes on. The run's folder holds checkpoint.pt, written anew every ten minutes
    and after a validation, best.pt and log.jsonl, and polished.pt where the recipe has a [polish]. Where it has a
    [memory], that of a new run is taught first.
    """
    require_extra()
    import torch

    from compression.data.batches import Taught
    from compression.data.sources import Sources, mixer, open_recordings, tell_unused
    from compression.losses.residual import NONE
    from compression.pipeline.polish import polish
    from compression.pipeline.stage_record import fingerprint
    from compression.training.checkpoint import load_teacher
    from compression.training.memory_lesson import teach_memory
    from compression.training.recipe import load_recipe
    from compression.training.train import Trainer

    torch.set_num_threads(threads)
    where = torch_device(device)
    if mixers and where.type != "cpu":
        raise typer.BadParameter(f"on {device} mixtures are made by the device: leave it 0", param_hint="--mixers")
    settings = load_recipe(recipe, taught=teacher is not None)
    if steps is not None:
        settings = settings.with_steps(steps)
    mentor, kept = (None, NONE) if teacher is None else load_teacher(teacher, where)
    training = Sources(speech, noise, pairs, cache, rooms)
    validation = Sources(valid_speech, valid_noise, valid_pairs, cache and cache / "valid")
    recordings, valid = open_recordings(training, validation, valid_share, where)
    tell_unused(recordings, settings.mixing)

    def batches(numbers: TrainingSettings) -> tuple[Batches, Batches]:
        mixtures = mixer(recordings, settings.mixing, *numbers.examples)
        if mentor is None:
            return mixtures, valid
        return Taught(mixtures, mentor, numbers.bfloat16, numbers.kept, kept), valid

    folder, deadline = run or Path("runs") / recipe.stem, math.inf if minutes is None else time.monotonic() + 60 * minutes
    known = None if mentor is None else fingerprint(mentor)
    trainer = Trainer(settings, *batches(settings.training), folder, where, resume_from, mixers=mixers, teacher=known)
    if trainer.step < settings.training.steps:
        (folder / "polished.pt").unlink(missing_ok=True)  # of the network as it was before
    if settings.memory is not None and trainer.step == 0:
        rest = deadline - time.monotonic()
        if not teach_memory(settings, settings.memory, trainer, batches(settings.memory), where, mixers, rest):
            return
    finished = trainer.run(budget_seconds=deadline - time.monotonic())
    if settings.polish is not None and finished:
        trained = folder / ("best.pt" if (folder / "best.pt").exists() else "checkpoint.pt")
        rest = deadline - time.monotonic()
        polish(settings, settings.polish, trained, batches(settings.polish), where, mixers, rest, known)


def export(
    source: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Made by `quietwire train`, such as runs/crn/polished.pt.")
    ],
    zoo: OutZooOption = OUT_ZOO,
    licence: LicenceOption = None,
) -> None:
    """Write a checkpoint's averaged network as the variant `original`, checked against torch."""
    require_extra()
    from compression.export.variant import export as write
    from compression.export.variant import made_of_another
    from compression.training.checkpoint import load_network, training_facts

    card = write(load_network(source), "original", zoo, training_facts(source), {}, licence)
    typer.echo(f"{zoo / card.model / card.variant}.onnx: {card.bytes:,} bytes, {card.parameters:,} parameters")
    if others := [other.variant for other in made_of_another(zoo, card)]:
        names = ", ".join(f"{card.model}/{name}" for name in others)
        typer.echo(f"{names} in {zoo}: made of another original; remove them or make them anew", err=True)


def checkpoint(
    source: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="Made by `quietwire train`.")],
    target: Annotated[Path, typer.Argument(help="File to write.")],
    mean_with: Annotated[Path | None, typer.Option(help="A checkpoint of the same widths: write the mean of both.")] = None,
    share: Annotated[float | None, typer.Option(min=0, max=1, help="Of that one in the mean.  [default: 0.5]")] = None,
) -> None:
    """Write a compact copy of a checkpoint, for keeping; `quietwire train --resume-from` goes on from it."""
    require_extra()
    from compression.training.checkpoint import compact, load_checkpoint, mean, save_checkpoint

    if share is not None and mean_with is None:
        raise typer.BadParameter("is of another checkpoint in a mean: name that with --mean-with", param_hint="--share")
    content = load_checkpoint(source)
    if mean_with is not None:
        content = mean(content, load_checkpoint(mean_with), 0.5 if share is None else share)
    save_checkpoint(target, compact(content))
    typer.echo(f"{target}: {target.stat().st_size:,} bytes of {source.stat().st_size:,}")


def evaluate(
    system: Annotated[str, typer.Argument(help="A variant such as crn/original, or the path of an .onnx file or checkpoint.")],
    pairs: Annotated[Path, typer.Option(help="Folder with noisy/ and clean/, or with *_noisy.* and *_clean.* files.")],
    zoo: ZooOption = SHIPPED,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = PROCESSORS,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures here, with a row per pair.")] = None,
    update_card: Annotated[bool, typer.Option("--update-card", help="Write the figures into the variant's card.")] = False,
    set_name: Annotated[str | None, typer.Option(help="What the pairs are, in words.  [default: the folder's name]")] = None,
) -> None:
    """Measure PESQ, STOI, ESTOI and SI-SDR over a folder of pairs, with 95 % intervals."""
    require_extra()
    from compression.data.pairs import find_pairs
    from compression.evaluation import evaluate as evaluation
    from compression.evaluation.result import check_target, markdown

    if json_file is not None:
        check_target(json_file)
    path = system_path(system, zoo)
    if update_card and path.suffix != ".onnx":
        raise EvaluationError(f"{path} has no card: --update-card is for variants, export it first")
    found = find_pairs(pairs)
    with progress_bar("measuring", len(found)) as advance:
        result = evaluation.evaluate(
            partial(evaluation.load_system, path),
            found,
            system=system,
            set_name=set_name or pairs.resolve().name,
            jobs=min(jobs, len(found)),
            progress=advance,
        )
    typer.echo(markdown(result), nl=False)
    if json_file is not None:
        result.save(json_file)
    if update_card:
        card_path = path.with_suffix(".json")
        load_card(card_path).model_copy(update={"evaluation": result.evaluation()}).save(card_path)


def picture(
    noisy: Annotated[Path, typer.Argument(help="The recording.")],
    enhanced: Annotated[Path, typer.Argument(help="What became of it.")],
    target: Annotated[Path, typer.Argument(help="PNG to write.")],
) -> None:
    """Draw the spectrograms of a recording before and after."""
    require_extra()
    from compression.evaluation.picture import spectrograms

    spectrograms([noisy, enhanced], ["noisy", "enhanced"], target)
