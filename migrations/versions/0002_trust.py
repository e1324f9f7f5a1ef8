"""Trust you can audit: bounds, CRLs, the deny-list, credential life cycles, what clients used.

Only adds: every new column that must have a value has a default, so that processes of the release
before go on writing while this runs and after. The way back loses what only the new tables and
columns held, deny-list, CRLs and bounds among it; a revoked credential, or one whose time has come,
is retired then, so that none counts again.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

# Children before parents, for the way back.
TABLES = (
    "expiry_notices",
    "key_holders",
    "certificate_resources",
    "certificate_days",
    "certificate_uses",
    "denied",
    "trust_crls",
)
LABELS = ("tenant", "risk", "resource_class")
STATES = "state IN ('active', 'retired')"
MORE_STATES = "state IN ('active', 'retired', 'revoked')"
CUSTODIES = "custody IN ('file', 'hsm', 'kms', 'tpm', 'unknown')"


def upgrade() -> None:
    for table in ("clients", "resources"):
        for label in LABELS:
            op.add_column(table, _given(label, sa.Text(), ""))
    op.add_column("clients", sa.Column("spiffe_id", sa.Text()))
    op.add_column("trust_sets", _given("permitted", sa.JSON(), "{}"))
    op.add_column("trust_sets", _given("revocation", sa.JSON(), "{}"))
    op.add_column("trust_sets", sa.Column("trust_domain", sa.Text()))
    op.add_column("trust_sets", sa.Column("bundle", sa.JSON()))
    _widen_credentials()
    _revocation()
    _uses()
    _holders()


def downgrade() -> None:
    for name in TABLES:
        op.drop_table(name)
    _narrow_credentials()
    for name in ("bundle", "trust_domain", "revocation", "permitted"):
        op.drop_column("trust_sets", name)
    op.drop_column("clients", "spiffe_id")
    for table in ("clients", "resources"):
        for label in LABELS:
            op.drop_column(table, label)


def _given(name: str, kind: sa.Text | sa.JSON, otherwise: str) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default=sa.text(f"'{otherwise}'"))


def _widen_credentials() -> None:
    with _credentials(STATES) as table:
        table.drop_constraint(op.f("ck_credentials_state"), type_="check")
        for column in _life_cycle():
            table.add_column(column)
        table.create_check_constraint(op.f("ck_credentials_state"), MORE_STATES)
        table.create_check_constraint(op.f("ck_credentials_custody"), CUSTODIES)


def _narrow_credentials() -> None:
    op.execute(
        sa.text(
            "UPDATE credentials SET state = 'retired', retired_at = coalesce(retired_at, retire_at)"
            " WHERE state = 'revoked' OR retire_at <= :now"
        ).bindparams(now=int(time.time()))
    )
    with _credentials(MORE_STATES, *_life_cycle(), custody=True) as table:
        table.drop_constraint(op.f("ck_credentials_custody"), type_="check")
        table.drop_constraint(op.f("ck_credentials_state"), type_="check")
        for column in _life_cycle():
            table.drop_column(column.name)
        table.create_check_constraint(op.f("ck_credentials_state"), STATES)


def _life_cycle() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("retire_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
        _given("custody", sa.Text(), "unknown"),
        _given("owner", sa.Text(), ""),
    )


@contextmanager
def _credentials(
    states: str, *more: sa.Column[Any], custody: bool = False
) -> Iterator[BatchOperations]:
    """The table, to be altered. SQLite cannot drop a check: there it is made anew.

    Making it anew would forget the highest id ever given, which must not be given again.
    """
    sqlite = op.get_bind().dialect.name == "sqlite"
    highest = "SELECT seq FROM sqlite_sequence WHERE name = 'credentials'"
    kept = op.get_bind().execute(sa.text(highest)).scalar() if sqlite else None
    checks = [sa.CheckConstraint(CUSTODIES, name=op.f("ck_credentials_custody"))] if custody else []
    with op.batch_alter_table(
        "credentials",
        copy_from=_as_it_was(states, *more, *checks),
        table_kwargs={"sqlite_autoincrement": True},
    ) as table:
        yield table
    if kept is not None:
        op.execute("DELETE FROM sqlite_sequence WHERE name = 'credentials'")
        put = "INSERT INTO sqlite_sequence (name, seq) VALUES ('credentials', :seq)"
        op.execute(sa.text(put).bindparams(seq=kept))


def _as_it_was(states: str, *more: sa.Column[Any] | sa.CheckConstraint) -> sa.Table:
    """Revision 0001's table: Alembic cannot read checks back from SQLite."""
    return sa.Table(
        "credentials",
        sa.MetaData(),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text()),
        sa.Column("spki_sha256", sa.Text(), nullable=False),
        sa.Column("spki_der", sa.LargeBinary(), nullable=False),
        sa.Column("der", sa.LargeBinary()),
        sa.Column("subject", sa.Text()),
        sa.Column("not_before", sa.BigInteger()),
        sa.Column("not_after", sa.BigInteger()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("activate_at", sa.BigInteger()),
        sa.Column("retired_at", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_credentials"),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["clients.client_id"],
            name="fk_credentials_client_id_clients",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("kind IN ('certificate', 'key')", name=op.f("ck_credentials_kind")),
        sa.CheckConstraint(states, name=op.f("ck_credentials_state")),
        sa.CheckConstraint("source IN ('registered', 'jwks')", name=op.f("ck_credentials_source")),
        _unique("uq_credentials_certificate", "thumbprint", "kind = 'certificate'"),
        _unique("uq_credentials_key", "spki_sha256", "kind = 'key'"),
        *more,
        sqlite_autoincrement=True,
    )


def _unique(name: str, column: str, where: str) -> sa.Index:
    condition = sa.text(where)
    return sa.Index(
        name,
        "client_id",
        column,
        unique=True,
        sqlite_where=condition,
        postgresql_where=condition,
    )


def _revocation() -> None:
    op.create_table(
        "trust_crls",
        sa.Column("trust_set", sa.Text(), nullable=False),
        sa.Column("issuer_key", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("this_update", sa.BigInteger(), nullable=False),
        sa.Column("next_update", sa.BigInteger(), nullable=False),
        sa.Column("loaded_at", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("trust_set", "issuer_key", "partition", name="pk_trust_crls"),
        sa.ForeignKeyConstraint(
            ["trust_set"],
            ["trust_sets.name"],
            name="fk_trust_crls_trust_set_trust_sets",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "denied",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", name="pk_denied"),
        sa.CheckConstraint(
            "kind IN ('thumbprint', 'spki', 'issuer_serial')", name=op.f("ck_denied_kind")
        ),
    )


def _uses() -> None:
    op.create_table(
        "certificate_uses",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("spki_sha256", sa.Text(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("trust_set", sa.Text()),
        sa.Column("first_used", sa.BigInteger(), nullable=False),
        sa.Column("last_used", sa.BigInteger(), nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "thumbprint", name="pk_certificate_uses"),
    )
    op.create_table(
        "certificate_days",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "thumbprint", "day", name="pk_certificate_days"),
    )
    op.create_table(
        "certificate_resources",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("first_used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "client_id", "thumbprint", "resource", name="pk_certificate_resources"
        ),
    )


def _holders() -> None:
    op.create_table(
        "key_holders",
        sa.Column("spki_sha256", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("spki_sha256", "client_id", name="pk_key_holders"),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["clients.client_id"],
            name="fk_key_holders_client_id_clients",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_key_holders_client", "key_holders", ["client_id"])
    op.create_table(
        "expiry_notices",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("threshold", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "thumbprint", "threshold", name="pk_expiry_notices"),
    )
