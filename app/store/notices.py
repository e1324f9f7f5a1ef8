"""Which expiry warnings were given, so that each is given once, whichever process notices."""

from sqlalchemy import Connection

from app.store.engine import insert_if_absent
from app.store.tables import expiry_notices


def first(conn: Connection, client_id: str, thumbprint: str, threshold: int, at: int) -> bool:
    """True for exactly one caller per client, certificate and threshold (seconds before its end).

    That one writes the audit event, in the same transaction.
    """
    values = {"client_id": client_id, "thumbprint": thumbprint, "threshold": threshold, "at": at}
    return insert_if_absent(conn, expiry_notices, values)
