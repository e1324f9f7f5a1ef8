"""`app.jose.jwt`: what is signed verifies elsewhere too, and nothing else verifies here."""

import base64
import hashlib
import hmac
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import JWKRegistry

from app.errors import Reason
from app.jose import base64url
from app.jose.algorithms import ALGORITHMS, PrivateKey, public_jwk, spki
from app.jose.jwk import thumbprint
from app.jose.jwks import ServerKey, VerificationKeys, server_jwks
from app.jose.jwt import (
    MAX_TOKEN,
    InvalidToken,
    Signer,
    UnknownKey,
    VerifiedClaims,
    check_dates,
    unverified,
    verify,
    verify_document,
)
from tests.kit.stopwatch import cheapest

NOW = 1_800_000_000
ISSUER = "https://as.example"
AUDIENCE = "https://api.example"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "bot",
    "aud": AUDIENCE,
    "client_id": "bot",
    "iat": NOW,
    "exp": NOW + 300,
    "jti": "s6BhdRkqt3",
    "cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
}


class Issuer:
    """One key of one algorithm, with its published set."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.private: PrivateKey = ALGORITHMS[algorithm].generate()
        self.public = public_jwk(self.private.public_key())
        self.kid = thumbprint(self.public)
        self.document = server_jwks([ServerKey(self.kid, algorithm, self.public)])
        self.keys = VerificationKeys.parse(self.document)
        self.signer = Signer(self.kid, algorithm, self.private)

    def sign_raw(self, header: bytes, payload: bytes) -> str:
        """A token genuinely signed over any header and payload."""
        signed = base64url.encode(header) + b"." + base64url.encode(payload)
        signature = ALGORITHMS[self.algorithm].signer(self.private)(signed)
        return (signed + b"." + base64url.encode(signature)).decode()

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """The same over JSON values; `header` adds to or replaces what `Signer` writes."""
        full = {"alg": self.algorithm, "typ": "at+jwt", "kid": self.kid, **header}
        return self.sign_raw(json.dumps(full).encode(), json.dumps(claims).encode())

    def verify(self, token: str | bytes, **changes: Any) -> VerifiedClaims:
        """`verify` as this issuer's resource would call it."""
        wanted: dict[str, Any] = {
            "keys": self.keys,
            "algorithm": self.algorithm,
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "now": NOW,
        }
        return verify(token, **(wanted | changes))


ISSUERS = {name: Issuer(name) for name in ALGORITHMS}
ES = ISSUERS["ES256"]


@pytest.fixture(params=sorted(ISSUERS))
def issuer(request: pytest.FixtureRequest) -> Issuer:
    """Each algorithm in turn."""
    return ISSUERS[request.param]


def test_what_is_signed_verifies(issuer: Issuer) -> None:
    """A token of our own comes back with its claims and key id."""
    verified = issuer.verify(issuer.signer.sign(CLAIMS))
    assert verified.claims == CLAIMS
    assert verified.kid == issuer.kid


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated:joserfc.errors.SecurityWarning")
def test_another_library_agrees(issuer: Issuer) -> None:
    """The verification of joserfc accepts our token and reads the same header."""
    key = JWKRegistry.import_key(dict(issuer.public))
    token = jws.deserialize_compact(issuer.signer.sign(CLAIMS), key, [issuer.algorithm])
    assert json.loads(token.payload or b"") == CLAIMS
    assert token.headers() == {"alg": issuer.algorithm, "typ": "at+jwt", "kid": issuer.kid}


def test_openssl_agrees(issuer: Issuer, tmp_path: Path) -> None:
    """The openssl command verifies the signature over the octets RFC 7515 says are signed."""
    signed, _, signature = issuer.signer.sign(CLAIMS).rpartition(".")
    raw = base64url.decode(signature)
    if issuer.algorithm == "ES256":
        assert len(raw) == 64
        half = (int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        raw = encode_dss_signature(*half)
    (tmp_path / "key").write_bytes(
        issuer.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    (tmp_path / "signature").write_bytes(raw)
    (tmp_path / "signed").write_text(signed)
    options = {
        "ES256": ["-digest", "sha256"],
        "EdDSA": [],
        "RS256": ["-digest", "sha256"],
        "PS256": [
            *("-digest", "sha256"),
            *("-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:32"),
        ],
    }[issuer.algorithm]
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key", "-rawin"]
    command += ["-in", "signed", "-sigfile", "signature", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Verified Successfully" in done.stdout + done.stderr


def test_a_signer_needs_a_fitting_key() -> None:
    """A key of another kind, or an RSA key where a curve is needed, makes no signer."""
    for name, other in (
        ("ES256", "EdDSA"),
        ("EdDSA", "ES256"),
        ("RS256", "ES256"),
        ("ES256", "RS256"),
    ):
        with pytest.raises(ValueError, match="not one for"):
            Signer("kid", name, ISSUERS[other].private)


def test_a_signer_refuses_what_json_does_not_know() -> None:
    """NaN never leaves in a token."""
    with pytest.raises(ValueError, match="JSON"):
        ES.signer.sign({"exp": float("nan")})


def test_a_signer_shows_no_key() -> None:
    """The private key is not in the signer's repr."""
    assert "0x" in repr(ES.signer)
    assert "key" not in repr(ES.signer).lower()


def refused(token: str | bytes, check: str, **changes: Any) -> InvalidToken:
    """The refusal of `token`, which must name `check`."""
    with pytest.raises(InvalidToken) as caught:
        ES.verify(token, **changes)
    assert caught.value.finding.check == f"token {check}"
    assert not caught.value.finding.passed
    return caught.value


def test_alg_none_is_refused() -> None:
    """An unsigned token is no token, however `none` is spelt."""
    payload = base64url.encode(json.dumps(CLAIMS).encode()).decode()
    for spelling in ("none", "None", "NONE", "nOnE", "", None):
        header = json.dumps({"alg": spelling, "typ": "at+jwt", "kid": ES.kid}).encode()
        for signature in ("", "AA"):
            refused(f"{base64url.encode(header).decode()}.{payload}.{signature}", "alg")
    refused(ES.signer.sign(CLAIMS), "alg", algorithm="none")


def test_hmac_with_the_public_key_is_refused() -> None:
    """The classic confusion: the public key, in any form, is no HMAC secret."""
    pem = ES.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for secret in (pem, spki(ES.private.public_key()), ES.document, json.dumps(ES.public).encode()):
        header = {"alg": "HS256", "typ": "at+jwt", "kid": ES.kid}
        signed = b".".join(base64url.encode(json.dumps(part).encode()) for part in (header, CLAIMS))
        tag = hmac.digest(secret, signed, hashlib.sha256)
        token = (signed + b"." + base64url.encode(tag)).decode()
        refused(token, "alg")
        refused(token, "alg", algorithm="HS256")


def test_another_algorithm_of_the_same_key_is_refused() -> None:
    """A PS256 token does not pass where RS256 is pinned, nor the reverse."""
    ring = ISSUERS["RS256"]
    other = Signer(ring.kid, "PS256", ring.private)
    with pytest.raises(InvalidToken):
        ring.verify(other.sign(CLAIMS))
    with pytest.raises(InvalidToken):
        ring.verify(other.sign(CLAIMS), algorithm="PS256")


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip"])
def test_headers_that_change_the_rules_are_refused(name: str) -> None:
    """Even genuinely signed, a header that brings keys, URLs or new rules is refused."""
    values: dict[str, Any] = {
        "jwk": ES.public,
        "jku": "https://127.0.0.1:1/",
        "x5u": "https://127.0.0.1:1/",
        "x5c": ["MIIB"],
        "crit": [],
        "b64": True,
        "zip": "DEF",
    }
    refused(ES.sign({name: values[name]}, CLAIMS), "header")
    refused(ES.sign({name: None}, CLAIMS), "header")


def test_an_unknown_crit_is_refused() -> None:
    """RFC 7515 section 4.1.11: what is critical and not understood ends it."""
    refused(ES.sign({"crit": ["exp2"], "exp2": 1}, CLAIMS), "header")


@pytest.mark.parametrize(
    "kid",
    [
        None,
        "",
        0,
        True,
        [],
        {},
        "x" * 257,
        "../../../dev/null",
        "' UNION SELECT 'secret",
        "https://127.0.0.1:1/jwks",
        "\x00",
    ],
)
def test_kid_only_names_a_published_key(kid: object) -> None:
    """A kid is looked up in the set and used for nothing else."""
    refused(ES.sign({"kid": kid}, CLAIMS), "kid")


def test_a_missing_kid_is_refused() -> None:
    """With one key in the set too: the token says which key, nobody guesses."""
    header = {"alg": "ES256", "typ": "at+jwt"}
    refused(ES.sign_raw(json.dumps(header).encode(), json.dumps(CLAIMS).encode()), "kid")


def test_a_stranger_under_our_kid_is_refused() -> None:
    """A genuine signature by a key that is not the named one."""
    refused(Signer(ES.kid, "ES256", ALGORITHMS["ES256"].generate()).sign(CLAIMS), "signature")


@pytest.mark.parametrize(
    "typ",
    [None, "", "JWT", "jwt", "at+jwt2", "application/jwt", "application/application/at+jwt", 1],
)
def test_another_typ_is_refused(typ: object) -> None:
    """An ID token or anything else of ours is no access token (RFC 9068 section 4)."""
    refused(ES.sign({"typ": typ}, CLAIMS), "typ")


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_typ_is_a_media_type(typ: str) -> None:
    """Case and the application/ prefix do not matter (RFC 7515 section 4.1.9)."""
    assert ES.verify(ES.sign({"typ": typ}, CLAIMS)).kid == ES.kid


@pytest.mark.parametrize(
    "aud",
    [None, "", AUDIENCE + "/", AUDIENCE.upper(), [AUDIENCE], [AUDIENCE, "x"], [], {AUDIENCE: 1}, 1],
)
def test_another_audience_is_refused(aud: object) -> None:
    """Exactly one audience, exactly ours, as a string; lists that contain it do not count."""
    refused(ES.sign({}, {**CLAIMS, "aud": aud}), "aud")


@pytest.mark.parametrize("iss", [None, "", ISSUER + "/", ISSUER.upper(), [ISSUER], 1])
def test_another_issuer_is_refused(iss: object) -> None:
    """The issuer is compared character by character."""
    refused(ES.sign({}, {**CLAIMS, "iss": iss}), "iss")


def test_missing_claims_are_refused() -> None:
    """iss, aud and exp are required."""
    for name in ("iss", "aud", "exp"):
        refused(ES.sign({}, {k: v for k, v in CLAIMS.items() if k != name}), name)


def test_dates_have_a_minute_of_leeway() -> None:
    """A clock 60 s off is tolerated on either side, one more second is not."""
    token = ES.signer.sign({**CLAIMS, "nbf": NOW})
    assert ES.verify(token, now=NOW + 300 + 59).claims["exp"] == NOW + 300
    assert refused(token, "exp", now=NOW + 300 + 60).finding.reason is Reason.EXPIRED
    assert ES.verify(token, now=NOW - 60).claims["nbf"] == NOW
    assert refused(token, "nbf", now=NOW - 61).finding.reason is Reason.NOT_YET_VALID
    refused(ES.signer.sign(CLAIMS), "iat", now=NOW - 61)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value",
    [
        "1e30",
        "1e400",
        "1800000300.5",
        "1.8e9",
        '"1800000300"',
        "null",
        "true",
        "[]",
        "-1",
        "253402300800",
    ],
)
def test_dates_are_plain_seconds(name: str, value: str) -> None:
    """Dates that are no whole seconds before the year 10000 are refused."""
    rest = json.dumps({k: v for k, v in CLAIMS.items() if k != name})
    payload = f'{rest[:-1]}, "{name}": {value}}}'
    header = json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": ES.kid})
    with pytest.raises(InvalidToken):
        ES.verify(ES.sign_raw(header.encode(), payload.encode()))


@pytest.mark.parametrize(
    "extra",
    [
        '"exp": 1800000300',
        '"aud": "https://api.example"',
        '"x": NaN',
        '"x": Infinity',
        '"x": -Infinity',
        '"x": 1e999',
        '"x": 123456789012345678901234567890',
        '"x": "\\ud800"',
        '"x": {"a": 1, "a": 1}',
        '"x": ' + "[" * 1000 + "]" * 1000,
        '"\\u0061ud": "https://other.example"',
    ],
)
def test_json_with_two_meanings_is_refused(extra: str) -> None:
    """Members twice, numbers that are none, text that is none: genuinely signed, yet refused."""
    rest = json.dumps(CLAIMS)
    header = json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": ES.kid})
    refused(ES.sign_raw(header.encode(), f"{rest[:-1]}, {extra}}}".encode()), "form")
    refused(ES.sign_raw(f"{header[:-1]}, {extra}, {extra}}}".encode(), rest.encode()), "form")


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"1", b'"x"', b"null", b"{", b"{}x", b"\xff", b"\xef\xbb\xbf{}"]
)
def test_payloads_that_are_no_object_are_refused(payload: bytes) -> None:
    """Claims are one JSON object in UTF-8, nothing around it."""
    refused(ES.sign_raw(json.dumps({"alg": "ES256"}).encode(), payload), "form")


def test_utf_16_is_not_guessed() -> None:
    """The standard parser would read UTF-16; RFC 8259 does not."""
    header = json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": ES.kid}).encode()
    refused(ES.sign_raw(header, json.dumps(CLAIMS).encode("utf-16")), "form")


def _other_spellings(token: str) -> list[str]:
    header, payload, signature = token.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    stray = chr(ord(signature[-1]) + 1)
    assert base64.urlsafe_b64decode(signature[:-1] + stray + "==") == raw
    return [
        f"{token}.",
        f".{token}",
        f"{header}.{payload}",
        f"{header}..{signature}",
        f"{token}==",
        f"{token}\n",
        f" {token}",
        f"{header}.{payload}\n.{signature}",
        f"{header}.{payload}.{signature[:-1]}{stray}",
        f"{header}.{payload}.{signature[:4]}\n{signature[4:]}",
        # the other alphabet shows only where a signature has its letters: this one ends in "+//+"
        f"{header}.{payload}.{base64.b64encode(raw[:60] + bytes.fromhex('fbfffe')).decode()}",
        f"{header}.{payload}.é{signature}",
        json.dumps({"protected": header, "payload": payload, "signature": signature}),
        "",
        ".",
        "..",
        "....",
    ]


def test_a_token_has_one_spelling() -> None:
    """Padding, white space, stray bits and other forms of the same token are refused."""
    token = ES.signer.sign(CLAIMS)
    assert ES.verify(token.encode()).claims == CLAIMS
    for spelling in _other_spellings(token):
        refused(spelling, "form")


