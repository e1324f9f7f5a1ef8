"""`app.jose.jwks`: key sets from strangers, and our own."""

import base64
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from hypothesis import given
from hypothesis import strategies as st

from app.jose import base64url
from app.jose.algorithms import PrivateKey, public_jwk, spki
from app.jose.jwk import thumbprint
from app.jose.jwks import (
    MAX_SET,
    ServerKey,
    VerificationKeys,
    parse_client_jwks,
    parse_public_key,
    server_jwks,
)
from app.tls.peer import thumbprint as certificate_thumbprint

P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()
ACCEPTED: dict[str, PrivateKey] = {
    "P-256": P256,
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "RSA": RSA,
    "Ed25519": ED,
}
EC_JWK = public_jwk(P256.public_key())
RSA_JWK = public_jwk(RSA.public_key())
ED_JWK = public_jwk(ED.public_key())


def certificate(key: ec.EllipticCurvePrivateKey = P256) -> bytes:
    """A self-signed certificate over `key`, DER."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bot")])
    begin = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=365))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


DER = certificate()
X5C = [base64.b64encode(DER).decode()]


def parse(*keys: Any) -> Any:
    """Parse a set of these keys."""
    return parse_client_jwks(json.dumps({"keys": keys}).encode())


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_accepted_keys(name: str) -> None:
    """Every accepted kind yields its SubjectPublicKeyInfo and the digest of that."""
    public = ACCEPTED[name].public_key()
    (key,) = parse({**public_jwk(public), "kid": "1", "use": "sig", "alg": "whatever"})
    assert key.kid == "1"
    assert key.spki_der == spki(public)
    assert key.spki_sha256 == certificate_thumbprint(spki(public))
    assert key.certificate_der is None


def test_a_certificate_comes_along() -> None:
    """With x5c the key carries exactly that certificate."""
    (key,) = parse({**EC_JWK, "x5c": X5C, "x5t#S256": certificate_thumbprint(DER)})
    assert key.certificate_der == DER
    assert key.kid is None


def test_a_mapping_is_held_to_the_same_rules() -> None:
    """A set that was parsed already is read as strictly as octets."""
    assert parse_client_jwks({"keys": [EC_JWK]}) == parse(EC_JWK)
    with pytest.raises(ValueError, match="private"):
        parse_client_jwks({"keys": [{**EC_JWK, "d": "AA"}]})
    for value in ({"keys": [{"x": float("nan")}]}, {"keys": [object()]}, {"keys": {1, 2}}):
        with pytest.raises(ValueError, match="key set"):
            parse_client_jwks(value)


def test_encryption_keys_are_left_out() -> None:
    """A key for encryption authenticates nobody, and is no reason to refuse the others."""
    other = {"kty": "OKP", "crv": "X25519", "x": "A" * 43, "use": "enc"}
    assert len(parse(other, EC_JWK)) == 1
    with pytest.raises(ValueError, match="no key for signatures"):
        parse(other)


def test_an_empty_set_is_an_answer_only_if_asked() -> None:
    """Registering nothing is a mistake; publishing nothing withdraws everything."""
    with pytest.raises(ValueError, match="no key"):
        parse()
    assert parse_client_jwks(b'{"keys":[]}', allow_empty=True) == []


def test_twenty_keys_are_enough() -> None:
    """The twenty-first key is refused."""
    assert len(parse(*[EC_JWK] * 20)) == 20
    with pytest.raises(ValueError, match="21"):
        parse(*[EC_JWK] * 21)


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
@pytest.mark.parametrize("use", ["sig", "enc"])
def test_private_members_are_refused(member: str, use: str) -> None:
    """Whoever sends a private key by mistake is told that it is disclosed."""
    for jwk in (EC_JWK, RSA_JWK, ED_JWK):
        with pytest.raises(ValueError, match="disclosed") as caught:
            parse({**jwk, member: "c2VjcmV0", "use": use})
        assert "c2VjcmV0" not in str(caught.value)


def _with_n(bits: int) -> dict[str, str]:
    return {
        "kty": "RSA",
        "e": "AQAB",
        "n": base64url.encode(((1 << (bits - 1)) | 1).to_bytes((bits + 7) // 8, "big")).decode(),
    }


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "symmetric": ({"kty": "oct", "k": "c2VjcmV0"}, "symmetric"),
    "symmetric without k": ({"kty": "oct"}, "symmetric"),
    "no kty": ({"crv": "P-256"}, "unsupported"),
    "kty of another type": ({**EC_JWK, "kty": ["EC"]}, "unsupported"),
    "unknown kty": ({**EC_JWK, "kty": "AKP"}, "unsupported"),
    "kty in lower case": ({**EC_JWK, "kty": "ec"}, "unsupported"),
    "unknown curve": ({**EC_JWK, "crv": "secp256k1"}, "not a valid"),
    "curve of another key": ({**EC_JWK, "crv": "P-384"}, "not a valid"),
    "Ed448": (
        {
            "kty": "OKP",
            "crv": "Ed448",
            "x": base64url.encode(
                ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw()
            ).decode(),
        },
        "curve",
    ),
    "X25519": (
        {
            "kty": "OKP",
            "crv": "X25519",
            "x": base64url.encode(
                x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()
            ).decode(),
        },
        "curve",
    ),
    "Ed25519 too short": ({**ED_JWK, "x": "AAAA"}, "not a valid"),
    "no y": ({k: v for k, v in EC_JWK.items() if k != "y"}, "lacks"),
    "x of another type": ({**EC_JWK, "x": 5}, "lacks"),
    "point off the curve": ({**EC_JWK, "y": EC_JWK["x"]}, "not a valid"),
    "point at zero": ({**EC_JWK, "x": "A" * 43, "y": "A" * 43}, "not a valid"),
    "x padded": ({**EC_JWK, "x": EC_JWK["x"] + "="}, "not a valid"),
    "x with a zero in front": (
        {**EC_JWK, "x": base64url.encode(b"\0" + base64url.decode(EC_JWK["x"])).decode()},
        "32 octets",
    ),
    "RSA 1024": (_with_n(1024), "1024 bits"),
    "RSA 2047": (_with_n(2047), "2047 bits"),
    "RSA 8193": (_with_n(8193), "8193 bits"),
    "RSA 300000": (_with_n(300_000), "300000 bits"),
    "RSA without n": ({"kty": "RSA", "e": "AQAB"}, "lacks"),
    "RSA n empty": ({"kty": "RSA", "n": "", "e": "AQAB"}, "0 bits"),
    "RSA n no base64": ({"kty": "RSA", "n": "!", "e": "AQAB"}, "base64url"),
    "RSA e one": ({**RSA_JWK, "e": "AQ"}, "valid|exponent"),
    "RSA e even": ({**RSA_JWK, "e": "AQAA"}, "valid|exponent"),
    "RSA e zero": ({**RSA_JWK, "e": "AA"}, "valid|exponent"),
    "RSA e long": ({**RSA_JWK, "e": base64url.encode(b"\1" * 5).decode()}, "exponent"),
    "RSA e very long": ({**RSA_JWK, "e": base64url.encode(b"\1" * 250).decode()}, "valid|exponent"),
    "kid empty": ({**EC_JWK, "kid": ""}, "kid"),
    "kid a number": ({**EC_JWK, "kid": 1}, "kid"),
    "kid long": ({**EC_JWK, "kid": "k" * 257}, "kid"),
    "x5c of another key": (
        {
            **EC_JWK,
            "x5c": [
                base64.b64encode(certificate(ec.generate_private_key(ec.SECP256R1()))).decode()
            ],
        },
        "differs",
    ),
    "x5c null": ({**EC_JWK, "x5c": None}, "x5c"),
    "x5c empty": ({**EC_JWK, "x5c": []}, "x5c"),
    "x5c a string": ({**EC_JWK, "x5c": X5C[0]}, "x5c"),
    "x5c long": ({**EC_JWK, "x5c": X5C * 11}, "x5c"),
    "x5c a number": ({**EC_JWK, "x5c": [1]}, "x5c"),
    "x5c of nothing": ({**EC_JWK, "x5c": [""]}, "base64"),
    "x5c base64url": (
        {**EC_JWK, "x5c": [base64.urlsafe_b64encode(b"\xfb\xff\xfe").decode()]},
        "base64",
    ),
    "x5c in PEM": (
        {
            **EC_JWK,
            "x5c": [
                x509.load_der_x509_certificate(DER)
                .public_bytes(serialization.Encoding.PEM)
                .decode()
            ],
        },
        "PEM",
    ),
    "x5c with a line break": ({**EC_JWK, "x5c": [X5C[0][:64] + "\n" + X5C[0][64:]]}, "base64"),
    "x5c not DER": ({**EC_JWK, "x5c": ["AAAA"]}, "cannot be read"),
    "x5c with trailing octets": (
        {**EC_JWK, "x5c": [base64.b64encode(DER + b"\0\0\0").decode()]},
        "cannot be read",
    ),
    "x5t#S256 of another": ({**EC_JWK, "x5c": X5C, "x5t#S256": "A" * 43}, "x5t#S256"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_refused_keys(case: str) -> None:
    """Each defect is refused with a message that names it and the key's place."""
    jwk, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as caught:
        parse(EC_JWK, jwk)
    assert "key 2 of the key set" in str(caught.value)


