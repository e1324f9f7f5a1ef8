"""Every table, each column commented. Migrations build exactly this; a test compares the two.

Units: dates are whole seconds since the epoch (`app.clock.now`), except `audit.at_ms`. Lists are
JSON arrays of strings in the order of registration. Thumbprints are ``x5t#S256`` as text.

Not here: what a value means. A row is data; `clients`, `pki` and `keys` judge it.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
    true,
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


def _given(name: str, kind: type[Text | JSON], otherwise: str, doc: str) -> Column[Any]:
    """A column that an older release does not write: the database then fills in `otherwise`."""
    return Column(name, kind, nullable=False, server_default=text(f"'{otherwise}'"), doc=doc)


def _labels() -> tuple[Column[Any], ...]:
    """What a boundary is drawn by. Compared as text; empty where nobody said."""
    return (
        _given("tenant", Text, "", "whose it is, where several share one server"),
        _given("risk", Text, "", "how much harm it could do"),
        _given("resource_class", Text, "", "what kind of data or work it is for"),
    )


registry = Table(
    "registry",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, doc="always 1: one row"),
    Column(
        "version",
        BigInteger,
        nullable=False,
        doc="raised by each change of the tables below up to signing_keys, and by each migration",
    ),
    _given("migrated_to", Text, "", "the schema that `oldest` was written for"),
    _given("oldest", Text, "", "the schema of the oldest release that goes on with that one"),
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
    *_labels(),
    Column("spiffe_id", Text, doc="SPIFFE ID it must present; may end in /*; null: any name"),
    _given("introspection", Text, "own", "own: its tokens and those for what it serves; all"),
    _given("serves", JSON, "[]", "resources it is the server of: it may look at their tokens"),
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
    Column("state", Text, nullable=False, doc="active, retired or revoked"),
    Column("activate_at", BigInteger, doc="counts only from then on; null: at once"),
    Column("retired_at", BigInteger, doc="stopped counting then"),
    Column("created_at", BigInteger, nullable=False, doc="registered at"),
    Column("source", Text, nullable=False, doc="registered by hand, or read from a jwks"),
    Column("retire_at", BigInteger, doc="stops counting then by itself; null: never"),
    Column("revoked_at", BigInteger, doc="stopped counting then, as compromised"),
    _given("custody", Text, "unknown", "where the private key is kept, as its owner says"),
    _given("owner", Text, "", "whom to call about it"),
    *_labels(),
    CheckConstraint("kind IN ('certificate', 'key')", name="kind"),
    CheckConstraint("state IN ('active', 'retired', 'revoked')", name="state"),
    CheckConstraint("source IN ('registered', 'jwks')", name="source"),
    CheckConstraint("custody IN ('file', 'hsm', 'kms', 'tpm', 'unknown')", name="custody"),
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
    _given("permitted", JSON, "{}", "dn (base64 DER), dns, spiffe it may vouch for; {}: any"),
    _given("revocation", JSON, "{}", "mode, fail, max_staleness, urls; {}: mode off"),
    Column("trust_domain", Text, doc="SPIFFE trust domain it stands for; null: none"),
    Column(
        "bundle",
        JSON(none_as_null=True),
        doc="source, sequence, refresh_hint, fetched_at, max_staleness; null: members by hand",
    ),
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

trust_crls = Table(
    "trust_crls",
    metadata,
    Column(
        "trust_set",
        Text,
        ForeignKey("trust_sets.name", ondelete="CASCADE"),
        primary_key=True,
        doc="whose members' certificates it may revoke",
    ),
    Column("issuer_key", Text, primary_key=True, doc="which CA it speaks for"),
    Column("partition", Text, primary_key=True, doc="distribution point; empty: a full CRL"),
    Column("digest", Text, nullable=False, doc="SHA-256 of der, hexadecimal"),
    Column("number", Text, nullable=False, doc="RFC 5280 §5.2.3, decimal; empty: it has none"),
    Column("this_update", BigInteger, nullable=False, doc="made at"),
    Column("next_update", BigInteger, nullable=False, doc="replaced by then, its issuer says"),
    Column("loaded_at", BigInteger, nullable=False, doc="came here at"),
    Column("entries", Integer, nullable=False, doc="how many certificates it revokes"),
    # Last: SQLite walks the whole blob to reach a column behind it, and the snapshot reads the rest.
    Column("der", LargeBinary, nullable=False, doc="the CRL"),
)

ocsp_revoked = Table(
    "ocsp_revoked",
    metadata,
    Column(
        "trust_set",
        Text,
        ForeignKey("trust_sets.name", ondelete="CASCADE"),
        primary_key=True,
        doc="whose responder said so",
    ),
    Column("issuer_key", Text, primary_key=True, doc="base64url SHA-256 of its CA's name and key"),
    Column("serial", Text, primary_key=True, doc="hexadecimal"),
    Column("this_update", BigInteger, nullable=False, doc="of the answer"),
    Column("learned_at", BigInteger, nullable=False, doc="the answer came at"),
)

denied = Table(
    "denied",
    metadata,
    Column("kind", Text, primary_key=True, doc="what the value names"),
    Column("value", Text, primary_key=True, doc="thumbprint, spki_sha256, or serial and issuer"),
    Column("reason", Text, nullable=False, doc="for people; may be empty"),
    Column("actor", Text, nullable=False, doc="operating-system account that denied it"),
    Column("created_at", BigInteger, nullable=False, doc="refused since"),
    _given("tbs_sha256", Text, "", "of a thumbprint's certificate, the part its CA signed"),
    CheckConstraint("kind IN ('thumbprint', 'spki', 'issuer_serial')", name="kind"),
)

resources = Table(
    "resources",
    metadata,
    Column("url", Text, primary_key=True, doc="RFC 8707 resource; becomes aud"),
    Column("scopes", JSON, nullable=False, doc="scopes it knows"),
    Column("require", Text, nullable=False, doc="mtls: bound tokens only; any: others too"),
    Column("created_at", BigInteger, nullable=False, doc="registered at"),
    Column("updated_at", BigInteger, nullable=False, doc="last changed at"),
    *_labels(),
    Column("max_lifetime", Integer, doc="seconds a token for it lives at most; null: the server's"),
    _given("trust_sets", JSON, "[]", "whose anchors must vouch for the certificate; []: any"),
    _given("termination", Text, "any", "direct: TLS of the client must end at the server itself"),
    CheckConstraint("require IN ('mtls', 'any')", name="require"),
)

proxies = Table(
    "proxies",
    metadata,
    Column("name", Text, primary_key=True, doc="as the audit names it"),
    Column("thumbprint", Text, nullable=False, doc="pins its certificate, the very one"),
    Column("subject", Text, nullable=False, doc="RFC 4514, for people"),
    Column("not_after", BigInteger, nullable=False, doc="of the certificate"),
    Column("header", Text, nullable=False, doc="how it forwards a client's certificate"),
    Column(
        "resources", JSON, nullable=False, doc="what it stands in front of; it may ask for these"
    ),
    Column("created_at", BigInteger, nullable=False, doc="registered at"),
    UniqueConstraint("thumbprint"),
    CheckConstraint("header IN ('rfc9440', 'nginx')", name="header"),
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
    Column("status_list", Text, doc="the status list it stands on; null: on none"),
    Column("status_index", Integer, doc="its place there"),
    # The purge walks it. None on client_id and thumbprint: with 2,000 clients the two cost 42 µs and
    # 40 KB written per token; whoever revokes by them reads the unexpired rows instead.
    Index("ix_tokens_expires_at", "expires_at"),
    # A status list is made from it. It holds revoked tokens only, so issuing one costs nothing.
    Index(
        "ix_tokens_revoked", "status_list", "status_index", **_only_where("revoked_at IS NOT NULL")
    ),
)

status_lists = Table(
    "status_lists",
    metadata,
    Column("id", Text, primary_key=True, doc="the last part of its URL"),
    Column("opened_at", BigInteger, nullable=False, doc="its first token was issued at"),
    Column("ends_at", BigInteger, nullable=False, doc="no token on it is valid after"),
)

# What clients were seen with. The journal writes it with the tokens, so no foreign keys: a row that
# one decision cannot have would fail the decisions beside it. `clients.remove` takes it along.

certificate_uses = Table(
    "certificate_uses",
    metadata,
    Column("client_id", Text, primary_key=True, doc="who authenticated"),
    Column("thumbprint", Text, primary_key=True, doc="with which certificate"),
    Column("subject", Text, nullable=False, doc="RFC 4514"),
    Column("issuer", Text, nullable=False, doc="RFC 4514"),
    Column("serial", Text, nullable=False, doc="hexadecimal"),
    Column("spki_sha256", Text, nullable=False, doc="of its public key"),
    Column("not_before", BigInteger, nullable=False, doc="of the certificate"),
    Column("not_after", BigInteger, nullable=False, doc="of the certificate"),
    Column("trust_set", Text, doc="vouched for it last; null: it is registered itself"),
    Column("first_used", BigInteger, nullable=False, doc="first success"),
    Column("last_used", BigInteger, nullable=False, doc="last success"),
    Column("uses", BigInteger, nullable=False, doc="how many successes"),
    _given("tbs_sha256", Text, "", "of the part that its CA signed; empty: not known"),
    # No further index: each column behind one would make every use touch it, or a search walk it
    # row by row all the same; a hundred thousand rows are read in some 50 ms.
)

certificate_days = Table(
    "certificate_days",
    metadata,
    Column("client_id", Text, primary_key=True, doc="who authenticated"),
    Column("thumbprint", Text, primary_key=True, doc="with which certificate"),
    Column("day", Integer, primary_key=True, doc="UTC day, counted from the epoch"),
    Column("uses", BigInteger, nullable=False, doc="how many successes on that day"),
)

certificate_resources = Table(
    "certificate_resources",
    metadata,
    Column("client_id", Text, primary_key=True, doc="who got a token"),
    Column("thumbprint", Text, primary_key=True, doc="bound to which certificate"),
    Column("resource", Text, primary_key=True, doc="for which resource"),
    Column("first_used", BigInteger, nullable=False, doc="the first such token"),
)

key_holders = Table(
    "key_holders",
    metadata,
    Column("spki_sha256", Text, primary_key=True, doc="the key"),
    Column(
        "client_id",
        Text,
        ForeignKey("clients.client_id", ondelete="CASCADE"),
        primary_key=True,
        doc="who has registered or used it",
    ),
    Column("tenant", Text, nullable=False, doc="the client's, kept equal to it"),
    Column("first_seen", BigInteger, nullable=False, doc="claimed at; proven: at the proof"),
    Column(
        "proven",
        Boolean,
        nullable=False,
        server_default=true(),
        doc="whether the key was used, or signed the certificate registered",
    ),
    Index("ix_key_holders_client", "client_id"),  # for the cascade
)

expiry_notices = Table(
    "expiry_notices",
    metadata,
    Column("client_id", Text, primary_key=True, doc="whose certificate"),
    Column("thumbprint", Text, primary_key=True, doc="which"),
    Column(
        "threshold", Integer, primary_key=True, autoincrement=False, doc="seconds before its end"
    ),
    Column("at", BigInteger, nullable=False, doc="the audit event was written at"),
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

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False, doc="from 1, no gaps"),
    Column("at", BigInteger, nullable=False, doc="signed at"),
    Column(
        "kind", Text, nullable=False, doc="heads: what moved; whole: all streams; cut: retention"
    ),
    Column("statement", Text, nullable=False, doc="JWS in compact form, see keys/checkpoint.py"),
    CheckConstraint("kind IN ('heads', 'whole', 'cut')", name="kind"),
    Index("ix_audit_checkpoints_cut", "number", **_only_where("kind = 'cut'")),
)
