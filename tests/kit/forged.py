"""Strings that look like tokens of an issuer and are none: one per way to try it.

`forgeries` takes a genuine token apart and puts it together wrongly; `Forger` signs anything with
the issuer's own key, for what a signature alone does not tell.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from app.jose import base64url, jwt
from app.jose.algorithms import ALGORITHMS, public_jwk
from app.jose.jwk import thumbprint
from app.jose.jwt import Signer

Members = dict[str, Any]


def encoded(value: object) -> str:
    """One part of a token; text is taken as it is."""
    text = value if isinstance(value, str) else json.dumps(value)
    return base64url.encode(text.encode()).decode()


@dataclass(frozen=True)
class Forger:
    """Has the issuer's signing key, and says with it what it likes."""

    signer: Signer

    def sign(self, header: Members | str, claims: Members | str) -> str:
        """Genuinely signed, whatever it says."""
        signed = f"{encoded(header)}.{encoded(claims)}"
        signature = self.signer._sign(signed.encode())  # what no code of ours would sign
        return f"{signed}.{base64url.encode(signature).decode()}"

    def odd(self, token: str) -> dict[str, str]:
        """Tokens with a good signature that must not count, made from the good `token`."""
        header, claims = jwt.unverified(token)
        plain = json.dumps(claims)

        def with_header(**more: Any) -> str:
            return self.sign(header | more, claims)

        def with_claims(**more: Any) -> str:
            return self.sign(header, claims | more)

        def without(name: str) -> str:
            return self.sign(header, {key: claims[key] for key in claims if key != name})

        return {
            "unknown crit": with_header(crit=["exp"]),
            "jwk": with_header(jwk={"kty": "oct", "k": "AA"}),
            "jku": with_header(jku="https://127.0.0.1:1/jwks"),
            "x5u": with_header(x5u="https://127.0.0.1:1/x5u"),
            "x5c": with_header(x5c=["MAA="]),
            "zip": with_header(zip="DEF"),
            "b64": with_header(b64=False),
            "alg of no key": with_header(alg="RS256"),
            "alg none": with_header(alg="none"),
            "no alg": self.sign({key: header[key] for key in ("typ", "kid")}, claims),
            "a kid of nobody": with_header(kid="nobody"),
            "a kid with a path": with_header(kid="../../etc/passwd"),
            "a kid with SQL": with_header(kid="' OR 1=1 --"),
            "a kid that is a number": with_header(kid=1),
            "no kid": self.sign({key: header[key] for key in ("typ", "alg")}, claims),
            "typ JWT": with_header(typ="JWT"),
            "no typ": self.sign({key: header[key] for key in ("alg", "kid")}, claims),
            "a status list token": with_header(typ="statuslist+jwt"),
            "an introspection JWT": with_header(typ="token-introspection+jwt"),
            "a logout token": with_header(typ="logout+jwt"),
            "another issuer": with_claims(iss="https://evil.example"),
            "no issuer": without("iss"),
            "audience array": with_claims(aud=[claims["aud"]]),
            "no audience": without("aud"),
            "expired": with_claims(exp=claims["iat"] - 1),
            "exp in text": with_claims(exp=str(claims["exp"])),
            "exp true": with_claims(exp=True),
            "exp of another age": with_claims(exp=10**18),
            "no exp": without("exp"),
            "issued in an hour": with_claims(iat=claims["iat"] + 3600),
            "not before an hour": with_claims(nbf=claims["iat"] + 3600),
            "no iat": without("iat"),
            "no cnf": without("cnf"),
            "an empty cnf": with_claims(cnf={}),
            "another cnf": with_claims(cnf={"jkt": "x"}),
            "two cnf": with_claims(cnf=claims["cnf"] | {"jkt": "x"}),
            "cnf in text": with_claims(cnf=claims["cnf"]["x5t#S256"]),
            "no jti": without("jti"),
            "a jti of nobody": with_claims(jti="nobody"),
            "a jti that is a list": with_claims(jti=[claims["jti"]]),
            "another client": with_claims(client_id="other"),
            "another resource": with_claims(aud="https://other.example"),
            "another subject": with_claims(sub="other"),
            "more scope": with_claims(scope="everything"),
            "another certificate": with_claims(cnf={"x5t#S256": "A" * 43}),
            "a longer life": with_claims(exp=claims["exp"] + 60),
            "a member twice": self.sign(header, plain[:-1] + ', "client_id": "bot"}'),
            "a header member twice": self.sign(
                json.dumps(header)[:-1] + ', "typ": "at+jwt"}', claims
            ),
            "NaN": self.sign(header, plain[:-1] + ', "x": NaN}'),
            "a number too large": self.sign(header, plain[:-1] + ', "x": 1e999}'),
            "nested": self.sign(header, plain[:-1] + ', "x": ' + "[" * 600 + "]" * 600 + "}"),
            "an array": self.sign(header, json.dumps([claims])),
            "no JSON": self.sign(header, "exp"),
            "a lone surrogate": self.sign(header, plain[:-1] + ', "x": "\\ud800"}'),
        }


