"""RFC 8705, Mutual-TLS Client Authentication and Certificate-Bound Access Tokens.

The certificates' own validity is tried by the dozen in tests/pki; here stands what the RFC says of
clients, tokens and metadata.
"""

import base64
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import JWKRegistry

from app import clock
from app.admin import certificates, identity, trust
from app.admin.authority import Request
from app.binding import mtls
from app.errors import Reason, Refused
from app.pki import check
from app.tls.peer import PeerCertificate
from tests.kit.asgi import Stage, make_home, peer_of, staged
from tests.kit.stages import template

SUBJECTS: dict[str, tuple[Request, str, Request]] = {
    "subject_dn": (
        Request(dn="CN=cron,OU=Batch,O=Example"),
        "CN=cron,OU=Batch,O=Example",
        Request(dn="O=Example,OU=Batch,CN=cron"),
    ),
    "san_dns": (
        Request(san_dns=("cron.example.com",)),
        "Cron.Example.COM",
        Request(san_dns=("x.cron.example.com",)),
    ),
    "san_uri": (
        Request(san_uri=("spiffe://example/cron",)),
        "spiffe://example/cron",
        Request(san_uri=("spiffe://example/cron/",)),
    ),
    "san_ip": (
        Request(san_ip=("2001:db8::1",)),
        "2001:0DB8:0:0::1",
        Request(san_ip=("2001:db8::2",)),
    ),
    "san_email": (
        Request(san_email=("cron@example.com",)),
        "cron@EXAMPLE.com",
        Request(san_email=("Cron@example.com",)),
    ),
}
"""Attribute to a certificate that has it, the registered text, and a certificate that has it not."""


def test_section_2_client_id_is_in_every_request(standing: Stage) -> None:
    """A certificate alone does not say which client asks: client_id is required beside it."""
    answer = standing.token(standing.bot, client_id="")
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_section_2_the_certificate_is_that_of_the_client_named(stage: Stage) -> None:
    """Another client's certificate authenticates nobody but that client."""
    other = stage.add_client("other")
    assert stage.token(other, client_id="other").status == 200
    answer = stage.token(other, client_id="bot")
    assert (answer.status, answer.json()["error"]) == (401, "invalid_client")
    assert stage.token(stage.bot, client_id="other").status == 401


@pytest.mark.parametrize("attribute", SUBJECTS)
def test_section_2_1_2_each_subject_attribute(stage: Stage, attribute: str) -> None:
    """A client is known by exactly one of five attributes; its certificate must carry that value."""
    fitting, text, other = SUBJECTS[attribute]
    stage.register("cron", identity.by_subject(attribute, text))
    assert stage.token(stage.issue("fitting", fitting), client_id="cron").status == 200
    answer = stage.token(stage.issue("other", other), client_id="cron")
    assert (answer.status, answer.json()["error"]) == (401, "invalid_client")
    entry = stage.explained(answer.json()["error_ref"])
    expected = Reason.DN_MISMATCH if attribute == "subject_dn" else Reason.SAN_MISMATCH
    assert entry["reason"] == expected


def test_section_2_1_2_a_value_of_another_type_does_not_count(stage: Stage) -> None:
    """The registered text in another field of the certificate, even the right one beside it, is none."""
    stage.register("cron", identity.by_subject("san_dns", "cron.example.com"))
    impostor = Request(
        dn="CN=cron.example.com",
        san_uri=("https://cron.example.com",),
        san_email=("x@cron.example.com",),
    )
    assert stage.token(stage.issue("impostor", impostor), client_id="cron").status == 401


def test_section_2_1_the_chain_is_validated(stage: Stage, tmp_path: Path) -> None:
    """The same name from a CA that is not trusted for this client authenticates nobody."""
    elsewhere = make_home(tmp_path / "elsewhere")
    stranger = peer_of(elsewhere / "certs" / "bot.crt")
    assert stage.token(stranger).status == 401
    trust.add(stage.desk, "partner", elsewhere / "certs" / "ca.crt")
    assert stage.token(stranger).status == 401
    partner = identity.by_certificate_name(elsewhere / "certs" / "bot.crt")
    stage.register("partner-bot", partner, trust_sets=("partner",))
    assert stage.token(stranger, client_id="partner-bot").status == 200
    assert stage.token(stage.bot, client_id="partner-bot").status == 401


