"""Many nodes: checkpoints of the audit.

Only adds, so that processes of the release before go on while this runs and after. The way back
loses the checkpoints, and with them what shows that a stream's tail was cut.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

IS_CUT = "kind = 'cut'"


def upgrade() -> None:
    op.create_table(
        "audit_checkpoints",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_checkpoints"),
        sa.CheckConstraint(
            "kind IN ('heads', 'whole', 'cut')", name=op.f("ck_audit_checkpoints_kind")
        ),
    )
    op.create_index(
        "ix_audit_checkpoints_cut",
        "audit_checkpoints",
        ["number"],
        sqlite_where=sa.text(IS_CUT),
        postgresql_where=sa.text(IS_CUT),
    )


def downgrade() -> None:
    op.drop_table("audit_checkpoints")