def test_a_kid_is_given_once() -> None:
    """Two keys of one name are refused, also where one of them is for encryption."""
    with pytest.raises(ValueError, match="of another one"):
        parse({**EC_JWK, "kid": "a"}, {**ED_JWK, "kid": "a"})
    with pytest.raises(ValueError, match="of another one"):
        parse({**EC_JWK, "kid": "a", "use": "enc"}, {**ED_JWK, "kid": "a"})


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"", "not JSON"),
        (b"null", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"{}", "no array"),
        (b'{"keys":{}}', "no array"),
        (b'{"keys":[1]}', "key 1"),
        (b'{"keys":[],"keys":[]}', "'keys' twice"),
        (b'{"keys":[{"kty":"EC","kty":"oct"}]}', "'kty' twice"),
        (b'{"keys":[{"kty":NaN}]}', "NaN"),
        (b'{"keys":[{"kty":1e999}]}', "too large"),
        (b'{"keys":[{"kty":' + b"9" * 5000 + b"}]}", "too large"),
        (b'{"keys":' + b"[" * 20_000 + b"]" * 20_000 + b"}", "nested"),
        (b'{"keys":[{"kid":"\\udc00"}]}', "UTF-8"),
        ('{"keys":[]}'.encode("utf-16"), "UTF-8"),
        (b'{"keys":[]}' + b" " * MAX_SET, "larger"),
    ],
)
def test_refused_documents(document: bytes, message: str) -> None:
    """A set that is not one JSON object with one meaning is refused."""
    with pytest.raises(ValueError, match=message):
        parse_client_jwks(document)


