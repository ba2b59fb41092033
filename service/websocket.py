"""``/ws/enhance``: accepts, checks, serves, and turns every fault into the protocol's error and close code."""

from __future__ import annotations

import asyncio
import json
import logging

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from service.errors import CLOSE_CODES, ServiceError
from service.parameters import parse_query
from service.runtime import Runtime
from service.session import Session

router = APIRouter()
log = logging.getLogger(__name__)
CLOSE_SECONDS = 2.0  # a client that does not read is not waited for longer


@router.websocket("/ws/enhance")
async def enhance(websocket: WebSocket) -> None:
    """Live enhancement; see docs/protocol.md."""
    runtime: Runtime = websocket.app.state.runtime
    await websocket.accept()
    session = None
    try:
        runtime.check_origin(websocket.headers)
        runtime.authorize(websocket.headers, websocket.query_params.get("token"))
        session = Session(websocket, runtime, parse_query(websocket.query_params))
        await session.run()
        await websocket.close(1000)
    except WebSocketDisconnect as gone:
        if gone.code == CLOSE_CODES["too_large"]:  # the transport has answered
            runtime.metrics.errors.labels("too_large").inc()
    except ServiceError as error:
        if session is None:
            runtime.metrics.refused.labels(error.code).inc()
        await _refuse(websocket, runtime, error)
    except Exception:
        log.exception("a stream failed")
        await _refuse(websocket, runtime, ServiceError("internal", "The server failed to serve this stream: connect again."))


async def _refuse(websocket: WebSocket, runtime: Runtime, error: ServiceError) -> None:
    runtime.metrics.errors.labels(error.code).inc()
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await websocket.send_text(json.dumps({"type": "error", **error.as_json()}))
            await websocket.close(error.close_code, error.code)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        return  # the client has left, or does not read
