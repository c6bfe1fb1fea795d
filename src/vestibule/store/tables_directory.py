"""The tables of organisations' directories, for SQLAlchemy (`store.tables` has the others)."""

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
    Table,
    Text,
    UniqueConstraint,
)

from vestibule.store.tables import METADATA, USERS
from vestibule.store.tables_organisations import ORGANISATIONS

DIRECTORY_USERS: Final = Table(
    "directory_users",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey(ORGANISATIONS.c.id, ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("folded", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("is_active", Boolean, nullable=False),
    # None: they have not signed in.
    Column("user_id", Text, ForeignKey(USERS.c.id, ondelete="SET NULL"), index=True),
    UniqueConstraint("org_id", "folded"),
    UniqueConstraint("org_id", "user_id"),
    Index(None, "org_id", "created_at", "id"),
    Index(None, "org_id", "external_id"),
)

DIRECTORY_GROUPS: Final = Table(
    "directory_groups",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey(ORGANISATIONS.c.id, ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("folded", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Index(None, "org_id", "folded"),
    Index(None, "org_id", "created_at", "id"),
    Index(None, "org_id", "external_id"),
)

DIRECTORY_GROUP_MEMBERS: Final = Table(
    "directory_group_members",
    METADATA,
    Column("group_id", Text, ForeignKey(DIRECTORY_GROUPS.c.id, ondelete="CASCADE"), primary_key=True),
    Column(
        "member_id", Text, ForeignKey(DIRECTORY_USERS.c.id, ondelete="CASCADE"), primary_key=True, index=True
    ),
    sqlite_with_rowid=False,
)

DIRECTORY_TOKENS: Final = Table(
    "directory_tokens",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey(ORGANISATIONS.c.id, ondelete="CASCADE"), nullable=False),
    Column("slot", Integer, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("seen_at", Double),
    UniqueConstraint("org_id", "slot"),
)

DIRECTORY_RULES: Final = Table(
    "directory_rules",
    METADATA,
    Column("org_id", Text, ForeignKey(ORGANISATIONS.c.id, ondelete="CASCADE"), primary_key=True),
    Column("join_by", Text, nullable=False),
)
