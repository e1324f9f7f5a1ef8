"""The audit table: entries chained per stream, found again by what they concern."""

import json
import threading
from dataclasses import replace

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from app.audit import (
    CertificateEvidence,
    ClientAdded,
    ClientDisabled,
    Event,
    FindingRecord,
    RequestRefused,
    RequestsRefused,
    canonical,
    new_ref,
)
from app.errors import Reason
from app.store import audit
from app.store.engine import Database
from app.store.tables import audit as table
from tests.store.chains import entries, unbroken


def refusal(ref: str | None = None, client_id: str = "bot") -> RequestRefused:
    """A refused request's entry."""
    return RequestRefused(
        decision="refused",
        reason="expired",
        ref=ref,
        client_id=client_id,
        certificate=CertificateEvidence(thumbprint="thumb"),
        endpoint="token",
        error="invalid_client",
        status=401,
    )


def test_a_stream_continues_where_it_stands(db: Database) -> None:
    """Across transactions: one chain, from 32 zero bytes on."""
    chain = audit.Chain(audit.new_writer())
    for count in (2, 0, 3):
        with db.begin() as conn:
            chain = audit.append(conn, chain, [audit.entry(refusal())] * count)
    with db.begin() as conn:
        assert audit.resume(conn, chain.writer) == chain
        assert audit.resume(conn, "another") == audit.Chain("another")
        assert [row.seq for row in entries(conn)] == [1, 2, 3, 4, 5]
        assert entries(conn)[0].prev == bytes(32)
        assert unbroken(conn)


def test_an_entry_is_spelled_canonically() -> None:
    """Every kind of member: the text that is stored is the one spelling of the entry's body."""
    odd = 'quote " backslash \\ slash / line\n tab\t nul\0 del\x7f é € \U0001f511 \u2028'
    found = FindingRecord(check="name", seen=odd, expected="", reason=Reason.DN_MISMATCH)
    details: dict[str, object] = {
        "b": [1, None, True, 1.5, {"z": odd, "a": -1}],
        "a": {},
        odd: [],
        "n": None,
    }
    events: list[Event] = [
        replace(refusal(odd, odd), findings=(found, found)),
        replace(refusal(), findings=(), status=-(10**30)),
        ClientAdded(actor=odd, details=details, reason=Reason.EXPIRED),
        RequestsRefused(endpoint="", error="", status=0, alike=("endpoint", odd)),
    ]
    for event in events:
        assert audit.entry(event).body == canonical(event.body()).decode()


@pytest.mark.parametrize("column", ["body", "at_ms", "prev"])
def test_an_edited_entry_breaks_its_stream(db: Database, column: str) -> None:
    """Whatever is edited no longer gives the stored hash."""
    with db.begin() as conn:
        audit.append(conn, audit.Chain("w"), [audit.entry(refusal())] * 3)
        assert unbroken(conn)
        edited = {"body": "{}", "at_ms": 1, "prev": bytes(32)}[column]
        conn.execute(update(table).where(table.c.seq == 2).values({column: edited}))
        assert not unbroken(conn)


def test_a_fork_of_a_stream_is_refused(db: Database) -> None:
    """A second writer at the same place gets an error, not a second history."""
    with db.begin() as conn:
        audit.append(conn, audit.Chain("w"), [audit.entry(refusal())])
    with pytest.raises(IntegrityError), db.begin() as conn:
        audit.append(conn, audit.Chain("w"), [audit.entry(refusal())])


def test_a_stream_whose_entries_were_cut_goes_on(db: Database) -> None:
    """Its writer knows where it stood; what is stored beyond that counts more."""
    with db.begin() as conn:
        known = audit.Chain("w", 7, b"7" * 32)
        assert audit.resume(conn, "w", known) == known
        further = audit.append(conn, known, [audit.entry(refusal())] * 2)
        assert audit.resume(conn, "w", known) == further


@pytest.mark.usefixtures("unhurried")
def test_operators_share_one_stream(db: Database) -> None:
    """Eight at once, in transactions of their own: one chain without gaps."""

    def act(number: int) -> None:
        for _ in range(5):
            with db.begin() as conn:
                audit.append_admin(conn, ClientDisabled(actor="root", client_id=str(number)))

    threads = [threading.Thread(target=act, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.read() as conn:
        rows = entries(conn)
        assert {row.writer for row in rows} == {"admin"}
        assert [row.seq for row in rows] == list(range(1, 41))
        assert unbroken(conn)


def test_an_operators_act_and_its_entry_are_one(db: Database) -> None:
    """What was rolled back left no entry, and the stream has no gap."""

    def add_and_fail() -> None:
        with db.begin() as conn:
            audit.append_admin(conn, ClientAdded(actor="root", client_id="x"))
            raise LookupError

    with pytest.raises(LookupError):
        add_and_fail()
    with db.begin() as conn:
        audit.append_admin(conn, ClientAdded(actor="root", client_id="y"))
        assert [(row.seq, row.client_id) for row in entries(conn)] == [(1, "y")]


def test_a_reference_finds_its_entry(db: Database) -> None:
    """Exactly that one, with the whole body."""
    ref = new_ref()
    with db.begin() as conn:
        both = [audit.entry(refusal(new_ref())), audit.entry(refusal(ref))]
        audit.append(conn, audit.Chain("w"), both)
        found = audit.find_ref(conn, ref)
        assert found is not None
        assert json.loads(found.body) == refusal(ref).body()
        assert audit.find_ref(conn, "nothing") is None


def test_search_and_tail_are_in_order_of_time(db: Database) -> None:
    """The last ones that match, oldest first."""
    with db.begin() as conn:
        chain = audit.Chain("w")
        for name in ("a", "b", "a", "c"):
            chain = audit.append(conn, chain, [audit.entry(refusal(client_id=name))])
        assert [row.client_id for row in audit.tail(conn, 3)] == ["b", "a", "c"]
        assert [row.seq for row in audit.search(conn, audit.Wanted(client_id="a"))] == [1, 3]
        assert [row.seq for row in audit.search(conn, audit.Wanted(client_id="a"), count=1)] == [3]
        assert len(audit.search(conn, audit.Wanted(thumbprint="thumb", decision="refused"))) == 4
        assert audit.search(conn, audit.Wanted(decision="issued")) == []
        assert audit.search(conn, audit.Wanted(since_ms=audit.tail(conn, 1)[0].at_ms + 1)) == []
