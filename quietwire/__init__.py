"""Quietwire: streaming real-time speech denoising. ``quietwire.cli`` is the command line, ``quietwire.client`` the client.

    from quietwire import AsyncClient, Client, QuietwireError

The client imports nothing outside this package, so that a project may have a ``models`` or a ``service`` of its own.

From Python 3.14 on, the standard library has a package ``compression``, as Quietwire does. Importing ``quietwire`` lets both
be found under that name, so import it before ``compression``.
"""

import os
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quietwire.client import AsyncClient as AsyncClient
    from quietwire.client import Client as Client
    from quietwire.client import QuietwireError as QuietwireError

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # whoever loads ONNX Runtime first: ``models`` says why


def _share_compression() -> None:
    """Let our ``compression`` be found within a package of that name; a module of that name is somebody else's."""
    found, ours = PathFinder.find_spec("compression"), str(Path(__file__).parent.parent / "compression")
    if found is None or found.submodule_search_locations is None:
        return
    places = getattr(import_module("compression"), "__path__", None)
    if places is not None and ours not in places:
        places.append(ours)


if sys.version_info >= (3, 14):
    _share_compression()


def __getattr__(name: str) -> Any:
    """The client's names, imported when they are asked for: the offline tools need no WebSocket library."""
    if name in ("AsyncClient", "Client", "QuietwireError"):
        import quietwire.client

        return getattr(quietwire.client, name)
    raise AttributeError(f"module 'quietwire' has no attribute {name!r}")
