"""The token after it left: status lists, who may look at which tokens, what resources require, proxies.

Only adds: every new column may be empty or has a default, so that processes of the release before
go on writing while this runs and after; tokens they issue stand on no status list. The way back
loses the lists, the registered proxies and what the new columns said.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None

REVOKED = "revoked_at IS NOT NULL"


def upgrade() -> None:
    op.add_column("tokens", sa.Column("status_list", sa.Text()))
    op.add_column("tokens", sa.Column("status_index", sa.Integer()))
    op.create_index(
        "ix_tokens_revoked",
        "tokens",
        ["status_list", "status_index"],
        sqlite_where=sa.text(REVOKED),
        postgresql_where=sa.text(REVOKED),
    )
    op.create_table(
        "status_lists",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_status_lists"),
    )
    op.add_column("clients", _given("introspection", sa.Text(), "'own'"))
    op.add_column("clients", _given("serves", sa.JSON(), "'[]'"))
    op.add_column("resources", sa.Column("max_lifetime", sa.Integer()))
    op.add_column("resources", _given("trust_sets", sa.JSON(), "'[]'"))
    op.add_column("resources", _given("termination", sa.Text(), "'any'"))
    op.create_table(
        "proxies",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("header", sa.Text(), nullable=False),
        sa.Column("resources", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_proxies"),
        sa.UniqueConstraint("thumbprint", name="uq_proxies_thumbprint"),
        sa.CheckConstraint("header IN ('rfc9440', 'nginx')", name=op.f("ck_proxies_header")),
    )


def downgrade() -> None:
    op.drop_table("proxies")
    for table, column in (
        ("resources", "termination"),
        ("resources", "trust_sets"),
        ("resources", "max_lifetime"),
        ("clients", "serves"),
        ("clients", "introspection"),
    ):
        op.drop_column(table, column)
    op.drop_table("status_lists")
    op.drop_index("ix_tokens_revoked", "tokens")
    op.drop_column("tokens", "status_index")
    op.drop_column("tokens", "status_list")


def _given(name: str, kind: sa.Text | sa.JSON, otherwise: str) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default=sa.text(otherwise))
