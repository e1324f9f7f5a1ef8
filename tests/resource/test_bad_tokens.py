"""Tokens that must not pass, whoever holds them: 401, never 500, and nothing is fetched for them."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest

from app.jose import base64url
from app.jose.algorithms import ALGORITHMS
from app.jose.jwt import MAX_TOKEN
from app.resource import Presented, Rejected, Sent, Verdict
from app.resource.testing import Issuer
from tests.kit.stopwatch import cheapest
from tests.resource.desk import SCOPE, Desk

JWKS = "https://issuer.test/jwks"


def _part(members: object) -> str:
    text = members if isinstance(members, str) else json.dumps(members)
    return base64url.encode(text.encode()).decode()


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    header, claims, signature = token.split(".")
    return (
        json.loads(base64url.decode(header)),
        json.loads(base64url.decode(claims)),
        signature,
    )


def _with_header(desk: Desk, **members: Any) -> str:
    """A token whose header was changed after it was signed."""
    header, claims, signature = _parts(desk.token())
    changed = {k: v for k, v in {**header, **members}.items() if v is not None}
    return f"{_part(changed)}.{_part(claims)}.{signature}"


def _signed_by_attacker(desk: Desk, **header: Any) -> str:
    """A token that brings the attacker's own key, or points to it."""
    key = ALGORITHMS["ES256"].generate()
    real, claims, _ = _parts(desk.token())
    signed = f"{_part({**real, **header})}.{_part(claims)}"
    signature = ALGORITHMS["ES256"].signer(key)(signed.encode())
    return f"{signed}.{base64url.encode(signature).decode()}"


def _genuine_text(desk: Desk, claims: str) -> str:
    """Any text as claims, signed with the issuer's own key."""
    signer = desk.issuer.signer
    header = _part({"alg": "ES256", "typ": "at+jwt", "kid": signer.kid})
    signed = f"{header}.{_part(claims)}"
    made = signer._sign(signed.encode())
    return f"{signed}.{base64url.encode(made).decode()}"


def _hmac_with_public_key(desk: Desk) -> str:
    """RFC 8725 section 2.1: the public key taken for a shared secret."""
    _, claims, _ = _parts(desk.token())
    header = _part({"alg": "HS256", "typ": "at+jwt", "kid": desk.issuer.signer.kid})
    signed = f"{header}.{_part(claims)}".encode()
    secret = desk.issuer.documents[JWKS][1]
    mac = hmac.new(secret, signed, hashlib.sha256).digest()
    return f"{signed.decode()}.{base64url.encode(mac).decode()}"


def _doubled(desk: Desk, member: str) -> str:
    _, claims, _ = _parts(desk.token())
    return _genuine_text(desk, json.dumps(claims)[:-1] + f", {member}}}")


def _foreign(desk: Desk) -> str:
    """Another issuer's, under the name of this one."""
    return Issuer().token(desk.bot, scope="files:read")


