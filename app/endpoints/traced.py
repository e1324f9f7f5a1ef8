"""What a trace says of a request, where there are traces: conventional names where there are any.

The handshake was over before the request began, so it is no span of its own: its facts stand on the
request's. `certbound.…` are names of our own; they are the audit's words.
"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from app.audit import Event
from app.jose import base64url
from app.traces import Traces

AUTHENTICATE, DECIDE, SIGN = "authenticate", "decide", "sign"
"""Spans within a request's, beside those of the store."""

Answer = Callable[[Request], Awaitable[Response]]


def traced(traces: Traces, route: str, answer: Answer) -> Answer:
    """`answer`, with a span around it."""

    async def spanned(request: Request) -> Response:
        name = f"{request.method} {route}"
        said = request.headers.getlist("traceparent")
        with traces.request(name, said, _facts(request.scope, route)) as span:
            response = await answer(request)
            traces.answered(span, response.status_code)
            return response

    return spanned


def _facts(scope: Scope, route: str) -> Mapping[str, str | int | bool]:
    peer = scope["state"]["certbound.peer"]
    facts: dict[str, str | int | bool] = {
        "http.request.method": scope["method"],
        "http.route": route,
        "url.scheme": scope["scheme"],
        "network.protocol.name": "http",
        "network.protocol.version": scope["http_version"],
        "certbound.certificate.presented": peer is not None,
    }
    if peer is not None:
        facts["tls.protocol.name"] = "tls"
        facts["tls.protocol.version"] = peer.tls_version.removeprefix("TLSv")
        facts["tls.cipher"] = peer.cipher
        facts["tls.client.hash.sha256"] = base64url.decode(peer.thumbprint).hex().upper()
    return facts


def of(event: Event, method: str, grant: str) -> Mapping[str, str | None]:
    """What was decided; `method` and `grant` as they are counted."""
    return {
        "certbound.decision": event.decision,
        "certbound.reason": event.reason,
        "certbound.error_ref": event.ref,
        "certbound.jti": event.jti,
        # a refused request names whatever client it likes
        "certbound.client_id": None if event.decision == "refused" else event.client_id,
        "certbound.auth.method": method or None,
        "certbound.grant": grant or None,
    }
