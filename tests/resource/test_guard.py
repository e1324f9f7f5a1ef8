"""`Guard` before a small application: who gets through, and what the others are told."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from app.jose.jwt import unverified
from app.resource import Guard, Presented, Rejected, Sent, Verdict, Verifier, current
from app.resource.certificate import UNKNOWN
from app.resource.testing import Caller, Issuer
from tests.resource.desk import SCOPE, Desk, tell

METADATA = "/.well-known/oauth-protected-resource"
POINTER = f'resource_metadata="https://api.test{METADATA}"'


def test_the_holder_gets_through(desk: Desk) -> None:
    """A genuine token with the certificate it is bound to reaches the application."""
    token = desk.token()
    answer = desk.ask(token)
    assert (answer.status, answer.body) == (200, b"bot")
    found = desk.last
    assert (found.verdict, found.accepted, found.reason) == (Verdict.HOLDER, True, "all checks")
    assert found.thumbprint == found.bound_to == desk.bot.thumbprint
    assert (found.client_id, found.resource) == ("bot", "https://api.test")
    assert (found.confirmation, found.termination) == ("x5t#S256", "direct")
    assert current.get() is None


def test_a_copied_token_is_worthless(desk: Desk) -> None:
    """With another certificate, or none, a token is refused that was accepted a moment before."""
    token = desk.token()
    assert desk.ask(token).status == 200
    for answer in (desk.ask(token, desk.thief), desk.ask_bare(token)):
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == (
            'Bearer error="invalid_token", error_description="The token is not valid here, or not '
            f'with the certificate of this connection.", scope="{SCOPE}", {POINTER}'
        )
        assert answer.headers["cache-control"] == "no-store"
    assert [each.verdict for each in desk.decisions[1:]] == [
        Verdict.OTHER_CERTIFICATE,
        Verdict.NO_CERTIFICATE,
    ]
    assert desk.last.client_id == "bot"
    assert desk.last.bound_to == desk.bot.thumbprint
    assert desk.last.thumbprint is None
    assert desk.ask(token).status == 200


def test_a_renewed_certificate_needs_a_new_token(desk: Desk) -> None:
    """After a rotation the old token is refused and a new one accepted, on a 401 that asks for it."""
    token, renewed = desk.token(), desk.issuer.certificate("bot")
    assert desk.ask(token, renewed).status == 401
    assert desk.ask(desk.token(renewed), renewed).status == 200


def test_without_a_token_no_error_is_named(desk: Desk) -> None:
    """RFC 6750 section 3.1: who sent no token is told what is wanted, and nothing else."""
    for headers in ((), (("Authorization", "Basic Ym90OnM="),), (("Authorization", "DPoP x"),)):
        answer = Caller(desk.app, desk.bot).request("GET", "/", headers=headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == f'Bearer scope="{SCOPE}", {POINTER}'
        assert "error" not in answer.json()
        assert desk.last.verdict is Verdict.NO_TOKEN


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_has_no_case(desk: Desk, scheme: str) -> None:
    """RFC 9110 section 11.1."""
    headers = [("Authorization", f"{scheme} {desk.token()}")]
    assert Caller(desk.app, desk.bot).request("GET", "/", headers=headers).status == 200


@pytest.mark.parametrize(
    "query",
    [
        "access_token={}",
        "a=b&access_token={}",
        "access%5Ftoken={}",
        "access_token",
        "a;access_token={}",
    ],
)
@pytest.mark.parametrize("with_header", [False, True])
def test_a_token_in_the_query_is_refused(desk: Desk, query: str, with_header: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """RFC 9700 section 4.3.2: also beside a good one in the header, and in any spelling."""
    token = desk.token()
    path = "/?" + query.format(token)
    answer = Caller(desk.app, desk.bot).get(path, token if with_header else None)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    assert 'error="invalid_request"' in answer.headers["www-authenticate"]


def test_a_query_that_only_looks_alike_is_fine(desk: Desk) -> None:
    """Other parameters may hold the word."""
    path = "/?my_access_token=1&q=access_tokens&access_token_type=x&q=a%26access_token=1"
    assert Caller(desk.app, desk.bot).get(path, desk.token()).status == 200


def test_a_token_in_the_body_is_no_token(desk: Desk) -> None:
    """The body is not looked at, so that a form cannot bring a token."""
    answer = Caller(desk.app, desk.bot).request(
        "POST",
        "/",
        headers=[("Content-Type", "application/x-www-form-urlencoded")],
        body=f"access_token={desk.token()}".encode(),
    )
    assert (answer.status, desk.last.verdict) == (401, Verdict.NO_TOKEN)


def test_two_authorization_headers_are_refused(desk: Desk) -> None:
    """Even equal ones: two readers might take different ones."""
    header = ("Authorization", f"Bearer {desk.token()}")
    answer = Caller(desk.app, desk.bot).request("GET", "/", headers=[header, header])
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_too_little_scope_is_403_with_all_that_is_needed() -> None:
    """RFC 6750 section 3.1: the client learns what to ask for."""
    desk = Desk()
    desk.app = Guard(tell, desk.verifier, scopes=["a", "b"])
    answer = desk.ask(desk.token(scope="b c"))
    assert answer.status == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert 'scope="a b"' in answer.headers["www-authenticate"]
    assert desk.last.verdict is Verdict.INSUFFICIENT_SCOPE
    assert desk.ask(desk.token(scope="c b a")).status == 200


def test_the_metadata_is_for_everybody(desk: Desk) -> None:
    """RFC 9728 section 2: the document, at its place, without a token."""
    answer = Caller(desk.app).get(METADATA)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {
        "resource": "https://api.test",
        "authorization_servers": ["https://issuer.test"],
        "scopes_supported": [SCOPE],
        "bearer_methods_supported": ["header"],
        "tls_client_certificate_bound_access_tokens": True,
        "resource_name": "Files",
    }
    assert Caller(desk.app).request("HEAD", METADATA).body == b""
    assert Caller(desk.app).request("POST", METADATA).status == 405
    assert not desk.decisions


def test_the_metadata_of_a_resource_with_a_path() -> None:
    """RFC 9728 section 3.1: the path comes after the well-known part."""
    issuer = Issuer(audience="https://api.test/v1/")
    guard = Guard(tell, issuer.verifier())
    assert guard.metadata is not None
    assert guard.metadata.url == f"https://api.test{METADATA}/v1"
    answer = Caller(guard).get(f"{METADATA}/v1")
    assert json.loads(answer.body)["resource"] == "https://api.test/v1/"
    assert f'"{guard.metadata.url}"' in Caller(guard).get("/").headers["www-authenticate"]


@pytest.mark.parametrize(
    "audience", ["api", "urn:api", "http://api.test", 'https://api.test/"x', "https://a:b@api.test"]
)
def test_an_audience_that_is_no_url_has_no_metadata(audience: str) -> None:
    """Nothing is published then, and nothing that could break out of the challenge is quoted."""
    guard = Guard(tell, Issuer(audience=audience).verifier())
    assert guard.metadata is None
    answer = Caller(guard).get("/.well-known/oauth-protected-resource")
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_head_has_no_body(desk: Desk) -> None:
    """RFC 9110 section 9.3.2, for refusals too."""
    answer = Caller(desk.app).request("HEAD", "/")
    assert (answer.status, answer.body) == (401, b"")
    assert int(answer.headers["content-length"]) > 0


def test_other_protocols_pass_or_are_closed(desk: Desk) -> None:
    """Lifespan goes through; a WebSocket opens for the holder and is closed before it opens else."""

    async def run(scope: dict[str, Any]) -> list[Any]:
        messages: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            messages.append(message["type"])

        await desk.app(scope, receive, send)
        return messages

    assert asyncio.run(run({"type": "lifespan"})) == ["lifespan.startup.complete"]
    for certificate, expected in ((desk.bot, "accept"), (desk.thief, "close")):
        scope = {
            "type": "websocket",
            "path": "/",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {desk.token()}".encode())],
            "extensions": {"tls": {"client_cert": certificate.der}},
        }
        assert asyncio.run(run(scope)) == [f"websocket.{expected}"]


def test_the_callback_can_veto(desk: Desk) -> None:
    """Where the resource's audit fails, the request fails: nothing goes through unrecorded."""

    def broken(_decision: object) -> None:
        raise OSError("disk full")

    desk.app = Guard(tell, desk.issuer.verifier(on_decision=broken))
    with pytest.raises(OSError, match="disk full"):
        desk.ask(desk.token())


