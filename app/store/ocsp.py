"""What OCSP responders said is revoked, kept across restarts and shared by all processes.

Guarantees that a revocation, once learned, is there until a later answer takes it back, whichever
process brings which first: the answers' own dates decide, in one statement; and that it counts in
every trust set that has the same CA, name and key. Rows go with the trust set they were learned for.
Nothing else purges them: the table has no end of a certificate's life, and to forget a
revocation that is old would let its certificate in again where the responder does not answer. There
is at most one row for each certificate that its CA issued, revoked, and a client still came with.
Not here: whether an answer is genuine (`pki` judges before it is learned).
"""

from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, select

from app import clock
from app.store.engine import Database, insert_or_replace
from app.store.tables import ocsp_revoked, trust_sets


@dataclass(frozen=True, slots=True)
class Asked:
    """Which certificate, and in which trust set it was asked about: the primary key."""

    trust_set: str
    issuer_key: str
    """Names the CA, as `pki` does: opaque here."""
    serial: str
    """Hexadecimal."""


def learn(conn: Connection, asked: Asked, this_update: int, now: int) -> bool:
    """Keep a *revoked*, unless a later one is kept; False also when the trust set is gone."""
    name = trust_sets.c.name
    if conn.execute(select(name).where(name == asked.trust_set)).first() is None:
        return False
    values = {**asdict(asked), "this_update": this_update, "learned_at": now}
    return insert_or_replace(conn, ocsp_revoked, values, ocsp_revoked.c.this_update <= this_update)


def lift(conn: Connection, asked: Asked, this_update: int) -> bool:
    """Forget it in every set, for a *good* of this date; False where there is none that is older."""
    older = ocsp_revoked.c.this_update < this_update
    return conn.execute(delete(ocsp_revoked).where(*_certificate(asked), older)).rowcount > 0


def recall(conn: Connection, asked: Asked) -> int | None:
    """The latest date of a *revoked* that is kept, whichever set's responder said so, or None."""
    query = select(func.max(ocsp_revoked.c.this_update)).where(*_certificate(asked))
    found: int | None = conn.execute(query).scalar_one()
    return found


class OcspMemory:
    """The same for those who have no transaction. Blocking; raises `StoreUnavailable`."""

    def __init__(self, db: Database, *, writes: bool = True) -> None:
        """Without `writes` it is only read: the doctor changes nothing."""
        self._db = db
        self._writes = writes

    def recall(self, trust_set: str, issuer_key: str, serial: str) -> int | None:
        """The date of the *revoked* that is kept, or None."""
        with self._db.read() as conn:
            return recall(conn, Asked(trust_set, issuer_key, serial))

    def learn(self, trust_set: str, issuer_key: str, serial: str, this_update: int) -> None:
        """Keep a *revoked*."""
        if self._writes:
            with self._db.begin() as conn:
                learn(conn, Asked(trust_set, issuer_key, serial), this_update, clock.now())

    def lift(self, trust_set: str, issuer_key: str, serial: str, this_update: int) -> None:
        """Forget it, for a later *good*."""
        if self._writes:
            with self._db.begin() as conn:
                lift(conn, Asked(trust_set, issuer_key, serial), this_update)


def _certificate(asked: Asked) -> tuple[ColumnElement[bool], ...]:
    """One CA's certificate, in whichever set: all the answers about it are the CA's own."""
    return ocsp_revoked.c.issuer_key == asked.issuer_key, ocsp_revoked.c.serial == asked.serial
