r"""Reading a distinguished name as people write or paste it, at registration only.

Three spellings, told apart by their look; the result is structure in encoding order:

- RFC 4514 ``CN=bot,O=Acme,C=US``: most specific first. Also with spaces after commas, lower-case
  keywords, ``E=``, dotted OIDs, ``#hex`` values, escapes and RFC 2253 quotes.
- OpenSSL's one-line ``subject=C = US, O = Acme, CN = bot``: encoding order, most specific *last*.
  Known by blanks around the first ``=``; or by the prefix ``subject=`` together with blanks after
  the commas (OpenSSL 3.2 and later print ``subject=C=US, O=Acme, CN=bot``).
- OpenSSL's slash form ``/C=US/O=Acme/CN=bot``: encoding order.

A bare ``C=US, O=Acme`` could be either comma form; it is read as RFC 4514, because that is the
specification, and a presented name that has the same attributes in the other order is named as a
near miss when it is refused. Never used on anything a certificate contains. Errors: ValueError.
"""

import re
from typing import NamedTuple

from app.pki import der
from app.pki.attribute_types import oid_of
from app.pki.characters import require_visible
from app.pki.dn import Attribute, Name, Rdn, value_of

MAX_TEXT = 4096  # characters; a name in the field has well under 500
MAX_RDNS = 50

_PREFIX = re.compile(r"subject\s*[=:]\s*", re.IGNORECASE)
_SPACED_TYPE = re.compile(r"[A-Za-z0-9.]+\s+=\s")
_TYPE = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*(?:\.[0-9.]+)?|[0-9][0-9.]*)\s*=")
_BLANK_COMMA = re.compile(r"(?<!\\), ")
_HEX_PAIR = re.compile(r"[0-9A-Fa-f]{2}")


class _Spelling(NamedTuple):
    """Which characters part RDNs, whether the most specific RDN comes first, and hex escapes with an x."""

    separators: str
    specific_first: bool
    x_escapes: bool = False


_RFC4514 = _Spelling(",;", specific_first=True)
_ONE_LINE = _Spelling(",", specific_first=False)
_SLASH = _Spelling("/", specific_first=False, x_escapes=True)


def parse(text: str) -> Name:
    """The Name that `text` writes. Raises ValueError with a message for people."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"a distinguished name of more than {MAX_TEXT} characters")
    spelling, body = _spelling(text.lstrip().rstrip("\r\n\t"))
    rdns = _rdns(body, spelling)
    if len(rdns) > MAX_RDNS:
        raise ValueError(f"a distinguished name of more than {MAX_RDNS} parts")
    return tuple(reversed(rdns)) if spelling.specific_first else tuple(rdns)


def _spelling(text: str) -> tuple[_Spelling, str]:
    prefix = _PREFIX.match(text)
    body = text[prefix.end() :] if prefix else text
    if not body.strip():
        raise ValueError("an empty distinguished name names nobody")
    if body.startswith("/"):
        return _SLASH, body[1:]
    if _SPACED_TYPE.match(body) or (prefix and _BLANK_COMMA.search(body)):
        return _ONE_LINE, body
    return _RFC4514, body


def _rdns(body: str, spelling: _Spelling) -> list[Rdn]:
    """Splits and reads in one pass, left to right."""
    rdns: list[Rdn] = []
    joined: list[Attribute] = []
    position = 0
    while True:
        head = _TYPE.match(body, position)
        if head is None:
            raise ValueError(_type_expected(body[position:], spelling))
        value, position = _value(body, head.end(), spelling)
        if not value:
            raise ValueError(f"{head[1]}= has no value")
        joined.append(Attribute(oid_of(head[1]), value))
        mark = body[position : position + 1]
        position += 1
        if mark == "+":
            continue
        rdns.append(tuple(joined))
        joined = []
        if not mark:
            return rdns


def _type_expected(rest: str, spelling: _Spelling) -> str:
    found = repr(rest[:30]) if rest.strip() else "nothing"
    escape = "\\/" if spelling is _SLASH else "\\, and \\+"
    return f"TYPE=value expected, found {found}; inside a value write {escape}"


def _value(body: str, start: int, spelling: _Spelling) -> tuple[str | bytes, int]:
    while body[start : start + 1] == " ":
        start += 1
    stops = spelling.separators + "+"
    if body[start : start + 1] == "#":
        end = start
        while end < len(body) and body[end] not in stops:
            end += 1
        return _hex_value(body[start + 1 : end].strip()), end
    if body[start : start + 1] == '"' and spelling is not _SLASH:
        raw, end = _scan(body, start + 1, '"', spelling)
        if body[end : end + 1] != '"':
            raise ValueError("a quoted value has no closing quote")
        end += 1
        while body[end : end + 1] == " ":
            end += 1
        if end < len(body) and body[end] not in stops:
            raise ValueError("text after a quoted value")
        return _utf8(raw), end
    raw, end = _scan(body, start, stops, spelling)
    return _utf8(raw), end


def _scan(body: str, position: int, stops: str, spelling: _Spelling) -> tuple[bytes, int]:
    """Octets up to the first unescaped stop; blanks before it count only when escaped or quoted."""
    octets = bytearray()
    solid = 0
    while position < len(body) and body[position] not in stops:
        character = body[position]
        if character == "\\":
            escaped, position = _escape(body, position + 1, spelling)
            octets += escaped
            solid = len(octets)
            continue
        octets += character.encode("utf-8", "surrogatepass")
        position += 1
        if character != " ":
            solid = len(octets)
    return bytes(octets if stops == '"' else octets[:solid]), position


def _escape(body: str, position: int, spelling: _Spelling) -> tuple[bytes, int]:
    if spelling.x_escapes and body[position : position + 1] == "x":
        position += 1
        if not _HEX_PAIR.match(body, position):
            raise ValueError("two hex digits must follow \\x")
    if _HEX_PAIR.match(body, position):
        return bytes.fromhex(body[position : position + 2]), position + 2
    if position >= len(body):
        raise ValueError("a backslash ends the distinguished name")
    return body[position].encode("utf-8", "surrogatepass"), position + 1


def _utf8(raw: bytes) -> str:
    try:
        return require_visible(raw.decode(), "the distinguished name")
    except UnicodeDecodeError as problem:
        raise ValueError("escaped octets in the distinguished name are not UTF-8") from problem


def _hex_value(digits: str) -> str | bytes:
    try:
        return value_of(der.single(bytes.fromhex(digits)))
    except ValueError as problem:
        raise ValueError(
            f"#{digits[:20]} is not the hex DER of a value ({problem}); "
            "a value that begins with # is written \\#"
        ) from problem
