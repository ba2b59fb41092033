"""The FastAPI application and its errors."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from models.zoo import Zoo, load_zoo
from service.errors import ServiceError
from service.http import compare, docs, pages, routes
from service.http.headers import protect
from service.live import websocket
from service.live.parameters import without_empty
from service.runtime import Runtime
from service.settings import AccessLevel, Settings
from service.telemetry.spans import annotate

OPEN_PATHS = {"/healthz", "/readyz"}
EXHAUSTED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE}  # disk or descriptors: it may pass
EXHAUSTED_RETRY_SECONDS = 30
# of FastAPI's own, whose spans hold query strings, and so tokens; ours are in service.telemetry.tracing
NO_TELEMETRY: dict[str, Any] = {"telemetry": dict.fromkeys(("tracing", "metrics", "logs", "auto_configure"), False)}
log = logging.getLogger(__name__)


def create_app(settings: Settings, zoo: Zoo | None = None) -> FastAPI:
    """The application; variants are loaded when it starts unless they are given.

    Args:
        settings: Of the service.
        zoo: Loaded variants.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.runtime = Runtime(settings, zoo or load_zoo(settings.zoo, settings.variants))
        app.state.runtime.start()
        try:
            yield
        finally:
            app.state.runtime.stop()
            if tracing is not None:
                await asyncio.to_thread(tracing.close)

    app = FastAPI(
        title="Quietwire",
        description="Streaming real-time speech denoising.",
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts from other servers; service.http.docs has ours
        redoc_url=None,
        **NO_TELEMETRY,
    )
    app.state.worker_metrics = None  # one of several processes puts its own here
    app.include_router(routes.router)
    app.include_router(compare.router)
    app.include_router(websocket.router)
    app.middleware("http")(_authorize)
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(OSError, _system_error)
    app.add_exception_handler(Exception, _unexpected)
    pages.mount(app)
    docs.mount(app)
    _answer_head(app)
    tracing = None
    if settings.telemetry_endpoint is not None:
        from service.telemetry.tracing import Traced, Tracing  # here, as it takes an extra, and time to import

        tracing = Tracing(settings.telemetry_endpoint)
        app.add_middleware(Traced, tracing=tracing)
    return app


def _answer_head(app: FastAPI) -> None:
    """HEAD wherever GET is, as balancers and monitors ask; uvicorn leaves the body out."""
    for route in [*app.routes, *routes.router.routes]:
        if isinstance(route, APIRoute) and route.methods == {"GET"}:
            app.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)


async def _authorize(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    runtime: Runtime = request.app.state.runtime
    request.scope["query_string"] = without_empty(request.scope["query_string"])
    allowed = _allowed(request.url.path, runtime.settings)
    try:
        runtime.access.check_origin(request.headers)
        if allowed == "off":
            return protect(request, await _http_exception(request, HTTPException(404)), runtime.settings)
        if allowed == "key":
            host = request.client.host if request.client else None
            request.state.client = runtime.access.identify(request.headers, request.query_params.get("token"), host)
    except ServiceError as error:
        return _answer(request, error)
    return protect(request, await call_next(request), runtime.settings)


def _allowed(path: str, settings: Settings) -> AccessLevel:
    """Who may ask for a path."""
    if path in docs.PATHS or (docs.is_asset(path) and settings.docs_access == "off"):
        return settings.docs_access
    if path == "/metrics":
        return settings.metrics_access
    return "open" if path in OPEN_PATHS or pages.is_open(path) or docs.is_asset(path) else "key"


def _answer(request: Request, error: ServiceError) -> JSONResponse:
    runtime: Runtime = request.app.state.runtime
    runtime.metrics.errors.labels(error.code).inc()
    annotate(request.scope, {"reason": error.code})
    headers = {"Retry-After": str(error.retry_seconds)} if error.status == 503 else {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    answer = JSONResponse(error.as_json(), error.status, headers)
    protect(request, answer, runtime.settings)
    return answer


async def _service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    return _answer(request, error)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problem = error.errors()[0]
    name, message = problem["loc"][-1], problem["msg"][0].lower() + problem["msg"][1:]
    return _answer(request, ServiceError("bad_request", f"The parameter {name!r} is not valid: {message}."))


async def _http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = "not_found" if error.status_code == 404 else "bad_request"  # Starlette's own: no such path, or not this method
    return JSONResponse({"code": code, "message": f"{error.detail}."}, error.status_code, error.headers)


async def _system_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OSError)
    if error.errno not in EXHAUSTED:
        raise error
    log.error("a request was refused: %s", error.strerror)
    message = "The server has no room for files at the moment: send this one again later."
    return _answer(request, ServiceError("overloaded", message, EXHAUSTED_RETRY_SECONDS))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    return _answer(request, ServiceError("internal", "The server failed to answer this request: try again."))
