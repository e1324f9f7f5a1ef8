"""Every table, each column commented. Migrations build exactly this; a test compares the two.

Units: dates are whole seconds since the epoch (`app.clock.now`), except `audit.at_ms`. Lists are
JSON arrays of strings in the order of registration. Thumbprints are ``x5t#S256`` as text.

Not here: what a value means. A row is data; `clients`, `pki` and `keys` judge it.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _only_where(condition: str) -> dict[str, Any]:
    """A partial index, in the words of both dialects."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


registry = Table(
    "registry",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, doc="always 1: one row"),
    Column(
        "version",
        BigInteger,
        nullable=False,
        doc="raised by each change of the tables below up to signing_keys",
    ),
    CheckConstraint("id = 1", name="one_row"),
)

clients = Table(
    "clients",
    metadata,
    Column("client_id", Text, primary_key=True, doc="as sent on the wire"),
    Column("auth_method", Text, nullable=False, doc="token_endpoint_auth_method, RFC 8705 §2"),
    Column("subject_attribute", Text, doc="which of the five RFC 8705 §2.1.2 attributes"),
    Column("subject_value", LargeBinary, doc="its canonical form; a DN is DER"),
    Column("subject_text", Text, doc="the same as the operator typed it, for people"),
    Column("collision_key", Text, doc="looser form: two clients with one key look alike"),
    Column("jwks_uri", Text, doc="where the client publishes its own certificates and keys"),
    Column("grants", JSON, nullable=False, doc="grant types it may use"),
    Column("scopes", JSON, nullable=False, doc="scopes it may ask for"),
    Column("resources", JSON, nullable=False, doc="resources (RFC 8707) it may name"),
    Column("trust_sets", JSON, nullable=False, doc="whose anchors may vouch for it"),
    Column("disabled_at", BigInteger, doc="since when it may not authenticate; null: it may"),
    Column("created_at", BigInteger, nullable=False, doc="registered at"),
    Column("updated_at", BigInteger, nullable=False, doc="last changed at"),
    Index("ix_clients_collision", "subject_attribute", "collision_key"),
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", Integer, primary_key=True, doc="never used twice"),
    Column(
        "client_id",
        Text,
        ForeignKey("clients.client_id", ondelete="CASCADE"),
        nullable=False,
        doc="whose it is",
    ),
    Column("kind", Text, nullable=False, doc="certificate: that DER; key: any made with it"),
    Column("thumbprint", Text, doc="of the certificate; null for a key"),
    Column("spki_sha256", Text, nullable=False, doc="base64url SHA-256 of the public key"),
    Column("spki_der", LargeBinary, nullable=False, doc="SubjectPublicKeyInfo"),
    Column("der", LargeBinary, doc="the whole certificate; null for a key"),
    Column("subject", Text, doc="RFC 4514, for people"),
    Column("not_before", BigInteger, doc="of the certificate"),
    Column("not_after", BigInteger, doc="of the certificate"),
    Column("state", Text, nullable=False, doc="active or retired"),
    Column("activate_at", BigInteger, doc="counts only from then on; null: at once"),
    Column("retired_at", BigInteger, doc="stopped counting then"),
    Column("created_at", BigInteger, nullable=False, doc="registered at"),
    Column("source", Text, nullable=False, doc="registered by hand, or read from a jwks"),
    CheckConstraint("kind IN ('certificate', 'key')", name="kind"),
    CheckConstraint("state IN ('active', 'retired')", name="state"),
    CheckConstraint("source IN ('registered', 'jwks')", name="source"),
    # Both begin with client_id, so they also serve the cascade and listing by client.
    Index(
        "uq_credentials_certificate",
        "client_id",
        "thumbprint",
        unique=True,
        **_only_where("kind = 'certificate'"),
    ),
    Index(
        "uq_credentials_key",
        "client_id",
        "spki_sha256",
        unique=True,
        **_only_where("kind = 'key'"),
    ),
    sqlite_autoincrement=True,  # an id named in the audit is never given to another credential
)

trust_sets = Table(
    "trust_sets",
    metadata,
    Column("name", Text, primary_key=True, doc="as clients refer to it"),
    Column("description", Text, nullable=False, doc="for people; may be empty"),
    Column("created_at", BigInteger, nullable=False, doc="made at"),
    Column("updated_at", BigInteger, nullable=False, doc="last changed at"),
)

