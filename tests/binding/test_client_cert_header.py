"""Certificate headers of proxies: one certificate, none, or a refusal; never a guess."""

import base64
import contextlib
import hashlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.binding.client_cert_header import FORMS, MAX_HEADER, nginx, require_bounded, rfc9440
from app.errors import Reason, Refused
from app.tls.presented import pem
from tests.kit.certs import pki
from tests.kit.stopwatch import cheapest

DER = pki().clients["pki"].der
FIELD = b":" + base64.b64encode(DER) + b":"
ESCAPED = quote(pem(DER), safe="").encode()
NOTHING = hashlib.sha256(b"").hexdigest().encode()

MALFORMED = [
    FIELD[1:],
    FIELD[:-1],
    FIELD + b", " + FIELD,
    FIELD + b";a=1",
    b":" + FIELD + b":",
    b": " + FIELD[1:],
    b":" + base64.urlsafe_b64encode(b"\x30\x03\xfb\xff\xbf") + b":",
    b":" + base64.b64encode(DER)[:-4] + b":",
    b":" + base64.b64encode(DER + b"\0") + b":",
    b":" + base64.b64encode(DER[:-1]) + b":",
    b":" + base64.b64encode(pem(DER).encode()) + b":",
    b":" + base64.b64encode(b"\x31" + DER[1:]) + b":",
    b":" + base64.b64encode(b"\x30\x84\0\0\0\x01\0") + b":",
    b":" + base64.b64encode(b"\x30\x81\x01\0") + b":",
    b":" + base64.b64encode(b"\x30\x80\0\0") + b":",
    b":" + base64.b64encode(b"\x30\0") + b":",
    b":!!!!:",
    b":",
    b'"' + base64.b64encode(DER) + b'"',
    ESCAPED,
    b":" + b"A" * MAX_HEADER + b":",
    b"\xff",
]
NO_PEM = [
    pem(DER) + pem(DER),
    "x" + pem(DER),
    pem(DER) + "x",
    pem(DER).replace("CERTIFICATE", "X509 CRL"),
    pem(DER).replace("A", "*", 1),
    pem(DER)[:-20],
    pem(DER).removeprefix("-----BEGIN CERTIFICATE-----") + " " * 64,
    "-----BEGIN CERTIFICATE-----END CERTIFICATE-----",
    "-----BEGIN CERTIFICATE-----",
    base64.b64encode(DER).decode(),
    "%ZZ",
]


def reason(form: str, *values: bytes) -> Reason | None:
    """Why these values are refused."""
    with pytest.raises(Refused) as caught:
        FORMS[form][1](values)
    return caught.value.finding.reason


def test_a_certificate_comes_out_as_it_went_in() -> None:
    """RFC 9440 section 2.1, and what nginx writes; spaces around it do not matter."""
    assert rfc9440([FIELD]) == rfc9440([b" " + FIELD + b"\t"]) == DER
    assert nginx([ESCAPED]) == DER
    assert nginx([quote(pem(DER), safe="+/=: ").encode()]) == DER


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "value", [b"", b" ", b"(null)", b"::", b"NONE", b"-", NOTHING, NOTHING.upper()]
)
def test_the_many_ways_to_say_none(form: str, value: bytes) -> None:
    """Proxies without a client certificate send these; so does one that sends no header at all."""
    decode = FORMS[form][1]
    assert decode([value]) is None
    assert decode([]) is None


def test_an_empty_envelope_is_none() -> None:
    """Caddy and others write the PEM lines around nothing."""
    empty = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
    assert nginx([quote(empty).encode()]) is None


@pytest.mark.parametrize("form", FORMS)
def test_two_headers_are_refused(form: str) -> None:
    """Also equal ones, and also where one of them is empty."""
    value = FIELD if form == "rfc9440" else ESCAPED
    assert reason(form, value, value) is Reason.HEADER_DUPLICATE
    assert reason(form, value, b"") is Reason.HEADER_DUPLICATE


@pytest.mark.parametrize("case", range(len(MALFORMED)))
def test_everything_else_is_malformed(case: int) -> None:
    """Lists, parameters, other alphabets, trailing octets, PEM, lengths that are not DER, too much."""
    assert reason("rfc9440", MALFORMED[case]) is Reason.HEADER_MALFORMED


@pytest.mark.parametrize("case", range(len(NO_PEM)))
def test_what_is_no_single_pem_is_malformed(case: int) -> None:
    """Two certificates, text around them, another kind, or none of that."""
    assert reason("nginx", quote(NO_PEM[case], safe="").encode()) is Reason.HEADER_MALFORMED


def test_a_plus_sign_is_a_plus_sign() -> None:
    """It stands for itself in base64, also where a proxy does not escape it."""
    der = b"\x30\x82\x01\x00" + b"\xf8" * 256
    assert b"+" in base64.b64encode(der)
    assert nginx([quote(pem(der), safe="+").encode()]) == der


@pytest.mark.parametrize(
    "value",
    [
        b"-----BEGIN CERTIFICATE-----" + b" " * 32_000 + b"!",
        b"-----BEGIN CERTIFICATE-----" + b"A\n" * 16_000 + b"!",
        b"-----BEGIN CERTIFICATE-----" + b" " * 32_000 + b"!-----END CERTIFICATE-----",
        b"-" * 32_000,
    ],
)
def test_what_is_not_closed_is_refused_in_one_pass(value: bytes) -> None:
    """Blanks up to the cap cost no more than a certificate does: nobody stops the event loop."""
    assert cheapest(lambda: reason("nginx", value)) < 0.1


def test_a_chain_is_bounded() -> None:
    """It is never used, but not without limit either."""
    require_bounded([FIELD, FIELD])
    with pytest.raises(Refused):
        require_bounded([b"x" * MAX_HEADER, b"x"])


@given(st.binary(max_size=200), st.sampled_from(sorted(FORMS)))
def test_no_octets_do_more_than_be_refused(value: bytes, form: str) -> None:
    """Whatever stands there: DER, none, or `Refused`."""
    with contextlib.suppress(Refused):
        found = FORMS[form][1]([value])
        assert found is None or found[0] == 0x30
