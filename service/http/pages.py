"""The web page and its assets: static files with a security policy, exact media types and validators for caches."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

WEB = Path(__file__).parents[1] / "web"
PREFIX = "/web/"
MEDIA_TYPES = {  # the system's own table may lack or contradict these, and browsers refuse modules of another type
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".flac": "audio/flac",
    ".md": "text/markdown; charset=utf-8",
}
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


def content_security_policy(host: str) -> str:
    """The page's policy: everything from this server, nothing inline, audio also from what the page made itself.

    Args:
        host: The request's ``Host``. Not every browser takes ``'self'`` to cover ``ws:``, so it is named.
    """
    live = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; "
        f"connect-src 'self'{live}; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )


class Assets(StaticFiles):
    """The files of ``service/web``. Any page may import the JavaScript module, so they are open to all origins."""

    def __init__(self) -> None:
        super().__init__(directory=WEB)

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """A file, or 304 when the browser has it already."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        suffix = Path(full_path).suffix
        if response.status_code == 200 and suffix in MEDIA_TYPES:
            response.headers["Content-Type"] = MEDIA_TYPES[suffix]
        response.headers.update(
            {
                "Cache-Control": "no-cache",  # that is: keep it, but ask whether it is still the same
                "Content-Security-Policy": content_security_policy(Request(scope).headers.get("host", "")),
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Permissions-Policy": "camera=(), geolocation=()",
                "Access-Control-Allow-Origin": "*",
                "Cross-Origin-Resource-Policy": "cross-origin",
            }
        )
        return response


def mount(app: FastAPI) -> None:
    """Serve the page at ``/`` and its assets under ``/web/``."""
    assets = Assets()

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request) -> Response:
        return await assets.get_response("index.html", request.scope)

    app.mount(PREFIX.rstrip("/"), assets)


def is_open(path: str) -> bool:
    """Whether a path belongs to the page, which is shown to those without a key too."""
    return path == "/" or path.startswith(PREFIX)
