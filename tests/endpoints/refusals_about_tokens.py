"""The rows of the error matrix at the endpoints that are asked about tokens."""

from app.errors import InvalidClient, InvalidRequest, PayloadTooLarge, Reason
from tests.endpoints.refusals import Ask, Row
from tests.kit.asgi import Answer
from tests.kit.cast import Cast

R = Reason
PATHS = ("/introspect", "/revoke")
DER = "MAA="  # an empty SEQUENCE: read as far as it needs to be


def about(path: str, peer: str | None = "bot", **parameters: str) -> Ask:
    """A question about a token, from ``bot`` unless said; an empty parameter is sent as it is."""
    fields = {"client_id": "bot", "token": "nonsense"} | parameters
    return lambda cast: cast.stage.post(path, fields, peer=getattr(cast, peer) if peer else None)


def of_another(cast: Cast) -> Answer:
    """``bot`` would revoke a token of ``selfsigned``."""
    theirs = cast.stage.token(cast.selfsigned, client_id="selfsigned").json()["access_token"]
    return about("/revoke", token=theirs)(cast)


def twice(path: str) -> Ask:
    """Two tokens in one request."""
    fields = [("client_id", "bot"), ("token", "a"), ("token", "a")]
    return lambda cast: cast.stage.post(path, fields, peer=cast.bot)


STRANGERS = tuple(
    Row(f"{name} at {path}", ask, InvalidClient, reason, path)
    for path in PATHS
    for name, ask, reason in (
        ("no certificate", about(path, None), R.NO_CERTIFICATE),
        ("unknown client", about(path, client_id="nobody"), R.CLIENT_UNKNOWN),
        ("disabled client", about(path, "disabled", client_id="disabled"), R.CLIENT_DISABLED),
        ("another client's certificate", about(path, "disabled"), R.SAN_MISMATCH),
        ("same name, unknown CA", about(path, "stranger"), R.ISSUER_UNKNOWN),
        (
            "a secret instead of a certificate",
            about(path, None, client_secret="x"),  # noqa: S106 - no password of anybody
            R.METHOD_NOT_ALLOWED,
        ),
    )
)
"""All of them must look the same from outside, and like those at the token endpoint."""

_FORMS = tuple(
    Row(f"{name} at {path}", ask, InvalidRequest, R.REQUEST_MALFORMED, path)
    for path in PATHS
    for name, ask in {
        "no token": about(path, token=""),
        "no client_id": about(path, client_id=""),
        "a token twice": twice(path),
        "a line break in the token": about(path, token="a\nb"),  # noqa: S106 - no password
        "NUL in the token": about(path, token="\0"),  # noqa: S106 - no password
    }.items()
)
_CERTIFICATES = tuple(
    Row(name, about("/introspect", **fields), InvalidRequest, R.REQUEST_MALFORMED, "/introspect")
    for name, fields in {
        "an empty certificate": {"certificate": ""},
        "an empty thumbprint": {"certificate_thumbprint": ""},
        "two ways to tell": {"certificate": DER, "certificate_thumbprint": "none"},
        "no base64": {"certificate": "MAA*"},
        "a plus that became a space": {"certificate": "MA A"},
        "both alphabets": {"certificate": "MA+-"},
        "PEM in base64": {"certificate": "LS0tLS1CRUdJTg=="},
        "padding in the middle": {"certificate": "MAA=A"},
        "a thumbprint too short": {"certificate_thumbprint": "A" * 42},
        "a thumbprint in hex": {"certificate_thumbprint": "0" * 64},
        "a thumbprint with a stray bit": {"certificate_thumbprint": "A" * 42 + "B"},
        "none with a capital": {"certificate_thumbprint": "None"},
        "a certificate of 33 KiB": {"certificate": "MAAA" * (11 * 1024)},
    }.items()
)
_LARGE = tuple(
    Row(
        f"65 KiB at {path}",
        about(path, token="x" * 65_536),
        PayloadTooLarge,
        R.REQUEST_MALFORMED,
        path,
    )
    for path in PATHS
)

ABOUT_TOKENS = (
    *STRANGERS,
    *_FORMS,
    *_CERTIFICATES,
    *_LARGE,
    Row("a token of another client", of_another, InvalidRequest, R.TOKEN_NOT_OWN, "/revoke"),
)
