"""The tables, for SQLAlchemy: what records go by, and what the migrations are compared with.

Imported by the control plane only. Times are UNIX seconds. `sessions`, `grants`, `marks` and `leases` are
read and written by the drivers themselves (`store.sqlite`); they stand here for the migrations.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
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
    Column("data", LargeBinary, nullable=False),
    Index(None, "old_handle"),
    Index(None, "user_id"),
    Index(None, "ends_at"),
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
    Column("fence", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("owner", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index(None, "expires_at"),
    sqlite_autoincrement=True,
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
    Column("disabled", Boolean, nullable=False, server_default=false()),
)

IDENTITIES: Final = Table(
    "identities",
    METADATA,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("user_id", Text, ForeignKey(USERS.c.id), nullable=False, index=True),
    Column("client", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)