@pytest.mark.parametrize(
    "signature", [b"", b"\0" * 64, b"\xff" * 64, b"\0" * 63, b"\0" * 65, b"\1" * 72]
)
def test_degenerate_signatures_are_refused(signature: bytes) -> None:
    """Zero, oversized and misshapen ECDSA values are no signature (CVE-2022-21449)."""
    signed, _, _ = ES.signer.sign(CLAIMS).rpartition(".")
    refused(f"{signed}.{base64url.encode(signature).decode()}", "signature")


def test_a_der_signature_is_refused() -> None:
    """ES256 is r and s side by side, not DER."""
    signed, _, signature = ES.signer.sign(CLAIMS).rpartition(".")
    raw = base64url.decode(signature)
    half = (int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    refused(f"{signed}.{base64url.encode(encode_dss_signature(*half)).decode()}", "signature")


@pytest.mark.parametrize(
    "make",
    [
        lambda big: f"{big}.e30.AA",
        lambda big: f"e30.{big}.AA",
        lambda big: f"e30.e30.{big}",
        lambda big: big,
        lambda big: "." * len(big),
    ],
)
def test_five_megabytes_cost_nothing(make: Callable[[str], str]) -> None:
    """The size is looked at before anything else."""
    token = make("A" * 5_000_000)
    assert cheapest(lambda: refused(token, "size")) < 0.01


@pytest.mark.parametrize("position", range(3))
def test_every_part_is_covered(position: int) -> None:
    """One character changed anywhere and the token does not hold."""
    parts = ES.signer.sign(CLAIMS).split(".")
    for at in range(0, len(parts[position]) - 1, 7):
        part = parts[position]
        changed = part[:at] + ("A" if part[at] != "A" else "B") + part[at + 1 :]
        token = ".".join([*parts[:position], changed, *parts[position + 1 :]])
        with pytest.raises(InvalidToken):
            ES.verify(token)


def test_unverified_shows_and_caps() -> None:
    """Header and claims of any token can be shown, under the same caps and strictness."""
    header, claims = unverified(ES.sign({"alg": "none", "jku": "https://x"}, {"a": 1}))
    assert header["jku"] == "https://x"
    assert claims == {"a": 1}
    for token in ("", "e30.e30", "A" * 20_000, "e30.W10.AA", b"\xff.\xff.\xff"):
        with pytest.raises(InvalidToken):
            unverified(token)


def test_findings_quote_little() -> None:
    """What a stranger wrote is cut short in the finding."""
    error = refused(ES.sign({"kid": "k" * 200}, CLAIMS), "kid")
    assert len(error.finding.seen) <= 80


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_random_tokens_raise_nothing_else(token: bytes | str) -> None:
    """Whatever octets or characters arrive, `InvalidToken` is the only answer."""
    with pytest.raises(InvalidToken):
        ES.verify(token)
    with pytest.raises(InvalidToken):
        unverified(token)


@given(
    st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "x"]), _json),
    _json,
    st.binary(max_size=70),
)
def test_random_parts_raise_nothing_else(header: Any, claims: Any, signature: bytes) -> None:
    """The same with well-formed parts of random content."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    with pytest.raises(InvalidToken):
        ES.verify(b".".join(base64url.encode(part) for part in parts))


@given(st.dictionaries(st.sampled_from([*CLAIMS, "nbf", "x"]), _json))
def test_random_signed_claims_raise_nothing_else(claims: dict[str, Any]) -> None:
    """The same where the signature is genuine: claims verify or are refused."""
    token = ES.sign({}, {**CLAIMS, **claims})
    try:
        verified = ES.verify(token)
    except InvalidToken:
        return
    assert verified.claims["aud"] == AUDIENCE


@given(st.binary(max_size=200))
def test_base64url_is_a_bijection(data: bytes) -> None:
    """Encoding and decoding are inverse, and agree with the standard library."""
    text = base64url.encode(data)
    assert base64url.decode(text) == data
    assert text == base64.urlsafe_b64encode(data).rstrip(b"=")


def test_a_document_needs_no_audience() -> None:
    """It has a type of its own, may be larger, and everything else counts as for a token."""
    issuer = Issuer("ES256")
    signer = Signer(issuer.kid, "ES256", issuer.private, "list+jwt")
    claims = {"iat": NOW, "exp": NOW + 60, "lst": "x" * MAX_TOKEN}
    wanted: dict[str, Any] = {
        "keys": issuer.keys,
        "algorithm": "ES256",
        "typ": "list+jwt",
        "now": NOW,
        "at_most": 3 * MAX_TOKEN,
    }
    document = signer.sign(claims)
    assert verify_document(document, **wanted).claims == claims
    for token, changes in (
        (document, {"at_most": len(document) - 1}),
        (document, {"now": NOW + 120}),
        (document, {"typ": "at+jwt"}),
        (document, {"keys": Issuer("ES256").keys}),
        (signer.sign({"iat": NOW}), {}),
    ):
        with pytest.raises(InvalidToken):
            verify_document(token, **{**wanted, **changes})


def test_an_unknown_key_is_told_apart() -> None:
    """Only there newer keys may help: not where the key is known and the signature false."""
    issuer, other = Issuer("ES256"), Issuer("ES256")
    with pytest.raises(UnknownKey):
        issuer.verify(other.signer.sign(CLAIMS))
    with pytest.raises(InvalidToken) as caught:
        issuer.verify(other.sign({"kid": issuer.kid}, CLAIMS))
    assert not isinstance(caught.value, UnknownKey)


def test_dates_can_be_looked_at_again() -> None:
    """A token that was good ends by the same rule as at first."""
    verified = VerifiedClaims("kid", CLAIMS)
    check_dates(verified, NOW + 359)
    with pytest.raises(InvalidToken) as caught:
        check_dates(verified, NOW + 360)
    assert caught.value.finding.reason is Reason.EXPIRED
