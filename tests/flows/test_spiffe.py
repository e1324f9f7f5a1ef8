"""SPIFFE workloads: bundles from a real endpoint, two federated trust domains, and stale bundles."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app import clock
from tests.kit import ca, placing
from tests.kit.ca import Authority, client_draft, san
from tests.kit.https import Answer
from tests.kit.live import Ask, claims, live, reason
from tests.kit.running import Running
from tests.kit.timed import Timed, eventually, in_time, timed

NOBODY = b"\x30\x00"
"""An empty subject: an SVID's name is its URI."""
HINT = 120
"""Seconds: refreshed so often, usable for twice as long."""
RETRY = 61
"""Seconds after which a source is asked again."""


@dataclass(frozen=True)
class Domain:
    """A trust domain: its CA, and the endpoint that publishes its bundle."""

    at: Timed
    name: str
    authority: Authority

    @property
    def path(self) -> str:
        """Of its bundle, on the web server."""
        return f"/{self.name}"

    def publish(self, sequence: int, *authorities: Authority) -> None:
        """Publish its CA, or these."""
        document = bundle(*(authorities or (self.authority,)), sequence=sequence)
        self.answer(Answer(document))

    def answer(self, answer: Answer) -> None:
        """Answer so from now on."""
        self.at.web.answers[self.path] = answer

    def follow(self) -> None:
        """Let the server follow it, as the trust set of its name."""
        url = self.at.web.url(self.path)
        self.at.server.certbound("trust", "bundle", self.name, url, "--trust-domain", self.name)

    def svid(self, name: str, path: str, authority: Authority | None = None) -> None:
        """``certs/<name>.crt``: the SVID of a workload of this domain."""
        place_svid(self.at.server, name, authority or self.authority, f"spiffe://{self.name}{path}")


def bundle(*authorities: Authority, sequence: int) -> bytes:
    """A trust bundle of these CAs."""
    keys = [
        {
            "kty": "EC",
            "use": "x509-svid",
            "x5c": [base64.b64encode(each.certificate).decode()],
        }
        for each in authorities
    ]
    members = {"keys": keys, "spiffe_sequence": sequence, "spiffe_refresh_hint": HINT}
    return json.dumps(members).encode()


def place_svid(server: Running, name: str, authority: Authority, *uris: str) -> None:
    """``certbound``'s client files of a workload with these URIs."""
    key = ca.key(label=f"workload {name}")
    draft = client_draft(NOBODY, key, clock.now(), san(uri=uris, critical=True))
    placing.place_draft(server, name, authority, draft, key)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Timed]:
    """A server with a clock to move, and the web server of the trust domains."""
    with timed(tmp_path_factory.mktemp("timed")) as started:
        yield started


def domain(at: Timed, name: str) -> Domain:
    """A trust domain whose first bundle is published and followed."""
    found = Domain(at, name, placing.root(f"CA of {name}"))
    found.publish(1)
    found.follow()
    return found


def test_two_federated_domains(at: Timed) -> None:
    """Workloads of both get in by their own domain's bundle; the same path elsewhere does not."""
    here, there = domain(at, "here.example"), domain(at, "there.example")
    here.svid("payer", "/pay")
    there.svid("payer-there", "/pay")
    there.svid("partner", "/pay")
    place_svid(at.server, "forged", there.authority, "spiffe://here.example/pay")
    place_svid(
        at.server, "both", here.authority, "spiffe://here.example/pay", "spiffe://there.example/pay"
    )
    sets = ("--trust", "here.example", "--trust", "there.example")
    at.server.certbound("client", "add", "payer", "--spiffe-id", "spiffe://here.example/pay", *sets)
    at.server.certbound(
        "client", "add", "partner", "--spiffe-id", "spiffe://there.example/pay", *sets
    )
    expected = {
        ("payer", "payer"): "",
        ("partner", "partner"): "",
        ("payer-there", "payer"): "name_constraint",
        ("forged", "payer"): "issuer_unknown",
        ("both", "payer"): "spiffe_not_single_uri",
        ("payer", "partner"): "name_constraint",
    }
    with live(at.server, "payer") as ask, live(at.server, "partner") as ask_there:
        comes_in(at, ask)
        comes_in(at, ask_there)
    for (certificate, client_id), why in expected.items():
        with live(at.server, certificate, client_id) as ask:
            assert outcome(at.server, ask) == why, (certificate, client_id)


def comes_in(at: Timed, ask: Ask) -> None:
    """Wait for the first token.

    The command loaded the bundle at another time than the server's. Where it did so after the
    server, the copy looks old, and the server loads it again at its next interval.
    """
    in_time(at, RETRY, lambda: ask().status == 200)


def outcome(server: Running, ask: Ask) -> str:
    """Why a request was refused; nothing when it was not."""
    answer = ask()
    return "" if answer.status == 200 else reason(server, answer)


def test_a_domain_that_the_client_was_not_given(at: Timed) -> None:
    """Its trust domain is followed for others; for this client it is unknown."""
    domain(at, "own.example")
    other = domain(at, "foreign.example")
    other.svid("visitor", "/x")
    who = ("--spiffe-id", "spiffe://own.example/x", "--trust", "own.example")
    at.server.certbound("client", "add", "visitor", *who)
    with live(at.server, "visitor") as ask:
        unknown = "trust_domain_unknown"
        in_time(at, RETRY, lambda: reason(at.server, ask()) == unknown)


