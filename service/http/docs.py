"""``/docs``: the OpenAPI description as a page to read and try, with nothing from other servers and no script within the page.

The files of Swagger UI are those that the package fastapi-offline holds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.resources import files

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response

FILES = {  # by name
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon.png": "image/png",
}
PATHS = frozenset({"/docs", "/openapi.json"})
PREFIX = "/docs/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Quietwire, the HTTP API: Swagger UI</title>
<link rel="icon" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
"""
# a token in the page's own address goes on to the description, where that needs a key
START = """SwaggerUIBundle({ url: "openapi.json" + location.search, dom_id: "#swagger-ui", deepLinking: true });
"""


def is_asset(path: str) -> bool:
    """Whether a path is one of the page's files, which nobody needs a key for."""
    return path.startswith(PREFIX)


def mount(app: FastAPI) -> None:
    """Serve the page and its files."""
    folder = files("fastapi_offline") / "static"
    _serve(app, "/docs", lambda: HTMLResponse(PAGE))
    _serve(app, "/docs/start.js", lambda: Response(START, media_type=FILES["swagger-ui-bundle.js"]))
    for name in FILES:
        _serve(app, PREFIX + name, functools.partial(_file, str(folder / name), FILES[name]))


def _file(path: str, kind: str) -> FileResponse:
    return FileResponse(path, headers={"Content-Type": kind, "Cache-Control": "no-cache"})


def _serve(app: FastAPI, path: str, make: Callable[[], Response]) -> None:
    async def answer() -> Response:  # without parameters, as FastAPI would take them from the query
        return make()

    app.add_api_route(path, answer, include_in_schema=False)