FORGED: dict[str, Callable[[Desk], str]] = {
    "empty": lambda _: "",
    "one word": lambda _: "token",
    "two words": lambda d: f"{d.token()} {d.token()}",
    "two parts": lambda d: d.token().rpartition(".")[0],
    "four parts": lambda d: d.token() + ".x",
    "empty parts": lambda _: "..",
    "no signature": lambda d: d.token().rpartition(".")[0] + ".",
    "padding": lambda d: d.token() + "=",
    "not ASCII": lambda d: d.token() + "\xe9",
    "NUL": lambda d: d.token() + "\0",
    "PEM": lambda _: "-----BEGIN CERTIFICATE-----",
    "alg none": lambda d: _with_header(d, alg="none"),
    "alg None, no signature": lambda d: _with_header(d, alg="None").rpartition(".")[0] + ".",
    "alg absent": lambda d: _with_header(d, alg=None),
    "alg is a list": lambda d: _with_header(d, alg=["ES256"]),
    "another alg": lambda d: _with_header(d, alg="EdDSA"),
    "HMAC with the public key": _hmac_with_public_key,
    "jwk": lambda d: _signed_by_attacker(d, jwk={"kty": "EC"}),
    "jku": lambda d: _signed_by_attacker(d, jku="https://attacker.test/jwks"),
    "x5u": lambda d: _signed_by_attacker(d, x5u="https://attacker.test/cert"),
    "x5c": lambda d: _signed_by_attacker(d, x5c=["MII"]),
    "another key, known kid": _signed_by_attacker,
    "kid is a path": lambda d: _signed_by_attacker(d, kid="../../dev/null"),
    "kid is SQL": lambda d: _signed_by_attacker(d, kid="' OR 1=1 --"),
    "kid is a URL": lambda d: _signed_by_attacker(d, kid="https://attacker.test/jwks"),
    "kid absent": lambda d: _with_header(d, kid=None),
    "kid is a number": lambda d: _with_header(d, kid=1),
    "kid is long": lambda d: _signed_by_attacker(d, kid="k" * 5000),
    "crit unknown": lambda d: _with_header(d, crit=["x"], x=1),
    "crit empty": lambda d: _with_header(d, crit=[]),
    "b64 false": lambda d: _with_header(d, b64=False),
    "zip": lambda d: _with_header(d, zip="DEF"),
    "typ JWT": lambda d: _with_header(d, typ="JWT"),
    "typ absent": lambda d: _with_header(d, typ=None),
    "foreign": _foreign,
    "claims changed": lambda d: ".".join(
        (d.token().split(".")[0], _part({"aud": "https://api.test"}), d.token().split(".")[2])
    ),
    "duplicate member": lambda d: _doubled(d, '"client_id": "admin"'),
    "NaN": lambda d: _doubled(d, '"x": NaN'),
    "Infinity": lambda d: _doubled(d, '"x": -Infinity'),
    "exp 1e999": lambda d: _genuine_text(d, '{"exp": 1e999}'),
    "a lone surrogate": lambda d: _doubled(d, '"x": "\\ud800"'),
    "claims are a list": lambda d: _genuine_text(d, "[]"),
    "claims are no JSON": lambda d: _genuine_text(d, "{"),
    "claims nested deeply": lambda d: _genuine_text(d, '{"x":' + "[" * 2000 + "]" * 2000 + "}"),
}
"""How a token is wrong. Those that were changed after signing fail by that at the latest."""

WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "expired": {"lifetime": -61},
    "exp absent": {"exp": None},
    "exp is text": {"exp": "2999-01-01"},
    "exp is true": {"exp": True},
    "exp is a fraction": {"exp": 4e9},
    "exp beyond reason": {"exp": 10**15},
    "not yet valid": {"nbf": 4_000_000_000},
    "from the future": {"iat": 4_000_000_000},
    "another audience": {"aud": "https://other.test"},
    "two audiences": {"aud": ["https://api.test", "https://other.test"]},
    "one audience in a list": {"aud": ["https://api.test"]},
    "audience in another spelling": {"aud": "https://api.test/"},
    "audience absent": {"aud": None},
    "another issuer": {"iss": "https://issuer.test/"},
    "issuer absent": {"iss": None},
    "client_id absent": {"client_id": None},
    "client_id empty": {"client_id": ""},
    "sub absent": {"sub": None},
    "sub is a number": {"sub": 7},
    "jti absent": {"jti": None},
    "scope is a list": {"scope": ["files:read"]},
    "status absent": {"status": None},
    "status is text": {"status": "valid"},
    "status without list": {"status": {}},
    "status of another kind": {"status": {"identifier_list": {"id": "x", "uri": "y"}}},
}
"""Genuine signatures under claims that do not hold."""


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_token_is_refused(desk: Desk, case: str) -> None:
    """401 `invalid_token`; the holder's certificate does not help, and no URL in it is fetched."""
    assert desk.ask(desk.token()).status == 200
    fetched = len(desk.issuer.fetched)
    answer = desk.ask(FORGED[case](desk))
    assert (answer.status, answer.json()["error"]) == (401, "invalid_token")
    assert desk.last.verdict is Verdict.INVALID
    assert (desk.last.client_id, desk.last.jti, desk.last.bound_to) == (None, None, None)
    assert len(desk.issuer.fetched) == fetched


