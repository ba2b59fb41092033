"""Who may come in: the page that a browser connects from, and the API key."""

from __future__ import annotations

from collections.abc import Mapping

from service.admission.keys import KeyRing
from service.admission.quotas import Client
from service.errors import ServiceError
from service.settings import Settings


class Access:
    """Checks requests before anything is done for them."""

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.allowed_origins)
        self._keys = KeyRing((key.get_secret_value() for key in settings.api_keys), settings.api_keys_file)

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Check the page that a browser connects from, where there is an allow-list.

        Raises:
            ServiceError: It is not on the list.
        """
        origin = headers.get("origin")
        if self._origins and origin is not None and origin not in self._origins:
            raise ServiceError("forbidden_origin", "This page may not connect: add its origin to the server's allowed_origins.")

    def identify(self, headers: Mapping[str, str], token: str | None, address: str | None) -> Client:
        """Check the API key, where one is asked for.

        Args:
            headers: Of the request; ``Authorization: Bearer …`` counts before the token.
            token: The parameter of that name.
            address: The client's.

        Raises:
            ServiceError: The key is missing or wrong.
        """
        key = None
        if self._keys.asked_for:
            scheme, _, bearer = headers.get("authorization", "").partition(" ")
            key = self._keys.match(_as_sent(bearer.strip()) if scheme.lower() == "bearer" else token or "")
            if key is None:
                raise ServiceError("unauthorized", "Give a valid API key as Authorization: Bearer … or as the parameter token.")
        return Client(key, address or "")


def _as_sent(value: str) -> str:
    """A header's value, which HTTP takes for Latin-1, in UTF-8 where it is that."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value
