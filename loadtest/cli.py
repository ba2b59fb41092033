"""`quietwire loadtest`: simulated microphones against a server.

The packages of the extra ``loadtest`` are imported when the command runs, so that `quietwire --help` works without them.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadtest.cli_memory import memory
from loadtest.errors import LoadtestError, require_extra
from loadtest.options import numbers

if TYPE_CHECKING:
    from loadtest.measure import Measurement

USER_ERRORS: tuple[type[Exception], ...] = (LoadtestError,)
BAR_MISSED = 3
OWN_FAULT = 4
DEFAULT_URL = "ws://127.0.0.1:8000/ws/enhance"


def register(app: typer.Typer) -> None:
    """Add the commands of this package."""
    app.command()(loadtest)
    app.command()(memory)


def loadtest(
    url: Annotated[str | None, typer.Option(help=f"The server.  [default: {DEFAULT_URL}]")] = None,
    streams: Annotated[str, typer.Option(help="Numbers of live streams, measured one after the other: 1,10,50.")] = "",
    find_maximum: Annotated[bool, typer.Option("--find-maximum", help="Search for the most streams that pass.")] = False,
    max_streams: Annotated[int, typer.Option(min=1, help="Where the search ends.")] = 2000,
    at_least: Annotated[int, typer.Option(min=0, help="Bar: what the search has to find.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long all streams of a step send.")] = 20.0,
    ramp: Annotated[float, typer.Option(min=0, help="Seconds over which the streams of a step join, on top.")] = 3.0,
    audio: Annotated[list[Path] | None, typer.Option(help="Speech: a file or a folder; may be given often.")] = None,
    audio_seconds: Annotated[float, typer.Option(min=0.1, max=60, help="Longer files are cut to this; all loop.")] = 30.0,
    chunk_ms: Annotated[int, typer.Option(min=1, max=1000, help="Length of a message.")] = 20,
    sample_rate: Annotated[int, typer.Option(min=8000, max=48000, help="Of the streams, in Hz.")] = 16000,
    model: Annotated[str | None, typer.Option(help="Network; the server's default where none is given.")] = None,
    variant: Annotated[str | None, typer.Option(help="Variant; the server's default where none is given.")] = None,
    token: Annotated[str | None, typer.Option(envvar="QUIETWIRE_TOKEN", help="API key.")] = None,
    jitter_ms: Annotated[float, typer.Option(min=0, max=2000, help="Chunks are held back by up to this much.")] = 0.0,
    burst_chunks: Annotated[int, typer.Option(min=1, max=100, help="So many chunks come at once, now and then.")] = 1,
    burst_seconds: Annotated[float, typer.Option(min=0.01, help="Mean time between bursts of a stream.")] = 1.0,
    lead_ms: Annotated[
        float, typer.Option(min=0, max=5000, help="Each stream begins with so much that was recorded while it connected.")
    ] = 0.0,
    hang_up_seconds: Annotated[
        float | None, typer.Option(min=0.01, help="Mean life of streams that drop without `end` and are replaced.")
    ] = None,
    uploads: Annotated[
        str,
        typer.Option(help="Clients that upload files beside the streams without a pause; 0,2 measures with both."),
    ] = "0",
    upload_seconds: Annotated[float, typer.Option(min=1, max=3600, help="Length of such a file.")] = 60.0,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Generator processes.")] = 1,
    p99_ms: Annotated[float, typer.Option(min=0, help="Bar: 99th percentile of the server's latency.")] = 20.0,
    late_ms: Annotated[float, typer.Option(min=0, help="Bar: no chunk later than this.")] = 40.0,
    tolerance: Annotated[float, typer.Option(min=0, help="Bar: difference from the single stream; full scale is 1.")] = 1e-3,
    compare_seconds: Annotated[
        float | None, typer.Option(min=0, help="Compare only so much of each stream; all of it where nothing is given.")
    ] = None,
    generator_ms: Annotated[float, typer.Option(min=0, help="p99 of the generator's lateness that voids a result.")] = 5.0,
    server_pid: Annotated[int | None, typer.Option(help="The server's process, to measure its cores and memory.")] = None,
    start_server: Annotated[
        bool,
        typer.Option("--start-server", help="Start `quietwire serve` on a core of its own; the generator gets the others."),
    ] = False,
    server_core: Annotated[int | None, typer.Option(help="That core; the last one where none is given.")] = None,
    server_args: Annotated[str, typer.Option(help='More for that server, as "--max-streams 2000".')] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for loadtest.json, loadtest.md and loadtest.png.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn by chance.")] = 0,
) -> None:
    """Send speech of many microphones at real-time pace, check what comes back, and measure the latency.

    Exit codes: 0 all bars kept; 1 the test could not be made; 3 a bar missed by a number of --streams, or a maximum below
    --at-least; 4 the same, but the generator itself was late, so that it says nothing about the server.
    """
    require_extra()
    from rich.console import Console

    from loadtest.audio import load_recordings
    from loadtest.campaign import Campaign, Plan
    from loadtest.clock import Network
    from loadtest.measure import Bars
    from loadtest.report import print_report, write_report
    from loadtest.server import ServerWatch, started_server
    from loadtest.uploads import make_upload

    clients = numbers(uploads, "--uploads", least=0) or [0]
    steps = numbers(streams, "--streams") or ([] if find_maximum else [1, 10, 50])
    if start_server and (url is not None or server_pid is not None):
        raise LoadtestError("--start-server has an address and a process of its own: leave --url and --server-pid out")
    if find_maximum and at_least > max_streams:
        raise LoadtestError(f"--at-least {at_least} cannot be found below --max-streams {max_streams}: raise that")
    if jitter_ms + burst_chunks * chunk_ms > 8000:
        raise LoadtestError("chunks would be held back for more than 8 s: lower --jitter-ms, --burst-chunks or --chunk-ms")
    if out is not None and out.exists() and not out.is_dir():
        raise LoadtestError(f"{out} is a file: name a folder with --out")
    recordings = load_recordings(audio or [], sample_rate, chunk_ms, audio_seconds, max([*steps, max_streams * find_maximum]))
    console = Console(stderr=True, markup=False)
    with contextlib.ExitStack() as stack:
        if start_server:
            url, server_pid = stack.enter_context(started_server(server_core, shlex.split(server_args)))
        watch = ServerWatch(server_pid) if server_pid is not None else None
        query: dict[str, object] = {"sample_rate": sample_rate, "encoding": "pcm_s16le", "channels": 1, "stats": "chunk"}
        network = {name: value for name, value in (("model", model), ("variant", variant)) if value}
        query |= network
        url, headers = url or DEFAULT_URL, {"Authorization": f"Bearer {token}"} if token else {}
        plan = Plan(
            url=url,
            query=query,
            headers=headers,
            seconds=seconds,
            ramp=ramp,
            chunk_ms=chunk_ms,
            network=Network(jitter_ms, burst_chunks, burst_seconds, lead_ms),
            hang_up_seconds=hang_up_seconds,
            processes=processes,
            bars=Bars(p99_ms, late_ms, tolerance, generator_ms),
            compare_seconds=ramp + seconds + 1 if compare_seconds is None else min(compare_seconds, ramp + seconds + 1),
            upload=make_upload(url, network, headers, recordings[0], upload_seconds) if any(clients) else None,
            seed=seed,
        )
        campaign = Campaign(plan, recordings, watch, console)
        measured = [campaign.measure(count, beside) for count in steps for beside in clients]
        maximum = campaign.search(8, max_streams, clients[-1]) if find_maximum else None
        report = campaign.report()
    print_report(report, Console(markup=False))
    if out is not None:
        for sentence in write_report(report, out):
            console.print(sentence, highlight=False, soft_wrap=True)
    short = maximum is not None and maximum < at_least
    raise typer.Exit(exit_code([*measured, *(report.above_maximum() if short else ())]))


def exit_code(steps: Sequence[Measurement]) -> int:
    """0, ``BAR_MISSED`` or ``OWN_FAULT`` of steps that were to pass; a bar missed in good time comes first."""
    if any(step.missed and step.own_fault is None for step in steps):
        return BAR_MISSED
    return OWN_FAULT if any(step.own_fault for step in steps) else 0