def test_decisions_are_counted(desk: Desk) -> None:
    """One count per request, by verdict."""
    desk.ask(desk.token())
    desk.ask(desk.token(), desk.thief)
    desk.ask(desk.token(), desk.thief)
    desk.ask(None)
    counts = {verdict: count for verdict, count in desk.verifier.counts.items() if count}
    assert counts == {"holder": 1, "other_certificate": 2, "no_token": 1}
    assert set(desk.verifier.counts) == set(Verdict)


def test_the_log_has_facts_and_no_token(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The default record names verdict, client and thumbprints, never the token or its parts."""
    caplog.set_level("INFO", "certbound.resource")
    desk.app = Guard(tell, desk.issuer.verifier())
    token = desk.token()
    desk.ask(token)
    desk.ask(token, desk.thief)
    accepted, refused = caplog.records
    jti = unverified(token)[1]["jti"]
    bot, thief = desk.bot.thumbprint, desk.thief.thumbprint
    whose = f"client=bot jti={jti} bound_to={bot} certificate="
    assert (accepted.getMessage(), accepted.levelname) == (f"accepted: holder {whose}{bot}", "INFO")
    expected = f"refused: other_certificate check=binding {whose}{thief}"
    assert (refused.getMessage(), refused.levelname) == (expected, "WARNING")
    facts = refused.__dict__["certbound"]
    assert facts["thumbprint"] == desk.thief.thumbprint
    assert facts["bound_to"] == desk.bot.thumbprint
    said = json.dumps([each.__dict__ for each in caplog.records], default=str)
    assert not [part for part in token.split(".") if part in said]


def test_a_name_makes_no_second_line_in_the_log(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the issuer lets its clients be called: it stands quoted, in one line."""
    caplog.set_level("INFO", "certbound.resource")
    desk.app = Guard(tell, desk.issuer.verifier())
    desk.ask(desk.token(client_id="x\nrefused: y jti=z"))
    assert "client='x\\nrefused: y jti=z' " in caplog.records[-1].getMessage()


def test_a_server_that_tells_no_certificate_is_warned_of_once(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """It looks like a caller without one; that there was none, on a server that tells, does not warn."""
    desk.app = Guard(tell, desk.issuer.verifier())
    desk.ask_bare(desk.token())
    silent = Guard(tell, desk.issuer.verifier(), source=lambda _: UNKNOWN)
    for _ in range(3):
        assert Caller(silent).get("/", desk.token()).status == 401
    said = [each.getMessage() for each in caplog.records]
    assert [text.startswith("refused: no_certificate ") for text in said] == [
        *(True, False, True, True, True)
    ]
    assert "--http app.resource.uvicorn:HttpWithCertificate" in said[1]


@pytest.mark.parametrize(
    "options",
    [
        {"binding": "optional"},
        {"status": "on"},
        {"algorithm": "none"},
        {"algorithm": "HS256"},
        {"leeway": 301},
        {"leeway": -1},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    """A misspelt option must not fall back to something weaker."""
    with pytest.raises(ValueError, match=r"must be|is 'required'"):
        Verifier("https://issuer.test", "https://api.test", **options)
    with pytest.raises(ValueError, match="one word"):
        Guard(tell, Issuer().verifier(), scopes=['a"b'])


def test_a_ca_file_that_cannot_be_used_is_refused_at_the_start(tmp_path: Path) -> None:
    """Not at the first request: a missing one, and one without a certificate."""
    broken = tmp_path / "ca.crt"
    for _ in range(2):
        with pytest.raises(ValueError, match=r"the CA file .*ca\.crt cannot be used"):
            Verifier("https://issuer.test", "https://api.test", ca_file=broken)
        broken.write_text("no certificate")


def test_a_rejection_shows_nothing_of_the_token(desk: Desk) -> None:
    """Its text may land in somebody's log: it says verdict and check, no more."""
    with pytest.raises(Rejected) as caught:
        desk.verifier.verify(Sent((b"Bearer secret.secret.secret",)), Presented(None))
    assert str(caught.value) == "invalid: token form"