@pytest.mark.parametrize("case", WRONG_CLAIMS)
def test_claims_that_do_not_hold_are_refused(desk: Desk, case: str) -> None:
    """401 `invalid_token`, although the issuer's own key signed it."""
    answer = desk.ask(desk.token(**WRONG_CLAIMS[case]))
    assert (answer.status, answer.json()["error"]) == (401, "invalid_token")
    assert desk.last.verdict is Verdict.INVALID


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_huge_part_is_not_even_hashed(desk: Desk, part: int) -> None:
    """Five megabytes are refused by their size, for less than a millisecond of work."""
    parts = desk.token().split(".")
    parts[part] = base64.urlsafe_b64encode(b"x" * 3_932_160).decode()
    token = ".".join(parts)
    assert len(token) > 5_000_000 > MAX_TOKEN
    assert desk.ask(token).status == 401
    assert desk.last.reason == "token size"
    raw = token.encode()

    def judge() -> None:
        with pytest.raises(Rejected):
            desk.verifier.verify(Sent((b"Bearer " + raw,)), Presented(None))

    assert cheapest(judge) < 0.02


def test_a_flood_of_unknown_keys_costs_one_fetch(desk: Desk) -> None:
    """A hundred tokens with a hundred invented key ids make the key set be fetched once in ten seconds."""
    assert desk.ask(desk.token()).status == 200
    desk.now.ahead += 11
    strangers = [_signed_by_attacker(desk, kid=f"kid-{number}") for number in range(100)]
    assert {desk.ask(token).status for token in strangers} == {401}
    assert desk.issuer.fetched.count(JWKS) == 2
    desk.now.ahead += 11
    assert desk.ask(strangers[0]).status == 401
    assert desk.issuer.fetched.count(JWKS) == 3


def test_a_new_key_is_found(desk: Desk) -> None:
    """After a rotation the first token of the new key is accepted at once."""
    assert desk.ask(desk.token()).status == 200
    desk.issuer.rotate()
    desk.now.ahead += 11
    assert desk.ask(desk.token()).status == 200


def test_a_key_withdrawn_takes_its_tokens_with_it(desk: Desk) -> None:
    """A token that was accepted, and is remembered, falls when its key leaves the set."""
    token = desk.token()
    assert desk.ask(token).status == 200
    desk.issuer.rotate(keep=False)
    desk.now.ahead += 11
    assert desk.ask(desk.token()).status == 200
    assert desk.ask(token).status == 401


def test_a_remembered_token_still_ends(desk: Desk) -> None:
    """Dates are looked at each time, not only when the signature is."""
    token = desk.token(lifetime=100)
    assert desk.ask(token).status == 200
    desk.now.ahead = 159
    assert desk.ask(token).status == 200
    desk.now.ahead = 161
    assert desk.ask(token).status == 401
    assert desk.last.reason == "token exp"


def test_another_algorithm_has_to_be_pinned() -> None:
    """Each algorithm works where it is the one pinned, and only there."""
    for algorithm in ALGORITHMS:
        issuer = Issuer(algorithm=algorithm)
        desk = Desk({"algorithm": algorithm}, issuer)
        assert desk.ask(desk.token()).status == 200
        other = "ES256" if algorithm != "ES256" else "EdDSA"
        assert Desk({"algorithm": other}, issuer).ask(desk.token()).status == 401


def test_a_token_for_another_purpose_is_no_access_token(desk: Desk) -> None:
    """RFC 9068 section 4: signed by the same key for the same audience, but of another type."""
    cnf = {"x5t#S256": desk.bot.thumbprint}
    listed = desk.issuer.status_list(aud="https://api.test", iss="https://issuer.test", cnf=cnf)
    assert desk.ask(listed).status == 401
    assert desk.last.reason == "token typ"


@pytest.mark.parametrize("blank", ["\u00a0", "\u2003", "\t", "\n", "\x1c"])
def test_only_a_space_parts_scopes(desk: Desk, blank: str) -> None:
    """RFC 6749 section 3.3: another blank is part of a name, which is then not the one needed."""
    assert desk.ask(desk.token(scope=f"{SCOPE}{blank}files:write")).status == 403
    assert desk.ask(desk.token(scope=f"  files:write  {SCOPE} ")).status == 200
