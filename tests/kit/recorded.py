"""Whether what clients received is what the database holds."""

from sqlalchemy import select

from app.store import audit, tokens
from app.store.engine import Database
from app.store.tables import audit as entries
from tests.kit import tokens as kit
from tests.store.chains import unbroken


def assert_recorded(url: str, received: list[str]) -> None:
    """Each token has its row and its entry, which name its certificate, and no chain is broken."""
    db = Database(url)
    try:
        claims = [kit.read(token) for token in received]
        wanted = {one["jti"]: one for one in claims}
        assert len(wanted) == len(received), "a token was given twice"
        with db.read() as conn:
            query = select(entries.c.jti, entries.c.thumbprint).where(
                entries.c.event == "token.issued"
            )
            issued = {row.jti: row.thumbprint for row in conn.execute(query)}
            missing = wanted.keys() - issued.keys()
            assert not missing, f"{len(missing)} of {len(wanted)} tokens have no audit entry"
            rows: dict[str, tokens.TokenRow] = {}
            names = sorted(wanted)
            for start in range(0, len(names), 500):
                rows |= tokens.find_many(conn, names[start : start + 500])
            for jti, one in wanted.items():
                assert issued[jti] == rows[jti].thumbprint == one["cnf"]["x5t#S256"]
                assert rows[jti].expires_at == one["exp"]
            assert unbroken(conn)
            assert audit.search(conn, count=1)
    finally:
        db.dispose()
