"""A certificate may name as many URLs as it likes: none of them is ever contacted."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from tests.kit import ca, ledger, tokens
from tests.kit.issuing import issue
from tests.kit.presenting import presenting, token_request
from tests.kit.running import Running
from tests.kit.timed import eventually
from tests.kit.world import Credential, World, full_of_urls

PATIENCE = 1.0
"""Seconds to wait for a connection made behind the answer."""


@dataclass
class Trap:
    """A listener that counts who connects."""

    port: int
    connections: int = 0


@contextlib.contextmanager
def trap() -> Iterator[Trap]:
    """A port of 127.0.0.1 that accepts, counts, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        set_up = Trap(listener.getsockname()[1])
        done = threading.Event()

        def accept() -> None:
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    listener.accept()[0].close()
                    set_up.connections += 1

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield set_up
        finally:
            done.set()
            thread.join(60)


def bait(port: int) -> tuple[x509.ExtensionType, ...]:
    """Every extension that names a URL which a careless validator would follow."""

    def uri(path: str) -> x509.UniformResourceIdentifier:
        return x509.UniformResourceIdentifier(f"http://127.0.0.1:{port}/{path}")

    def point(path: str) -> x509.DistributionPoint:
        return x509.DistributionPoint([uri(path)], None, None, None)

    access = AuthorityInformationAccessOID
    policy = x509.PolicyInformation(
        x509.ObjectIdentifier("1.2.3.4"), [f"http://127.0.0.1:{port}/cps"]
    )
    return (
        x509.CRLDistributionPoints([point("crl")]),
        x509.FreshestCRL([point("delta")]),
        x509.AuthorityInformationAccess(
            [
                x509.AccessDescription(access.OCSP, uri("ocsp")),
                x509.AccessDescription(access.CA_ISSUERS, uri("issuer")),
            ]
        ),
        x509.CertificatePolicies([policy]),
        x509.SubjectAlternativeName([uri("san"), x509.DNSName("bait.example")]),
    )


def test_the_trap_counts() -> None:
    """The control: a connection is noticed."""
    with trap() as waiting:
        socket.create_connection(("127.0.0.1", waiting.port)).close()
        eventually(lambda: waiting.connections)
    assert waiting.connections == 1


def test_no_url_of_a_certificate_is_contacted(server: Running) -> None:
    """By a CA or self-signed, let in or refused, registered or shown to the doctor: nobody calls."""
    folder = server.home / "certs"
    with trap() as waiting:
        extensions = bait(waiting.port)
        issue(folder, "bait-ca", extensions=extensions)
        issue(folder, "bait-own", extensions=extensions, self_signed=True)
        issue(folder, "bait-ended", extensions=extensions, seconds=-5)
        issue(folder, "bait-stranger", extensions=extensions, self_signed=True)
        san = f"http://127.0.0.1:{waiting.port}/san"
        server.certbound("client", "add", "bait-ca", "--san-uri", san)
        server.certbound(
            *("client", "add", "bait-own", "--method", "self_signed_tls_client_auth"),
            *("--cert", str(folder / "bait-own.crt")),
        )
        for name, client_id, reason in (
            ("bait-ca", "bait-ca", None),
            ("bait-own", "bait-own", None),
            ("bait-ca", "bot", "san_mismatch"),
            ("bait-ended", "bait-ca", "expired"),
            ("bait-stranger", "bait-ca", "issuer_unknown"),
            ("bait-stranger", "bait-own", "thumbprint_unregistered"),
        ):
            response = tokens.ask_as(server, name, client_id)
            if reason is None:
                tokens.issued(response)
            else:
                assert ledger.reason(server, tokens.refused(response)) == reason
        server.certbound("doctor", "cert", str(folder / "bait-ca.crt"), check=False)
        time.sleep(PATIENCE)
    assert waiting.connections == 0


def test_a_missing_intermediate_is_not_fetched(
    server: Running, world: World, tmp_path: Path
) -> None:
    """A chain with a gap is refused, though the leaf says where the missing certificate is."""
    with trap() as waiting:
        complete = full_of_urls(world, f"http://127.0.0.1:{waiting.port}")
        draft = world.draft(*map(ca.extension, bait(waiting.port)))
        gap = Credential((world.issuing.sign(draft),), ca.key(label="attacker"))
        answers = []
        for credential in (complete, gap):
            with presenting(server, credential, tmp_path) as connection:
                answers.append(connection.send(token_request("dn")))
        assert [answer.status for answer in answers] == [200, 401]
        assert ledger.reason(server, answers[1].json()["error_ref"]) == "issuer_unknown"
        time.sleep(PATIENCE)
    assert waiting.connections == 0