@given(st.binary(max_size=200))
def test_random_octets_raise_only_value_errors(data: bytes) -> None:
    """No octets bring anything but a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011  # which one is up to the octets
        parse_client_jwks(data)


_text = st.text(max_size=8) | st.sampled_from(
    ["EC", "RSA", "OKP", "oct", "P-256", "AQAB", "Ed25519", *EC_JWK.values()]
)
_value = (
    _text
    | st.none()
    | st.integers()
    | st.lists(_text, max_size=2)
    | st.dictionaries(_text, _text, max_size=1)
)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "use", "x5c", "d"]), _value
        ),
        max_size=3,
    )
)
def test_random_keys_raise_only_value_errors(keys: list[Any]) -> None:
    """No combination of members brings anything but a ValueError or keys."""
    try:
        found = parse_client_jwks({"keys": keys})
    except ValueError as error:
        assert "key set" in str(error)  # noqa: PT017  # both outcomes are right
    else:
        assert found


def _pem(key: Any) -> bytes:
    data: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return data


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_a_public_key_file_in_three_forms(name: str) -> None:
    """PEM, DER and JWK of one key are the same registration."""
    key = ACCEPTED[name]
    forms = [_pem(key), b"\n" + _pem(key), spki(key.public_key())]
    forms.append(json.dumps(public_jwk(key.public_key())).encode())
    assert len({parse_public_key(form) for form in forms}) == 1


def test_a_key_file_made_by_openssl(tmp_path: Path) -> None:
    """What `openssl pkey -pubout` writes is read."""
    import subprocess  # noqa: PLC0415  # this test alone starts a program

    for make in (
        ["genpkey", "-algorithm", "ed25519"],
        ["ecparam", "-genkey", "-name", "prime256v1"],
    ):
        subprocess.run(
            ["openssl", *make, "-out", "key.pem"], cwd=tmp_path, check=True, capture_output=True
        )
        public = subprocess.run(
            ["openssl", "pkey", "-in", "key.pem", "-pubout"],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        ).stdout
        assert parse_public_key(public).spki_sha256
        with pytest.raises(ValueError, match="private key"):
            parse_public_key((tmp_path / "key.pem").read_bytes())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not readable"),
        (b"\x30\x00", "not readable"),
        (b"x" * 20_000, "larger"),
        (b"{", "JSON"),
        (b'{"keys":[]}', "--jwks"),
        (json.dumps({**EC_JWK, "d": "AA"}).encode(), "disclosed"),
        (x509.load_der_x509_certificate(DER).public_bytes(serialization.Encoding.PEM), "--cert"),
        (_pem(P256) * 2, "not readable"),
        (_pem(dsa.generate_private_key(2048)), "unsupported"),
        (_pem(ec.generate_private_key(ec.SECP256K1())), "secp256k1"),
        (_pem(ec.generate_private_key(ec.SECP224R1())), "secp224r1"),
        (_pem(ed448.Ed448PrivateKey.generate()), "unsupported"),
        (_pem(x25519.X25519PrivateKey.generate()), "unsupported"),
        (_pem(P256).replace(b"\n", b"\n!", 2), "not readable"),
    ],
)
def test_refused_key_files(data: bytes, message: str) -> None:
    """A file that is no single accepted public key is refused with a reason."""
    with pytest.raises(ValueError, match=message):
        parse_public_key(data)


@given(st.binary(max_size=120))
def test_random_key_files_raise_only_value_errors(data: bytes) -> None:
    """No octets bring anything but a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011  # which one is up to the octets
        parse_public_key(data)


