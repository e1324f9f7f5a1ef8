"""Every setting: name, type, default, meaning. The settings reference is generated from here.

Settings are frozen once loaded; paths and URLs that depend on others have computed defaults. Where
values come from is in `app.config.layers`.
"""

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from app.unsaid import has_user

SECRETS = frozenset({"sealing_key"})
FILES = frozenset(
    {
        "sealing_key_file",
        "tls_certificate_file",
        "tls_key_file",
        "jwks_uri_ca_file",
        "trust_ca_file",
    }
)
"""Paths that, in the configuration file, start from the folder it stands in."""

_ISSUER_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
"""The path stands in every route. Escapes would have two spellings, and the server takes one."""


class Settings(BaseModel):
    """The settings of one server. Paths and URLs that depend on others have computed defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(exclude=True)

    host: str = Field("127.0.0.1", description="Address both listeners bind.")
    port: int = Field(8443, ge=0, le=65535, description="Port of the main listener.")
    mtls_port: int = Field(
        9443, ge=0, le=65535, description="Port of the listener that `mtls_endpoint_aliases` name."
    )
    issuer: str = Field(
        default_factory=lambda known: f"https://localhost:{known.get('port', 8443)}",
        description="Issuer identifier, printed verbatim everywhere (RFC 8414 section 2).",
    )
    mtls_base_url: str = Field(
        default_factory=lambda known: f"https://localhost:{known.get('mtls_port', 9443)}",
        description="Scheme, host and port of the mTLS endpoint aliases, without a path.",
    )
    database_url: str = Field(
        default_factory=lambda known: f"sqlite:///{known['home'] / 'certbound.db'}",
        description="SQLAlchemy URL: `sqlite:///…` or `postgresql+psycopg://…`.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Server processes that share both ports; with two or more a supervisor "
        "replaces one that ends, and SIGHUP exchanges them one by one.",
    )
    ops_host: str = Field(
        "127.0.0.1",
        description="Address of the operations listener; without TLS, so keep it off open networks.",
    )
    ops_port: int = Field(
        9464,
        ge=0,
        le=65535,
        description="Port of the operations listener: `/metrics`, `/livez`, `/readyz` over plain "
        "HTTP. 0: there is none.",
    )
    access_token_lifetime: int = Field(
        300, ge=1, le=86_400, description="Seconds; always capped by the certificate's notAfter."
    )
    status_list_ttl: int = Field(
        60,
        ge=1,
        le=3600,
        description="Seconds a resource may use a status list it fetched: how long a revoked token "
        "may go on where nobody introspects.",
    )
    default_resource: str = Field(
        "https://localhost:9444",
        description="`aud` of a token where the request names no `resource` (RFC 8707).",
    )
    signing_algorithm: Literal["ES256", "EdDSA", "PS256", "RS256"] = Field(
        "ES256", description="Algorithm of the next signing key; keys in use keep theirs."
    )
    key_lifetime: int = Field(
        90 * 86_400,
        ge=86_400,
        description="Seconds a signing key stays current before the next one takes over.",
    )
    sealing_key_file: Path = Field(
        default_factory=lambda known: known["home"] / "certs" / "sealing.key",
        description="File with the key that seals signing keys in the database; mode 0600.",
    )
    sealing_key: SecretStr | None = Field(
        None, description="The sealing key itself, base64url, instead of the file."
    )
    tls_certificate_file: Path = Field(
        default_factory=lambda known: known["home"] / "certs" / "server.crt",
        description="Server certificate chain, PEM, leaf first. Reloaded when it changes.",
    )
    tls_key_file: Path = Field(
        default_factory=lambda known: known["home"] / "certs" / "server.key",
        description="Private key of the server certificate, PEM. Reloaded when it changes.",
    )
    handshake_timeout: float = Field(
        10.0, gt=0, description="Seconds until a TLS handshake must be complete."
    )
    header_timeout: float = Field(
        10.0, gt=0, description="Seconds until a request's headers must be complete."
    )
    body_timeout: float = Field(
        15.0, gt=0, description="Seconds until a request's body must be complete."
    )
    idle_timeout: float = Field(
        60.0, gt=0, description="Seconds a connection may stay open between requests."
    )
    shutdown_timeout: float = Field(
        10.0, gt=0, description="Seconds that requests in flight have after SIGTERM."
    )
    max_connections: int = Field(10_000, ge=1, description="Open connections of the process.")
    max_connections_per_address: int = Field(
        2_000, ge=1, description="Open connections from one client address."
    )
    handshakes_per_address: int = Field(
        0,
        ge=0,
        description="TLS handshakes a second from one client address, twice as many at once; more "
        "are turned away at their first packet. 0: no limit. Per process.",
    )
    rate_per_client: int = Field(
        0,
        ge=0,
        description="Requests a second of one authenticated client, twice as many at once; more "
        "get 429. 0: no limit. Per process.",
    )
    rate_per_address: int = Field(
        0,
        ge=0,
        description="Requests a second that one client address has refused before a client is "
        "authenticated, twice as many at once; more get 429, and good ones go on. 0: no limit. "
        "Per process.",
    )
    boundary_policy: Literal["refuse", "tenant", "report"] = Field(
        "tenant",
        description="What a key shared by two clients, or a resource with another label, meets: "
        "`refuse`, `tenant` (refused between tenants, else reported) or `report`.",
    )
    jwks_uri_allow_private: bool = Field(
        default=False,
        description="Whether a client's `jwks_uri` may point at loopback or private addresses.",
    )
    jwks_uri_ca_file: Path | None = Field(
        None, description="More CAs, PEM, that may vouch for a `jwks_uri`; beside the system's."
    )
    trust_allow_private: bool = Field(
        default=False,
        description="Whether CRLs, OCSP answers and SPIFFE bundles may come from loopback or "
        "private addresses.",
    )
    trust_ca_file: Path | None = Field(
        None,
        description="More CAs, PEM, that may vouch for where CRLs, OCSP answers and bundles come "
        "from; beside the system's.",
    )
    traces: bool = Field(
        default=False,
        description="Whether requests are traced by OpenTelemetry; needs the extra `otel`. Where "
        "traces go is said by its own variables, `OTEL_EXPORTER_OTLP_ENDPOINT` and others.",
    )
    traces_from_callers: Literal["ignore", "link", "parent"] = Field(
        "ignore",
        description="What the `traceparent` of a request is to its trace: nothing, a `link`, or "
        "the `parent`, for callers that may decide what is traced.",
    )
    event_loop: Literal["auto", "uvloop", "asyncio"] = Field(
        "auto", description="Event loop; `auto` takes uvloop where it is installed."
    )
    log_format: Literal["console", "json"] = Field("console", description="Form of log lines.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )

    @field_validator("issuer")
    @classmethod
    def _issuer(cls, value: str) -> str:
        _require_https(value)
        path = urlsplit(value).path
        if not _ISSUER_PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
            raise ValueError("must have a path of plain segments: letters, digits and - . _ ~ only")
        return value

    @field_validator("mtls_base_url")
    @classmethod
    def _origin(cls, value: str) -> str:
        _require_https(value)
        if urlsplit(value).path not in ("", "/"):
            raise ValueError("must be scheme, host and port only; the issuer's path is added to it")
        return value.rstrip("/")

    @field_validator("default_resource")
    @classmethod
    def _resource(cls, value: str) -> str:
        named = has_user(value)
        parts = urlsplit(value)
        if not parts.scheme or not (parts.netloc or parts.path) or "#" in value:
            raise ValueError("must be an absolute URI without a fragment (RFC 8707 section 2)")
        if named:
            raise ValueError("must have no user name and password: it stands in every token")
        _require_printable(value)
        return value


def _require_https(value: str) -> None:
    named = has_user(value)
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("must be an https URL with a host")
    if parts.query or parts.fragment or "?" in value or "#" in value or named:
        raise ValueError("must have no query, fragment or user information (RFC 8414 section 2)")
    _require_printable(value)


def _require_printable(value: str) -> None:
    if not all("!" <= character <= "~" for character in value):
        raise ValueError("must be printable ASCII without spaces")


def names() -> list[str]:
    """The names a user may set, in the order of the reference."""
    return [name for name in Settings.model_fields if name != "home"]
