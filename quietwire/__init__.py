"""Quietwire: streaming real-time speech denoising. ``quietwire.cli`` is the command line, ``quietwire.client`` the client.

    from quietwire import AsyncClient, Client, QuietwireError

From Python 3.14 on, the standard library has a package ``compression`` too. Importing ``quietwire`` lets both be found
under that name, so import it before ``compression``.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import compression
import models as models  # keeps ONNX Runtime quiet, whoever loads it first

if TYPE_CHECKING:
    from quietwire.client import AsyncClient as AsyncClient
    from quietwire.client import Client as Client
    from quietwire.client import QuietwireError as QuietwireError

_ours = str(Path(__file__).parent.parent / "compression")
if _ours not in compression.__path__:
    compression.__path__.append(_ours)


def __getattr__(name: str) -> Any:
    """The client's names, imported when they are asked for: the offline tools need no WebSocket library."""
    if name in ("AsyncClient", "Client", "QuietwireError"):
        import quietwire.client

        return getattr(quietwire.client, name)
    raise AttributeError(f"module 'quietwire' has no attribute {name!r}")
