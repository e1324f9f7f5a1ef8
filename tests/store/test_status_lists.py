"""Status lists and the tokens on them, on both databases."""

import pytest

from app.jose.jwt import MOST_LEEWAY
from app.store import status_lists, tokens
from app.store.engine import Database
from app.store.status_lists import StatusListRow
from app.store.tokens import Outstanding, TokenRow
from tests.store.decisions import THUMBPRINT, token

NOW = 1_800_000_000
BIGGEST = (1 << 20) - 1


def on(
    index: int,
    *,
    list_id: str = "one",
    expires_at: int = NOW + 300,
    client_id: str = "bot",
    thumbprint: str = THUMBPRINT,
) -> TokenRow:
    """A token at this place."""
    row = token(client_id=client_id, expires_at=expires_at)
    return row._replace(status_list=list_id, status_index=index, thumbprint=thumbprint)


def test_the_mark_differs_where_the_places_differ(db: Database) -> None:
    """None, one, another one, both, as many but others, another list; no place overflows it."""
    rows = [on(place) for place in (3, 5, BIGGEST - 1, BIGGEST)]
    marks = []
    with db.begin() as conn:
        tokens.insert_many(conn, [*rows, on(3, list_id="other")])
        for jtis in ([], [0], [1], [0, 1], [2, 3], [0, 3]):
            conn.exec_driver_sql("UPDATE tokens SET revoked_at = NULL")
            tokens.revoke(conn, [rows[number].jti for number in jtis], NOW)
            marks.append(status_lists.mark(conn, "one"))
            assert sorted(status_lists.revoked(conn, "one")) == [
                rows[number].status_index for number in jtis
            ]
            assert status_lists.mark(conn, "other") == (0, 0, 0)
    assert len(set(marks)) == len(marks)
    assert marks[4] == (2, 2 * BIGGEST - 1, (BIGGEST - 1) ** 2 + BIGGEST**2)


def test_lists_are_put_once_and_purged_after_their_end(db: Database) -> None:
    """The second process that writes a row learns that it was known."""
    row = StatusListRow(id="one", opened_at=NOW, ends_at=NOW + 10)
    with db.begin() as conn:
        assert status_lists.put(conn, row)
        assert not status_lists.put(conn, row)
        assert status_lists.purge(conn, NOW + 10) == 0
        assert status_lists.find(conn, "one") == row
        assert status_lists.purge(conn, NOW + 11) == 1
        assert status_lists.find(conn, "one") is None


@pytest.mark.parametrize("whose", [{"client_id": "bot"}, {"thumbprints": [THUMBPRINT]}])
def test_what_is_outstanding_is_revoked_and_counted(db: Database, whose: dict[str, object]) -> None:
    """Unrevoked tokens that a slow clock may take, of that client or certificate; none twice."""
    good = [on(1, expires_at=NOW + 2), on(2, expires_at=NOW - MOST_LEEWAY + 1)]
    others = [
        on(3, expires_at=NOW - MOST_LEEWAY),
        on(4, client_id="another", thumbprint="another"),
    ]
    with db.begin() as conn:
        tokens.insert_many(conn, [*good, *others])
        found = tokens.outstanding(conn, NOW, **whose)  # type: ignore[arg-type] # -- one of two
        assert found == Outstanding(count=2, until=NOW + 2)
        assert tokens.revoke_outstanding(conn, NOW, **whose) == found  # type: ignore[arg-type] # -- as above
        again = tokens.revoke_outstanding(conn, NOW, **whose)  # type: ignore[arg-type] # -- as above
        assert again == Outstanding(count=0, until=None)
        assert sorted(status_lists.revoked(conn, "one")) == [1, 2]


def test_tokens_of_nobody_are_not_revoked(db: Database) -> None:
    """Without a client and certificates it would be everybody's: that is a mistake."""
    with db.begin() as conn, pytest.raises(ValueError, match="whose"):
        tokens.revoke_outstanding(conn, NOW)
    with db.begin() as conn:
        assert tokens.revoke_outstanding(conn, NOW, thumbprints=()).count == 0


def test_more_certificates_than_a_statement_has_room_for(db: Database) -> None:
    """A CA's worth of thumbprints, more than either database takes as parameters."""
    many = [f"thumbprint {number}" for number in range(70_000)]
    with db.begin() as conn:
        tokens.insert_many(conn, [on(1, thumbprint=many[0]), on(2, thumbprint=many[-1])])
        assert tokens.outstanding(conn, NOW, thumbprints=many).count == 2
        assert tokens.revoke_outstanding(conn, NOW, thumbprints=many).count == 2
