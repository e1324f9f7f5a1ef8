"""Which CA counts, and for whom: changed beside open connections, and true for their next request."""

import threading
import time
from pathlib import Path

from tests.kit import placing
from tests.kit.ca import Authority
from tests.kit.live import Ask, claims, live, reason
from tests.kit.running import Running
from tests.kit.timed import eventually
from tests.kit.wire import TIMEOUT


def pinned(server: Running, name: str, authority: Authority) -> str:
    """Pin the CA in trust set `name`; its thumbprint."""
    file = placing.authority_file(server, authority, f"{name}-anchor")
    [added] = server.certbound_json("trust", "add", name, str(file))["added"]
    return str(added["x5t#S256"])


def outlooks(page: dict[str, object]) -> dict[str, str]:
    """What becomes of each client when a CA goes."""
    clients = page["clients"]
    assert isinstance(clients, list)
    return {each["client_id"]: each["outlook"] for each in clients}


def test_a_ca_is_replaced_with_overlap(server: Running) -> None:
    """Pin the second, move the clients, rehearse, remove the first: only then its clients stop."""
    first, second = placing.root("overlap one"), placing.root("overlap two")
    old = pinned(server, "overlap", first)
    for name in ("moved", "forgotten"):
        placing.place(server, name, first)
        server.certbound("client", "add", name, "--subject-dn", f"CN={name}", "--trust", "overlap")
    placing.place(server, "moved-new", second, subject="moved")
    with (
        live(server, "moved") as before,
        live(server, "moved-new", "moved") as after,
        live(server, "forgotten") as forgotten,
    ):
        assert claims(before())["sub"] == "moved"
        assert claims(forgotten())["sub"] == "forgotten"
        assert reason(server, after()) == "issuer_unknown"
        pinned(server, "overlap", second)
        assert claims(after())["sub"] == "moved"
        assert claims(before())["sub"] == "moved"
        time.sleep(1.1)  # uses are remembered by the second
        assert claims(after())["sub"] == "moved", "the last one it was seen with"
        page = server.certbound_json("trust", "remove", "overlap", old, "--dry-run")
        assert outlooks(page)["forgotten"] == "stops"
        assert outlooks(page)["moved"] != "stops"
        assert claims(forgotten())["sub"] == "forgotten", "a rehearsal changes nothing"
        server.certbound("trust", "remove", "overlap", old)
        assert reason(server, before()) == "issuer_unknown"
        assert reason(server, forgotten()) == "issuer_unknown"
        assert claims(after())["sub"] == "moved"


def test_a_set_that_goes_takes_its_clients_along(server: Running) -> None:
    """And one that comes back under its name, with the same CA, lets them in again."""
    authority = placing.root("going")
    pinned(server, "going", authority)
    placing.place(server, "goer", authority)
    server.certbound("client", "add", "goer", "--subject-dn", "CN=goer", "--trust", "going")
    with live(server, "goer") as ask:
        assert claims(ask())["sub"] == "goer"
        page = server.certbound_json("trust", "remove", "going")
        assert page["clients_naming_it"] == ["goer"]
        assert reason(server, ask()) == "issuer_unknown"
        pinned(server, "going", authority)
        assert claims(ask())["sub"] == "goer"


def test_a_client_is_moved_to_another_set(server: Running) -> None:
    """The same certificate name from a set that the client was not given authenticates nobody."""
    one, two = placing.root("moving one"), placing.root("moving two")
    pinned(server, "moving-one", one)
    pinned(server, "moving-two", two)
    placing.place(server, "mover", one)
    placing.place(server, "mover-two", two, subject="mover")
    server.certbound("client", "add", "mover", "--subject-dn", "CN=mover", "--trust", "moving-one")
    with live(server, "mover") as first, live(server, "mover-two", "mover") as second:
        assert claims(first())["sub"] == "mover"
        assert reason(server, second()) == "issuer_unknown"
        server.certbound("client", "trust", "mover", "moving-one", "moving-two")
        assert claims(first())["sub"] == claims(second())["sub"] == "mover"
        server.certbound("client", "trust", "mover", "moving-two")
        assert reason(server, first()) == "issuer_unknown"
        assert claims(second())["sub"] == "mover"


