"""Forward authentication at the endpoint: whose word counts, which header, what is answered."""

import base64
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.admin import clients, denial, proxies, resources
from app.admin.authority import Request
from app.admin.resources import Rules
from app.errors import Reason
from app.store.proxies import Header
from app.tls.peer import PeerCertificate
from app.tls.presented import pem
from tests.kit.asgi import Answer, Stage

PATH = "/forward-auth"
RESOURCE = "https://localhost:9444"
OTHER = "https://files.example"
Headers = list[tuple[str, str]]

OTHERS = (
    "X-SSL-Cert",
    "X-ARR-ClientCert",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info",
    "X-Amzn-Mtls-Clientcert",
    "X-Amzn-Mtls-Clientcert-Leaf",
    "SSL-Client-Cert",
    "X-SSL-Client-Cert",
    "X-Client-Certificate",
    "CloudFront-Viewer-Cert-Pem",
    "X-TLS-Cert",
    "client_cert",
    "X_Client_Cert",
    "X-Client_Cert",
    "SSL_CLIENT_CERT",
)
"""Names under which other software expects a certificate, underscore twins among them."""


class Edge:
    """A stage with two proxies, ``edge`` (RFC 9440) and ``nginx``, and a token of ``bot``."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.certificate = self.proxy("edge", "rfc9440")
        self.nginx = self.proxy("nginx", "nginx")
        self.bot = stage.bot
        self.thief = stage.issue("thief", Request(dn="CN=thief"))
        stage.refresh()
        self.token = self.issued()

    def proxy(self, name: str, header: Header, *urls: str) -> PeerCertificate:
        """Register a proxy, by default in front of the default resource."""
        peer = self.stage.issue(name, Request(dn=f"CN={name}"))
        path = self.stage.settings.home / "certs" / f"{name}.crt"
        proxies.add(self.stage.desk, name, path, header, urls or (RESOURCE,))
        return peer

    def issued(self, **parameters: str) -> str:
        """A token of ``bot``."""
        answer = self.stage.token(self.bot, **parameters)
        token: str = answer.json()["access_token"]
        return token

    def ask(
        self,
        token: str | None = None,
        headers: Headers | None = None,
        *,
        peer: PeerCertificate | None = None,
        query: bytes = b"",
        method: str = "GET",
    ) -> Answer:
        """What the proxy ``edge`` asks for a client with the certificate of ``bot``, unless said."""
        sent = [rfc9440(self.bot)] if headers is None else headers
        sent = [*sent, ("authorization", f"Bearer {token or self.token}")]
        return self.stage.ask(
            method, PATH, peer=peer or self.certificate, headers=sent, query=query
        )

    def why(self, answer: Answer) -> str:
        """The private reason of a refusal."""
        return str(self.stage.explained(answer.json()["error_ref"])["reason"])


def rfc9440(peer: PeerCertificate) -> tuple[str, str]:
    """As RFC 9440 has it."""
    return "Client-Cert", f":{base64.b64encode(peer.der).decode()}:"


def escaped(peer: PeerCertificate) -> tuple[str, str]:
    """As nginx has it."""
    return "X-Client-Cert", quote(pem(peer.der), safe="")


@pytest.fixture
def edge(stage: Stage) -> Edge:
    """One of the test's own."""
    return Edge(stage)


@pytest.fixture(scope="module")
def quiet(standing: Stage) -> Edge:
    """One for tests that change nothing."""
    return Edge(standing)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_holder_goes_on(quiet: Edge, method: str) -> None:
    """200 with who it is, whatever the method, and nothing for a cache."""
    answer = quiet.ask(method=method)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("x-certbound-client-id") == "bot"
    assert answer.header("x-certbound-subject") == "bot"
    assert answer.header("x-certbound-scope") == "api:read"
    assert answer.header("x-certbound-thumbprint") == quiet.bot.thumbprint
    assert answer.header("cache-control") == "no-store"


def test_each_form_is_read(quiet: Edge) -> None:
    """RFC 9440 from one proxy, escaped PEM from the other."""
    assert quiet.ask().status == 200
    assert quiet.ask(headers=[escaped(quiet.bot)], peer=quiet.nginx).status == 200


def test_a_chain_beside_it_is_no_identity(quiet: Edge) -> None:
    """``Client-Cert-Chain`` is ignored where RFC 9440 is spoken, whatever is in it."""
    chain = ("Client-Cert-Chain", rfc9440(quiet.thief)[1])
    assert quiet.ask(headers=[rfc9440(quiet.bot), chain]).status == 200
    assert quiet.ask(headers=[rfc9440(quiet.thief), chain]).status == 401


