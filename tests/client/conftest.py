"""The servers of the service's tests, and a network between them and a client that breaks when told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ..service.conftest import Running, quietwire, running, serve, zoo, zoo_folder
from .proxy import Proxy

__all__ = ["proxied", "quietwire", "running", "serve", "zoo", "zoo_folder"]


@pytest.fixture
def proxied(running: Running) -> Iterator[Callable[..., Proxy]]:
    """``proxied(cuts=…)``: a proxy before the running server; see ``Proxy``."""
    made: list[Proxy] = []

    def make(cuts: list[int] | None = None) -> Proxy:
        made.append(Proxy(running.port, cuts or []))
        return made[-1]

    yield make
    for one in made:
        one.close()
