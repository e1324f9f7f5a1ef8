"""A protected API to try tokens on: ``GET /`` tells a holder what its token says.

Guarantees what `app.resource.Guard` guarantees, on a listener of its own that asks for a client
certificate: a copied token gets nothing here, a revoked one nothing once its status list was read
again. Asks the authorization server for nothing before a request comes with a token, and needs no
database. For trying things out: it has one page and one process.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.admin.quickstart import SCOPE
from app.config import ConfigError, Settings
from app.resource import Decision, Guard, Verifier, current
from app.resource.asgi import App, Message, Receive, Send
from app.telemetry import configure, log
from app.tls import listener
from app.tls.limits import Limits

PORT = 9444
INTERACTION = b"x-fapi-interaction-id"
"""What calls in a log of the caller's belong to one of ours (FAPI 1.0 part 1, section 6.2.1)."""
_UUID = re.compile(rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")

Announce = Callable[[list[tuple[str, int]]], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where it listens, and whose word it takes for the authorization server's certificate."""

    host: str
    port: int
    ca_file: Path | None
    """Beside the system's CAs."""


def create_app(settings: Settings, ca_file: Path | None) -> App:
    """The guarded application.

    Raises:
        ConfigError: `ca_file` cannot be used.

    """
    _require_cas(ca_file)
    verifier = Verifier(
        settings.issuer,
        settings.default_resource,
        ca_file=ca_file,
        algorithm=settings.signing_algorithm,
        on_decision=_tell,
    )
    inner = Starlette(
        routes=[Route("/", _answer, methods=["GET"])],
        exception_handlers={HTTPException: _http_error},
    )
    guard = Guard(inner, verifier, scopes=[SCOPE], name="certbound demo API")
    return _Interactions(guard)


def serve(settings: Settings, place: Place, announce: Announce) -> None:
    """Serve until SIGTERM or SIGINT. `announce` is called once connections are accepted.

    Raises:
        ConfigError: as `create_app`.
        OSError, CertificateFileError: the listener cannot be opened.

    """
    configure(settings.log_format, settings.log_level)
    app = create_app(settings, place.ca_file)
    with asyncio.Runner(loop_factory=listener.loop_factory(settings.event_loop)) as runner:
        runner.run(
            listener.serve(
                app,
                host=place.host,
                ports=(place.port,),
                certificate_file=settings.tls_certificate_file,
                key_file=settings.tls_key_file,
                limits=Limits(shutdown=settings.shutdown_timeout),
                on_started=announce,
                on_stopping=listener.nothing,
            )
        )


async def _answer(_request: Request) -> Response:
    accepted = current.get()
    if accepted is None:
        raise TypeError(accepted)
    members = {
        "you_are": "the holder of the certificate that this token is bound to",
        "client_id": accepted.client_id,
        "scope": " ".join(sorted(accepted.scopes)),
        "certificate": {"x5t#S256": accepted.presented.thumbprint},
    }
    return JSONResponse(members, headers={"Cache-Control": "no-store"})


async def _http_error(_request: Request, error: Exception) -> Response:
    """JSON, as everything here."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "not_found", 405: "invalid_request"}.get(status, "server_error")
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"error": code}, status, headers)


def _tell(decision: Decision) -> None:
    """One line of the log per request; never the token."""
    log().info(
        "request.accepted" if decision.accepted else "request.refused",
        verdict=decision.verdict.value,
        reason=decision.reason,
        client_id=decision.client_id,
        certificate=decision.thumbprint,
        bound_to=decision.bound_to,
        jti=decision.jti,
    )


def _require_cas(path: Path | None) -> None:
    """Without them no key could ever be fetched: better told at the start."""
    if path is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:  # OpenSSL's errors are among them
        problem = error.strerror or str(error)
        raise ConfigError(f"the CA file {str(path)!r}: {problem}") from error


class _Interactions:
    """Sends `INTERACTION` back with every answer, where it is there once and a UUID."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI."""
        headers = scope.get("headers", ())
        sent = [value for name, value in headers if name.lower() == INTERACTION]
        if len(sent) != 1 or _UUID.fullmatch(sent[0]) is None:
            await self._app(scope, receive, send)
            return

        async def with_it(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (INTERACTION, sent[0])]}
            await send(message)

        await self._app(scope, receive, with_it)
