"""`WsgiGuard`: the same guard for WSGI applications (PEP 3333), on threads.

There is no standard place for a client certificate in WSGI. The deployer names the one that the
server fills, and vouches that no client can: `environ_certificate`, or a function of their own.
A name that begins with ``HTTP_`` is a request header and is refused.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import Context, copy_context
from typing import Any

from app.binding import client_cert_header
from app.errors import Finding, Reason, Refused
from app.resource import metadata
from app.resource.accepted import Accepted
from app.resource.asgi import STATE, certificate, current
from app.resource.bearer import Sent
from app.resource.certificate import MAX_PEM, UNKNOWN, Presented
from app.resource.challenge import Rejected, render, scope_names
from app.resource.verifier import Verifier

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]
Source = Callable[[Mapping[str, Any]], Presented]

_REASONS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 503: "Service Unavailable"}


def environ_certificate(name: str = "SSL_CLIENT_CERT") -> Source:
    """The PEM certificate that the server puts into the environ under `name`.

    mod_ssl does so as ``SSL_CLIENT_CERT`` with ``SSLOptions +ExportCertData``.

    Raises:
        ValueError: `name` is that of a request header, which any client can send.

    """
    if name.upper().startswith("HTTP_"):
        raise ValueError(f"{name} is a request header: any client can send one")

    def source(environ: Mapping[str, Any]) -> Presented:
        value = environ.get(name)
        if value is None:
            return UNKNOWN
        if value in ("", "(null)"):
            return Presented(None)
        try:
            if not isinstance(value, str) or len(value) > MAX_PEM:
                raise ValueError("no text, or too much")  # noqa: TRY301  # worded below
            return Presented.of(client_cert_header.of_pem(value.encode("ascii")))
        except (ValueError, Refused) as error:
            expected = "one PEM certificate"
            raise Refused(
                Finding("certificate", "not readable", expected, "", Reason.CERTIFICATE_MALFORMED)
            ) from error

    return source


class _Within:
    """What an application returned, iterated and closed with the token of its request at hand."""

    def __init__(self, context: Context, answer: Iterable[bytes]) -> None:
        self._context, self._answer = context, answer
        self._parts = context.run(iter, answer)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self._context.run(next, self._parts)

    def close(self) -> None:
        """PEP 3333: called once by the server, whatever happened."""
        close = getattr(self._answer, "close", None)
        if close is not None:
            self._context.run(close)


class WsgiGuard:
    """Wraps `app`: ``application = WsgiGuard(application, verifier, environ_certificate())``."""

    def __init__(
        self,
        app: App,
        verifier: Verifier,
        source: Source,
        *,
        scopes: Iterable[str] = (),
        scopes_supported: Iterable[str] = (),
        name: str | None = None,
    ) -> None:
        """As `app.resource.asgi.Guard`. `source` tells the caller's certificate.

        Raises:
            ValueError: a scope that is none.

        """
        self._app, self._verifier, self._source = app, verifier, source
        self._scopes = scope_names(scopes)
        self._metadata = metadata.of(verifier, scope_names(scopes_supported) or self._scopes, name)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """WSGI. The accepted token is in ``environ["certbound.token"]`` and in `current`."""
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        document = self._metadata
        if document is not None and path == document.path and environ["REQUEST_METHOD"] == "GET":
            length = ("Content-Length", str(len(document.body)))
            start_response("200 OK", [("Content-Type", "application/json"), length])
            return [document.body]
        try:
            accepted = self._judge(environ)
        except Rejected as rejected:
            refusal = render(rejected, None if document is None else document.url)
            status = f"{refusal.status} {_REASONS[refusal.status]}"
            start_response(status, [(name.title(), value) for name, value in refusal.headers])
            return [refusal.body]
        environ[STATE] = accepted
        context = copy_context()  # an iterable does its work after this call, and needs them still
        context.run(current.set, accepted)
        context.run(certificate.set, accepted.presented)
        answer = context.run(self._app, environ, start_response)
        file = environ.get("wsgi.file_wrapper")
        if isinstance(answer, list | tuple) or (
            isinstance(file, type) and isinstance(answer, file)
        ):
            return answer  # runs nothing more of the application, and servers know it by its type
        return _Within(context, answer)

    def _judge(self, environ: Environ) -> Accepted:
        try:
            presented = self._source(environ)
        except Refused as refused:
            self._verifier.refuse(refused, UNKNOWN)
        sent = environ.get("HTTP_AUTHORIZATION")
        values = () if sent is None else (sent.encode("latin-1", "replace"),)
        query = environ.get("QUERY_STRING", "").encode("latin-1", "replace")
        return self._verifier.verify(Sent(values, query), presented, self._scopes)