def test_a_set_vouches_within_its_bounds_only(server: Running) -> None:
    """Bounds given later hold for the next request, and go as fast as they came."""
    authority = placing.root("bounded")
    pinned(server, "bounded", authority)
    placing.place(server, "inside", authority)
    server.certbound("client", "add", "inside", "--subject-dn", "CN=inside", "--trust", "bounded")
    with live(server, "inside") as ask:
        assert claims(ask())["sub"] == "inside"
        server.certbound("trust", "permit", "bounded", "dn:O=Elsewhere")
        assert reason(server, ask()) == "name_constraint"
        server.certbound("trust", "permit", "bounded", "dn:CN=inside")
        assert claims(ask())["sub"] == "inside"
        server.certbound("trust", "permit", "bounded", "--any")
        assert claims(ask())["sub"] == "inside"


def test_an_intermediate_that_is_pinned_completes_short_chains(server: Running) -> None:
    """A client that sends its leaf alone gets in once the set knows the CA between."""
    above = placing.root("short root")
    between = placing.issuing(above, "short issuing")
    pinned(server, "short", above)
    placing.place(server, "short", between)
    server.certbound("client", "add", "short", "--subject-dn", "CN=short", "--trust", "short")
    with live(server, "short") as ask:
        assert reason(server, ask()) in ("chain_incomplete", "issuer_unknown")
        file = placing.authority_file(server, between, "short-between")
        server.certbound("trust", "add", "short", str(file), "--intermediate")
        assert claims(ask())["sub"] == "short"


def test_changes_of_trust_beside_load(server: Running) -> None:
    """Anchors come and go in another set while a client asks: not one of its requests fails."""
    ours, other = placing.root("steady"), placing.root("restless")
    pinned(server, "steady", ours)
    pinned(server, "restless", placing.root("resting"))
    placing.place(server, "steady", ours)
    server.certbound("client", "add", "steady", "--subject-dn", "CN=steady", "--trust", "steady")
    done = threading.Event()
    statuses: list[int] = []

    def keep_asking(ask: Ask) -> None:
        while not done.is_set():
            statuses.append(ask().status)
            time.sleep(0.005)

    with live(server, "steady") as ask:
        asker = threading.Thread(target=keep_asking, args=(ask,))
        asker.start()
        try:
            for _ in range(5):
                mark = pinned(server, "restless", other)
                server.certbound("trust", "remove", "restless", mark)
                grows(statuses)
        finally:
            done.set()
            asker.join(TIMEOUT)
    assert len(statuses) >= 10
    assert set(statuses) == {200}


def grows(statuses: list[int]) -> None:
    """Wait for two more answers."""
    wanted = len(statuses) + 2
    eventually(lambda: len(statuses) >= wanted)


def test_a_file_that_holds_no_ca_changes_nothing(server: Running, tmp_path: Path) -> None:
    """Empty, broken, cut off, a client's certificate, vanished: named with the reason, all refused."""
    authority = placing.root("kept")
    pinned(server, "kept", authority)
    placing.place(server, "kept", authority)
    server.certbound("client", "add", "kept", "--subject-dn", "CN=kept", "--trust", "kept")
    good = placing.pem(tmp_path / "good.pem", authority.certificate).read_text()
    bad = {
        "empty.pem": "",
        "broken.pem": good.replace(good.splitlines()[2], "A" * 64),
        "cut.pem": good[: len(good) // 2],
        "leaf.pem": server.file("kept.crt").read_text(),
        "half.pem": good + server.file("kept.crt").read_text(),
    }
    with live(server, "kept") as ask:
        for name, text in bad.items():
            (tmp_path / name).write_text(text)
        for name in (*bad, "vanished.pem"):
            error = server.problem("trust", "add", "kept", str(tmp_path / name))
            assert name in error["message"], error
            assert error["kind"] in ("refused", "environment"), error
            assert error.get("seen"), error
            assert claims(ask())["sub"] == "kept"
    [found] = [
        each
        for each in server.certbound_json("trust", "list")["trust_sets"]
        if each["name"] == "kept"
    ]
    assert len(found["certificates"]) == 1
