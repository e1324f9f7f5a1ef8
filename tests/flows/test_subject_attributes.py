"""Clients of a CA, each by one of RFC 8705's five subject attributes, from issue to token."""

import ssl

import pytest

from tests.kit import ledger, tokens
from tests.kit.running import Running

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)

# attribute: options of `ca issue`, options of `client add` ({} is the key type, to tell them apart)
ATTRIBUTES: dict[str, tuple[list[str], list[str]]] = {
    "subject_dn": (
        ["--dn", r"CN=bot {},OU=a+OU=b,O=Müller\, Söhne,C=DE"],
        ["--subject-dn", r"/C=DE/O=Müller, Söhne/OU=b+OU=a/CN=bot {}"],
    ),
    "subject_dn_with_email": (
        ["--dn", "emailAddress=bot-{}@example.org,CN=mail bot,DC=example,DC=org"],
        [
            "--subject-dn",
            "DC = org, DC = example, CN = mail bot, emailAddress = bot-{}@example.org",
        ],
    ),
    "san_dns": (
        ["--san-dns", "other.example", "--san-dns", "Bot-{}.Example.COM"],
        ["--san-dns", "bot-{}.example.com"],
    ),
    "san_uri": (
        ["--san-uri", "spiffe://Example.org/ns/a/{}"],
        ["--san-uri", "spiffe://Example.org/ns/a/{}"],
    ),
    "san_ip": (["--san-ip", "2001:db8::{}"], ["--san-ip", "2001:0DB8:0:0:0:0:0:{}"]),
    "san_email": (
        ["--san-email", "Some.Bot.{}@Example.org"],
        ["--san-email", "Some.Bot.{}@example.ORG"],
    ),
}
NUMBER = {"ec": "ec", "rsa": "5a"}
"""Hexadecimal, so that it fits an address."""


def filled(options: list[str], key_type: str) -> list[str]:
    """The options for one key type."""
    return [option.replace("{}", NUMBER[key_type]) for option in options]


@pytest.mark.parametrize("key_type", ["ec", "rsa"])
@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_recognised_by_one_attribute(server: Running, attribute: str, key_type: str) -> None:
    """Registered in another spelling of the same value; tokens over TLS 1.2 and 1.3 alike."""
    issue, add = (filled(options, key_type) for options in ATTRIBUTES[attribute])
    name = f"{attribute}-{key_type}".replace("_", "-")
    server.certbound("ca", "issue", name, "--key-type", key_type, *issue)
    server.certbound("client", "add", name, *add)
    for version in VERSIONS:
        with server.client(name, version=version) as http:
            token = tokens.issued(tokens.ask(http, server.mtls_token_url, name))
            refused = tokens.ask(http, server.mtls_token_url, "bot")
        claims = tokens.verified(server, token)
        assert claims["sub"] == name
        row = ledger.token_row(server.home, claims["jti"])
        assert row is not None
        assert row.thumbprint == claims["cnf"]["x5t#S256"]
        assert ledger.reason(server, tokens.refused(refused)) == "san_mismatch"


def test_two_certificates_with_one_name_overlap(server: Running) -> None:
    """A renewed certificate with the same name works at once, beside the old one; cnf differs."""
    for name in ("renewed-old", "renewed-new"):
        server.certbound("ca", "issue", name, "--san-uri", "spiffe://dev.local/renewed")
    server.certbound("client", "add", "renewed", "--cert", str(server.file("renewed-old.crt")))
    found = [
        tokens.verified(server, tokens.issued(tokens.ask_as(server, name, "renewed")))
        for name in ("renewed-old", "renewed-new", "renewed-old")
    ]
    bound_to = [claims["cnf"]["x5t#S256"] for claims in found]
    assert bound_to[0] == bound_to[2] != bound_to[1]


def test_a_self_signed_certificate_never_passes_for_the_cas(server: Running) -> None:
    """The right name under nobody's signature is refused: the registration decides the method."""
    server.certbound(
        "ca", "issue", "pretender", "--san-uri", "spiffe://dev.local/bot", "--self-signed"
    )
    refused = tokens.ask_as(server, "pretender", "bot")
    assert ledger.reason(server, tokens.refused(refused)) == "issuer_unknown"
