"""Security headers of HTTP answers. The page's own policy is in ``service.http.pages``; what an answer has set stays."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from service.http import docs
from service.settings import Settings

COMMON = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",  # addresses may hold a token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",  # recordings are nobody else's
}
NOTHING = "default-src 'none'; frame-ancestors 'none'"


def protect(request: Request, response: Response, settings: Settings) -> Response:
    """Add to an answer what it lacks."""
    for name, value in COMMON.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", docs.POLICY if request.url.path in docs.PATHS else NOTHING)
    if settings.hsts_seconds and request.url.scheme == "https":
        response.headers.setdefault("Strict-Transport-Security", f"max-age={settings.hsts_seconds}")
    return response
