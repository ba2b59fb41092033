"""Commands that serve, enhance files without a server, and list variants."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn
from rich.table import Table

from models.card import Family, VariantName
from models.machine import processors
from models.zoo import SHIPPED, Variant, ZooError, load_variant, load_zoo, preferred_variant
from quietwire.replacing import replacing
from service.commands.options import ZooOption, progress_bar
from service.commands.tables import print_table
from service.errors import ServiceError
from service.files.enhancing import MEDIA_TYPES, Format, enhance_file
from service.processes.supervisor import Supervisor, WorkerError
from service.settings import Settings, SettingsError, load_settings
from service.telemetry import logs

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}
USER_ERRORS: tuple[type[Exception], ...] = (SettingsError, ZooError, ServiceError, WorkerError, OSError)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (serve, settings, enhance, variants):
        app.command()(command)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings; see `quietwire settings`.")] = None,
    zoo: Annotated[Path | None, typer.Option(help="Folder with the variants.")] = None,
    model: Annotated[Family | None, typer.Option(help="Default model.")] = None,
    variant: Annotated[VariantName | None, typer.Option(help="Default variant.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that share the port; one for each core is best.")] = None,
    max_streams: Annotated[int | None, typer.Option(help="Live streams admitted at once, at most, by all workers.")] = None,
    drain_seconds: Annotated[float | None, typer.Option(help="Time that streams get to finish at a stop.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="console or json.")] = None,
) -> None:
    """Start the service. Every setting can also come from QUIETWIRE_… variables or a TOML file."""
    from service.processes.server import keep_start, make_server

    chosen = load_settings(
        config,
        host=host,
        port=port,
        zoo=zoo,
        default_model=model,
        default_variant=variant,
        workers=workers,
        max_streams=max_streams,
        drain_seconds=drain_seconds,
        log_level=log_level,
        log_format=log_format,
    )
    logs.configure(chosen)
    if chosen.workers > 1:
        _serve_with_workers(chosen)
        return
    loaded = load_zoo(chosen.zoo, chosen.variants)
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises the one that stopped it again, when it has stopped
        signal.signal(number, lambda *_: sys.exit(0))

    def listening(port: int) -> None:
        keep_start()
        _announce(chosen, port, loaded.names)

    server = make_server(chosen, loaded, listening)
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, lambda *_: server.reload())
    server.run()


def _serve_with_workers(chosen: Settings) -> None:
    if sys.platform == "win32":
        raise SettingsError("workers: Windows has no signals to drain them with; use 1, and several servers behind a balancer")
    Supervisor(chosen, lambda port, names: _announce(chosen, port, names)).run()


def _announce(chosen: Settings, port: int, names: Iterable[str]) -> None:
    processes = f" in {chosen.workers} processes" if chosen.workers > 1 else ""
    scheme = "https" if chosen.tls_certificate else "http"
    typer.echo(f"Quietwire on {scheme}://{chosen.host}:{port} with {', '.join(names)}{processes} (Ctrl-C stops it)")


def settings() -> None:
    """List every setting, its default and its environment variable."""
    table = Table("name", "environment", "default", "meaning")
    for name, field in Settings.model_fields.items():
        table.add_row(name, f"QUIETWIRE_{name.upper()}", str(field.default), field.description)
    print_table(table)


def enhance(
    source: Annotated[Path, typer.Argument(help="Audio file, or a folder of them.")],
    target: Annotated[Path, typer.Argument(help="File to write, or a folder when the source is one.")],
    model: Annotated[Family, typer.Option(help="Network.")] = "crn",
    variant: Annotated[VariantName | None, typer.Option(help="Variant; `combined` where it exists, else `original`.")] = None,
    attenuation_limit_db: Annotated[float, typer.Option(min=0, max=100, help="Lower noise by at most this much.")] = 100.0,
    zoo: ZooOption = SHIPPED,
) -> None:
    """Enhance audio files without a server; a file that fails does not stop the others."""
    jobs = _jobs(source, target)
    network = _choose(zoo, model, variant)
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    failed, kept = 0, {read.resolve() for read, _ in jobs}
    with progress_bar(console, MofNCompleteColumn()) as progress:
        task = progress.add_task("enhancing", total=len(jobs))

        def show(name: str) -> Callable[[float], None]:
            return lambda seconds: progress.update(task, description=f"{name} {seconds:.0f} s")

        for read, write in jobs:
            try:
                console.print(_enhance_one(read, write, network, attenuation_limit_db, kept, show(read.name)))
                kept.add(write.resolve())
            except (ServiceError, OSError) as error:
                failed += 1
                console.print(f"{read}: {error}")
            progress.advance(task)
    if failed:
        raise typer.Exit(1)


def variants(zoo: ZooOption = SHIPPED) -> None:
    """List the variants of a zoo with what they cost and how good they are."""
    table = Table("variant", "bytes", "ratio", "parameters", "MMAC/s", "latency ms", "PESQ", "STOI", "SI-SDR dB", "measured on")
    for one in load_zoo(zoo).variants.values():
        card = one.card
        scores = card.evaluation.scores if card.evaluation else {}
        figures = [f"{scores[name].mean:.3f}" if name in scores else "–" for name in ("pesq", "stoi", "si_sdr")]
        table.add_row(
            one.name,
            str(card.bytes),
            f"{card.size_ratio:.4f}",
            str(card.parameters),
            f"{card.macs_per_second / 1e6:.0f}",
            f"{card.algorithmic_latency_ms:g}",
            *figures,
            card.evaluation.set_name if card.evaluation else "–",
        )
    print_table(table)


def _choose(zoo: Path, model: Family, variant: VariantName | None) -> Variant:
    return load_variant(zoo / model / f"{variant or preferred_variant(zoo, model)}.onnx", threads=processors())


def _jobs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """Pairs of files to read and write."""
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
        if not files:
            raise ServiceError("bad_request", f"{source} holds no audio files ({', '.join(sorted(AUDIO_SUFFIXES))}).")
        return [(path, _writable(target / path.relative_to(source))) for path in files]
    return [(source, _writable(target / source.name if target.is_dir() else target))]


def _writable(path: Path) -> Path:
    """The path, with a suffix of a format that can be written."""
    return path if path.suffix.lower().lstrip(".") in MEDIA_TYPES else path.with_suffix(".wav")


def _enhance_one(
    read: Path, write: Path, variant: Variant, limit_db: float, kept: set[Path], progress: Callable[[float], None]
) -> str:
    if write.resolve() in kept:
        message = f"The result would overwrite {write}, a recording or another result: name another file or folder."
        raise ServiceError("bad_request", message)
    format_ = cast("Format", write.suffix.lower().lstrip("."))
    with read.open("rb") as source, replacing(write) as sink:
        report = enhance_file(source, sink, variant, format_=format_, attenuation_limit_db=limit_db, progress=progress)
    speed = 1 / report.real_time_factor if report.real_time_factor else 0.0
    return f"{read} -> {write}: {report.audio_seconds:.2f} s, {speed:.0f}x real time"
