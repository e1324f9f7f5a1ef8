"""One key, one boundary: who held a key first keeps it, and labels keep tenants apart."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app import clock
from tests.kit import ca, ledger, placing, unhurried
from tests.kit.live import claims, live, reason, why
from tests.kit.running import Running, certbound, running
from tests.kit.wire import TIMEOUT, Response

ISSUER = "https://localhost:8443"
RACES = 12


def two_of_one_key(server: Running, name: str, *tenants: str) -> tuple[str, str]:
    """Two clients of a trust set `name`, each with a certificate of its own over one key."""
    authority, key = placing.root(f"CA of {name}"), ca.key(label=f"one key of {name}")
    server.certbound("trust", "add", name, str(placing.authority_file(server, authority, name)))
    first, second = f"{name}-a", f"{name}-b"
    for client_id, tenant in zip((first, second), tenants, strict=True):
        placing.place(server, client_id, authority, key=key)
        labels = ("--tenant", tenant) if tenant else ()
        who = ("--subject-dn", f"CN={client_id}", "--trust", name)
        server.certbound("client", "add", client_id, *who, *labels)
    return first, second


def crossings(server: Running, answer: Response) -> list[str]:
    """What the audit reports beside an issued token."""
    jti = claims(answer)["jti"]
    [row] = [each for each in ledger.entries(server.home) if each.jti == jti]
    body: dict[str, Any] = json.loads(row.body)
    return list(body.get("crossings") or [])


def test_between_tenants_the_second_is_refused(server: Running) -> None:
    """Whoever came first goes on; the other needs a key of its own, or the same tenant."""
    a, b = two_of_one_key(server, "rivals", "red", "blue")
    with live(server, a) as first, live(server, b) as second:
        assert crossings(server, first()) == []
        refused = second()
        assert reason(server, refused) == "boundary_violation"
        assert a in why(server, refused)
        assert claims(first())["sub"] == a, "the holder's own view does not change"
        server.certbound("client", "label", b, "--tenant", "red")
        assert a in str(crossings(server, second())), "in one tenant it is reported"
        error = server.problem("client", "label", b, "--tenant", "blue")
        assert "boundary_violation" in error["message"]
        server.certbound("client", "remove", a)
        assert crossings(server, second()) == [], "nobody holds it before this one any more"


def test_a_key_held_without_a_token_counts_too(server: Running) -> None:
    """A refused request claims the key all the same, so a change of tenant across it is refused."""
    a, b = two_of_one_key(server, "quiet", "grey", "grey")
    with live(server, a) as first, live(server, b) as second:
        assert first("&scope=none-such").status == 400
        assert second().status == 200
        for client_id in (a, b):
            error = server.problem("client", "label", client_id, "--tenant", "blue")
            assert "boundary_violation" in error["message"]
        assert (first().status, second().status) == (200, 200)


@pytest.mark.parametrize("word", ["--public-key", "--cert"])
def test_naming_a_key_takes_it_from_nobody(server: Running, word: str) -> None:
    """Public key or certificate registered by one who never had the key: its holder goes on first."""
    name = f"squatted{word}"
    authority, key = placing.root(f"CA of {name}"), ca.key(label=f"key of {name}")
    server.certbound("trust", "add", name, str(placing.authority_file(server, authority, name)))
    placing.place(server, name, authority, key=key)
    victim = ("--subject-dn", f"CN={name}", "--trust", name, "--tenant", "acme")
    server.certbound("client", "add", name, *victim)
    if word == "--public-key":
        named = server.file(f"{name}.pub")
        spki = key.public_key()
        named.write_bytes(spki.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    else:  # the victim's key in it, the squatter's signature under it
        own, subject = ca.key(label="squatter"), ca.name(("CN", "squatter"))
        forged = ca.sign(ca.client_draft(subject, ca.spki(key), clock.now()), subject, own)
        named = placing.pem(server.file(f"{name}.forged.crt"), forged)
    squatter = ("--method", "self_signed_tls_client_auth", word, str(named), "--tenant", "globex")
    server.certbound("client", "add", f"{name}-2", *squatter)
    with live(server, name) as ask:
        assert crossings(server, ask()) == []
    error = server.problem("client", "add", f"{name}-3", *squatter)
    assert name in error["message"], "once it was used nobody else registers it"


def test_within_a_tenant_it_is_reported(server: Running) -> None:
    """Both get tokens; the audit names the other client, and ``audit sprawl`` lists the key."""
    a, b = two_of_one_key(server, "mates", "green", "green")
    with live(server, a) as first, live(server, b) as second:
        assert crossings(server, first()) == []
        assert a in str(crossings(server, second()))
        assert crossings(server, first()) == []
    sprawl = server.certbound_json("audit", "sprawl", check=False)
    assert [a, b] in [each["clients"] for each in sprawl["shared_keys"]]


def test_a_resource_of_another_tenant(server: Running) -> None:
    """Refused as a target; with another risk or class it is reported, and a label can be mended."""
    api = "https://api.example/tenant"
    authority = placing.root("CA of tenants")
    server.certbound(
        "trust", "add", "tenants", str(placing.authority_file(server, authority, "tenants"))
    )
    placing.place(server, "tenant", authority)
    server.certbound("resource", "add", api, "--tenant", "violet", "--risk", "high")
    who = ("--subject-dn", "CN=tenant", "--trust", "tenants", "--resource", api)
    server.certbound("client", "add", "tenant", *who, "--tenant", "orange")
    with live(server, "tenant") as ask:
        refused = ask(f"&resource={api}")
        assert (refused.status, refused.json()["error"]) == (400, "invalid_target")
        assert reason(server, refused) == "boundary_violation"
        server.certbound("client", "label", "tenant", "--tenant", "violet", "--risk", "low")
        [crossing] = crossings(server, ask(f"&resource={api}"))
        assert "risk" in crossing
        server.certbound("client", "label", "tenant", "--risk", "high")
        assert crossings(server, ask(f"&resource={api}")) == []
        server.certbound("resource", "add", api, "--tenant", "orange")
        assert reason(server, ask(f"&resource={api}")) == "boundary_violation"


def test_a_certificate_of_a_tenant(server: Running) -> None:
    """Of an unlabelled client's certificates the one of a tenant opens that tenant's resource alone."""
    mine, theirs = "https://api.example/pink", "https://api.example/grey"
    for api, tenant in ((mine, "pink"), (theirs, "grey")):
        server.certbound("resource", "add", api, "--tenant", tenant)
    for name in ("labelled-any", "labelled-pink"):
        server.certbound("ca", "issue", name, "--self-signed")
    who = (
        "--method",
        "self_signed_tls_client_auth",
        "--cert",
        str(server.file("labelled-any.crt")),
    )
    resources = ("--resource", mine, "--resource", theirs)
    server.certbound("client", "add", "labelled", *who, *resources)
    pink = str(server.file("labelled-pink.crt"))
    server.certbound("client", "cert", "add", "labelled", pink, "--tenant", "pink")
    with (
        live(server, "labelled-any", "labelled") as plain,
        live(server, "labelled-pink", "labelled") as special,
    ):
        assert claims(plain(f"&resource={theirs}"))["aud"] == theirs
        assert claims(special(f"&resource={mine}"))["aud"] == mine
        refused = special(f"&resource={theirs}")
        assert (refused.status, refused.json()["error"]) == (400, "invalid_target")
        assert reason(server, refused) == "boundary_violation"
        server.certbound("client", "cert", "label", "labelled", pink, "--tenant", "grey")
        assert claims(special(f"&resource={theirs}"))["aud"] == theirs, "on the open connection too"
        assert reason(server, special(f"&resource={mine}")) == "boundary_violation"


@pytest.mark.parametrize("policy", ["refuse", "report"])
def test_the_setting_decides(tmp_path_factory: pytest.TempPathFactory, policy: str) -> None:
    """``refuse``: no second client at all, whoever it is; ``report``: all are let in and named."""
    home = tmp_path_factory.mktemp("home")
    with running(home, boundary_policy=policy) as server:
        pairs = [
            two_of_one_key(server, "near", "one", "one"),
            two_of_one_key(server, "far", "one", "two"),
            two_of_one_key(server, "bare", "", ""),
        ]
        for a, b in pairs:
            with live(server, a) as first, live(server, b) as second:
                assert claims(first())["sub"] == a
                if policy == "refuse":
                    assert reason(server, second()) == "boundary_violation"
                else:
                    assert a in str(crossings(server, second()))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    """Two processes on one database."""
    home = tmp_path_factory.mktemp("home")
    certbound(home, "quickstart")
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                running(home, program=unhurried.PROGRAM, quickstart=False, issuer=ISSUER)
            )
            for _ in range(2)
        ]


def test_a_race_for_a_key_on_two_processes(two: list[Running]) -> None:
    """Two tenants ask with one key at the same moment, each another process: one wins, for good."""
    winners = set()
    for number in range(RACES):
        pair = two_of_one_key(two[0], f"race{number}", "left", "right")
        with (
            live(two[number % 2], pair[0]) as one,
            live(two[1 - number % 2], pair[1]) as other,
        ):
            asks = (one, other)
            answers: list[Response | None] = [None, None]
            gate = threading.Barrier(2)

            def race(at: int, asks: Any = asks, answers: Any = answers, gate: Any = gate) -> None:
                gate.wait(TIMEOUT)
                answers[at] = asks[at]()

            racers = [threading.Thread(target=race, args=(at,)) for at in range(2)]
            for each in racers:
                each.start()
            for each in racers:
                each.join(TIMEOUT)
            statuses = [None if answer is None else answer.status for answer in answers]
            assert sorted(map(str, statuses)) == ["200", "401"]
            winner = statuses.index(200)
            winners.add(winner)
            for _ in range(2):
                assert claims(asks[winner]())["sub"] == pair[winner]
                assert reason(two[0], asks[1 - winner]()) == "boundary_violation"
        for server in two:  # a process that saw nothing of it yet says the same
            with live(server, pair[1 - winner]) as ask:
                assert reason(server, ask()) == "boundary_violation"
            with live(server, pair[winner]) as ask:
                assert claims(ask())["sub"] == pair[winner]
