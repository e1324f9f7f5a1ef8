"""A certificate spelled in BER where DER is demanded (X.690 section 10.1), sent in a real handshake.

Each spelling stands for one place: around the certificate, around its two other parts, and inside
the part that its issuer signed. Made by hand, signed as it is spelled, presented by tlslite.
"""

import base64
import hashlib
import socket
import ssl
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest
from OpenSSL import crypto

from app.pki import der
from tests.kit import ca, ledger, tokens
from tests.kit.octets import VERSIONS, answer_to
from tests.kit.presenting import token_request
from tests.kit.running import Running
from tests.kit.wire import TIMEOUT
from tests.kit.world import World

Spell = Callable[[bytes], bytes]
"""One DER element in, the same element in BER out."""


class Spelled(NamedTuple):
    """A good certificate, and the same one otherwise spelled."""

    honest: bytes
    sent: bytes


def padded(element: bytes) -> bytes:
    """Its length with a zero octet before it."""
    tag, content, _ = der.single(element)
    return bytes((tag, 0x83)) + len(content).to_bytes(3, "big") + content


def indefinite(element: bytes) -> bytes:
    """Its length not said, its end marked."""
    tag, content, _ = der.single(element)
    return bytes((tag, 0x80)) + content + b"\0\0"


def in_pieces(element: bytes) -> bytes:
    """A BIT STRING of two BIT STRINGs (X.690 section 8.6.4)."""
    content = der.single(element).content[1:]
    first = der.encode(der.BIT_STRING, b"\0" + content[:10])
    return der.encode(
        der.BIT_STRING | 0x20, first + der.encode(der.BIT_STRING, b"\0" + content[10:])
    )


def around(spell: Spell) -> Callable[[World], Spelled]:
    """The outermost element."""

    def make(world: World) -> Spelled:
        honest = world.root.sign(world.draft())
        return Spelled(honest, spell(honest))

    return make


def part(which: int, spell: Spell) -> Callable[[World], Spelled]:
    """The algorithm (1) or the signature (2), which nobody signed."""

    def make(world: World) -> Spelled:
        honest = world.root.sign(world.draft())
        parts = [each.encoded for each in der.inside(der.single(honest), der.SEQUENCE)]
        parts[which] = spell(parts[which])
        return Spelled(honest, der.encode(der.SEQUENCE, b"".join(parts)))

    return make


def signed_part(change: Callable[[bytes], bytes]) -> Callable[[World], Spelled]:
    """What the issuer signs, signed as it is spelled."""

    def make(world: World) -> Spelled:
        honest = world.root.sign(world.draft())
        tbs, algorithm, _ = (each.encoded for each in der.inside(der.single(honest), der.SEQUENCE))
        spelled = change(tbs)
        assert spelled != tbs
        made = ca.signature(world.root.key, spelled)
        return Spelled(honest, ca.assemble(spelled, algorithm, made))

    return make


def serial_padded(tbs: bytes) -> bytes:
    """The serial number with a length of two octets."""
    parts = [each.encoded for each in der.inside(der.single(tbs), der.SEQUENCE)]
    tag, content, _ = der.single(parts[1])
    parts[1] = bytes((tag, 0x81, len(content))) + content
    return der.encode(der.SEQUENCE, b"".join(parts))


def true_as_one(tbs: bytes) -> bytes:
    """The BOOLEAN of a critical extension as 1 instead of 255."""
    return tbs.replace(b"\x01\x01\xff", b"\x01\x01\x01", 1)


NORMALISED = {
    "around, length padded": around(padded),
    "around, length indefinite": around(indefinite),
    "algorithm, length padded": part(1, padded),
    "algorithm, length indefinite": part(1, indefinite),
    "signature, length padded": part(2, padded),
}
"""Outside of what the issuer signed: OpenSSL reads the good certificate and keeps none of this."""
KEPT = {
    "signed part, length padded": signed_part(padded),
    "signed part, length indefinite": signed_part(indefinite),
    "serial number, length padded": signed_part(serial_padded),
    "critical, not quite true": signed_part(true_as_one),
}
"""Inside: OpenSSL keeps these octets, so their spelling is seen, and refused."""


def x5t(octets: bytes) -> str:
    """RFC 8705 section 3.1."""
    return base64.urlsafe_b64encode(hashlib.sha256(octets).digest()).decode().rstrip("=")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", NORMALISED)
def test_a_token_names_the_der_form(server: Running, world: World, case: str, version: str) -> None:
    """Spelled otherwise outside of what was signed, it is the good certificate: to DER and hash."""
    honest, sent = NORMALISED[case](world)
    assert sent != honest
    request, key = token_request("dn"), ca.key(label="attacker")
    response = answer_to(server, [sent], request, honest=honest, key=key, version=version)
    assert response is not None
    token = response.json()["access_token"]
    assert tokens.read(token)["cnf"] == {"x5t#S256": x5t(honest)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", KEPT)
def test_what_was_signed_is_der(server: Running, world: World, case: str, version: str) -> None:
    """Signed as it is spelled, so that signature and key are right: it is refused all the same."""
    honest, sent = KEPT[case](world)
    request, key = token_request("dn"), ca.key(label="attacker")
    response = answer_to(server, [sent], request, honest=honest, key=key, version=version)
    assert response is not None
    assert response.status == 401
    assert ledger.reason(server, response.json()["error_ref"]) == "certificate_malformed"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_signature_in_pieces_is_none(server: Running, world: World, version: str) -> None:
    """OpenSSL puts the pieces together with what stands between them: no path, and no token."""
    honest, sent = part(2, in_pieces)(world)
    request, key = token_request("dn"), ca.key(label="attacker")
    response = answer_to(server, [sent], request, honest=honest, key=key, version=version)
    assert response is not None
    assert response.status == 401
    assert ledger.reason(server, response.json()["error_ref"]) == "chain_invalid"


@pytest.mark.parametrize("case", NORMALISED)
def test_every_verifier_computes_the_same(server: Running, world: World, case: str) -> None:
    """An API that ends TLS with Python's own `ssl`, OpenSSL of another version, has the same hash."""
    honest, sent = NORMALISED[case](world)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.file("server.crt"), server.file("server.key"))
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(world.root.certificate))
    seen: list[bytes | None] = []

    def serve(listening: socket.socket) -> None:
        with context.wrap_socket(listening.accept()[0], server_side=True) as connection:
            connection.recv(1 << 16)
            seen.append(connection.getpeercert(binary_form=True))
            connection.sendall(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(TIMEOUT)
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        there = cast("Running", SimpleNamespace(mtls_port=listening.getsockname()[1]))
        key = ca.key(label="attacker")
        answer_to(
            there, [sent], b"GET / HTTP/1.1\r\n\r\n", honest=honest, key=key, version="TLSv1.3"
        )
        thread.join(TIMEOUT)
    assert seen == [honest]
    loaded: Any = crypto.load_certificate(crypto.FILETYPE_ASN1, sent)
    assert crypto.dump_certificate(crypto.FILETYPE_ASN1, loaded) == honest
