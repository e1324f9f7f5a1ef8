"""The floor of every request: certbound's listener, and a handler that does nothing.

``python -m bench.empty PORT CERTS`` answers whatever is asked with what a token answer weighs.
"""

import sys
from pathlib import Path
from typing import Any

from app.tls import listener
from app.tls.limits import Limits

BODY = b'{"access_token":"' + b"x" * 640 + b'"}'
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"content-length", b"%d" % len(BODY)),
    ],
}


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """ASGI: reads the request and answers, without a thought."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    await send(_START)
    await send({"type": "http.response.body", "body": BODY})


def main() -> int:
    """Serve until SIGTERM."""
    certs = Path(sys.argv[2])
    return listener.run(
        nothing,
        host="127.0.0.1",
        ports=(int(sys.argv[1]),),
        certificate_file=certs / "server.crt",
        key_file=certs / "server.key",
        limits=Limits(),
        on_started=lambda _addresses: None,
        on_stopping=listener.nothing,
    )


if __name__ == "__main__":
    sys.exit(main())