trust_anchors = Table(
    "trust_anchors",
    metadata,
    Column(
        "trust_set",
        Text,
        ForeignKey("trust_sets.name", ondelete="CASCADE"),
        primary_key=True,
        doc="whose member it is",
    ),
    Column("thumbprint", Text, primary_key=True, doc="pins the very certificate"),
    Column("der", LargeBinary, nullable=False, doc="the certificate"),
    Column("role", Text, nullable=False, doc="anchor: trusted; intermediate: path material"),
    Column("subject", Text, nullable=False, doc="RFC 4514, for people"),
    Column("not_after", BigInteger, nullable=False, doc="of the certificate"),
    Column("added_at", BigInteger, nullable=False, doc="joined at"),
    CheckConstraint("role IN ('anchor', 'intermediate')", name="role"),
)

resources = Table(
    "resources",
    metadata,
    Column("url", Text, primary_key=True, doc="RFC 8707 resource; becomes aud"),
    Column("scopes", JSON, nullable=False, doc="scopes it knows"),
    Column("require", Text, nullable=False, doc="mtls: bound tokens only; any: others too"),
    Column("created_at", BigInteger, nullable=False, doc="registered at"),
    Column("updated_at", BigInteger, nullable=False, doc="last changed at"),
    CheckConstraint("require IN ('mtls', 'any')", name="require"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True, doc="key id in token headers and the JWKS"),
    Column("algorithm", Text, nullable=False, doc="JWS alg: ES256, EdDSA, PS256 or RS256"),
    Column("state", Text, nullable=False, doc="next (published), current (signs), retired"),
    Column("public_jwk", Text, nullable=False, doc="the public half, JSON"),
    Column("sealed", LargeBinary, nullable=False, doc="the private half, encrypted"),
    Column("created_at", BigInteger, nullable=False, doc="made at"),
    Column("published_at", BigInteger, nullable=False, doc="in the JWKS since"),
    Column("activated_at", BigInteger, doc="signs since"),
    Column("retired_at", BigInteger, doc="signs no more since"),
    Column("remove_after", BigInteger, doc="its last token has expired by then"),
    CheckConstraint("state IN ('next', 'current', 'retired')", name="state"),
    # Whatever races: one key signs, one stands ready.
    Index("uq_signing_keys_state", "state", unique=True, **_only_where("state <> 'retired'")),
)

tokens = Table(
    "tokens",
    metadata,
    Column(
        "jti", Text, primary_key=True, doc="RFC 7519 §4.1.7; ids ascending in time insert fastest"
    ),
    Column("client_id", Text, nullable=False, doc="no foreign key: a token outlives a client"),
    Column("subject", Text, nullable=False, doc="sub"),
    Column("resource", Text, nullable=False, doc="aud"),
    Column("scope", Text, nullable=False, doc="space-separated; may be empty"),
    Column("thumbprint", Text, nullable=False, doc="cnf x5t#S256: whose key it is bound to"),
    Column("kid", Text, nullable=False, doc="signed by"),
    Column("issued_at", BigInteger, nullable=False, doc="iat"),
    Column("expires_at", BigInteger, nullable=False, doc="exp; the row may go after it"),
    Column("revoked_at", BigInteger, doc="refused since; null: good until exp"),
    # The purge walks it. None on client_id and thumbprint: with 2,000 clients the two cost 42 µs and
    # 40 KB written per token; whoever revokes by them reads the unexpired rows instead.
    Index("ix_tokens_expires_at", "expires_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("writer", Text, primary_key=True, doc="whose chain: a journal's id, or admin"),
    Column("seq", BigInteger, primary_key=True, autoincrement=False, doc="from 1, no gaps"),
    Column("at_ms", BigInteger, nullable=False, doc="recorded at, milliseconds"),
    Column("event", Text, nullable=False, doc="noun.verb"),
    Column("decision", Text, nullable=False, doc="issued, refused or done"),
    Column("reason", Text, doc="contract's refusal reason"),
    Column("ref", Text, doc="the error_ref a refused client may quote"),
    Column("client_id", Text, doc="index copy of the body's member, cut to 255"),
    Column("thumbprint", Text, doc="index copy: of the certificate concerned"),
    Column("jti", Text, doc="index copy: of the token concerned"),
    Column("resource", Text, doc="index copy: the resource concerned"),
    Column("body", Text, nullable=False, doc="the entry, canonical JSON, as hashed"),
    Column("prev", LargeBinary, nullable=False, doc="hash before it; 32 zero bytes at seq 1"),
    Column("hash", LargeBinary, nullable=False, doc="SHA-256, see store/audit.py"),
    Index("uq_audit_ref", "ref", unique=True, **_only_where("ref IS NOT NULL")),
    # One index for every search. Time first, so that appends touch one leaf: indexes that begin with
    # client and thumbprint cost 37 µs and 33 KB written per token with 2,000 clients, this one 1 µs.
    # Both databases test the other columns inside it, 15 million entries a second.
    Index("ix_audit_search", "at_ms", "client_id", "thumbprint", "jti"),
)
