"""What the offline commands share: options, the check that their packages are there, and a bar of progress."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import progress
from rich.console import Console

from compression.errors import EvaluationError, ExtraMissingError
from models.card import FAMILIES, VARIANTS
from models.machine import processors

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "onnx", "pesq", "pystoi", "matplotlib")
PROCESSORS = processors()
FromOption = Annotated[
    Path, typer.Option("--from", metavar="CHECKPOINT", help="The trained `original`, made by `quietwire train`.")
]
SpeechOption = Annotated[Path | None, typer.Option(help="Folder of clean speech, a subfolder per speaker.")]
NoiseOption = Annotated[Path | None, typer.Option(help="Folder of noise.")]
PairsOption = Annotated[
    tuple[Path, Path] | None,
    typer.Option(metavar="NOISY CLEAN", help="Folders with the same file names (VoiceBank-DEMAND), for --speech and --noise."),
]
RoomsOption = Annotated[
    Path | None,
    typer.Option(help="Folder of impulse responses of rooms, beside --speech and --noise; rooms are simulated, too."),
]
ValidSpeechOption = Annotated[Path | None, typer.Option(help="Folder of clean speech to validate on.")]
ValidNoiseOption = Annotated[Path | None, typer.Option(help="Folder of noise to validate on.")]
ValidPairsOption = Annotated[tuple[Path, Path] | None, typer.Option(metavar="NOISY CLEAN", help="Pairs to validate on.")]
ValidShareOption = Annotated[
    float, typer.Option(min=0.001, max=0.5, help="Share of the audio that is kept for validation where no folders are named.")
]
RunOption = Annotated[
    Path | None, typer.Option(help="Folder of the run, which goes on where it was stopped.  [default: runs/SETTINGS]")
]
MinutesOption = Annotated[float | None, typer.Option(min=0, help="Stop after this time, whatever is left.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="Threads of torch.")]
MixersOption = Annotated[
    int, typer.Option(min=0, help="Processes that mix while a step is taken, one core each; 0: mixed between the steps.")
]
CacheOption = Annotated[Path | None, typer.Option(help="Folder for decoded audio, so that the next start is quick.")]
LicenceOption = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT", help="For the card: whose recordings, on which terms.  [default: as in the card of the same, or none]"
    ),
]
ZooOption = Annotated[Path, typer.Option(help="Folder of the variants.")]
OutZooOption = Annotated[Path, typer.Option(help="Folder to write the variants into, for the --zoo of other commands.")]
OUT_ZOO = Path("zoo")  # not the shipped one, whose networks would be lost


def require_extra() -> None:
    """Refuse where the extra ``compression`` is not installed.

    Raises:
        ExtraMissingError: It is not.
    """
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise ExtraMissingError(f'this command needs {", ".join(missing)}: pip install "quietwire[compression]"')


@contextlib.contextmanager
def progress_bar(label: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr with the time left; gives the function that advances it."""
    columns = (progress.BarColumn(), progress.MofNCompleteColumn(), progress.TimeRemainingColumn(elapsed_when_finished=True))
    with progress.Progress(label, *columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def system_path(system: str, zoo: Path) -> Path:
    """The file that a user means: a name in the zoo, else a path.

    Raises:
        EvaluationError: It is neither, and looks like a name.
    """
    names = [f"{model}/{variant}" for model in FAMILIES for variant in VARIANTS]
    if system in names:
        return zoo / f"{system}.onnx"
    if not Path(system).suffix and not Path(system).exists():
        raise EvaluationError(f"{system} is neither a variant nor a file: use one of {', '.join(names)}, or a path")
    return Path(system)


def torch_device(name: str) -> torch.device:
    """The device that a user names.

    Raises:
        typer.BadParameter: torch cannot use it.
    """
    import torch

    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise typer.BadParameter(f"torch cannot use the device {name!r} here: use cpu") from error
    return device