def test_the_published_set_holds_public_members_only() -> None:
    """kid, use and alg are added; what is not public cannot get in."""
    document = json.loads(
        server_jwks([ServerKey("a", "ES256", EC_JWK), ServerKey("b", "RS256", RSA_JWK)])
    )
    assert [set(key) for key in document["keys"]] == [
        {"kty", "crv", "x", "y", "kid", "use", "alg"},
        {"kty", "n", "e", "kid", "use", "alg"},
    ]
    assert {key["use"] for key in document["keys"]} == {"sig"}
    with pytest.raises(ValueError, match="private"):
        server_jwks([ServerKey("a", "ES256", {**EC_JWK, "d": "AA"})])
    with pytest.raises(ValueError, match="same kid"):
        server_jwks([ServerKey("a", "ES256", EC_JWK), ServerKey("a", "EdDSA", ED_JWK)])


def test_verification_keys_are_only_those_we_know_how_to_use() -> None:
    """Unknown algorithms, missing kids and encryption keys are left out; misfits are refused."""
    keys = [
        {**EC_JWK, "kid": "a", "alg": "ES256"},
        {**EC_JWK, "kid": "b", "alg": "ES999"},
        {**EC_JWK, "alg": "ES256"},
        {**EC_JWK, "kid": "c", "alg": "ES256", "use": "enc"},
    ]
    found = VerificationKeys.parse(json.dumps({"keys": keys}).encode())
    assert len(found) == 1
    assert found.get("a")
    for bad in (
        [{**EC_JWK, "kid": "a", "alg": "RS256"}],
        [{**ED_JWK, "kid": "a", "alg": "ES256"}],
        [keys[0], keys[0]],
        [5],
        None,
    ):
        with pytest.raises(ValueError):  # noqa: PT011  # each has its own message
            VerificationKeys.parse(json.dumps({"keys": bad}).encode())


def test_kid_is_the_rfc_7638_thumbprint() -> None:
    """The example of RFC 7638 section 3.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRX"
        "jBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaS"
        "qzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksIN"
        "HaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    example = {"kty": "RSA", "n": modulus, "e": "AQAB"}
    assert thumbprint(example) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