def test_section_2_2_a_self_signed_certificate_is_compared_not_chained(stage: Stage) -> None:
    """Registered: accepted without any CA. The same name and another key: refused."""
    peer = stage.add_self_signed("solo")
    assert stage.token(peer, client_id="solo").status == 200
    twin = stage.issue("twin", Request(dn="CN=solo", self_signed=True))
    assert stage.token(twin, client_id="solo").status == 401


def test_section_2_2_the_method_follows_from_the_registration(stage: Stage) -> None:
    """A PKI certificate is no help at a self-signed client, nor the reverse."""
    peer = stage.add_self_signed("solo")
    assert stage.token(stage.bot, client_id="solo").status == 401
    assert stage.token(peer, client_id="bot").status == 401


def test_section_2_2_2_certificates_roll_over_by_overlap(stage: Stage) -> None:
    """Several certificates may be registered at once; a retired one stops at the next request."""
    first = stage.add_self_signed("solo")
    second = stage.issue("second", Request(dn="CN=solo", self_signed=True))
    assert stage.token(second, client_id="solo").status == 401
    certificates.add(stage.desk, "solo", stage.settings.home / "certs" / "second.crt")
    assert stage.token(first, client_id="solo").status == 200
    assert stage.token(second, client_id="solo").status == 200
    certificates.retire(stage.desk, "solo", first.thumbprint)
    assert stage.token(first, client_id="solo").status == 401
    assert stage.token(second, client_id="solo").status == 200


def test_section_2_2_2_certificates_in_a_jwk_set(stage: Stage, tmp_path: Path) -> None:
    """A registered JWK with x5c names one certificate; without it, the key and its certificates."""
    peer = stage.issue("solo", Request(dn="CN=solo", self_signed=True))
    renewed = _renewed(stage, "solo", tmp_path)
    with_x5c = _jwk(stage, "solo") | {"x5c": [base64.b64encode(peer.der).decode()]}
    for client_id, key, expected in (
        ("by-certificate", with_x5c, (200, 401)),
        ("by-key", _jwk(stage, "solo"), (200, 200)),
    ):
        path = tmp_path / f"{client_id}.json"
        path.write_text(json.dumps({"keys": [key]}))
        stage.register(client_id, identity.by_jwks(path))
        answers = tuple(stage.token(one, client_id=client_id).status for one in (peer, renewed))
        assert answers == expected


def test_section_3_tokens_are_bound_to_the_certificate_presented(stage: Stage) -> None:
    """The certificate of this very connection goes into the token, whatever is registered beside."""
    first = stage.add_self_signed("solo")
    second = stage.issue("second", Request(dn="CN=solo", self_signed=True))
    certificates.add(stage.desk, "solo", stage.settings.home / "certs" / "second.crt")
    for peer in (first, second):
        claims = stage.claims(stage.token(peer, client_id="solo"))
        assert claims["cnf"] == {"x5t#S256": peer.thumbprint}
        mtls.check(claims["cnf"], peer)
    with pytest.raises(Refused):
        mtls.check(stage.claims(stage.token(first, client_id="solo"))["cnf"], second)


def test_section_3_a_bound_token_is_of_type_bearer(standing: Stage) -> None:
    """The binding changes nothing about token_type."""
    assert standing.token(standing.bot).json()["token_type"] == "Bearer"  # noqa: S105 - a type