def test_a_copied_token_is_refused_and_written_down(edge: Edge) -> None:
    """Each time: which token, bound to what, which certificate came, and which proxy told."""
    for headers, verdict, reason in (
        ([rfc9440(edge.thief)], "other_certificate", "binding_mismatch"),
        ([], "no_certificate", "no_certificate"),
    ):
        for _ in range(2):
            answer = edge.ask(headers=headers)
            assert answer.status == 401
            assert answer.header("www-authenticate") == 'Bearer error="invalid_token"'
            entry = edge.stage.explained(answer.json()["error_ref"])
            assert entry == edge.stage.entries()[0]
            assert (entry["event"], entry["decision"]) == ("token.presented", "refused")
            assert (entry["verdict"], entry["reason"]) == (verdict, reason)
            assert (entry["client_id"], entry["bound_to"]) == ("bot", edge.bot.thumbprint)
            assert (entry["reporter"], entry["resource"]) == ("proxy:edge", RESOURCE)
    told = edge.stage.explained(edge.ask(headers=[rfc9440(edge.thief)]).json()["error_ref"])
    assert told["certificate"]["termination"] == "proxy:edge"
    assert told["certificate"]["thumbprint"] == edge.thief.thumbprint
    assert told["certificate"]["subject"] == "CN=thief"


def test_a_holder_is_written_down_once(edge: Edge) -> None:
    """Per token and proxy; a second proxy, or a second token, is another entry."""
    for _ in range(3):
        assert edge.ask().status == 200
    assert edge.ask(headers=[escaped(edge.bot)], peer=edge.nginx).status == 200
    assert edge.ask(edge.issued()).status == 200
    seen = [e["reporter"] for e in edge.stage.entries(9) if e["event"] == "token.presented"]
    assert seen == ["proxy:edge", "proxy:nginx", "proxy:edge"]


@pytest.mark.parametrize("authorization", [None, "Basic Ym90Og==", "", "DPoP x"])
def test_no_token_is_a_challenge(quiet: Edge, authorization: str | None) -> None:
    """401 without an error (RFC 6750 section 3.1), and without an entry."""
    before = quiet.stage.entries()
    headers = [rfc9440(quiet.bot)]
    headers += [] if authorization is None else [("authorization", authorization)]
    answer = quiet.stage.ask("GET", PATH, peer=quiet.certificate, headers=headers)
    assert (answer.status, answer.body) == (401, b"")
    assert answer.header("www-authenticate") == "Bearer"
    assert quiet.stage.entries() == before


@pytest.mark.parametrize("token", ["x", "a.b.c", "é.é.é", "eyJhbGciOiJub25lIn0.e30.", "A" * 9000])
def test_no_token_of_ours(quiet: Edge, token: str) -> None:
    """401 invalid_token, with the certificate it came with in the audit."""
    answer = quiet.ask(token)
    assert (answer.status, answer.json()["error"]) == (401, "invalid_token")
    entry = quiet.stage.explained(answer.json()["error_ref"])
    assert entry["endpoint"] == PATH
    assert entry["certificate"]["thumbprint"] == quiet.bot.thumbprint
    assert token not in str(entry) or token == "x"  # noqa: S105 - no password


def test_two_tokens_are_none(quiet: Edge) -> None:
    """400: which one would the API behind read?"""
    answer = quiet.ask(headers=[rfc9440(quiet.bot), ("authorization", f"Bearer {quiet.token}")])
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("beside", [True, False])
def test_another_header_is_refused(quiet: Edge, name: str, *, beside: bool) -> None:
    """From either proxy, beside the agreed header or alone: it may be the client's own."""
    for peer, agreed, form in (
        (quiet.certificate, rfc9440(quiet.bot), "client-cert"),
        (quiet.nginx, escaped(quiet.bot), "x-client-cert"),
    ):
        headers = [agreed] if beside else []
        answer = quiet.ask(headers=[*headers, (name, agreed[1])], peer=peer)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_request"), form
        assert quiet.why(answer) == ("header_duplicate" if beside else "header_malformed")


def test_the_other_proxys_header_is_another_header(quiet: Edge) -> None:
    """A proxy is believed in the one form it was registered with, chain included."""
    for headers, peer in (
        ([escaped(quiet.bot)], quiet.certificate),
        ([rfc9440(quiet.bot)], quiet.nginx),
        ([escaped(quiet.bot), ("Client-Cert-Chain", "::")], quiet.nginx),
    ):
        assert quiet.ask(headers=headers, peer=peer).status == 400


def test_a_certificate_stands_once(quiet: Edge) -> None:
    """Twice is refused, even twice the same."""
    for headers, peer in (
        ([rfc9440(quiet.bot)] * 2, quiet.certificate),
        ([rfc9440(quiet.bot), rfc9440(quiet.thief)], quiet.certificate),
        ([escaped(quiet.bot)] * 2, quiet.nginx),
    ):
        answer = quiet.ask(headers=headers, peer=peer)
        assert (answer.status, quiet.why(answer)) == (400, "header_duplicate")


