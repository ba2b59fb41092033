"""OpenTelemetry traces over OTLP/HTTP: one span for every live stream, upload and list of variants.

Loaded only where ``telemetry_endpoint`` is set. A span is begun and ended around the application and belongs to the client's
trace where the request has a W3C ``traceparent``; what it holds comes through ``service.telemetry.spans``. Spans are sent
by a thread of the SDK's from a queue with a bound: a collector that is slow or gone costs spans, never a stream. FastAPI's own
spans are not used, as they hold query strings, in which a token may be.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.telemetry.spans import VALUES

TRACED = frozenset({"/ws/enhance", "/enhance", "/compare", "/variants"})
METHODS = frozenset({"GET", "HEAD", "POST"})  # a span's name must not be a client's invention
FLUSH_SECONDS = 3.0  # what a stop waits for the last spans to be sent


class Tracing:
    """The way of spans to the collector; the standard ``OTEL_…`` variables say the rest, such as headers and sampling.

    Args:
        endpoint: Base address of the collector, without ``/v1/traces``.
    """

    def __init__(self, endpoint: str) -> None:
        ours = Resource.create({"service.name": "quietwire", "service.version": version("quietwire")})
        # no hook at the exit of the process, which would wait for a collector that is gone: ``close`` has its own bound
        self._provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("quietwire")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, name: str, headers: Headers) -> Span:
        """A span that has begun now, in the client's trace where it names one."""
        carrier = {name: value for name, value in headers.items() if name in ("traceparent", "tracestate")}
        return self._tracer.start_span(name, self._propagator.extract(carrier), SpanKind.SERVER)

    def close(self) -> None:
        """Send what is left, waiting no longer than ``FLUSH_SECONDS``."""
        closing = threading.Thread(target=self._provider.shutdown, name="telemetry", daemon=True)
        closing.start()
        closing.join(FLUSH_SECONDS)


class Traced:
    """Middleware: a span around each request and stream of the paths in ``TRACED``."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app, self._tracing = app, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket") or scope["path"] not in TRACED:
            await self._app(scope, receive, send)
            return
        method = "WS" if scope["type"] == "websocket" else scope["method"]
        method = method if method in METHODS or method == "WS" else "HTTP"
        span = self._tracing.begin(f"{method} {scope['path']}", Headers(scope=scope))
        span.set_attributes({"http.route": scope["path"], "url.scheme": scope["scheme"]})
        if method != "WS":
            span.set_attribute("http.request.method", "_OTHER" if method == "HTTP" else method)
        values: dict[str, Any] = {}
        scope[VALUES] = values
        status = None

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send if method == "WS" else note_status)
        except Exception as error:
            status = 500
            span.set_attribute("error.type", type(error).__qualname__)
            raise
        finally:
            if status is not None and method != "WS":
                span.set_attribute("http.response.status_code", status)
            if (status or 0) >= 500 or values.get("reason") == "internal":
                span.set_status(StatusCode.ERROR)
            span.set_attributes(dict(_flat("quietwire", values)))
            span.end()


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Values by dotted names, as attributes can be nothing that is nested or missing."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}.{name}", value)
        elif value is not None:
            yield f"{prefix}.{name}", value
