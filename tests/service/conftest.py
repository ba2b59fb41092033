"""A zoo of small networks and real servers on free ports."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from models.zoo import Variant, Zoo, load_zoo
from quietwire.cli import main
from service.processes.server import Server, make_server
from service.runtime import Runtime
from service.settings import Settings

from .engines import run_with_engine

Serve = Callable[..., contextlib.AbstractContextManager["Running"]]


@dataclasses.dataclass(frozen=True)
class Running:
    """A server in a thread of its own."""

    server: Server
    runtime: Runtime
    port: int

    @property
    def url(self) -> str:
        """Of live streams."""
        return f"ws://127.0.0.1:{self.port}/ws/enhance"

    @property
    def http(self) -> str:
        """Of everything else."""
        return f"http://127.0.0.1:{self.port}"

    def variant(self, name: str) -> Variant:
        """A loaded variant by ``model/variant``."""
        return next(one for one in self.runtime.zoo.variants.values() if one.name == name)


@pytest.fixture(scope="session")
def zoo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random networks as ``original``, identities as ``pruned``, of both families; to be read only."""
    from .zoo import build_zoo

    return build_zoo(tmp_path_factory.mktemp("service_zoo"))


@pytest.fixture(scope="session")
def zoo(zoo_folder: Path) -> Zoo:
    """The same, loaded."""
    return load_zoo(zoo_folder)


@pytest.fixture(scope="session")
def serve(zoo_folder: Path, zoo: Zoo) -> Serve:
    """``with serve(setting=value, …) as running``: a server with settings of its own.

    The variants are loaded already, unless a folder is named as ``zoo``. It takes itself to have so many processors.
    """

    @contextlib.contextmanager
    def start(processors: float = 2, **settings: Any) -> Iterator[Running]:
        chosen = Settings(**{"port": 0, "zoo": zoo_folder, "drain_seconds": 0, **settings})
        if "max_load" not in settings:  # how busy this machine is must not matter
            chosen = chosen.model_copy(update={"max_load": 1000})
        ports: queue.SimpleQueue[int] = queue.SimpleQueue()
        server = make_server(chosen, None if "zoo" in settings else zoo, ports.put)
        thread = threading.Thread(target=server.run, name="server")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("service.runtime.processors", lambda: processors)
            thread.start()
            try:
                port = ports.get(timeout=20)
            except queue.Empty:
                server.should_exit = True
                thread.join()
                raise
        try:
            app = server.config.loaded_app
            while not hasattr(app, "state"):  # uvicorn wraps the application
                app = app.app
            yield Running(server, app.state.runtime, port)
        finally:
            server.should_exit = True
            thread.join()

    return start


@pytest.fixture(scope="session")
def running(serve: Serve) -> Iterator[Running]:
    """The server that most tests share."""
    with serve(uploads=4) as one:
        yield one


@pytest.fixture(scope="module", params=[2, 1], ids=["beside the engine", "in turns with the engine"])
def running_either_way(serve: Serve, request: pytest.FixtureRequest) -> Iterator[Running]:
    """A server with a processor for the event loop and one for the engine, and one that has a single one for both."""
    with serve(processors=request.param) as one:
        yield one


@pytest.fixture(params=[False, True], ids=["beside the event loop", "in turns with it"])
def with_engine(request: pytest.FixtureRequest) -> Callable[..., list[tuple[str, int]]]:
    """Runs a coroutine function with a started engine, at most so many rows a network; gives the steps that were observed."""
    return partial(run_with_engine, request.param)


@pytest.fixture
def quietwire(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command; gives its exit code, its output, and what it said on the side."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["quietwire", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return stopped.value.code or 0, captured.out, captured.err

    return run
