"""``/ws/enhance``: accepts, checks, serves, and turns every fault into the protocol's error and close code."""

from __future__ import annotations

import asyncio
import json
import logging

from fastapi import APIRouter
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from service.admission.quotas import Client
from service.errors import CLOSE_CODES, ServiceError
from service.live.parameters import parse_query
from service.live.session import Session
from service.runtime import CLOSE_SECONDS, Runtime
from service.telemetry.spans import annotate

log = logging.getLogger(__name__)


async def enhance(websocket: WebSocket) -> None:
    """Live enhancement; see docs/protocol.md."""
    runtime: Runtime = websocket.app.state.runtime
    with runtime.connection():
        await _serve(websocket, runtime)


async def _serve(websocket: WebSocket, runtime: Runtime) -> None:
    session, code, reason = None, 1006, "server"
    try:
        client = await _accept(websocket, runtime)
        runtime.check_open()
        with runtime.quotas.lease(client, "streams") as lease:
            session = Session(websocket, runtime, parse_query(websocket.query_params), lease)
            await session.run()
        reason = "end"
        if await _close(websocket, 1000, None, runtime.settings.max_unread_seconds):  # much may wait before it
            code = 1000
    except WebSocketDisconnect as gone:
        code, reason = gone.code, "client"
        if code == CLOSE_CODES["too_large"]:  # the transport has answered
            reason = "too_large"
            runtime.metrics.errors.labels(reason).inc()
    except ServiceError as error:
        code, reason = error.close_code, error.code
        if session is None:
            runtime.metrics.refused.labels(reason).inc()
        await _refuse(websocket, runtime, error)
    except Exception:
        log.exception("a stream failed")
        code, reason = CLOSE_CODES["internal"], "internal"
        await _refuse(websocket, runtime, ServiceError("internal", "The server failed to serve this stream: connect again."))
    finally:
        ended = {"close_code": code, "reason": reason} if session is None else session.log_end(code, reason)
        annotate(websocket.scope, ended)


async def _accept(websocket: WebSocket, runtime: Runtime) -> Client:
    """Check who is there first; one who may not come in is let in all the same, just to be told so, and never read from."""
    try:
        runtime.access.check_origin(websocket.headers)
        host = websocket.client.host if websocket.client else None
        return runtime.access.identify(websocket.headers, websocket.query_params.get("token"), host)
    finally:
        await websocket.accept()


async def _refuse(websocket: WebSocket, runtime: Runtime, error: ServiceError) -> None:
    runtime.metrics.errors.labels(error.code).inc()
    await _close(websocket, error.close_code, error)


async def _close(websocket: WebSocket, code: int, error: ServiceError | None, patience: float = CLOSE_SECONDS) -> bool:
    """Close, with the protocol's error where there is one; tells whether that could be sent."""
    try:
        async with asyncio.timeout(patience):
            if error is not None:
                await websocket.send_text(json.dumps({"type": "error", **error.as_json()}))
            await websocket.close(code, error.code if error is not None else None)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        return False  # the client has left, or does not read
    return True


# not a route of FastAPI's own: what that keeps for its dependencies would take 8 kB for as long as a stream lasts
router = APIRouter(routes=[WebSocketRoute("/ws/enhance", enhance)])
