"""A newcomer's first minutes: the printed command gives a token bound to the printed certificate."""

import json
import re
import shlex
import subprocess
import sys
import time

import pytest

from tests.kit import ledger, tokens
from tests.kit.issuing import issue
from tests.kit.running import Running, clean_environment

OPENSSL = (
    "openssl x509 -in {} -outform der | openssl dgst -sha256 -binary"
    " | openssl base64 -A | tr '+/' '-_' | tr -d '='"
)
"""RFC 8705 section 3.1 in the words of a shell."""


def shell(server: Running, command: str) -> str:
    """Run a line the way a person pastes it: bash, in the home's directory."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=server.home,
        env={**clean_environment(), **server.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def quickstart(server: Running) -> str:
    """What quickstart prints to someone who stands in the home's directory."""
    return shell(server, f"{shlex.quote(sys.executable)} -m app quickstart")


def thumbprint(server: Running, certificate: str) -> str:
    """``x5t#S256`` as OpenSSL computes it."""
    return shell(server, OPENSSL.format(shlex.quote(certificate)))


def test_the_printed_curl_gives_a_bound_token(server: Running) -> None:
    """Pasted as printed, it answers with a token whose cnf is what OpenSSL computes."""
    [printed] = re.findall(r"^\s*(curl .+)$", quickstart(server), re.MULTILINE)
    members = json.loads(shell(server, printed))
    claims = tokens.verified(server, members["access_token"])
    assert claims["cnf"] == {"x5t#S256": thumbprint(server, "certs/bot.crt")}
    assert len(claims["cnf"]["x5t#S256"]) == 43


def test_quickstart_twice_keeps_everything(server: Running) -> None:
    """The second run makes nothing, says so, and prints the same commands."""
    made = [server.file(f"{name}.key") for name in ("ca", "server", "bot", "sealing")]
    before = {path: path.read_bytes() for path in made}
    first, second = quickstart(server), quickstart(server)
    assert first == second
    assert "kept" in first
    assert {path: path.read_bytes() for path in made} == before
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in before)


def test_the_claims_are_those_of_rfc_9068(server: Running) -> None:
    """Every required claim, header type at+jwt, an ES256 key named by kid, the lifetime as set."""
    before = int(time.time())
    response = tokens.ask_as(server, "bot")
    token = tokens.issued(response)
    claims = tokens.verified(server, token)
    assert {k: tokens.header(token)[k] for k in ("typ", "alg")} == {"typ": "at+jwt", "alg": "ES256"}
    assert claims["iss"] == server.issuer
    assert claims["sub"] == claims["client_id"] == "bot"
    assert claims["aud"] == tokens.DEFAULT_RESOURCE
    assert before <= claims["iat"] <= int(time.time())
    assert claims["exp"] - claims["iat"] == response.json()["expires_in"] == 300
    assert claims["scope"] == response.json()["scope"]


def test_both_listeners_and_both_tls_versions_issue(server: Running) -> None:
    """A client that ignores the aliases is served as well as one that follows them."""
    for url in (server.token_url, server.mtls_token_url):
        with server.client() as http:
            claims = tokens.verified(server, tokens.issued(tokens.ask(http, url)))
        assert claims["cnf"] == {"x5t#S256": thumbprint(server, "certs/bot.crt")}


def test_no_two_tokens_share_an_identifier(server: Running) -> None:
    """Fifty tokens have fifty identifiers, and the record of each names the same certificate."""
    with server.client() as http:
        found = [tokens.issued(tokens.ask(http, server.mtls_token_url)) for _ in range(50)]
    claims = [tokens.verified(server, token) for token in found[:3]]
    assert len({tokens.read(token)["jti"] for token in found}) == 50
    for each in claims:
        row = ledger.token_row(server.home, each["jti"])
        assert row is not None
        assert row.thumbprint == each["cnf"]["x5t#S256"]


def test_a_token_does_not_outlive_its_certificate(server: Running) -> None:
    """With less than the usual lifetime left on the certificate, exp is its notAfter."""
    issue(server.home / "certs", "ending", seconds=100)
    server.certbound("client", "add", "ending", "--subject-dn", "CN=ending")
    response = tokens.ask_as(server, "ending")
    claims = tokens.verified(server, tokens.issued(response))
    ends = shell(server, "openssl x509 -in certs/ending.crt -noout -enddate -dateopt iso_8601")
    spelled = time.strftime("notAfter=%Y-%m-%d %H:%M:%SZ", time.gmtime(claims["exp"]))
    assert ends.strip() == spelled
    assert response.json()["expires_in"] == claims["exp"] - claims["iat"] <= 100


@pytest.mark.parametrize("listener", ["main", "mtls"])
def test_the_name_alone_is_worth_nothing(server: Running, listener: str) -> None:
    """Whoever knows the client_id but holds no certificate, or another one, gets the same 401."""
    url = server.token_url if listener == "main" else server.mtls_token_url
    name = f"thief-{listener}"
    server.certbound("ca", "issue", name)
    answers = {}
    for thief, reason in ((None, "no_certificate"), (name, "san_mismatch")):
        with server.client(thief) as http:
            response = tokens.ask(http, url)
        answers[thief] = response.json() | {"error_ref": ""}
        assert ledger.reason(server, tokens.refused(response)) == reason
    assert answers[None] == answers[name]


def test_a_stolen_token_shows_as_stolen(server: Running) -> None:
    """Inspected with its holder's certificate a token passes, with any other it does not."""
    server.certbound("ca", "issue", "other")
    token = tokens.issued(tokens.ask_as(server, "bot"))
    bot, other = (str(server.file(f"{name}.crt")) for name in ("bot", "other"))
    server.certbound("token", "inspect", token, "--cert", bot)
    shown = server.certbound("token", "inspect", token, "--cert", other, check=False)
    assert "✘" in shown
    with pytest.raises(AssertionError, match="exit 1"):
        server.certbound("token", "inspect", token, "--cert", other)