def _values(peer: PeerCertificate) -> dict[str, str]:
    good = rfc9440(peer)[1]
    return {
        "no colons": good.strip(":"),
        "one colon": good[:-1],
        "a list": f"{good}, {good}",
        "parameters": f"{good};a=1",
        "base64url": good.replace("+", "-").replace("/", "_") + "-",
        "no DER": ":AAAA:",
        "trailing octets": f":{base64.b64encode(peer.der + b'x').decode()}:",
        "cut off": f":{base64.b64encode(peer.der[:-1]).decode()}:",
        "two certificates": f":{base64.b64encode(peer.der * 2).decode()}:",
        "33 KiB": f":{'A' * (33 * 1024)}:",
        "a hash": peer.thumbprint,
        "a name": "CN=bot",
        "PEM": quote(pem(peer.der), safe=""),
    }


@pytest.mark.parametrize("kind", list(_values(PeerCertificate(b"", (), "", ""))))
def test_a_value_that_is_no_certificate(quiet: Edge, kind: str) -> None:
    """400, never a guess, and never "no certificate"."""
    answer = quiet.ask(headers=[("Client-Cert", _values(quiet.bot)[kind])])
    assert (answer.status, quiet.why(answer)) == (400, "header_malformed")


NAMES = st.sampled_from(["Client-Cert", "client_cert", "X-Client-Cert", "X-SSL-Cert", "Accept"])
KINDS = st.sampled_from(["holder", "thief", "half", "::", "", "x", "holder, thief"])


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sent=st.lists(st.tuples(NAMES, KINDS), max_size=4), registered=st.booleans())
def test_only_one_request_says_holder(
    quiet: Edge, sent: list[tuple[str, str]], *, registered: bool
) -> None:
    """Of all that can be put together, only the agreed header with the holder's certificate is 200."""
    holder, thief = rfc9440(quiet.bot)[1], rfc9440(quiet.thief)[1]
    values = {"holder": holder, "thief": thief, "half": holder[: len(holder) // 2]}
    values |= {"holder, thief": f"{holder}, {thief}"}
    headers = [(name, values.get(kind, kind)) for name, kind in sent]
    answer = quiet.ask(headers=headers, peer=quiet.certificate if registered else quiet.bot)
    telling = [each for each in sent if each[0] != "Accept"]
    assert (answer.status == 200) == (registered and telling == [("Client-Cert", "holder")])
    assert answer.status in (200, 400, 401)


@pytest.mark.parametrize("value", ["", " ", "::", "(null)", "NONE", "-"])
def test_an_empty_form_is_no_certificate(quiet: Edge, value: str) -> None:
    """What proxies write where there was none: 401, as for a thief."""
    answer = quiet.ask(headers=[("Client-Cert", value)])
    assert (answer.status, quiet.why(answer)) == (401, "no_certificate")


def test_the_word_of_strangers(quiet: Edge) -> None:
    """A certificate header from anybody else: 400 and an entry. Without one: 401, no client."""
    sign = rfc9440(quiet.bot)
    for peer in (None, quiet.bot, quiet.thief):
        for headers in ([sign], [escaped(quiet.bot)], [("X-SSL-Cert", "x")], [("client_cert", "")]):
            answer = _from(quiet, peer, headers)
            assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
            assert quiet.why(answer) == "header_untrusted_peer"
        answer = _from(quiet, peer, [])
        assert (answer.status, answer.json()["error"]) == (401, "invalid_client")
        expected = "no_certificate" if peer is None else "thumbprint_unregistered"
        assert quiet.why(answer) == expected


def test_a_chain_that_was_not_taken_proves_nobody(quiet: Edge) -> None:
    """The TLS room refused it for its size."""
    answer = quiet.stage.ask("GET", PATH, peer_error="chain too large")
    assert (answer.status, quiet.why(answer)) == (401, "certificate_malformed")


def _from(edge: Edge, peer: PeerCertificate | None, headers: Headers) -> Answer:
    sent = [*headers, ("authorization", f"Bearer {edge.token}")]
    return edge.stage.ask("GET", PATH, peer=peer, headers=sent)


def test_a_proxy_that_was_removed_is_a_stranger_at_once(edge: Edge) -> None:
    """No snapshot is waited for; one that was added counts at once too."""
    assert edge.ask().status == 200
    proxies.remove(edge.stage.desk, "edge")
    answer = edge.ask()
    assert (answer.status, edge.why(answer)) == (400, "header_untrusted_peer")
    late = edge.proxy("late", "rfc9440")
    assert edge.ask(peer=late).status == 200


def test_a_denied_proxy_is_none(edge: Edge) -> None:
    """By its certificate, as `revoke cert` stops it."""
    denial.deny(edge.stage.desk, edge.certificate.thumbprint)
    answer = edge.ask()
    assert (answer.status, edge.why(answer)) == (401, "revoked")


@pytest.mark.parametrize(("at", "reason"), [(3 * 10**9, "expired"), (10**9, "not_yet_valid")])
def test_a_proxy_out_of_date_is_none(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, at: int, reason: str
) -> None:
    """Its certificate is judged by the clock at each request."""
    monkeypatch.setattr("app.clock.now", lambda: at)
    answer = edge.ask()
    assert (answer.status, edge.why(answer)) == (401, reason)


def test_what_was_revoked_before_the_request_is_refused(edge: Edge) -> None:
    """A token, and a client: no snapshot is waited for."""
    assert edge.ask().status == 200
    edge.stage.revoke(edge.token)
    answer = edge.ask()
    assert (answer.status, edge.why(answer)) == (401, "revoked")
    assert edge.stage.explained(answer.json()["error_ref"])["client_id"] == "bot"
    another = edge.issued()
    assert edge.ask(another).status == 200
    clients.disable(edge.stage.desk, "bot")
    assert edge.why(edge.ask(another)) == "client_disabled"


def test_a_token_for_another_resource_is_refused(edge: Edge) -> None:
    """Whose holder it is does not count."""
    edge.stage.add_resource(OTHER, "files:read")
    files = edge.stage.add_client("files", resources=(OTHER,), scopes=("files:read",))
    edge.stage.refresh()
    answer = edge.stage.token(files, client_id="files", resource=OTHER)
    answer = edge.ask(answer.json()["access_token"], [rfc9440(files)])
    assert (answer.status, edge.why(answer)) == (401, "resource_not_allowed")


def test_a_proxy_of_two_resources_says_which(edge: Edge) -> None:
    """In the query, one of its own; otherwise 400."""
    edge.stage.add_resource(OTHER, "files:read")
    both = edge.proxy("both", "rfc9440", RESOURCE, OTHER)
    named = f"resource={quote(RESOURCE, safe='')}".encode()
    assert edge.ask(peer=both, query=named).status == 200
    assert edge.ask(query=named).status == 200
    assert edge.ask(peer=both, query=b"resource=https%3A%2F%2Ffiles.example").status == 401
    for peer, query in (
        (both, b""),
        (both, b"resource=https://nobody.example"),
        (edge.certificate, b"resource=https://files.example"),
    ):
        answer = edge.ask(peer=peer, query=query)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_target")
        assert edge.why(answer) == "resource_not_allowed"


def test_a_resource_that_wants_tls_to_end_at_itself(edge: Edge) -> None:
    """No proxy's word counts for it, however good the token."""
    assert edge.ask().status == 200
    resources.add(edge.stage.desk, RESOURCE, rules=Rules(direct_only=True))
    answer = edge.ask()
    assert (answer.status, edge.why(answer)) == (400, "binding_required")


def test_scopes_that_are_needed(quiet: Edge) -> None:
    """403 with what it would take; the verdict says that it was the holder."""
    assert quiet.ask(query=b"scope=api:read").status == 200
    answer = quiet.ask(query=b"scope=api:read+api:write")
    assert (answer.status, answer.json()["error"]) == (403, "insufficient_scope")
    expected = 'Bearer error="insufficient_scope", scope="api:read api:write"'
    assert answer.header("www-authenticate") == expected
    entry = quiet.stage.explained(answer.json()["error_ref"])
    assert (entry["verdict"], entry["reason"]) == ("holder", "scope_not_allowed")


@pytest.mark.parametrize(
    "query",
    [
        b"scopes=api:read",
        b"access_token=x",
        b"scope=api:read&scope=x",
        b"scope=a%22b",
        b"scope=",
        b"scope",
        b"scope=%20",
        b"scope=+",
        b"scope=api:read%C2%A0api:read",
        b"resource=",
        b"resource",
        b"scope=a%0d%0ab",
        b"resource=%ff",
        b"x",
    ],
)
def test_a_query_that_says_something_else(quiet: Edge, query: bytes) -> None:
    """400: a misspelt scope must not open what it was to guard."""
    answer = quiet.ask(query=query)
    assert (answer.status, quiet.why(answer)) == (400, Reason.REQUEST_MALFORMED.value)


def test_it_is_not_in_the_metadata(quiet: Edge) -> None:
    """It is for the deployer's proxies; clients have no use for it."""
    answer = quiet.stage.ask("GET", "/.well-known/oauth-authorization-server")
    assert PATH not in answer.body.decode()
