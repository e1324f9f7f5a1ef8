"""What nobody can go below with these libraries: a signature, a handshake, and Python itself."""

import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from OpenSSL._util import lib

from app.tls import context

_PIECE = 65536


def signatures(count: int) -> float:
    """Ms of processor time per bare ES256 signature of what a token's claims weigh."""
    key, data = ec.generate_private_key(ec.SECP256R1()), b"x" * 480
    begun = time.thread_time_ns()
    for _ in range(count):
        key.sign(data, ec.ECDSA(hashes.SHA256()))
    return (time.thread_time_ns() - begun) / count / 1e6


class _Pair:
    __slots__ = ("number", "text")

    def __init__(self, number: int, text: str) -> None:
        self.number, self.text = number, text

    def named(self, width: int) -> str:
        return self.text[:width]


def interpreting(count: int) -> float:
    """Ms of processor time per 1,000 turns of a fixed piece of plain Python.

    No library, no kernel: objects, calls, strings, dictionaries. It tells one build of the
    interpreter from another, which a version number does not: with or without optimisation by
    profile, shared or not, instrumented or not.
    """
    found: dict[str, int] = {}
    begun = time.thread_time_ns()
    for turn in range(count * 1000):
        pair = _Pair(turn, str(turn))
        found[pair.named(2)] = pair.number
        head, _, tail = f"{turn}:{len(found)}".partition(":")
        found[head[:2]] = len(tail)
    return (time.thread_time_ns() - begun) / count / 1e6


def handshakes(certs: Path, client: str, count: int) -> tuple[float, float]:
    """Ms of processor time per TLS 1.3 handshake in memory: at the server's end, at the client's.

    Mutual and full, by the OpenSSL and the policy of certbound's listeners, with the key exchange
    that the load has; no certificate is judged, no socket is touched.
    """
    serving = context.build(certs / "server.crt", certs / "server.key")
    asking = SSL.Context(SSL.TLS_METHOD)
    asking.use_certificate_chain_file(str(certs / f"{client}.crt"))
    asking.use_privatekey_file(str(certs / f"{client}.key"))
    # pyOpenSSL has no method for it; a hybrid group, which the load does not offer, costs more.
    lib.SSL_CTX_set1_curves_list(asking._context, b"X25519")  # noqa: SLF001 - as above
    spent = [0, 0]
    for _ in range(count):
        ends = [SSL.Connection(serving), SSL.Connection(asking)]
        ends[0].set_accept_state()
        ends[1].set_connect_state()
        whole = [False, False]
        while not all(whole):
            for number in (1, 0):
                begun = time.thread_time_ns()
                whole[number] = whole[number] or _step(ends[number].do_handshake)
                sent = _sent(ends[number])
                spent[number] += time.thread_time_ns() - begun
                if sent:
                    ends[1 - number].bio_write(sent)
    return spent[0] / count / 1e6, spent[1] / count / 1e6


def _step(act: Callable[[], None]) -> bool:
    try:
        act()
    except SSL.WantReadError:
        return False
    return True


def _sent(end: SSL.Connection) -> bytes:
    try:
        return end.bio_read(_PIECE)
    except SSL.WantReadError:
        return b""
