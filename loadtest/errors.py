"""What the user of the load test can put right."""

from __future__ import annotations

import importlib.util

PACKAGES = ("picows", "psutil")


class LoadtestError(Exception):
    """One sentence that says what to change."""


def require_extra() -> None:
    """Refuse where the extra ``loadtest`` is not installed.

    Raises:
        LoadtestError: It is not.
    """
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise LoadtestError(f'this command needs {", ".join(missing)}: pip install "quietwire[loadtest]"')
