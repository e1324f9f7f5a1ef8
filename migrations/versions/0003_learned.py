"""Boundary labels on each credential, what OCSP responders said is revoked, and whose a certificate is.

Denied and seen certificates are also known by what their CA signed, and of who holds a key it is
known whether that was ever proven.

Only adds: every column has a default, so that processes of the release before go on writing while
this runs and after. The way back loses the labels and what was learned from responders, who are
asked again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

TBS = ("denied", "certificate_uses")
LABELS = ("tenant", "risk", "resource_class")


def upgrade() -> None:
    for label in LABELS:
        op.add_column(
            "credentials",
            sa.Column(label, sa.Text(), nullable=False, server_default=sa.text("''")),
        )
    for table in TBS:
        op.add_column(
            table,
            sa.Column("tbs_sha256", sa.Text(), nullable=False, server_default=sa.text("''")),
        )
    op.add_column(
        "key_holders",
        sa.Column("proven", sa.Boolean(), nullable=False, server_default=sa.true()),
    )
    op.create_table(
        "ocsp_revoked",
        sa.Column("trust_set", sa.Text(), nullable=False),
        sa.Column("issuer_key", sa.Text(), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("this_update", sa.BigInteger(), nullable=False),
        sa.Column("learned_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("trust_set", "issuer_key", "serial", name="pk_ocsp_revoked"),
        sa.ForeignKeyConstraint(
            ["trust_set"],
            ["trust_sets.name"],
            name="fk_ocsp_revoked_trust_set_trust_sets",
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    op.drop_table("ocsp_revoked")
    op.drop_column("key_holders", "proven")
    for table in TBS:
        op.drop_column(table, "tbs_sha256")
    for label in LABELS:
        op.drop_column("credentials", label)