def test_section_3_1_the_confirmation_is_the_hash_of_the_certificate(standing: Stage) -> None:
    """x5t#S256: base64url of SHA-256 over the DER, 43 characters without padding, as openssl has it."""
    cnf = standing.claims(standing.token(standing.bot))["cnf"]
    assert cnf.keys() == {"x5t#S256"}
    assert len(cnf["x5t#S256"]) == 43
    path = standing.settings.home / "certs" / "bot.crt"
    der = subprocess.run(
        ["openssl", "x509", "-in", path, "-outform", "der"], capture_output=True, check=True
    ).stdout
    digest = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=")
    assert cnf["x5t#S256"] == digest.decode()
    printed = subprocess.run(
        ["openssl", "x509", "-in", path, "-noout", "-fingerprint", "-sha256"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    fingerprint = bytes.fromhex(printed.split("=")[1].strip().replace(":", ""))
    assert base64.urlsafe_b64encode(fingerprint).rstrip(b"=").decode() == cnf["x5t#S256"]


def test_section_3_2_introspection_tells_the_confirmation(standing: Stage) -> None:
    """The same ``cnf`` as in the token, for resources that read no JWT."""
    answer = standing.token(standing.bot)
    told = standing.introspect(answer.json()["access_token"]).json()
    assert told["cnf"] == standing.claims(answer)["cnf"] == {"x5t#S256": standing.bot.thumbprint}


def test_section_3_3_the_metadata_says_so(standing: Stage) -> None:
    """tls_client_certificate_bound_access_tokens is true, a boolean."""
    found = standing.ask("GET", "/.well-known/oauth-authorization-server").json()
    assert found["tls_client_certificate_bound_access_tokens"] is True


def test_section_5_aliases_are_for_endpoints_that_do_mutual_tls(tmp_path: Path) -> None:
    """mtls_endpoint_aliases repeats endpoint members with URLs of the other listener, no others."""
    flags = {"issuer": "https://as.example/t", "mtls_base_url": "https://mtls.as.example"}
    with staged(template(), tmp_path / "home", **flags) as stage:
        found = stage.ask("GET", "/.well-known/oauth-authorization-server/t").json()
    aliases = found["mtls_endpoint_aliases"]
    assert aliases == {
        "token_endpoint": "https://mtls.as.example/t/token",
        "introspection_endpoint": "https://mtls.as.example/t/introspect",
        "revocation_endpoint": "https://mtls.as.example/t/revoke",
    }
    for name, url in aliases.items():
        assert found[name].removeprefix("https://as.example") == url.removeprefix(
            "https://mtls.as.example"
        )


def test_section_5_the_ordinary_endpoint_serves_clients_that_know_no_alias(standing: Stage) -> None:
    """One token endpoint, whichever listener was asked: the application does not tell them apart."""
    for port in (8443, 9443):
        headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("host", f"localhost:{port}"),
        ]
        body = b"grant_type=client_credentials&client_id=bot"
        answer = standing.ask("POST", "/token", peer=standing.bot, headers=headers, body=body)
        assert answer.status == 200


def test_section_6_3_a_token_ends_with_its_certificate(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token never outlives the certificate it is bound to, since it would be of no use then."""
    not_after = check.describe(stage.bot.der).not_after
    for left in (100, 1):
        monkeypatch.setattr(clock, "now", lambda left=left: not_after - left)
        answer = stage.token(stage.bot)
        assert answer.json()["expires_in"] == left
        assert stage.claims(answer)["exp"] == not_after
    monkeypatch.setattr(clock, "now", lambda: not_after)
    assert stage.token(stage.bot).status == 401


def test_section_6_4_no_implicit_grant(standing: Stage) -> None:
    """Tokens come from the token endpoint alone, where a certificate can be seen."""
    answer = standing.ask("GET", "/authorize", query=b"response_type=token&client_id=bot")
    assert answer.status == 400
    assert b"access_token" not in answer.body


def test_section_7_4_the_chain_is_no_identity(stage: Stage) -> None:
    """Somebody else's certificate sent along as path material authenticates nobody."""
    other = stage.add_client("other")
    smuggled = stage.peer("other", with_chain=[stage.bot.der])
    assert stage.token(smuggled, client_id="bot").status == 401
    claims = stage.claims(stage.token(smuggled, client_id="other"))
    assert claims["cnf"] == {"x5t#S256": other.thumbprint}


def _jwk(stage: Stage, name: str) -> dict[str, Any]:
    """The public key of ``certs/<name>.key`` as a JWK."""
    pem = (stage.settings.home / "certs" / f"{name}.key").read_bytes()
    public: dict[str, Any] = dict(JWKRegistry.import_key(pem, "EC").as_dict(private=False))
    return public | {"kid": name}


def _renewed(stage: Stage, name: str, folder: Path) -> PeerCertificate:
    """Another self-signed certificate of the same key, as openssl makes it."""
    key = str(stage.settings.home / "certs" / f"{name}.key")
    path = folder / "renewed.crt"
    command = ["openssl", "req", "-x509", "-new", "-key", key, "-subj", f"/CN={name}"]
    subprocess.run([*command, "-out", str(path)], check=True, capture_output=True)
    return peer_of(path)
