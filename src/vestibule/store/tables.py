"""The tables, for SQLAlchemy: what records go by, and what the migrations are compared with.

Imported by the control plane only. Times are UNIX seconds. `sessions`, `session_digests`, `grants`, `marks`, `leases`,
`parked` and `tries` are read and written by the drivers themselves (`store.sqlite`, `store.postgres`); they stand here
for the migrations. `email_lower` is `email` as it is searched by: both databases fold case in ways of their own.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_EMPTY: Final = text("''")

SESSIONS: Final = Table(
    "sessions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("handle", LargeBinary, nullable=False, unique=True),
    Column("old_handle", LargeBinary),
    Column("old_until", Double, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("parent_id", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("idle_s", Double, nullable=False),
    Column("ends_at", Double, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    # None: it was written before there was one.
    Column("host_digest", LargeBinary),
    Index("ix_sessions_host_digest", "host_digest", "created_at", "id"),
    Index(None, "old_handle"),
    Index(None, "user_id"),
    Index(None, "ends_at"),
    # Most sessions have no parent.
    Index(
        "ix_sessions_parent_id",
        "parent_id",
        sqlite_where=text("parent_id <> ''"),
        postgresql_where=text("parent_id <> ''"),
    ),
)

SESSION_DIGESTS: Final = Table(
    "session_digests",
    METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("session_id", Text, ForeignKey(SESSIONS.c.id, ondelete="CASCADE"), primary_key=True, index=True),
    sqlite_with_rowid=False,
)

GRANTS: Final = Table(
    "grants",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("client", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index(None, "expires_at"),
)

MARKS: Final = Table(
    "marks",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("expires_at", Double, nullable=False),
    Index(None, "expires_at"),
)

LEASES: Final = Table(
    "leases",
    METADATA,
    Column("fence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("owner", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index(None, "expires_at"),
    sqlite_autoincrement=True,
)

PARKED: Final = Table(
    "parked",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index(None, "expires_at"),
)

TRIES: Final = Table(
    "tries",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index(None, "expires_at"),
)

USERS: Final = Table(
    "users",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("valid_from", Double, nullable=False, server_default=text("0")),
    Column("sessions_from", Double, nullable=False, server_default=text("0")),
    Column("disabled", Boolean, nullable=False, server_default=false()),
    Column("login", Text, nullable=False, server_default=_EMPTY),
    Column("profile", Text, nullable=False, server_default=text("'{}'")),
    Column("email_lower", Text, nullable=False, server_default=_EMPTY, index=True),
    Index(None, "created_at", "id"),
)

IDENTITIES: Final = Table(
    "identities",
    METADATA,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("user_id", Text, ForeignKey(USERS.c.id), nullable=False, index=True),
    Column("client", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("kind", Text, nullable=False, server_default=_EMPTY),
    Column("login", Text, nullable=False, server_default=_EMPTY),
    Column("name", Text, nullable=False, server_default=_EMPTY),
    Column("email", Text, nullable=False, server_default=_EMPTY),
    Column("email_lower", Text, nullable=False, server_default=_EMPTY, index=True),
    Column("seen_at", Double, nullable=False, server_default=text("0")),
    Index(None, "created_at", "issuer", "subject"),
)

VOUCHED: Final = Table(
    "vouched",
    METADATA,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("client", Text, primary_key=True),
    Column("identity", Text, nullable=False),
    Column("told_at", Double, nullable=False),
    Column("word", Text, nullable=False),
    ForeignKeyConstraint(
        ["issuer", "subject"], [IDENTITIES.c.issuer, IDENTITIES.c.subject], ondelete="CASCADE"
    ),
)

APP_TOKENS: Final = Table(
    "app_tokens",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("user_id", Text, ForeignKey(USERS.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("prefixes", Text, nullable=False),
    Column("methods", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
    Column("seen_at", Double),
    Index("ix_app_tokens_created_at", "created_at", "id"),
)

MACHINE_KEYS: Final = Table(
    "machine_keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("machine", Text, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("seen_at", Double),
    UniqueConstraint("machine", "slot"),
)
"""A machine has so many keys as there are slots: of two who make the last one at once, one fails."""

INVITATIONS: Final = Table(
    "invitations",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("email", Text, nullable=False, index=True),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("used_at", Double),
    Column("used_by", Text, nullable=False),
    Index(None, "issuer", "subject"),
    Index(None, "created_at", "id"),
)

IDENTITY_PROVIDERS: Final = Table(
    "identity_providers",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("provider_type", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("config", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("version", BigInteger, nullable=False),
    # Of `store.tables_organisations`; empty: the operator's.
    Column("org_id", Text, nullable=False, server_default=_EMPTY),
)

ADMIN_TOKENS: Final = Table(
    "admin_tokens",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("seen_at", Double),
    Column("scopes", Text, nullable=False, server_default=text("'[]'")),
)

REVOCATIONS: Final = Table(
    "revocations",
    METADATA,
    Column("session_id", Text, primary_key=True),
    Column("expires_at", Double, nullable=False),
    Index(None, "expires_at"),
)

AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("action", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
    Column("previous", Text, nullable=False, server_default=_EMPTY),
    Column("hash", Text, nullable=False, server_default=_EMPTY),
    Column("key_id", Text, nullable=False, server_default=_EMPTY),
    Column("seal", Text, nullable=False, server_default=_EMPTY),
    Index("ix_audit_seq", "seq", unique=True),
    Index(None, "at", "id"),
    Index(None, "user_id", "at", "id"),
    Index(None, "action", "at", "id"),
)

AUDIT_ENDS: Final = Table(
    "audit_ends",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("seal", Text, nullable=False),
)

OUTBOX: Final = Table(
    "outbox",
    METADATA,
    Column("webhook", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False, index=True),
    Column("next_at", Double, nullable=False, index=True),
    Column("tries", Integer, nullable=False),
)

DEAD_LETTERS: Final = Table(
    "dead_letters",
    METADATA,
    Column("webhook", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("action", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("died_at", Double, nullable=False, index=True),
    Column("tries", Integer, nullable=False),
    Column("detail", Text, nullable=False),
)

DEVICES: Final = Table(
    "devices",
    METADATA,
    Column("user_id", Text, ForeignKey(USERS.c.id, ondelete="CASCADE"), primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("browser", Text, nullable=False),
    Column("system", Text, nullable=False),
    Column("networks", Text, nullable=False),
    Column("first_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False, index=True),
)

SIGNING_KEYS: Final = Table(
    "signing_keys",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("signs_at", Double, nullable=False),
)

ACME_ACCOUNTS: Final = Table(
    "acme_accounts",
    METADATA,
    Column("directory", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("rests_until", Double, nullable=False),
    Column("fence", BigInteger, nullable=False),
)

ACME_ORDERS: Final = Table(
    "acme_orders",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("next_at", Double, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("failed_at", Double, nullable=False),
    Column("fence", BigInteger, nullable=False),
)

ACME_PROOFS: Final = Table(
    "acme_proofs",
    METADATA,
    Column("token", Text, primary_key=True),
    Column("name", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
)

CERTIFICATES: Final = Table(
    "certificates",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("not_after_at", Double, nullable=False),
    Column("renew_at", Double, nullable=False),
    Column("ask_at", Double, nullable=False),
    Column("fence", BigInteger, nullable=False),
)
