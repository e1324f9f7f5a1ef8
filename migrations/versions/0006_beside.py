"""Releases side by side: the database says which older releases go on with it.

Only adds: two columns with a default. The way back loses nothing that 0005 knew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None
oldest = "0006"
"""The schema of the oldest release that goes on with this one. See ../README.md."""


def upgrade() -> None:
    for name in ("migrated_to", "oldest"):
        column = sa.Column(name, sa.Text(), nullable=False, server_default=sa.text("''"))
        op.add_column("registry", column)


def downgrade() -> None:
    for name in ("oldest", "migrated_to"):
        op.drop_column("registry", name)
