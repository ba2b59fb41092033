"""Security headers of HTTP answers. The page's own policy is in ``service.pages``; what an answer has set already stays."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from service.settings import Settings

DOCS = frozenset({"/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"})
COMMON = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",  # addresses may hold a token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",  # recordings are nobody else's
}
NOTHING = "default-src 'none'; frame-ancestors 'none'"
# FastAPI's page for the OpenAPI description: its script is inline, the rest comes from a content network
SWAGGER = (
    "default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src 'unsafe-inline' "
    "https://cdn.jsdelivr.net; img-src data: https://fastapi.tiangolo.com; worker-src blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def protect(request: Request, response: Response, settings: Settings) -> Response:
    """Add to an answer what it lacks."""
    for name, value in COMMON.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", SWAGGER if request.url.path in DOCS else NOTHING)
    if settings.hsts_seconds and request.url.scheme == "https":
        response.headers.setdefault("Strict-Transport-Security", f"max-age={settings.hsts_seconds}")
    return response