def test_all_below_a_path(at: Timed) -> None:
    """A tail ``/*`` matches every path below, and neither the path itself nor its neighbours."""
    us = domain(at, "tail.example")
    for name, path in (
        ("deep", "/ci/job/7"),
        ("near", "/ci/x"),
        ("bare", "/ci"),
        ("next", "/cix/y"),
    ):
        us.svid(f"tail-{name}", path)
    who = ("--spiffe-id", "spiffe://tail.example/ci/*", "--trust", "tail.example")
    at.server.certbound("client", "add", "runner", *who)
    with live(at.server, "tail-deep", "runner") as ask:
        comes_in(at, ask)
    found = {}
    for name in ("deep", "near", "bare", "next"):
        with live(at.server, f"tail-{name}", "runner") as ask:
            found[name] = outcome(at.server, ask)
    assert found == {"deep": "", "near": "", "bare": "san_mismatch", "next": "san_mismatch"}


def test_a_domain_rotates_its_authority(at: Timed) -> None:
    """Next CA beside the old, then alone: open connections follow; a sequence never goes back."""
    us = domain(at, "rotating.example")
    new = placing.root("next CA of rotating.example")
    us.svid("turner", "/t")
    us.svid("turner-new", "/t", new)
    who = ("--spiffe-id", "spiffe://rotating.example/t", "--trust", "rotating.example")
    at.server.certbound("client", "add", "turner", *who)
    with live(at.server, "turner") as old, live(at.server, "turner-new", "turner") as fresh:
        comes_in(at, old)
        assert reason(at.server, fresh()) == "issuer_unknown"
        us.publish(2, us.authority, new)
        at.pass_time(HINT + 1)
        eventually(lambda: fresh().status == 200)
        assert claims(old())["sub"] == "turner"
        us.publish(3, new)
        at.pass_time(HINT + 1)
        eventually(lambda: old().status == 401)
        assert reason(at.server, old()) == "issuer_unknown"
        us.publish(2, us.authority, new)
        at.pass_time(HINT + 1)
        eventually(lambda: alerts(at.server, us.name, "goes back") == 1)
        assert reason(at.server, old()) == "issuer_unknown", "played back in vain"
        assert claims(fresh())["sub"] == "turner"


def alerts(server: Running, trust_set: str, words: str) -> int:
    """How often the log says so of this trust set."""
    lines = [line for line in server.log.splitlines() if f"trust_set={trust_set} " in line]
    return sum("bundle." in line and words in line for line in lines)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=503),
        Answer(b'{"keys":['),
        Answer(b'{"keys":[]}'),
        Answer(b"", status=302, headers={"Location": "/elsewhere"}),
        Answer(b"{}" + b" " * 600_000),
        Answer(wait=3, body=b""),
    ],
    ids=["down", "cut", "empty", "moved", "large", "slow"],
)
def test_a_stale_bundle_fails_closed_and_recovers(
    at: Timed, answer: Answer, request: pytest.FixtureRequest
) -> None:
    """The copy counts for its time whatever the endpoint does, then for nobody, until a good one."""
    name = f"{request.node.callspec.id}.example"
    us = domain(at, name)
    us.svid(name, "/w")
    at.server.certbound("client", "add", name, "--spiffe-id", f"spiffe://{name}/w", "--trust", name)
    with live(at.server, name) as ask:
        comes_in(at, ask)
        us.answer(answer)
        at.pass_time(HINT + 1)
        eventually(lambda: alerts(at.server, name, "failed") == 1)
        assert claims(ask())["sub"] == name, "the copy is not stale yet"
        at.pass_time(HINT)
        assert reason(at.server, ask()) == "bundle_stale"
        us.publish(2)
        at.pass_time(RETRY)
        eventually(lambda: ask().status == 200)
        assert alerts(at.server, name, "failed") == 1
        assert alerts(at.server, name, "recovered") == 1
    assert "/elsewhere" not in {each.path for each in at.web.seen}


def test_a_bundle_from_a_file(at: Timed, tmp_path: Path) -> None:
    """A new file is taken up; one that breaks or vanishes changes nothing but an alert in the log."""
    authority = placing.root("CA of filed.example")
    new = placing.root("next CA of filed.example")
    file = tmp_path / "bundle.json"
    file.write_bytes(bundle(authority, sequence=1))
    at.server.certbound("trust", "bundle", "filed", str(file), "--trust-domain", "filed.example")
    place_svid(at.server, "filed", authority, "spiffe://filed.example/f")
    place_svid(at.server, "filed-new", new, "spiffe://filed.example/f")
    who = ("--spiffe-id", "spiffe://filed.example/f", "--trust", "filed")
    at.server.certbound("client", "add", "filed", *who)
    with live(at.server, "filed") as old, live(at.server, "filed-new", "filed") as fresh:
        comes_in(at, old)
        file.write_bytes(b'{"keys":')
        at.pass_time(HINT + 1)
        eventually(lambda: alerts(at.server, "filed", "failed") == 1)
        assert claims(old())["sub"] == "filed"
        file.write_bytes(bundle(authority, new, sequence=2))
        at.pass_time(RETRY)
        eventually(lambda: fresh().status == 200)
        file.unlink()
        at.pass_time(HINT + 1)
        eventually(lambda: alerts(at.server, "filed", "No such file") == 1)
        assert claims(old())["sub"] == claims(fresh())["sub"] == "filed"


@pytest.mark.parametrize("content", [None, b"", b'{"keys":[', b'{"keys":[]}'])
def test_a_file_without_a_bundle_is_refused(
    server: Running, tmp_path: Path, content: bytes | None
) -> None:
    """Vanished, empty, cut off, without a CA: the command names the file and makes no trust set."""
    file = tmp_path / "bad-bundle.json"
    if content is not None:
        file.write_bytes(content)
    error = server.problem(
        "trust", "bundle", "no-bundle", str(file), "--trust-domain", "no.example"
    )
    assert str(file) in error["message"]
    assert error.get("seen")
    names = [each["name"] for each in server.certbound_json("trust", "list")["trust_sets"]]
    assert "no-bundle" not in names
