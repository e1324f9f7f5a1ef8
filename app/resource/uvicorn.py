"""For stock uvicorn, which ends TLS but tells nobody the client's certificate.

``uvicorn --http app.resource.uvicorn:HttpWithCertificate --ssl-cert-reqs 1 --ssl-ca-certs …`` puts the
ASGI ``tls`` extension into each scope. OpenSSL has then proven the client's key and its path to one
of the CAs given; certificates of other CAs, self-signed ones too, end in the handshake.
certbound's own listener has no such limit. Where uvicorn asks for no certificate (``--ssl-cert-reqs``
left out), none is told, and the guard says so in its log. WebSockets go past this class: behind a
guard they are refused.
"""

import asyncio
import ssl
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class HttpWithCertificate(HttpToolsProtocol):
    """uvicorn's HTTP protocol; the application it calls gets a ``tls`` extension."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Look at the certificate, once per connection: stock TLS never asks for another."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        der: bytes | None = None if tls is None else tls.getpeercert(binary_form=True)
        asks = tls is not None and tls.context.verify_mode is not ssl.CERT_NONE
        app = cast("Any", self.app)

        async def told(scope: Any, receive: Any, send: Any) -> None:
            if asks:
                extensions = {**(scope.get("extensions") or {}), "tls": {"client_cert": der}}
                scope["extensions"] = extensions
            await app(scope, receive, send)

        self.app = told