def forgeries(token: str, jwks: bytes) -> dict[str, str]:
    """Tokens without a good signature, made from the good `token` and what is published."""
    header, claims = jwt.unverified(token)
    first, second, third = token.split(".")
    [key] = [one for one in json.loads(jwks)["keys"] if one["kid"] == header["kid"]]
    strange = ALGORITHMS["ES256"].generate()
    jwk = public_jwk(strange.public_key())
    stranger = Forger(Signer(thumbprint(jwk), "ES256", strange))
    unsigned = encoded(header | {"alg": "none"})
    return {
        "nothing but dots": "..",
        "one part": first,
        "two parts": f"{first}.{second}",
        "four parts": f"{token}.{third}",
        "five parts, like a JWE": f"{token}.{third}.{third}",
        "no signature": f"{first}.{second}.",
        "alg none": f"{unsigned}.{second}.",
        "alg none with the signature": f"{unsigned}.{second}.{third}",
        "alg NoNe": f"{encoded(header | {'alg': 'NoNe'})}.{second}.",
        "alg is a list": f"{encoded(header | {'alg': ['ES256']})}.{second}.{third}",
        "another payload": f"{first}.{encoded(claims | {'scope': 'admin'})}.{third}",
        "a signature of zeros": f"{first}.{second}.{base64url.encode(bytes(64)).decode()}",
        "a signature cut": token[:-4],
        "another spelling": f"{first}.{second}.{third[:-1]}{_next(third[-1])}",
        "padding": token + "=",
        "white space": f" {token} ",
        "Bearer before it": f"Bearer {token}",
        "another alphabet": token.replace("_", "/").replace("-", "+") + "+/",
        "no ASCII": token + "é",
        "a key of its own": stranger.sign(header, claims),
        "a key of its own, in the header": stranger.sign(header | {"jwk": jwk}, claims),
        "a key of its own, with its kid": stranger.sign(
            header | {"kid": stranger.signer.kid}, claims
        ),
        **{f"HS256 with {name}": _hmac(header, second, secret) for name, secret in _secrets(key)},
        "20 KB of claims": f"{first}.{second + 'A' * 20_000}.{third}",
        "60 KB of dots": "." * 60_000,
        "60 KB of letters": "A" * 60_000,
        "60 KB of brackets": f"{first}.{encoded('[' * 44_000)}.{third}",
    }


def _secrets(key: Members) -> list[tuple[str, bytes]]:
    """What an attacker who knows the public key may take for a shared secret."""
    return [
        ("the JWK", json.dumps(key).encode()),
        ("a coordinate", base64url.decode(key["x"])),
        ("its text", key["x"].encode()),
        ("nothing", b""),
        ("the digest", base64.b64decode(hashlib.sha256(key["x"].encode()).hexdigest())),
    ]


def _hmac(header: Members, payload: str, secret: bytes) -> str:
    signed = f"{encoded(header | {'alg': 'HS256'})}.{payload}"
    digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64url.encode(digest).decode()}"


def _next(letter: str) -> str:
    """A last character that decodes alike where the decoder does not look at the bits too many."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(letter) ^ 1]
