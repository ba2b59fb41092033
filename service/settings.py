"""Settings of the service: from flags, the environment (``QUIETWIRE_…``) and a TOML file, in this order of precedence."""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import ssl
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from models.card import FAMILIES, VARIANTS, Family, VariantName
from models.zoo import SHIPPED
from service.admission.keys import KeyFileError, parse_key, read_keys
from service.engine.overload import LAG_SECONDS

AccessLevel = Literal["open", "key", "off"]


class SettingsError(Exception):
    """Settings that cannot be used; one line per mistake."""


class Settings(BaseSettings):
    """Every setting; `quietwire settings` lists them with their values."""

    model_config = SettingsConfigDict(env_prefix="QUIETWIRE_", extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    zoo: Path = Field(SHIPPED, description="Folder with <model>/<variant>.onnx and their cards.")
    variants: list[str] | None = Field(None, description='Variants to load, as ["crn/original"]; all that exist when unset.')
    default_model: Family = Field("crn", description="Model of requests that name none.")
    default_variant: VariantName = Field(
        "combined", description="Variant of requests that name none; where it is not loaded, the first that is."
    )
    workers: int = Field(1, ge=1, le=256, description="Processes, each with an engine that keeps one core busy.")
    max_streams: int = Field(250, ge=1, le=10_000, description="Live streams admitted at once, at most, by all workers.")
    max_load: float = Field(0.85, gt=0, le=1, description="Share of the engine's time above which new streams are refused.")
    max_lag_seconds: float = Field(
        LAG_SECONDS,
        gt=0,
        le=3600,
        description="Due audio that waits for longer is an overload: the newest streams are ended.",
    )
    max_ahead_seconds: float = Field(
        30, ge=1, le=1_000_000, description="A client further ahead of real time is slowed down by not reading from it."
    )
    max_unread_seconds: float = Field(
        10, ge=1, le=600, description="Output that a client may leave unread before it is closed."
    )
    idle_seconds: float = Field(30, gt=0, le=3600, description="A stream that sends nothing for this long is closed.")
    max_message_bytes: int = Field(1 << 20, ge=1024, le=1 << 24, description="Largest WebSocket message.")
    max_file_bytes: int = Field(256 << 20, ge=1024, description="Largest upload.")
    max_file_seconds: float = Field(3600, gt=0, description="Longest upload, decoded.")
    max_compare_seconds: float = Field(120, gt=0, description="Longest upload to `POST /compare`, decoded.")
    uploads: int = Field(2, ge=1, le=64, description="Uploads enhanced at once, by all workers; as many may wait.")
    max_step_seconds: float = Field(
        5, ge=0.1, le=600, description="An engine that is in one step for longer than this is given up and replaced."
    )
    drain_seconds: float = Field(20, ge=0, le=3600, description="Time that streams get to finish when the server is stopped.")
    api_keys: list[SecretStr] = Field(
        [], description="Keys, one of which every request must carry, as they are or as sha256:<hex>; none when empty."
    )
    api_keys_file: Path | None = Field(
        None, description="File with more keys, one a line; re-read when it changes. A key is asked for once this is set."
    )
    key_streams: int | None = Field(None, ge=1, description="Streams that one key may have at once; no limit when unset.")
    key_uploads: int | None = Field(None, ge=1, description="Uploads that one key may have at once; no limit when unset.")
    key_audio_seconds: float | None = Field(None, gt=0, description="Audio that one key may send an hour; no limit when unset.")
    address_streams: int | None = Field(None, ge=1, description="Streams at once from one address; no limit when unset.")
    address_uploads: int | None = Field(None, ge=1, description="Uploads at once from one address; no limit when unset.")
    address_audio_seconds: float | None = Field(None, gt=0, description="Audio an hour from one address; no limit when unset.")
    allowed_origins: list[str] = Field([], description="Origins of pages that may connect; any when empty.")
    metrics_access: AccessLevel = Field(
        "key", description="Who may read /metrics: who has a `key` (where there are keys), all (`open`), none (`off`)."
    )
    docs_access: AccessLevel = Field("open", description="Who may read /docs and /openapi.json; as above.")
    trusted_proxies: list[str] = Field(
        [], description="Addresses or networks of proxies whose X-Forwarded-For and -Proto are believed."
    )
    tls_certificate: Path | None = Field(None, description="PEM file with the certificate chain; plain HTTP when unset.")
    tls_key: Path | None = Field(None, description="PEM file with its key, where that is not in the same file.")
    hsts_seconds: int = Field(0, ge=0, description="For this long browsers shall use nothing but TLS; not told when 0.")
    telemetry_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$",
        description="OTLP collector for traces, as http://127.0.0.1:4318; none when unset. Needs quietwire[telemetry].",
    )
    log_format: Literal["console", "json"] = Field("console", description="Log lines for people, or as JSON objects.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Least important log lines shown.")

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        known = [f"{model}/{variant}" for model in FAMILIES for variant in VARIANTS]
        if unknown := [name for name in self.variants or [] if name not in known]:
            raise ValueError(f"variants: {unknown[0]!r} is not one of {', '.join(known)}")
        if self.max_streams < self.workers:
            raise ValueError(f"max_streams: {self.max_streams} streams cannot be divided between {self.workers} workers")
        return self

    @model_validator(mode="after")
    def _check_network(self) -> Self:
        for proxy in self.trusted_proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError as error:
                raise ValueError(f"trusted_proxies: {error}") from None
        if self.tls_certificate is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.tls_certificate, self.tls_key)
            except OSError as error:
                raise ValueError(f"tls_certificate: {self.tls_certificate} or its key cannot be used: {error}") from None
        elif self.tls_key is not None:
            raise ValueError("tls_key: tls_certificate must be set too")
        return self

    @model_validator(mode="after")
    def _check_telemetry(self) -> Self:
        if self.telemetry_endpoint is not None:
            with contextlib.suppress(ModuleNotFoundError):  # of a parent
                if importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None:
                    return self
            raise ValueError("telemetry_endpoint: traces need more packages: pip install 'quietwire[telemetry]'")
        return self

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        for key in self.api_keys:
            try:
                parse_key(key.get_secret_value())
            except ValueError as error:
                raise ValueError(f"api_keys: {error}") from None
        if self.api_keys_file is not None:
            try:
                read_keys(self.api_keys_file)
            except KeyFileError as error:
                raise ValueError(f"api_keys_file: {error}") from None
        return self


def load_settings(file: Path | None = None, **flags: Any) -> Settings:
    """Settings from a TOML file, the environment over it, flags over both.

    Args:
        file: TOML with the names of ``Settings``.
        flags: Values from the command line; None means not given.

    Raises:
        SettingsError: A value is out of range, a name unknown, or the file unreadable.
    """
    stored: dict[str, Any] = {}
    if file is not None:
        try:
            stored = tomllib.loads(file.read_text())
        except OSError as error:
            raise SettingsError(f"{file} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{file} is not valid TOML: {error}") from error
    try:
        environment = EnvSettingsSource(Settings)()  # not checked on its own: it may be half of what belongs together
        return Settings(**{**stored, **environment, **{key: value for key, value in flags.items() if value is not None}})
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"])
            lines.append(f"{where}: {problem['msg']}" if where else problem["msg"].removeprefix("Value error, "))
        raise SettingsError("\n".join(lines)) from error
    except ValueError as error:  # an environment variable that is not valid JSON
        raise SettingsError(str(error)) from error
