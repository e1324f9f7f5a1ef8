"""A strict ``application/x-www-form-urlencoded`` body (RFC 6749 appendix B).

One meaning per request: nothing is read from the query, a name stands once (unless the endpoint
declares it repeatable), an empty value counts as absent (RFC 6749 section 3.2).
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from app.errors import Finding, InvalidRequest, PayloadTooLarge, Reason
from app.web import headers

MAX_BODY = 64 * 1024
"""Bytes. The longest sensible request (100 scopes, one resource) stays below 8 KiB."""
MAX_FIELDS = 100
MEDIA_TYPE = "application/x-www-form-urlencoded"
_NAMES = {name.encode(): name for name in ("grant_type", "client_id", "scope", "resource", "token")}
"""Those of nearly all fields."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of one request, decoded and non-empty."""

    values: Mapping[str, tuple[str, ...]]
    empty: frozenset[str] = frozenset()
    """Names that stood there without a value: absent (RFC 6749 section 3.2), unless a mistake."""

    def get(self, name: str) -> str | None:
        """The value of `name`, or None where it is absent."""
        found = self.values.get(name)
        return found[0] if found else None

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a repeatable `name`, in order."""
        return self.values.get(name, ())


def malformed(seen: str, expected: str) -> InvalidRequest:
    """The error for a body that is not what an OAuth endpoint reads."""
    return InvalidRequest(Finding("form", seen, expected, reason=Reason.REQUEST_MALFORMED))


async def read(request: Request, *, repeatable: Collection[str] = ()) -> Form:
    """The form of `request`.

    Raises:
        InvalidRequest: a query string, another media type, a repeated name, bytes that are not
            UTF-8, a control character, or more than `MAX_FIELDS` fields.
        PayloadTooLarge: more than `MAX_BODY` bytes; nothing has been decoded then.

    """
    if request.scope["query_string"]:
        raise malformed("a query string", "all parameters in the body")
    media_type = headers.values(request, b"content-type")
    if len(media_type) != 1 or not _is_form(media_type[0]):
        raise malformed(f"content type {media_type!r}", MEDIA_TYPE)
    return parse(await _body(request), repeatable=repeatable)


def _is_form(content_type: str) -> bool:
    if content_type == MEDIA_TYPE:
        return True
    essence, _, parameters = content_type.partition(";")
    charset = parameters.strip().lower().replace('"', "")
    return essence.strip().lower() == MEDIA_TYPE and charset in ("", "charset=utf-8")


async def _body(request: Request) -> bytes:
    body, more = b"", True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise malformed("the client went away", "a complete body")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise PayloadTooLarge(
                Finding(
                    "form",
                    f"more than {MAX_BODY} bytes",
                    f"at most {MAX_BODY} bytes",
                    reason=Reason.REQUEST_MALFORMED,
                )
            )
    return body


def parse(body: bytes, *, repeatable: Collection[str] = ()) -> Form:
    """Decode `body`; see `read` for what is refused."""
    fields = body.split(b"&") if body else []
    if len(fields) > MAX_FIELDS:
        raise malformed(f"{len(fields)} fields", f"at most {MAX_FIELDS}")
    seen: set[str] = set()
    values: dict[str, tuple[str, ...]] = {}
    for field in fields:
        raw_name, _, raw_value = field.partition(b"=")
        name = _NAMES.get(raw_name) or _decode(raw_name)
        value = _decode(raw_value)
        if name in seen and name not in repeatable:
            raise malformed(f"parameter {name!r} repeated", "each parameter once")
        seen.add(name)
        if value:
            values[name] = (*values.get(name, ()), value)
    return Form(values, frozenset(seen - values.keys()))


def _decode(raw: bytes) -> str:
    if raw.isascii() and b"%" not in raw and b"+" not in raw:
        plain = raw.decode("ascii")
        if plain.isprintable():
            return plain
    _check_escapes(raw)
    try:
        text = unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise malformed("bytes that are not UTF-8", "UTF-8") from None
    if _CONTROL.search(text):
        raise malformed("a control character", "printable text")
    return text


def _check_escapes(raw: bytes) -> None:
    # unquote_to_bytes leaves a broken escape as it stands: a second spelling of the same value.
    if _BROKEN_ESCAPE.search(raw):
        raise malformed("a broken percent escape", "%XX")
