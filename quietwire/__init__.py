"""Quietwire: streaming real-time speech denoising. The command line lives in ``quietwire.cli``.

From Python 3.14 on, the standard library has a package ``compression`` too. Importing ``quietwire`` lets both be found
under that name, so import it before ``compression``.
"""

from pathlib import Path

import compression

_ours = str(Path(__file__).parent.parent / "compression")
if _ours not in compression.__path__:
    compression.__path__.append(_ours)
