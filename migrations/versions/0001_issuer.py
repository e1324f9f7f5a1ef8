"""The first schema: registry, tokens and audit, and a registry at version 1."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

# Children before parents, for the way back.
TABLES = (
    "audit",
    "tokens",
    "signing_keys",
    "resources",
    "trust_anchors",
    "trust_sets",
    "credentials",
    "clients",
    "registry",
)


def upgrade() -> None:
    _registry()
    _clients()
    _trust()
    _resources_and_keys()
    _tokens()
    _audit()


def downgrade() -> None:
    for name in TABLES:
        op.drop_table(name)


def _registry() -> None:
    registry = op.create_table(
        "registry",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_registry"),
        sa.CheckConstraint("id = 1", name=op.f("ck_registry_one_row")),
    )
    op.bulk_insert(registry, [{"id": 1, "version": 1}])


def _clients() -> None:
    op.create_table(
        "clients",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("auth_method", sa.Text(), nullable=False),
        sa.Column("subject_attribute", sa.Text()),
        sa.Column("subject_value", sa.LargeBinary()),
        sa.Column("subject_text", sa.Text()),
        sa.Column("collision_key", sa.Text()),
        sa.Column("jwks_uri", sa.Text()),
        sa.Column("grants", sa.JSON(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("resources", sa.JSON(), nullable=False),
        sa.Column("trust_sets", sa.JSON(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", name="pk_clients"),
    )
    op.create_index("ix_clients_collision", "clients", ["subject_attribute", "collision_key"])
    op.create_table(
        "credentials",
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
        sa.CheckConstraint("state IN ('active', 'retired')", name=op.f("ck_credentials_state")),
        sa.CheckConstraint("source IN ('registered', 'jwks')", name=op.f("ck_credentials_source")),
        sqlite_autoincrement=True,
    )
    _unique(
        "uq_credentials_certificate",
        "credentials",
        ["client_id", "thumbprint"],
        "kind = 'certificate'",
    )
    _unique("uq_credentials_key", "credentials", ["client_id", "spki_sha256"], "kind = 'key'")


def _trust() -> None:
    op.create_table(
        "trust_sets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_trust_sets"),
    )
    op.create_table(
        "trust_anchors",
        sa.Column("trust_set", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("trust_set", "thumbprint", name="pk_trust_anchors"),
        sa.ForeignKeyConstraint(
            ["trust_set"],
            ["trust_sets.name"],
            name="fk_trust_anchors_trust_set_trust_sets",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "role IN ('anchor', 'intermediate')", name=op.f("ck_trust_anchors_role")
        ),
    )


def _resources_and_keys() -> None:
    op.create_table(
        "resources",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("require", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("url", name="pk_resources"),
        sa.CheckConstraint("require IN ('mtls', 'any')", name=op.f("ck_resources_require")),
    )
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("public_jwk", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.Column("activated_at", sa.BigInteger()),
        sa.Column("retired_at", sa.BigInteger()),
        sa.Column("remove_after", sa.BigInteger()),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_keys"),
        sa.CheckConstraint(
            "state IN ('next', 'current', 'retired')", name=op.f("ck_signing_keys_state")
        ),
    )
    _unique("uq_signing_keys_state", "signing_keys", ["state"], "state <> 'retired'")


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("jti", name="pk_tokens"),
    )
    op.create_index("ix_tokens_expires_at", "tokens", ["expires_at"])


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("ref", sa.Text()),
        sa.Column("client_id", sa.Text()),
        sa.Column("thumbprint", sa.Text()),
        sa.Column("jti", sa.Text()),
        sa.Column("resource", sa.Text()),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("prev", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("writer", "seq", name="pk_audit"),
    )
    op.create_index("ix_audit_search", "audit", ["at_ms", "client_id", "thumbprint", "jti"])
    _unique("uq_audit_ref", "audit", ["ref"], "ref IS NOT NULL")


def _unique(name: str, table: str, columns: list[str], where: str) -> None:
    """A partial unique index, in the words of both dialects."""
    op.create_index(
        name,
        table,
        columns,
        unique=True,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )
