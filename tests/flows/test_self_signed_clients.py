"""Clients without a CA: by registered certificate, by registered key, by key set."""

import json
import ssl
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, RSAKey

from tests.kit import ledger, tokens
from tests.kit.issuing import issue, key_of
from tests.kit.running import Running

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
SELF_SIGNED = ("--method", "self_signed_tls_client_auth")


def own_certificate(server: Running, name: str, key_type: str = "ec") -> Path:
    """A self-signed certificate from the command line."""
    server.certbound("ca", "issue", name, "--self-signed", "--key-type", key_type)
    return server.file(f"{name}.crt")


def works(server: Running, name: str, client_id: str) -> str:
    """The thumbprint that a token for this certificate is bound to, over both TLS versions."""
    bound_to = set()
    for version in VERSIONS:
        with server.client(name, version=version) as http:
            token = tokens.issued(tokens.ask(http, server.mtls_token_url, client_id))
        bound_to.add(tokens.verified(server, token)["cnf"]["x5t#S256"])
    [thumbprint] = bound_to
    return str(thumbprint)


def why_not(server: Running, name: str, client_id: str) -> str:
    """The reason of the refusal."""
    return ledger.reason(server, tokens.refused(tokens.ask_as(server, name, client_id)))


@pytest.mark.parametrize("key_type", ["ec", "rsa"])
def test_by_certificate_with_overlap(server: Running, key_type: str) -> None:
    """Register, add the next one, use both, retire the first: from then on only the second counts."""
    client_id = f"own-{key_type}"
    old, new = (own_certificate(server, f"{client_id}-{n}", key_type) for n in ("old", "new"))
    server.certbound("client", "add", client_id, *SELF_SIGNED, "--cert", str(old))
    thumbprint = works(server, old.stem, client_id)
    assert why_not(server, new.stem, client_id) == "thumbprint_unregistered"
    server.certbound("client", "cert", "add", client_id, str(new))
    assert works(server, old.stem, client_id) == thumbprint != works(server, new.stem, client_id)
    server.certbound("client", "cert", "retire", client_id, thumbprint)
    assert why_not(server, old.stem, client_id) == "certificate_retired"
    works(server, new.stem, client_id)
    states = server.certbound_json("client", "cert", "list", client_id)["credentials"]
    assert [each["state"] for each in states] == ["retired", "active"]


def test_a_certificate_registered_for_later_waits(server: Running) -> None:
    """Before ``--activate-at`` it is refused; one that ends before that is not even registered."""
    now, later = (own_certificate(server, f"planned-{n}") for n in ("now", "later"))
    server.certbound("client", "add", "planned", *SELF_SIGNED, "--cert", str(now))
    at = ("--activate-at", "2099-01-01T00:00:00Z")
    command = ("client", "cert", "add", "planned")
    with pytest.raises(AssertionError, match="would never be accepted"):
        server.certbound(*command, str(later), *at)
    issue(server.home / "certs", "planned-long", seconds=100 * 365 * 86400, self_signed=True)
    server.certbound(*command, str(server.file("planned-long.crt")), *at)
    works(server, "planned-now", "planned")
    assert why_not(server, "planned-long", "planned") == "certificate_not_active"


@pytest.mark.parametrize("key_type", ["ec", "rsa"])
def test_by_key(server: Running, key_type: str) -> None:
    """The client renews its certificate as it likes; a certificate over another key is refused."""
    name = f"keyed-{key_type}"
    first = own_certificate(server, name, key_type)
    public = server.file(f"{name}.pub")
    command = ["openssl", "pkey", "-in", str(first.with_suffix(".key")), "-pubout", "-out"]
    subprocess.run([*command, str(public)], check=True, timeout=60)
    server.certbound("client", "add", name, *SELF_SIGNED, "--public-key", str(public))
    issue(server.home / "certs", f"{name}-renewed", key=key_of(first), self_signed=True)
    own_certificate(server, f"{name}-impostor", key_type)
    assert works(server, name, name) != works(server, f"{name}-renewed", name)
    assert why_not(server, f"{name}-impostor", name) == "thumbprint_unregistered"


def test_a_registered_key_is_vouched_for_by_itself_only(server: Running) -> None:
    """The right key in a certificate that somebody else signed, be it our CA, is refused."""
    own = own_certificate(server, "keyed-by-ca")
    public = server.file("keyed-by-ca.pub")
    command = ["openssl", "pkey", "-in", str(own.with_suffix(".key")), "-pubout", "-out"]
    subprocess.run([*command, str(public)], check=True, timeout=60)
    server.certbound("client", "add", "keyed-by-ca", *SELF_SIGNED, "--public-key", str(public))
    issue(server.home / "certs", "keyed-by-ca-issued", key=key_of(own))
    works(server, "keyed-by-ca", "keyed-by-ca")
    assert why_not(server, "keyed-by-ca-issued", "keyed-by-ca") == "thumbprint_unregistered"


@pytest.mark.parametrize("key_type", ["ec", "rsa"])
def test_by_key_set_with_certificate(server: Running, key_type: str) -> None:
    """With ``x5c`` in the key set the very certificate counts, not every one over its key."""
    name = f"set-{key_type}"
    first = own_certificate(server, name, key_type)
    document = server.file(f"{name}.json")
    document.write_text(json.dumps({"keys": [jwk_with_certificate(first)]}))
    server.certbound("client", "add", name, *SELF_SIGNED, "--jwks", str(document))
    works(server, name, name)
    issue(server.home / "certs", f"{name}-renewed", key=key_of(first), self_signed=True)
    assert why_not(server, f"{name}-renewed", name) == "thumbprint_unregistered"


def test_a_ca_certificate_may_be_registered_and_vouches_for_nobody(server: Running) -> None:
    """Only this very certificate counts, whoever issued it: another of the same CA is refused."""
    for name in ("pinned", "pinned-sibling"):
        server.certbound("ca", "issue", name, "--dn", "CN=pinned")
    server.certbound(
        "client", "add", "pinned", *SELF_SIGNED, "--cert", str(server.file("pinned.crt"))
    )
    works(server, "pinned", "pinned")
    assert why_not(server, "pinned-sibling", "pinned") == "thumbprint_unregistered"


def jwk_with_certificate(certificate: Path) -> dict[str, object]:
    """The public JWK of a certificate's key, with the certificate in ``x5c``."""
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    pem = certificate.with_suffix(".key").read_bytes()
    kind = RSAKey if b"RSA" in pem or len(pem) > 1000 else ECKey
    public = kind.import_key(pem).as_dict(private=False)
    return {**public, "kid": certificate.stem, "x5c": [b64encode(der).decode()]}
