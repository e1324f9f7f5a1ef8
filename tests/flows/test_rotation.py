"""A certificate is replaced at noon: the old one and the new one overlap, and no request fails."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.kit import placing
from tests.kit.live import claims, live, reason
from tests.kit.running import Running
from tests.kit.timed import Timed, timed
from tests.kit.wire import TIMEOUT

SELF_SIGNED = ("--method", "self_signed_tls_client_auth")
PAUSE = 0.01
"""Seconds between two requests of a connector: some 200 requests a second, all together."""


class Fleet:
    """Connectors that ask steadily, each with the certificate it was given last."""

    def __init__(self, server: Running, client_id: str, certificate: str, size: int = 3) -> None:
        self._server = server
        self._client_id = client_id
        self._holds = [certificate] * size
        self._uses = [""] * size
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(size)]
        self.statuses: dict[str, list[int]] = {}
        """What was answered, by certificate."""
        self.failures: list[str] = []
        """Connections that broke."""

    @contextmanager
    def busy(self) -> Iterator[None]:
        """They ask while the block runs."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._done.set()
            for thread in self._threads:
                thread.join(TIMEOUT)

    def give(self, connector: int, certificate: str) -> None:
        """Install another certificate on one connector; returns when it has changed connections."""
        self._holds[connector] = certificate
        deadline = time.monotonic() + TIMEOUT
        while self._uses[connector] != certificate:
            assert time.monotonic() < deadline, self.failures
            time.sleep(PAUSE)

    def wait(self, certificate: str, more: int) -> None:
        """Until so many more requests with this certificate were answered."""
        wanted = len(self.statuses.get(certificate, ())) + more
        deadline = time.monotonic() + TIMEOUT
        while len(self.statuses.get(certificate, ())) < wanted:
            assert time.monotonic() < deadline, (self.failures, self.statuses)
            time.sleep(PAUSE)

    def _work(self, connector: int) -> None:
        while not self._done.is_set():
            certificate = self._holds[connector]
            try:
                with live(self._server, certificate, self._client_id) as ask:
                    self._uses[connector] = certificate
                    while self._holds[connector] == certificate and not self._done.is_set():
                        status = ask().status
                        self.statuses.setdefault(certificate, []).append(status)
                        time.sleep(PAUSE)
            except Exception as error:  # noqa: BLE001 - judged by the test, with the rest
                self.failures.append(repr(error))
                return


def used(server: Running, client_id: str) -> dict[str, dict[str, Any]]:
    """The client's certificates as ``client cert list`` shows them, by thumbprint."""
    page = server.certbound_json("client", "cert", "list", client_id)
    return {each["x5t#S256"]: each for each in page["credentials"]}


def all_well(fleet: Fleet) -> None:
    """No connection broke, and every request got its token."""
    assert fleet.failures == []
    assert {status for found in fleet.statuses.values() for status in found} == {200}


def test_at_noon_under_load_self_signed(server: Running) -> None:
    """Add the new one, move connectors one by one, retire the old: zero failed requests."""
    for name in ("noon-old", "noon-new"):
        server.certbound("ca", "issue", name, "--self-signed")
    old_file, new_file = (str(server.file(f"{name}.crt")) for name in ("noon-old", "noon-new"))
    server.certbound("client", "add", "noon", *SELF_SIGNED, "--cert", old_file)
    [old] = used(server, "noon")
    fleet = Fleet(server, "noon", "noon-old")
    with fleet.busy():
        fleet.wait("noon-old", 30)
        added = server.certbound_json("client", "cert", "add", "noon", new_file)
        new = added["x5t#S256"]
        fleet.give(0, "noon-new")
        fleet.wait("noon-new", 10)
        overlapping = used(server, "noon")
        assert {overlapping[each]["state"] for each in (old, new)} == {"active"}
        assert overlapping[new]["uses"] >= 10
        fleet.wait("noon-old", 10)
        assert used(server, "noon")[old]["uses"] > overlapping[old]["uses"], "who still uses it"
        fleet.give(1, "noon-new")
        fleet.give(2, "noon-new")
        quiet = used(server, "noon")[old]["uses"]
        fleet.wait("noon-new", 10)
        assert used(server, "noon")[old]["uses"] == quiet, "nobody uses the old one any more"
        server.certbound("client", "cert", "retire", "noon", old)
        fleet.wait("noon-new", 30)
    all_well(fleet)
    after = used(server, "noon")
    assert (after[old]["state"], after[new]["state"]) == ("retired", "active")
    assert after[old]["uses"] == quiet == len(fleet.statuses["noon-old"])
    assert after[new]["uses"] == len(fleet.statuses["noon-new"])
    with live(server, "noon-old", "noon") as ask:
        assert reason(server, ask()) == "certificate_retired"


def test_at_noon_under_load_by_name(server: Running) -> None:
    """A PKI client has a new certificate with its name: nothing is registered, and nothing fails."""
    authority = placing.root("rotating")
    server.certbound(
        "trust", "add", "rotating", str(placing.authority_file(server, authority, "rotating"))
    )
    for name in ("named-old", "named-new"):
        placing.place(server, name, authority, subject="named")
    server.certbound("client", "add", "named", "--subject-dn", "CN=named", "--trust", "rotating")
    fleet = Fleet(server, "named", "named-old")
    with fleet.busy():
        fleet.wait("named-old", 30)
        fleet.give(0, "named-new")
        fleet.wait("named-new", 10)
        fleet.wait("named-old", 10)
        for connector in (1, 2):
            fleet.give(connector, "named-new")
        fleet.wait("named-new", 30)
    all_well(fleet)
    learned = used(server, "named")
    assert {each["source"] for each in learned.values()} == {"learned"}
    assert {each["trust_set"] for each in learned.values()} == {"rotating"}
    counts = sorted(each["uses"] for each in learned.values())
    assert counts == sorted(len(found) for found in fleet.statuses.values())
    shown = server.certbound_json("client", "show", "named")
    assert shown["last_replaced_at"] == max(each["first_used"] for each in learned.values())


def test_a_staged_certificate_counts_from_its_moment(tmp_path: Path) -> None:
    """Registered for a later time and retired at one, both without anyone at the keyboard."""
    with timed(tmp_path) as at:
        _staged(at)


def _staged(at: Timed) -> None:
    server = at.server
    for name in ("staged-old", "staged-new"):
        server.certbound("ca", "issue", name, "--self-signed")
    old, new = (server.file(f"{name}.crt") for name in ("staged-old", "staged-new"))
    server.certbound("client", "add", "staged", *SELF_SIGNED, "--cert", str(old))
    begins = at.now + 3600
    ends = begins + 3600
    server.certbound("client", "cert", "add", "staged", str(new), "--activate-at", iso(begins))
    server.certbound("client", "cert", "retire", "staged", str(old), "--at", iso(ends))
    states = {each["state"] for each in used(server, "staged").values()}
    assert states == {"staged", "retiring"}
    with (
        live(server, "staged-old", "staged") as first,
        live(server, "staged-new", "staged") as next_,
    ):
        assert reason(server, next_()) == "certificate_not_active"
        assert claims(first())["sub"] == "staged"
        at.pass_time(3600)
        assert claims(next_())["sub"] == "staged"
        assert claims(first())["sub"] == "staged", "they overlap"
        at.pass_time(3600)
        assert reason(server, first()) == "certificate_retired"
        assert claims(next_())["sub"] == "staged"


def iso(seconds: int) -> str:
    """A time as commands take it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
