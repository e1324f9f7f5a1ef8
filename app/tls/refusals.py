"""Answers given by the HTTP layer itself, before any endpoint sees the request.

Constant bytes: nothing the client sent enters them. All end the connection.
"""

import json
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class Refusal:
    """One constant response."""

    status: HTTPStatus
    head: bytes
    """Status line and headers but for those the server adds to every response."""
    body: bytes

    def response(self, default_headers: list[tuple[bytes, bytes]]) -> bytes:
        """The whole response; `default_headers` is uvicorn's list, which holds ``Date``."""
        common = b"".join(b"%s: %s\r\n" % header for header in default_headers)
        return b"".join((self.head, common, b"\r\n", self.body))


class Refused(Exception):
    """This request ends here, with `refusal`."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status)
        self.refusal = refusal


def _refusal(status: HTTPStatus, description: str) -> Refusal:
    body = json.dumps(
        {"error": "invalid_request", "error_description": description}, separators=(",", ":")
    ).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "content-type: application/json\r\n"
        "cache-control: no-store\r\n"
        f"content-length: {len(body)}\r\n"
        "connection: close\r\n"
    ).encode()
    return Refusal(status, head, body)


MALFORMED = _refusal(HTTPStatus.BAD_REQUEST, "The request is malformed.")
TOO_SLOW = _refusal(HTTPStatus.REQUEST_TIMEOUT, "The request was not complete in time.")
BODY_TOO_LARGE = _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request body is too large.")
HEADERS_TOO_LARGE = _refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request headers are too large."
)
TOO_MANY_WAITING = _refusal(
    HTTPStatus.TOO_MANY_REQUESTS, "Too many requests wait on this connection."
)
