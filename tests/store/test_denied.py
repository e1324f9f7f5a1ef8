"""The deny-list: three kinds of names, each denied once, read by decisions as sets."""

from app.store import denied, registry
from app.store.denied import Denied, DeniedRow
from app.store.engine import Database


def test_what_is_denied_is_in_the_registry(db: Database) -> None:
    """By kind: a value of one kind says nothing about another."""
    pair = denied.issuer_serial("CN=CA,O=Example", "2a")
    with registry.change(db) as conn:
        assert denied.deny(conn, "thumbprint", "v", reason="lost", actor="alice", at=5)
        assert denied.deny(conn, "spki", "v", reason="", actor="alice", at=6)
        assert denied.deny(conn, "spki", "w", reason="", actor="alice", at=6)
        assert denied.deny(conn, "issuer_serial", pair, reason="", actor="bob", at=7)
        assert not denied.deny(conn, "spki", "v", reason="again", actor="bob", at=8)
    with db.read() as conn:
        assert registry.load(conn).denied == Denied(
            frozenset({"v"}), frozenset({"v", "w"}), frozenset({pair})
        )
        assert denied.listed(conn)[0] == DeniedRow(
            kind="thumbprint", value="v", reason="lost", actor="alice", created_at=5
        )


def test_a_content_goes_with_the_entry_it_is_known_from(db: Database) -> None:
    """Known at once or later, it is denied while one entry has it."""
    with registry.change(db) as conn:
        for value, content in (("v", "c"), ("twin", "c"), ("w", "")):
            assert denied.deny(
                conn, "thumbprint", value, reason="", actor="a", at=5, tbs_sha256=content
            )
        assert not denied.deny(conn, "thumbprint", "v", reason="", actor="b", at=6, tbs_sha256="d")
        assert denied.deny(conn, "thumbprint", "w", reason="", actor="b", at=6, tbs_sha256="e")
        assert denied.snapshot(conn).contents == {"c", "e"}
        assert [row.actor for row in denied.listed(conn)] == ["a", "a", "a"]
        denied.allow(conn, "thumbprint", "v")
        assert denied.snapshot(conn).contents == {"c", "e"}
        denied.allow(conn, "thumbprint", "twin")
        assert denied.snapshot(conn).contents == {"e"}


def test_what_is_allowed_again_is_gone(db: Database) -> None:
    """True once; another kind's entry stays."""
    with registry.change(db) as conn:
        denied.deny(conn, "thumbprint", "v", reason="", actor="a", at=5)
        denied.deny(conn, "spki", "v", reason="", actor="a", at=5)
        assert denied.allow(conn, "thumbprint", "v")
        assert not denied.allow(conn, "thumbprint", "v")
        assert denied.snapshot(conn) == Denied(spkis=frozenset({"v"}))
